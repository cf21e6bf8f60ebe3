package lake

import (
	"strings"
	"testing"

	"tributary/internal/column"
	"tributary/lake/blob"
)

func TestPartitionsByTime(t *testing.T) {
	text := func(s string) *column.Column {
		c := &column.Column{Kind: column.Bytes}
		c.AppendString(s)
		return c
	}
	number := func(v int64) *column.Column {
		c := &column.Column{Kind: column.Int}
		c.AppendInt(v)
		return c
	}
	empty := &column.Column{Kind: column.Int}
	empty.AppendNull()
	for _, c := range []struct {
		p    TimePartition
		kind Kind
		in   *column.Column
		want string
	}{
		{TimePartition{Type: "UNIX_TIMESTAMP", Output: "yyyy/MM/dd"}, Long, number(1578283932), "2020/01/06"},
		{TimePartition{Type: "EPOCHMILLISECONDS", Output: "yyyy-MM-dd HH"}, Long, number(1578283932123), "2020-01-06 04"},
		{TimePartition{Type: "EPOCHMILLISECONDS", Output: "yyyyMMddHHmmssSSS"}, Long, number(1578283932007), "20200106041212007"},
		{TimePartition{Type: "SCALAR", Unit: "MICROSECONDS", Output: "yyyy/MM/dd/HH"}, TimestampMicros, number(1_578_283_932_000_000), "2020/01/06/04"},
		{TimePartition{Type: "SCALAR", Unit: "DAYS", Output: "yyyy-MM-dd"}, Long, number(20000), "2024-10-04"},
		{TimePartition{Type: "SCALAR", Unit: "MICROSECONDS", Output: "yyyy"}, Long, number(-1), "1969"},
		{TimePartition{Type: "EPOCHMILLISECONDS", Output: "yyyy-MM-dd HH", Zone: "Asia/Tokyo"}, Long, number(1578283932123), "2020-01-06 13"},
		{TimePartition{Type: "EPOCHMILLISECONDS", Output: "yyyy/MM/dd"}, Long, empty, "1970/01/01"},
		{TimePartition{Type: "DATE_STRING", InputFormats: []string{"yyyy-MM-dd'T'HH:mm:ss.SSSZ", "yyyy-MM-dd"}, Output: "yyyyMMddHH"}, String, text("2020-04-01T13:01:33.428Z"), "2020040113"},
		{TimePartition{Type: "DATE_STRING", InputFormats: []string{"yyyy-MM-dd'T'HH:mm:ssZ"}, Output: "yyyyMMddHH"}, String, text("2020-04-01T13:01:33-05:00"), "2020040118"},
		{TimePartition{Type: "DATE_STRING", InputFormats: []string{"yyyy-MM-dd hh", "yyyy-MM-dd"}, Output: "'y'yyyy"}, String, text("2020-04-01"), "error"},
		{TimePartition{Type: "DATE_STRING", InputFormats: []string{"yyyy-MM-dd"}, Output: "'y'yyyy"}, String, text("2020-04-01"), "y2020"},
		{TimePartition{Type: "DATE_STRING", InputFormats: []string{"yyyy-MM-dd"}, Output: "yyyy"}, String, text("yesterday"), "error"},
		{TimePartition{Type: "SCALAR", Unit: "FORTNIGHTS", Output: "yyyy"}, Long, number(1), "error"},
		{TimePartition{Type: "WHEN", Output: "yyyy"}, Long, number(1), "error"},
		{TimePartition{Type: "UNIX_TIMESTAMP", Output: "EEEE"}, Long, number(1), "error"},
		{TimePartition{Type: "UNIX_TIMESTAMP", Output: "yyyy", Zone: "Moon/Crater"}, Long, number(1), "error"},
	} {
		got := "error"
		if k, err := c.p.compile(); err == nil {
			if b, err := k.append(nil, &keyField{Field: Field{Name: "f", Type: Simple(c.kind)}}, c.in, 0); err == nil {
				got = string(b)
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}

func TestTableByTime(t *testing.T) {
	mem := new(blob.Mem)
	cfg := saleConfig()
	cfg.PartitionFields, cfg.HivePartitions, cfg.URLEncode = []string{"at"}, true, true
	cfg.PartitionTime = &TimePartition{Type: "SCALAR", Unit: "MICROSECONDS", Output: "yyyy/MM"}
	tab := create(t, mem, cfg, Options{})
	upsert(t, tab, nil, row{id: 1, qty: 1, price: 1, at: 1_700_000_000_000_000, note: "a", seq: 1}, row{id: 2, qty: 1, price: 1, at: 1, note: "b", seq: 2})
	upsert(t, tab, nil, row{id: 2, at: 1_700_000_000_000_000, seq: 3}) // moves
	again := openTable(t, mem, Options{})
	s, err := again.AsOf(t.Context(), "")
	must(t, err)
	got := dumpSnapshot(t, s, []string{"id", "_hoodie_partition_path", "at"})
	wantLines(t, "rows", got, "1|at=2023%2F11|1700000000000000", "2|at=2023%2F11|1700000000000000")
	for k, v := range map[string]string{propKeygen: keygenPackage + string(keygenTime), propTime + timeType: "SCALAR", propTime + timeOutput: "yyyy/MM", propTime + timeZone: "UTC", propURLEncode: "true"} {
		if again.props[k] != v {
			t.Errorf("%s is %q, want %q", k, again.props[k], v)
		}
	}
	cfg.KeyFields = []string{"id", "note"}
	if _, err := Create(t.Context(), mem, "other", cfg, Options{}); err == nil || !strings.Contains(err.Error(), "one key field") {
		t.Errorf("two key fields: %v", err)
	}
}
