INSERT INTO dbo.types VALUES (11, 1, 255, -32768, -2147483648, -9223372036854775808,
	1.5, -2.25E10, 0.25, -12345678901234.123456, 1234567890123456789012345678.0123456789, -99999,
	-922337203685477.5808, 214748.3647,
	'cc', 'Zoë € “q”', REPLICATE(CAST('long' AS varchar(max)), 2100), N'Zoë 漢字 😀',
	N'nc', N'漢字 😀', REPLICATE(CAST(N'ü😀' AS nvarchar(max)), 1400),
	'old text é', N'old ntext 漢', 0x0102FF,
	0x0102, 0x00FF00, CAST(REPLICATE(CAST('abc' AS varchar(max)), 2700) AS varbinary(max)),
	'6F9619FF-8B86-D011-B42D-00C04FC964FF', N'<a b="1">ü</a>',
	'2018-07-13', '10:23:46', '10:23:45.678', '10:23:45.6789012',
	'2018-07-13T11:23:45.780', '2018-07-13T12:24:00',
	'2018-07-13T11:23:45', '2018-07-13T11:23:45.123', '2018-07-13T11:23:45.1234567',
	'2018-07-13 12:23:45 +11:00', '2018-07-13 12:23:45.1234567 -03:30', DEFAULT, DEFAULT, DEFAULT, DEFAULT)
GO
INSERT INTO dbo.types (id) VALUES (12)
GO
INSERT INTO dbo.types (id, c_bit, c_tinyint, c_real, c_decimal, c_money, c_smallmoney, c_char, c_varchar, c_nvarcharmax, c_varbinary, c_varbinarymax, c_date, c_time, c_datetime, c_smalldatetime, c_datetime2, c_dto)
	VALUES (13, 0, 0, 0, 0, 922337203685477.5807, -214748.3648, '', '', N'', 0x, 0x, '0001-01-01', '00:00:00', '1753-01-01T00:00:00.003', '1900-01-01T00:00:00', '0001-01-01T00:00:00', '0001-01-01 00:00:00 -14:00')
GO
INSERT INTO dbo.types (id, c_date, c_time, c_datetime, c_smalldatetime, c_datetime2, c_dto)
	VALUES (14, '9999-12-31', '23:59:59.9999999', '9999-12-31T23:59:59.997', '2079-06-06T23:59:00', '9999-12-31T23:59:59.9999999', '9999-12-31 23:59:59.9999999 +00:00')
GO
UPDATE dbo.types SET c_int = 5 WHERE id = 11
GO
UPDATE dbo.types SET c_nvarcharmax = N'short', c_text = 'new text', c_varbinarymax = NULL WHERE id = 11
GO
UPDATE dbo.types SET c_datetime2_0 = '1500-01-01', c_date = '1000-02-03' WHERE id = 12
GO
DELETE FROM dbo.types WHERE id = 11
GO
INSERT INTO dbo.zend VALUES (1)
