SET NAMES utf8mb4; SET sql_mode='';
INSERT INTO j1 SELECT id+20,j,k FROM j1; INSERT INTO j2 SELECT id+20,j,k FROM j2;
UPDATE j1 SET j=JSON_SET(j,'$.b',10,'$.new',JSON_ARRAY(1,'x')) WHERE id=1;
UPDATE j1 SET j=JSON_REMOVE(j,'$[0]'), k='{"z":[1,{"y":null}]}' WHERE id=2;
DELETE FROM j1 WHERE id IN (4,6);
INSERT INTO zend VALUES (1);
