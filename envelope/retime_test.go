package envelope

import (
	"fmt"
	"strings"
	"testing"

	"tributary/internal/fault"
)

// timesTable has a key and columns of all temporal types.
func timesTable() *Table {
	return &Table{ID: TableID{Schema: "s", Name: "t"}, Key: []int{0}, Columns: []Column{
		{Name: "at", Type: TypeTimestamp()}, {Name: "micro", Type: TypeMicroTimestamp(), Nullable: true},
		{Name: "day", Type: TypeDate(), Default: AppendInt(nil, 1)}, {Name: "time", Type: TypeTime(), Nullable: true, Default: AppendInt(nil, 1000)},
		{Name: "span", Type: TypeMicroTime()}, {Name: "list", Type: TypeArray(TypeMicroTimestamp()), Nullable: true}, {Name: "n", Type: TypeOf(Long)},
	}}
}

func timesRow(at, micro int64, day, clock int32, span int64) Row {
	row := AppendInt(AppendLong(append(AppendLong(nil, at), 2), micro), day)
	row = AppendLong(AppendInt(append(row, 0), clock), span)
	row = append(AppendLong(append(row, 2), 2), 0)
	return AppendLong(append(AppendLong(append(row, 2), micro), 0), 7)
}

func TestFormsOfTime(t *testing.T) {
	table := timesTable()
	const ms = 1563539677123 // 2019-07-19T12:34:37.123Z
	row := timesRow(ms, ms*1000+456, -1, 45296000, -1500000)
	for mode, want := range map[string]string{
		"":             "{at=1563539677123} {at=1563539677123 micro=1563539677123456 day=-1 time=45296000 span=-1500000 list=[null 1563539677123456] n=7}",
		"microseconds": "{at=1563539677123000} {at=1563539677123000 micro=1563539677123456 day=-1 time=45296000000 span=-1500000 list=[null 1563539677123456] n=7}",
		"nanoseconds":  "{at=1563539677123000000} {at=1563539677123000000 micro=1563539677123456000 day=-1 time=45296000000000 span=-1500000000 list=[null 1563539677123456000] n=7}",
		"isostring":    "{at=2019-07-19T12:34:37.123Z} {at=2019-07-19T12:34:37.123Z micro=2019-07-19T12:34:37.123456Z day=1969-12-31Z time=12:34:56Z span=-00:00:01.5Z list=[null 2019-07-19T12:34:37.123456Z] n=7}",
	} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Unwrap: &Unwrap{}, Rewrite: Rewrite{Times: mode}}
		if got := run(t, o, Change{Op: Create, Table: table, Key: AppendLong(nil, ms), After: row}); got != "p.s.t "+want {
			t.Errorf("%s:\n got %s\nwant p.s.t %s", mode, got, want)
		}
		f := mustTable(t, o, table)
		for column, def := range map[string]map[string]string{
			"day": {"": "1", "microseconds": "1", "nanoseconds": "1", "isostring": `"1970-01-02Z"`}, "time": {"": "1000", "microseconds": "1000000", "nanoseconds": "1000000000", "isostring": `"00:00:01Z"`},
		} {
			_, rest, _ := strings.Cut(f.ValueSchema, `"name":"`+column+`"`)
			if !strings.Contains(rest[:strings.Index(rest, "}")+200], `"default":`+def[mode]) {
				t.Errorf("%s: default of %s is not %s in %s", mode, column, def[mode], f.ValueSchema)
			}
		}
	}
}

func TestTimesThatAreFar(t *testing.T) {
	table := timesTable()
	far := func(micro int64) Change {
		return Change{Op: Create, Table: table, Key: AppendLong(nil, 0), After: timesRow(0, micro, 0, 0, 86400000000)}
	}
	for _, c := range []struct {
		mode  string
		micro int64
		want  string
	}{
		{"nanoseconds", infinity, "micro=9223372036854775807"}, {"nanoseconds", minusInfinity, "micro=-9223372036854775808"},
		{"microseconds", infinity, "micro=9223372036825200000"}, {"nanoseconds", 253402300799000000, "error: table s.t: column micro: the time has no number of nanoseconds"},
		{"isostring", 253402300799000000, "micro=9999-12-31T23:59:59Z"}, {"isostring", 253402300800000000, "micro=+10000-01-01T00:00:00Z"},
		{"isostring", -62135596800000000, "micro=0001-01-01T00:00:00Z"}, {"isostring", -62167219200000001, "micro=-0001-12-31T23:59:59.999999Z"},
		{"isostring", 951782400000000, "micro=2000-02-29T00:00:00Z"}, {"isostring", 0, "span=24:00:00Z"},
	} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Unwrap: &Unwrap{}, Rewrite: Rewrite{Times: c.mode}}
		if got := run(t, o, far(c.micro)); !strings.Contains(got, c.want) {
			t.Errorf("%s of %d: %s, want %s", c.mode, c.micro, got, c.want)
		}
	}
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Rewrite: Rewrite{Times: "nanoseconds"}}
	c := far(253402300799000000)
	var m Messages
	if err := mustTable(t, o, table).Append(&m, Wire{}, &c); !fault.NeedsHuman(err) || !strings.Contains(fmt.Sprint(fault.Hint(err)), "isostring") {
		t.Errorf("error %v", err)
	}
}
