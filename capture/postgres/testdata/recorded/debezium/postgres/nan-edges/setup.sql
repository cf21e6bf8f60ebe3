CREATE TABLE n1 (id int PRIMARY KEY, n numeric, n5 numeric(5,2), na numeric[]);
INSERT INTO n1 VALUES (1,'NaN','NaN','{NaN,1}'),(2,'Infinity',1,'{1}'),(3,'-Infinity',1,'{2}'),(4,1.50,1.5,'{1.50}');
CREATE TABLE zend (id int PRIMARY KEY);
