SET sql_mode=''; SET time_zone='+00:00';
INSERT INTO n1 SELECT id+10,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t FROM n1;
INSERT INTO t1 SELECT id+10,a,b,c,d,e,f,g,h,i,j,k,l,m FROM t1;
SET time_zone='+05:30'; INSERT INTO t1 (id,j,m) VALUES (30,'2024-06-01 00:00:00.5','2024-06-01 00:00:00');
SET time_zone='-08:00'; UPDATE t1 SET j='2024-03-10 02:30:00' WHERE id=30;
UPDATE n1 SET a=-a, b=b-1, c=0 WHERE id<5;
DELETE FROM n1 WHERE id>10; DELETE FROM t1 WHERE id=30;
INSERT INTO zend VALUES (1);
