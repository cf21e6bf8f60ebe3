UPDATE tt SET small='t' WHERE id=1;
UPDATE tt SET id=2 WHERE id=1;
UPDATE tt SET t='short' WHERE id=2;
DELETE FROM tt WHERE id=2;
INSERT INTO zend VALUES (1);
