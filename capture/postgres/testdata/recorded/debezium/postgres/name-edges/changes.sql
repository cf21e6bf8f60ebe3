UPDATE "we ird.tbl" SET "c d"='y'; UPDATE "we ird.tbl" SET "a.b"=2; DELETE FROM "we ird.tbl";
UPDATE "Ünï" SET "Väl"='ö'; DELETE FROM "Ünï";
UPDATE "s.p x"."t$1" SET "1a"=2; DELETE FROM "s.p x"."t$1";
UPDATE "1st" SET "é"='z';
INSERT INTO zend VALUES (1);
