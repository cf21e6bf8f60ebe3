package mssqltest_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/mssqltest"
)

// python runs a query with pytds or pymssql.
func python(t *testing.T, kind string, srv *mssqltest.Server, query string) [][]string {
	t.Helper()
	const how = "python3 -m venv build/venv && build/venv/bin/pip install python-tds pymssql"
	bin, err := filepath.Abs("../../build/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(srv.Addr())
	cmd := exec.CommandContext(t.Context(), bin, "testdata/read_pytds.py", kind, host, port, "sa", "Secret1!", "crm", query)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v (if it is missing: %s)\n%s", kind, err, how, stderr.String())
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		var row []string
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// cut drops what the clients' own types cannot hold: below a microsecond, and the
// date that Go gives a time alone.
func cut(name, v string) string {
	if v == "NULL" || !strings.Contains(name, "date") && !strings.Contains(name, "time") && !strings.Contains(name, "dto") {
		return v
	}
	at, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return v
	}
	at = at.Truncate(time.Microsecond)
	switch {
	case name == "c_date":
		return at.Format("2006-01-02")
	case strings.HasPrefix(name, "c_time"):
		return at.Format("15:04:05.999999")
	case strings.Contains(name, "dto"):
		return at.Format("2006-01-02T15:04:05.999999-07:00")
	}
	return at.Format("2006-01-02T15:04:05.999999")
}

// normal gives a client's text the form of the expected ones.
func normal(name, v string) string {
	if v == "NULL" {
		return v
	}
	switch {
	case name == "c_guid":
		return strings.ToLower(wireGUID(v))
	case strings.Contains(name, "money"), strings.Contains(name, "dec"), name == "c_numeric":
		// pytds and pymssql drop or add zeros at the end.
		if strings.Contains(v, ".") {
			v = strings.TrimRight(strings.TrimRight(v, "0"), ".")
		}
		return v
	case strings.HasPrefix(name, "c_real"), strings.HasPrefix(name, "c_float"):
		v = strings.TrimSuffix(v, ".0")
		if v == "-22500000000" {
			return "-2.25e+10"
		}
		return v
	case strings.Contains(name, "time"), strings.Contains(name, "dto"):
		if i := strings.Index(v, "."); i > 0 {
			end := i + 1
			for end < len(v) && v[end] >= '0' && v[end] <= '9' {
				end++
			}
			v = v[:i] + strings.TrimRight(strings.TrimRight(v[i:end], "0"), ".") + v[end:]
		}
	}
	return v
}

// wireGUID gives the bytes of a GUID in the order in which go-mssqldb gives them.
func wireGUID(v string) string {
	h := strings.ReplaceAll(v, "-", "")
	if len(h) != 32 {
		return v
	}
	return h[6:8] + h[4:6] + h[2:4] + h[0:2] + h[10:12] + h[8:10] + h[14:16] + h[12:14] + h[16:]
}

func trimmed(name, v string) string {
	if strings.Contains(name, "money") || strings.Contains(name, "dec") || name == "c_numeric" {
		if strings.Contains(v, ".") {
			return strings.TrimRight(strings.TrimRight(v, "0"), ".")
		}
	}
	return v
}

func TestPythonClientsReadTheSameValues(t *testing.T) {
	for _, compact := range []bool{false, true} {
		srv := typesServer(t, compact)
		var names []string
		for n := range typeValues {
			names = append(names, n)
		}
		for _, kind := range []string{"pytds", "pymssql"} {
			got := python(t, kind, srv, "SELECT "+strings.Join(names, ", ")+" FROM dbo.types ORDER BY id")
			if len(got) != 4 {
				t.Fatalf("%s: %d rows", kind, len(got))
			}
			for k, n := range names {
				for i, want := range typeValues[n] {
					if g, w := normal(n, got[i][k]), trimmed(n, cut(n, want)); g != w {
						t.Errorf("%s, %s, row %d: got %.60q, want %.60q", kind, n, i+1, g, w)
					}
				}
			}
		}
	}
}

// tsql runs a batch with FreeTDS.
func tsql(t *testing.T, srv *mssqltest.Server, batch string) string {
	t.Helper()
	bin, err := exec.LookPath("tsql")
	if err != nil {
		t.Fatal("tsql of FreeTDS is missing: run tests/setup.sh freetds")
	}
	host, port, _ := net.SplitHostPort(srv.Addr())
	cmd := exec.CommandContext(t.Context(), bin, "-H", host, "-p", port, "-U", "sa", "-P", "Secret1!", "-D", "crm", "-o", "fhq")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(batch + "\ngo\nexit\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tsql: %v\n%s", err, out)
	}
	return string(out)
}

