CREATE TABLE "we ird.tbl" ("a.b" int PRIMARY KEY, "c d" text, "é-x" int, "select" int, "_x" int, "a$1" int); INSERT INTO "we ird.tbl" VALUES (1,'x',2,3,4,5);
CREATE TABLE "Ünï" ("ID" int PRIMARY KEY, "Väl" text, "日本" text); INSERT INTO "Ünï" VALUES (1,'ü','x');
CREATE SCHEMA "s.p x"; CREATE TABLE "s.p x"."t$1" (id int PRIMARY KEY, "1a" int, "a""q" int); INSERT INTO "s.p x"."t$1" VALUES (1,1,2);
CREATE TABLE "1st" (id int PRIMARY KEY, "é" text NOT NULL DEFAULT 'x'); INSERT INTO "1st" VALUES (1,'y');
CREATE TABLE zend (id int PRIMARY KEY);
