-- Three tables of the civil affairs system (PostgreSQL). The adapter's account may only select.
CREATE TABLE hydj_zjxx (
  zjzh varchar(30), zjzl char(1), djrq char(8), fzrq char(8), nfxm varchar(60), nfsfzh varchar(30), nvfxm varchar(60),
  nvfsfzh varchar(30), yjhzh varchar(30), ybzzh varchar(30), ywlx varchar(10),
  zt char(1), gxsj timestamptz(0) NOT NULL
);
CREATE TABLE org_register (
  credit_code varchar(18), org_name varchar(120), org_type char(1), principal varchar(60), principal_idcard varchar(18),
  reg_funds numeric(16, 2), funds_from varchar(60), business_scope text, reg_addr varchar(200), sponsor varchar(120),
  found_date char(8), cert_date char(8), cert_begin char(8), cert_end char(8), inspect_year smallint, inspect_result char(1),
  reg_state varchar(20), seq bigint NOT NULL
);
CREATE TABLE dibao_jt (
  dabh varchar(30), hubh varchar(30), sqrxm varchar(60), sqrzjh varchar(18), cyxm text, cyzjh text, bzlb char(1), bzrs smallint,
  ybzj numeric(12, 2), qbny char(8), fhrq char(8), ztrq char(8), jtzz varchar(200), shxzqh varchar(16), dbzt varchar(10),
  bgsj timestamptz(0) NOT NULL
);
