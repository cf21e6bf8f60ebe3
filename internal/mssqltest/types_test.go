package mssqltest_test

import (
	_ "embed"
	"strings"
	"testing"

	"tributary/internal/mssqltest"
)

//go:embed testdata/types.sql
var typesSQL string

// typeValues is what clients must read from testdata/types.sql, in the form of
// rows: the first row, then the extremes.
var typeValues = func() map[string][4]string {
	long := strings.Repeat("long", 3000)
	wide := strings.Repeat("ü😀", 5000)
	bytes := strings.Repeat("616263", 4000)
	n := "NULL"
	return map[string][4]string{
		"c_bit": {"true", n, "false", n}, "c_tinyint": {"255", n, "0", n}, "c_smallint": {"-32768", n, n, n}, "c_int": {"-2147483648", n, n, n},
		"c_bigint": {"-9223372036854775808", n, n, n},
		"c_real":   {"1.5", n, "0", n}, "c_float": {"-2.25e+10", n, n, n}, "c_float24": {"0.25", n, n, n},
		"c_decimal": {"-12345678901234.123456", n, "0.000000", n}, "c_numeric": {"1234567890123456789012345678.0123456789", n, n, n}, "c_dec5": {"-99999", n, n, n},
		"c_money": {"-922337203685477.5808", n, "922337203685477.5807", n}, "c_smallmoney": {"214748.3647", n, "-214748.3648", n},
		"c_char": {"cc   ", n, "     ", n}, "c_varchar": {"Zoë € “q”", n, "", n}, "c_varcharmax": {long, n, n, n}, "c_utf8": {"Zoë 漢字 😀", n, n, n},
		"c_nchar": {"nc   ", n, n, n}, "c_nvarchar": {"漢字 😀", n, n, n}, "c_nvarcharmax": {wide, n, "", n},
		"c_text": {"old text é", n, n, n}, "c_ntext": {"old ntext 漢", n, n, n}, "c_image": {"0102ff", n, n, n},
		"c_binary": {"01020000", n, n, n}, "c_varbinary": {"00ff00", n, "", n}, "c_varbinarymax": {bytes, n, "", n},
		"c_guid": {"ff19966f868b11d0b42d00c04fc964ff", n, n, n}, "c_xml": {`<a b="1">ü</a>`, n, n, n},
		"c_date": {"2018-07-13T00:00:00Z", n, "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"}, "c_time0": {"0001-01-01T10:23:46Z", n, n, n},
		"c_time3": {"0001-01-01T10:23:45.678Z", n, n, n}, "c_time": {"0001-01-01T10:23:45.6789012Z", n, "0001-01-01T00:00:00Z", "0001-01-01T23:59:59.9999999Z"},
		"c_datetime":      {"2018-07-13T11:23:45.78Z", n, "1753-01-01T00:00:00.003Z", "9999-12-31T23:59:59.997Z"},
		"c_smalldatetime": {"2018-07-13T12:24:00Z", n, "1900-01-01T00:00:00Z", "2079-06-06T23:59:00Z"},
		"c_datetime2_0":   {"2018-07-13T11:23:45Z", n, n, n}, "c_datetime2_3": {"2018-07-13T11:23:45.123Z", n, n, n},
		"c_datetime2": {"2018-07-13T11:23:45.1234567Z", n, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"},
		"c_dto0":      {"2018-07-13T12:23:45+11:00", n, n, n}, "c_dto": {"2018-07-13T12:23:45.1234567-03:30", n, "0001-01-01T00:00:00-14:00", "9999-12-31T23:59:59.9999999Z"},
		"n_bit": {"true", "true", "true", "true"}, "n_int": {"7", "7", "7", "7"}, "n_datetime": {"2020-02-29T12:00:00Z", "2020-02-29T12:00:00Z", "2020-02-29T12:00:00Z", "2020-02-29T12:00:00Z"},
		"n_money": {"1.5000", "1.5000", "1.5000", "1.5000"},
	}
}()

func typesServer(t *testing.T, compact bool) *mssqltest.Server {
	t.Helper()
	srv, db := start(t, mssqltest.Options{CompactRows: compact})
	if err := db.Exec(typesSQL); err != nil {
		t.Fatal(err)
	}
	return srv
}

func TestTypes(t *testing.T) {
	for _, compact := range []bool{false, true} {
		c := open(t, typesServer(t, compact))
		for name, want := range typeValues {
			got := rows(t, c, "SELECT "+name+" FROM dbo.types ORDER BY id")
			for i, w := range want {
				if i >= len(got) || got[i][0] != w {
					t.Errorf("%s, row %d: got %.60v, want %.60v", name, i+1, got[i], w)
				}
			}
		}
	}
}
