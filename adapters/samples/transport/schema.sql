-- Two tables of the transport office's system, a file of SQLite. Times are text.
CREATE TABLE yehu (
  zi_hao TEXT, xk_no TEXT, zi_wei TEXT, yh_name TEXT, yh_kind TEXT, credit TEXT, idcard TEXT, faren TEXT, dizhi TEXT, jyfw TEXT, jjlx TEXT,
  cclz TEXT, fzsj TEXT, yxq_q TEXT, yxq_z TEXT, clsl INTEGER, yyzt TEXT, xgsj TEXT NOT NULL
);
CREATE TABLE cheliang (
  yyz_no TEXT, cph TEXT, cpys TEXT, yh_mc TEXT, yh_xydm TEXT, yh_xkz TEXT, yslb TEXT, cllx TEXT, hdzzl TEXT, hdzk INTEGER,
  jyfw TEXT, nsjg TEXT, nsyxq TEXT, fzsj TEXT, clzt TEXT, xgsj TEXT NOT NULL
);
