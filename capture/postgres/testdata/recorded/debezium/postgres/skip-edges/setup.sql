CREATE TABLE s1 (id int PRIMARY KEY, v text); INSERT INTO s1 VALUES (1,'a'),(2,'b');
CREATE TABLE zend (id int PRIMARY KEY);
