SET NAMES utf8mb4;
INSERT INTO i1 (id,v,h) VALUES (2,2,9); UPDATE i1 SET v=5 WHERE id=1; INSERT INTO i1 (id,h,v) VALUES (3,3,3);
INSERT INTO e1 VALUES (6,'a,b','x y,(z)',''),(7,NULL,NULL,'1'); UPDATE e1 SET s='é' WHERE id=1;
ALTER TABLE e1 MODIFY e ENUM('new','a,b','it''s','é"x','\\b',' sp'); INSERT INTO e1 VALUES (8,'it''s',NULL,'0');
INSERT INTO j1 SELECT id+10,j,t FROM j1; UPDATE j1 SET j=JSON_SET(j,'$.b',10) WHERE id=1; DELETE FROM j1 WHERE id=2;
INSERT INTO zend VALUES (1);
