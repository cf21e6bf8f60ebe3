SET NAMES utf8mb4;
CREATE TABLE i1 (id INT PRIMARY KEY, h INT INVISIBLE DEFAULT 4, g INT AS (id+1) VIRTUAL, s INT AS (id+2) PERSISTENT, v INT); INSERT INTO i1 (id,v) VALUES (1,1);
CREATE TABLE e1 (id INT PRIMARY KEY, e ENUM('a,b','it''s','é"x','\\b',' sp'), s SET('it''s','é','x y','(z)'), e2 ENUM('','0','1') NOT NULL DEFAULT '0'); INSERT INTO e1 VALUES (1,'a,b','it''s,(z)',''),(2,'it''s','é,x y','1'),(3,'é"x',NULL,'0'),(4,'\\b','','0'),(5,' sp','x y','0');
CREATE TABLE j1 (id INT PRIMARY KEY, j JSON, t LONGTEXT); INSERT INTO j1 VALUES (1,'{"b": 1, "a":2}','x'),(2,'[1.0,1e2]',NULL),(3,'"s"',''),(4,NULL,NULL);
CREATE TABLE zend (id int PRIMARY KEY);
