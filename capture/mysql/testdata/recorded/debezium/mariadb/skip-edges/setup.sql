CREATE TABLE s1 (id int PRIMARY KEY, v varchar(9)); INSERT INTO s1 VALUES (1,'a'),(2,'b'),(3,'c');
CREATE TABLE zend (id int PRIMARY KEY);
