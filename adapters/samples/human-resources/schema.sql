-- One view of the social insurance system (MariaDB), with the field codes of its ministry. It has no column that grows.
CREATE TABLE v_cbzm (
  AAC001 varchar(20), AAE140 char(3), ZMBH varchar(32), AAC002 varchar(18), AAB998 varchar(18), AAC003 varchar(120), CBLX char(1),
  AAC008 tinyint, AAC031 tinyint, QFJE varchar(20), AAE201 int, AAC040 decimal(12, 2), AAB004 varchar(120), DWTYM varchar(18),
  CBRS int, DYRQ varchar(10), TJRQ varchar(10), ZMZT varchar(10)
) CHARACTER SET utf8mb4;
