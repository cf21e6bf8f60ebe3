EXEC sys.sp_cdc_enable_db
GO
CREATE TABLE dbo.item (id int NOT NULL PRIMARY KEY, a varchar(10) NULL, b int NULL, c decimal(10,2) NULL)
GO
CREATE TABLE dbo.part (id int NOT NULL PRIMARY KEY, a varchar(10) NULL, secret varchar(10) NULL)
GO
CREATE TABLE dbo.zend (id int NOT NULL PRIMARY KEY)
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'item', @capture_instance=N'item_1', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'part', @role_name=NULL, @supports_net_changes=0, @captured_column_list=N'id, a'
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'zend', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.item VALUES (1, 'one', 1, 1.25)
GO
INSERT INTO dbo.part VALUES (1, 'one', 'hidden')
