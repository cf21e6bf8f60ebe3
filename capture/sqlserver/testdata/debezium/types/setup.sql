EXEC sys.sp_cdc_enable_db
GO
ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON
GO
CREATE TABLE dbo.types (
	id int NOT NULL PRIMARY KEY,
	c_bit bit NULL, c_tinyint tinyint NULL, c_smallint smallint NULL, c_int int NULL, c_bigint bigint NULL,
	c_real real NULL, c_float float NULL, c_float24 float(24) NULL,
	c_decimal decimal(20,6) NULL, c_numeric numeric(38,10) NULL, c_dec5 decimal(5) NULL,
	c_money money NULL, c_smallmoney smallmoney NULL,
	c_char char(5) NULL, c_varchar varchar(40) NULL, c_varcharmax varchar(max) NULL,
	c_utf8 varchar(40) COLLATE Latin1_General_100_CI_AS_SC_UTF8 NULL,
	c_nchar nchar(5) NULL, c_nvarchar nvarchar(40) NULL, c_nvarcharmax nvarchar(max) NULL,
	c_text text NULL, c_ntext ntext NULL, c_image image NULL,
	c_binary binary(4) NULL, c_varbinary varbinary(20) NULL, c_varbinarymax varbinary(max) NULL,
	c_guid uniqueidentifier NULL, c_xml xml NULL,
	c_date date NULL, c_time0 time(0) NULL, c_time3 time(3) NULL, c_time time NULL,
	c_datetime datetime NULL, c_smalldatetime smalldatetime NULL,
	c_datetime2_0 datetime2(0) NULL, c_datetime2_3 datetime2(3) NULL, c_datetime2 datetime2 NULL,
	c_dto0 datetimeoffset(0) NULL, c_dto datetimeoffset NULL,
	n_bit bit NOT NULL DEFAULT 1, n_int int NOT NULL DEFAULT ((7)), n_datetime datetime NOT NULL DEFAULT '2020-02-29T12:00:00', n_money money NOT NULL DEFAULT 1.5
)
GO
CREATE TABLE dbo.zend (id int NOT NULL PRIMARY KEY)
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'types', @role_name=NULL, @supports_net_changes=0
GO
EXEC sys.sp_cdc_enable_table @source_schema=N'dbo', @source_name=N'zend', @role_name=NULL, @supports_net_changes=0
GO
INSERT INTO dbo.types VALUES (1, 1, 255, -32768, -2147483648, -9223372036854775808,
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
	'2018-07-13 12:23:45 +11:00', '2018-07-13 12:23:45.1234567 -03:30', DEFAULT, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO dbo.types (id) VALUES (2);
INSERT INTO dbo.types (id, c_bit, c_tinyint, c_real, c_decimal, c_money, c_smallmoney, c_char, c_varchar, c_nvarcharmax, c_varbinary, c_varbinarymax, c_date, c_time, c_datetime, c_smalldatetime, c_datetime2, c_dto)
	VALUES (3, 0, 0, 0, 0, 922337203685477.5807, -214748.3648, '', '', N'', 0x, 0x, '0001-01-01', '00:00:00', '1753-01-01T00:00:00.003', '1900-01-01T00:00:00', '0001-01-01T00:00:00', '0001-01-01 00:00:00 -14:00');
INSERT INTO dbo.types (id, c_date, c_time, c_datetime, c_smalldatetime, c_datetime2, c_dto)
	VALUES (4, '9999-12-31', '23:59:59.9999999', '9999-12-31T23:59:59.997', '2079-06-06T23:59:00', '9999-12-31T23:59:59.9999999', '9999-12-31 23:59:59.9999999 +00:00')
