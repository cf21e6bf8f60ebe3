INSERT INTO g1 SELECT id+10,g,p,l,po,mp,ml,mpo,gc FROM g1;
UPDATE g1 SET p=ST_GeomFromText('POINT(0 0)'), g=ST_GeomFromText('POINT(5 5)') WHERE id=1;
DELETE FROM g1 WHERE id=2;
INSERT INTO g2 SELECT id+1,p,l,gc FROM g2; DELETE FROM g2 WHERE id=1;
INSERT INTO zend VALUES (1);
