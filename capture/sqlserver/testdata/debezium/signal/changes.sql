INSERT INTO dbo.debezium_signal VALUES ('ad-hoc-1', 'execute-snapshot', '{"data-collections": ["crm.dbo.customer", "crm.dbo.pair"], "type": "incremental"}')
GO
WAITFOR DELAY '00:00:12' -- 39 records
GO
UPDATE dbo.customer SET name = N'changed' WHERE id = 1
GO
INSERT INTO dbo.zend VALUES (1)
