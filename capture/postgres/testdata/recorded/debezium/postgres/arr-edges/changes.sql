SET timezone='UTC';
INSERT INTO a1 SELECT id+10,ts3,ts0,ts6,tz3,tz0,tz,t,tmz,o,n,n50,n52,r,c3,ch,js,d,m,m8,ci,u,v5 FROM a1;
INSERT INTO a2 SELECT id+10,i2,t2,b0,f3,i4r,tsr,tzr,dr,nr,i8r,e,ci,lt,by,bo,s,bi FROM a2;
INSERT INTO a3 SELECT id+10,dp,cm,bx,pt,mo,iv,nm,vb,xm,ma,lsn,t3,t0,h FROM a3;
INSERT INTO a4 SELECT id+10,b1 FROM a4;
INSERT INTO a5 SELECT id+10,b5 FROM a5;
INSERT INTO zend VALUES (1);
