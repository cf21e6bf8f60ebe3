INSERT INTO dbo.item VALUES (2, 'two', 2, 2.25)
GO
INSERT INTO dbo.part VALUES (2, 'two', 'hidden')
GO
UPDATE dbo.part SET secret = 'changed' WHERE id = 2
GO
ALTER TABLE dbo.item ADD d nvarchar(20) NULL
GO
INSERT INTO dbo.item VALUES (3, 'three', 3, 3.25, N'not captured yet')
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'item', @capture_instance=N'item_2', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.item VALUES (4, 'four', 4, 4.25, N'captured')
GO
UPDATE dbo.item SET d = N'captured too' WHERE id = 3
GO
WAITFOR DELAY '00:00:04' -- 11 records
GO
EXEC sys.sp_cdc_disable_table @source_schema=N'dbo', @source_name=N'item', @capture_instance=N'item_1'
GO
ALTER TABLE dbo.item DROP COLUMN b
GO
INSERT INTO dbo.item VALUES (5, 'five', 5.25, N'without b')
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'item', @capture_instance=N'item_3', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.item VALUES (6, 'six', 6.25, N'third instance')
GO
WAITFOR DELAY '00:00:04' -- 14 records
GO
INSERT INTO dbo.zend VALUES (1)
