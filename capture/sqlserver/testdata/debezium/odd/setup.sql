EXEC sys.sp_cdc_enable_db
GO
CREATE TABLE dbo.odd (id int NOT NULL PRIMARY KEY, v sql_variant NULL, h hierarchyid NULL, g geometry NULL, gg geography NULL, s sysname NOT NULL, f real NULL, n numeric(38,0) NULL, d10 decimal(10) NULL,
	[a b] int NULL, [ünï] int NULL, [x-y] int NULL)
GO
CREATE TABLE dbo.[odd table] ([key] uniqueidentifier NOT NULL PRIMARY KEY, v int NULL)
GO
CREATE TABLE dbo.defaults (id int NOT NULL PRIMARY KEY, b bit NOT NULL DEFAULT 0, i int NOT NULL DEFAULT -5, big bigint NOT NULL DEFAULT 9223372036854775807, d decimal(10,2) NOT NULL DEFAULT 1.50,
	m money NOT NULL DEFAULT 2.5, f float NOT NULL DEFAULT 1.25, c char(3) NOT NULL DEFAULT 'ab', v varchar(10) NOT NULL DEFAULT 'it''s', n nvarchar(10) NOT NULL DEFAULT N'é', dt date NOT NULL DEFAULT '2019-02-03',
	t time(3) NOT NULL DEFAULT '01:02:03.4', ts datetime2(3) NOT NULL DEFAULT '2019-02-03T04:05:06.7', o datetimeoffset NOT NULL DEFAULT '2019-02-03 04:05:06 +01:00', x varbinary(4) NOT NULL DEFAULT 0x0102,
	g uniqueidentifier NOT NULL DEFAULT newid(), now datetime NULL DEFAULT getdate(), nul int NULL DEFAULT NULL)
GO
CREATE TABLE dbo.zend (id int NOT NULL PRIMARY KEY)
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'odd', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'odd table', @capture_instance=N'odd_table', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'defaults', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'zend', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.odd VALUES (1, CAST(5 AS int), 0x58, 0x00000000010C000000000000F03F0000000000000040, 0xE6100000010C0000000000004540000000000000F03F, N'name', 1.1, 12345678901234567890123456789012345678, 1234567890, 1, 2, 3)
GO
INSERT INTO dbo.odd (id, s) VALUES (2, N'nulls')
GO
INSERT INTO dbo.[odd table] VALUES ('6F9619FF-8B86-D011-B42D-00C04FC964FF', 1)
GO
INSERT INTO dbo.defaults (id, g, now) VALUES (1, '6F9619FF-8B86-D011-B42D-00C04FC964FF', '2020-01-01')
