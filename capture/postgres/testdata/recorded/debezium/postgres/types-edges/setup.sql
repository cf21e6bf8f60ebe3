SET timezone='UTC';
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION isn;
CREATE TYPE mood AS ENUM ('sad','ok','happy é');
CREATE TYPE "Quoted Enum" AS ENUM ('a','b,c','d"e');
CREATE TYPE comp AS (a int, b text);
CREATE DOMAIN ints AS int[];
CREATE DOMAIN short AS varchar(10);
CREATE DOMAIN shorter AS short CHECK (length(VALUE) < 8);
CREATE DOMAIN dtz AS timestamptz(3);
CREATE DOMAIN dnum AS numeric(10,3);
CREATE DOMAIN djson AS jsonb;
CREATE DOMAIN dbit AS bit(5);
CREATE DOMAIN dhst AS hstore;
CREATE TABLE t_dom2 (id int PRIMARY KEY, ia ints, m mood, s short, s2 shorter, tz dtz, n dnum, j djson, b dbit, h dhst, qe "Quoted Enum");
INSERT INTO t_dom2 VALUES (1,'{1,NULL}','ok','abc','défg','2024-01-01 00:00:00.5+00',1.5,'{"a":1}','10101','a=>1','b,c'),(2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE t_num2 (id int PRIMARY KEY, n10 numeric(10,0), n38 numeric(38,10), n numeric, n1000 numeric(1000,0), r real, d double precision, m money, s smallint, i bigint);
INSERT INTO t_num2 VALUES (1,0,0,0,0,0,0,0,0,0),(2,-1,-0.0000000001,-0.000,12345678901234567890123456789012345678901234567890,1.17549435e-38,2.2250738585072014e-308,-1.5,-1,-1),(3,9999999999,9999999999999999999999999999.9999999999,100.00,-1,3.4028235e38,1.7976931348623157e308,1234567.89,127,128),(4,5,1.10,1e-20,0,0.30000001,0.1,'-0.01',-32768,255),(5,255,-128,1e20,256,16777216,9007199254740993,'(12.34)',1,-129);
CREATE TABLE t_time2 (id int PRIMARY KEY, d date, t time, t1 time(1), t2 time(2), t4 time(4), tz timetz, tz0 timetz(0), tz6 timetz(6), ts timestamp, ts1 timestamp(1), ts2 timestamp(2), ts5 timestamp(5), z timestamptz, z1 timestamptz(1), z2 timestamptz(2), z4 timestamptz(4), z6 timestamptz(6), iv interval, iv3 interval(3), ivds interval day to second, ivy interval year);
INSERT INTO t_time2 VALUES (1,'1970-01-01','24:00:00','12:34:56.7','12:34:56.78','12:34:56.7891','24:00:00+00','12:00:00-12','12:34:56.123456+05:45','1969-12-31 23:59:59.999999','1969-12-31 23:59:59.9','2024-02-29 00:00:00.01','2024-02-29 00:00:00.12345','1969-12-31 23:59:59.999999+00','2024-01-01 00:00:00.1+00','2024-01-01 00:00:00.12+00','2024-01-01 00:00:00.1234+00','2024-01-01 00:00:00.123456+00','1 mon','00:00:01.234','3 days 00:00:00.000001','5 years'),
(2,'1600-02-29','00:00:00.000001','00:00:00','00:00:00','00:00:00','00:00:00.000001+00','00:00:00+14','23:59:59.999999-15:59','1700-01-01 00:00:00.000001','1900-01-01','1900-01-01','1900-01-01','1883-11-18 12:00:00+00','1900-01-01 00:00:00+00','1900-01-01 00:00:00+00','1900-01-01 00:00:00+00','1900-01-01 00:00:00+00','-1 mon +1 day -00:00:00.000001','-00:00:01.234','-3 days +04:05:06','-5 years'),
(3,'5874897-12-31','12:00:00','12:00:00','12:00:00','12:00:00','12:00:00+00','12:00:00+00','12:00:00+00','2262-04-11 23:47:16.854776','2262-04-12','9999-12-31','10000-01-01','10000-01-01 00:00:00+00','9999-12-31 23:59:59.9+00','2262-04-12 00:00:00+00','2262-04-12 00:00:00+00','294276-12-31 23:59:59.999999+00','1 year 11 mons 30 days 23:59:59.999999','999:59:59.999','100 days 25:00:00','178000000 years'),
(4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'0.1 sec','0.12345 sec','1 day -1 sec','0'),
(5,'2000-01-01',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'-1 year -1 mon -1 day -01:01:01.000001','59.999999 sec','-100000:00:00','1 year');
CREATE TABLE t_str2 (id int PRIMARY KEY, c3 char(3), vc varchar(5), t text, n name, ci citext, x xml, j json, jb jsonb, u uuid, h hstore, lt ltree, ch "char", tsv tsvector, isbn isbn, issn issn, ean ean13);
INSERT INTO t_str2 VALUES (1,'é','日本語','\\ back \b tab	','name',' Ci ','<?xml version="1.0"?><a/>','{"u":"\u00e9", "n":1e400}','{"big":1e400,"arr":[{"x":null}],"s":"\"\\\/"}','A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11','"é"=>"ü","q\"x"=>"b\\s","e"=>""','A.B_1','\377','''it''''s'':1A ''x'':2','0-393-04002-X','1436-4522','4006381333931'),(2,'   ','     ','null',NULL,'NULL','','[]','[]',NULL,'a=>NULL','','a','','1-84356-028-3',NULL,NULL),(3,NULL,NULL,'🎉𝄞',NULL,NULL,NULL,'  {"a"  : 1}','12.50',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE t_bit2 (id int PRIMARY KEY, b1 bit(1), b16 bit(16), b7 bit(7), v1 bit varying(1), v64 bit varying(64), by bytea);
INSERT INTO t_bit2 VALUES (1,'1','1000000000000001','1111111','1','1111000011110000111100001111000011110000111100001111000011110000','\x00'),(2,'0','0000000100000000','0000001','0','00000001','\xff'),(3,NULL,NULL,NULL,'','','');
CREATE TABLE t_misc (id int PRIMARY KEY, p point, l line, ls lseg, b box, pa path, pac path, po polygon, c circle, i inet, ci cidr, lsn pg_lsn, tsq tsquery, xi xid, oi oid, rc regclass, rt regtype, cm comp, jp jsonpath, i4m int4multirange, nm nummultirange, i2v int2vector, ov oidvector, cid cid, tid tid);
INSERT INTO t_misc VALUES (1,'(0,0)','{1,-1,0}','[(0,0),(1,1)]','((0,0),(1,1))','[(0,0),(1,1)]','((0,0),(1,1))','((0,0),(1,1),(1,0))','<(0,0),1.5>','::1','::/0','0/0','a','1','1','pg_class','int4','(1,)','$','{[1,2)}','{}','1 2','1 2','1','(0,1)'),(2,'(1e300,-1e-300)',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'1.2.3.4','1.2.3.0/24','FFFFFFFF/FFFFFFFF',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE t_rng2 (id int PRIMARY KEY, i4 int4range, i8 int8range, n numrange, t tsrange, tz tstzrange, d daterange);
INSERT INTO t_rng2 VALUES (1,'(1,5]','[,]','[1.50,)','["2024-01-01 00:00:00.123","infinity")','["2024-01-01 00:00:00.123+05:30",)','(,2024-01-01]'),(2,'[1,1]','[-5,-1)','(0,0.0000001)','(,)','["-infinity","2024-07-01 00:00+00"]','[2024-01-01,2024-01-01]');
CREATE TABLE zend (id int PRIMARY KEY);
