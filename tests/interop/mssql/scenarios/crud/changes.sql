INSERT INTO dbo.customer (id, name, note, photo, amount, born, created) VALUES (3, N'Cid', N'note of Cid', 0xFF, 1, '2000-01-01', '2024-05-06T07:08:09.1')
GO
UPDATE dbo.customer SET amount = 99.99 WHERE id = 1
GO
UPDATE dbo.customer SET note = N'another note', amount = amount + 1 WHERE id = 1
GO
UPDATE dbo.customer SET name = name WHERE id = 2
GO
UPDATE dbo.customer SET photo = NULL WHERE id = 3
GO
UPDATE dbo.customer SET id = 30 WHERE id = 3
GO
DELETE FROM dbo.customer WHERE id = 2
GO
BEGIN TRAN
INSERT INTO dbo.customer (id, name, created) VALUES (4, N'Dee', NULL)
INSERT INTO sales.[order line] (order_id, line, sku, qty) VALUES (4, 1, 'x', 10), (4, 2, 'y', 20)
UPDATE dbo.customer SET name = N'Dee II' WHERE id = 4
UPDATE sales.[order line] SET qty = qty + 1 WHERE order_id = 4
DELETE FROM sales.[order line] WHERE order_id = 1
INSERT INTO dbo.untracked VALUES (1)
INSERT INTO dbo.counted (v) VALUES ('in a transaction')
COMMIT
GO
BEGIN TRAN
INSERT INTO dbo.customer (id, name) VALUES (5, N'never')
ROLLBACK
GO
INSERT INTO dbo.untracked VALUES (2)
GO
INSERT INTO dbo.nokey VALUES (2, 'two')
GO
UPDATE dbo.nokey SET b = 'ONE' WHERE a = 1
GO
DELETE FROM dbo.nokey WHERE a IS NULL
GO
UPDATE dbo.uniquekey SET v = 2 WHERE code = 'k1'
GO
INSERT INTO dbo.uniquekey VALUES ('k2', NULL)
GO
DELETE FROM dbo.uniquekey WHERE code = 'k1'
GO
UPDATE sales.[order line] SET line = line + 10 WHERE order_id = 4
GO
INSERT INTO dbo.zend VALUES (1)
