EXEC sys.sp_cdc_enable_db
GO
ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON
GO
CREATE SCHEMA sales
GO
CREATE TABLE dbo.customer (
	id int NOT NULL PRIMARY KEY, name nvarchar(40) NOT NULL CONSTRAINT DF_name DEFAULT 'nobody', note nvarchar(max) NULL, photo varbinary(max) NULL,
	amount decimal(12,2) NULL DEFAULT 0, active bit NOT NULL DEFAULT 1, born date NULL, created datetime2(3) NULL DEFAULT getdate())
GO
CREATE TABLE sales.[order line] (order_id int NOT NULL, line smallint NOT NULL, sku varchar(10) NOT NULL, qty int NOT NULL, ver rowversion, twice AS qty * 2,
	CONSTRAINT PK_line PRIMARY KEY (order_id, line))
GO
CREATE TABLE dbo.counted (id bigint IDENTITY(10,5) NOT NULL PRIMARY KEY, v varchar(20) NULL)
GO
CREATE TABLE dbo.nokey (a int NULL, b varchar(20) NULL)
GO
CREATE TABLE dbo.uniquekey (code char(4) NOT NULL, v int NULL)
GO
CREATE UNIQUE INDEX UX_code ON dbo.uniquekey (code)
GO
CREATE TABLE dbo.untracked (id int NOT NULL PRIMARY KEY)
GO
CREATE TABLE dbo.zend (id int NOT NULL PRIMARY KEY)
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'customer', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'sales', @source_name=N'order line', @capture_instance=N'lines', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'counted', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'nokey', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'uniquekey', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'zend', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.customer (id, name, note, photo, amount, active, born, created) VALUES
	(1, N'Ann', N'a long note', 0x010203, 12.50, 1, '1980-02-29', '2024-01-02T03:04:05.678'), (2, N'Bøb', NULL, NULL, NULL, 0, NULL, NULL)
GO
INSERT INTO sales.[order line] (order_id, line, sku, qty) VALUES (1, 1, 'a', 1), (1, 2, 'b', 2), (2, 1, 'a', 3)
GO
INSERT INTO dbo.counted (v) VALUES ('first'), ('second')
GO
INSERT INTO dbo.nokey VALUES (1, 'one'), (1, 'one'), (NULL, NULL)
GO
INSERT INTO dbo.uniquekey VALUES ('k1', 1)
