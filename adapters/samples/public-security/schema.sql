-- The view that the vendor of the household register gives, with the habits of Oracle, on PostgreSQL.
-- CHAR is padded with blanks, an empty string is NULL, a DATE has a time of day that is midnight, names are upper-case.
CREATE SCHEMA "HZGL";
CREATE TABLE "HZGL"."T_CZRK" (
  "GMSFHM" char(20), "XM" varchar(60), "CYM" varchar(60), "XB" char(2), "MZ" char(4), "CSRQ" timestamp(0),
  "ZZ" varchar(200), "HJDXZQH" char(12), "BXHJ" char(1), "HH" char(18), "HLX" char(1), "YHZGX" char(4), "HYZK" char(4),
  "FWCS" varchar(100), "QFJG" varchar(60), "QFRQ" timestamp(0), "YXQXQSRQ" timestamp(0), "YXQXJZRQ" timestamp(0),
  "RYZT" char(4), "RKGXSJ" timestamp(0)
);
CREATE VIEW "HZGL"."V_CZRK" AS SELECT
  "GMSFHM", "XM", nullif("CYM", '') AS "CYM", "XB", "MZ", "CSRQ", nullif("ZZ", '') AS "ZZ", "HJDXZQH", "BXHJ", "HH", "HLX",
  nullif("YHZGX", '') AS "YHZGX", "HYZK", nullif("FWCS", '') AS "FWCS", "QFJG", "QFRQ", "YXQXQSRQ", "YXQXJZRQ", "RYZT", "RKGXSJ"
FROM "HZGL"."T_CZRK";