func TestFreeTDSReadsTheSameValues(t *testing.T) {
	for _, compact := range []bool{false, true} {
		srv := typesServer(t, compact)
		// What tsql prints as the values are; it formats times and floats its own way.
		names := []string{"c_tinyint", "c_smallint", "c_int", "c_bigint", "c_decimal", "c_numeric", "c_dec5", "c_money", "c_smallmoney", "c_varchar", "c_varcharmax", "c_utf8", "c_nvarchar", "c_nvarcharmax", "c_text", "c_ntext"}
		got := strings.Split(tsql(t, srv, "SELECT "+strings.Join(names, ", ")+" FROM dbo.types WHERE id = 1"), "\n")
		var values []string
		for _, line := range got {
			if strings.Count(line, "\t") == len(names)-1 && !strings.HasPrefix(line, "c_") {
				values = strings.Split(line, "\t")
			}
		}
		if values == nil {
			t.Fatalf("no row: %q", got)
		}
		for i, n := range names {
			if want := typeValues[n][0]; strings.TrimRight(values[i], "\r") != want {
				t.Errorf("%s: got %.60q, want %.60q", n, values[i], want)
			}
		}
	}
}

// What mssql-jdbc is expected to print (tests/interop/sqlserver.sh) are the values
// that the other clients read.
func TestTheExpectationOfJDBCIsThatOfTheOthers(t *testing.T) {
	text, err := os.ReadFile("../../tests/interop/mssql/jdbc.expected")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		row, got, _ := strings.Cut(rest, "|")
		want, ok := typeValues[name]
		i := strings.Index("1234", row)
		if !ok || len(row) != 1 || i < 0 {
			continue
		}
		n++
		w := want[i]
		at, err := time.Parse(time.RFC3339Nano, w)
		switch {
		case w == "NULL":
		case name == "c_dto" && row == "3":
			// The driver counts a datetimeoffset before 1582 in the Julian calendar.
			w = "0000-12-30T00:00-14:00"
		case strings.HasSuffix(name, "_bit"):
			w = map[string]string{"true": "1", "false": "0"}[w]
		case name == "c_guid":
			got = strings.ToLower(wireGUID(got))
		case name == "c_float", name == "c_real", name == "c_float24":
			got = strings.ReplaceAll(strings.TrimSuffix(got, ".0"), "E10", "e+10")
		case err != nil:
		case name == "c_date":
			w = at.Format("2006-01-02")
		default:
			// Java leaves out what is zero at the end: compare the instants.
			layout := "2006-01-02T15:04:05.999999999"
			if strings.HasPrefix(name, "c_time") {
				layout = "15:04:05.999999999"
			} else if strings.Contains(name, "dto") {
				layout = "2006-01-02T15:04:05.999999999Z07:00"
			}
			full := got
			if strings.Count(strings.SplitN(got, "T", 2)[len(strings.SplitN(got, "T", 2))-1], ":") == 1 {
				full += ":00" // no seconds
			}
			if strings.Contains(name, "dto") {
				full = javaOffset(got)
			}
			g, err := time.Parse(layout, full)
			if err != nil {
				t.Errorf("%s, row %s: %v", name, row, err)
				continue
			}
			if strings.HasPrefix(name, "c_time") {
				g = g.AddDate(1, 0, 0) // both on the first day of year 1
			}
			got, w = g.Format(time.RFC3339Nano), at.Format(time.RFC3339Nano)
		}
		if got != w {
			t.Errorf("%s, row %s: mssql-jdbc has %.60q, the others %.60q", name, row, got, w)
		}
	}
	if n != 4*len(typeValues) {
		t.Errorf("%d values compared, want %d", n, 4*len(typeValues))
	}
}

// javaOffset adds the seconds that Java leaves out where they are zero.
func javaOffset(s string) string {
	if i := strings.Index(s, "T"); i > 0 && len(s) > i+6 && s[i+6] != ':' {
		return s[:i+6] + ":00" + s[i+6:]
	}
	return s
}
