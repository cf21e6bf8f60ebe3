SET NAMES utf8mb4;
CREATE TABLE v1 (id INT PRIMARY KEY, v VECTOR(3), w VECTOR); INSERT INTO v1 VALUES (1,TO_VECTOR('[1,-2.5,3e10]'),TO_VECTOR('[0]')),(2,NULL,NULL);
CREATE TABLE i1 (id INT PRIMARY KEY, h INT INVISIBLE DEFAULT 4, g INT AS (id+1) VIRTUAL, s INT AS (id+2) STORED NOT NULL, v INT); INSERT INTO i1 (id,v) VALUES (1,1);
CREATE TABLE f1 (id INT PRIMARY KEY, j JSON, KEY ((CAST(j->>'$.a' AS UNSIGNED)))); INSERT INTO f1 VALUES (1,'{"a":5}');
CREATE TABLE e1 (id INT PRIMARY KEY, e ENUM('a,b','it''s','é"x','\\b',' sp'), s SET('it''s','é','x y','(z)'), e2 ENUM('','0','1') NOT NULL DEFAULT '0'); INSERT INTO e1 VALUES (1,'a,b','it''s,(z)',''),(2,'it''s','é,x y','1'),(3,'é"x',NULL,'0'),(4,'\\b','','0'),(5,' sp','x y','0');
SET sql_generate_invisible_primary_key=ON; CREATE TABLE gipk (v INT); SET sql_generate_invisible_primary_key=OFF; INSERT INTO gipk VALUES (1);
CREATE TABLE zend (id int PRIMARY KEY);
