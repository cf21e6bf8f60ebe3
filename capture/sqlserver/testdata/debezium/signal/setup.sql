EXEC sys.sp_cdc_enable_db
GO
CREATE TABLE dbo.customer (id int NOT NULL PRIMARY KEY, name nvarchar(40) NOT NULL)
GO
CREATE TABLE dbo.pair (a int NOT NULL, b varchar(5) NOT NULL, v int NULL, CONSTRAINT PK_pair PRIMARY KEY (a, b))
GO
CREATE TABLE dbo.debezium_signal (id varchar(42) NOT NULL PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048) NULL)
GO
CREATE TABLE dbo.zend (id int NOT NULL PRIMARY KEY)
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'customer', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'pair', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'debezium_signal', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'zend', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.customer VALUES (1, N'one'), (2, N'two'), (3, N'three'), (4, N'four'), (5, N'five')
GO
INSERT INTO dbo.pair VALUES (1, 'a', 1), (1, 'b', 2), (2, 'a', 3), (2, 'B', 4), (3, 'c', 5)
