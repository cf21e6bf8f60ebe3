package lake

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/internal/column"
	"tributary/lake/blob"
)

// python returns the interpreter of the readers that other makers wrote.
func python(t *testing.T) string {
	t.Helper()
	p, err := filepath.Abs("../build/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(p, "-c", "import hudi, pyarrow").Run(); err != nil {
		t.Fatalf("hudi-rs is missing (%v): python3 -m venv build/venv && build/venv/bin/pip install hudi==0.5.0 pyarrow fastavro", err)
	}
	return p
}

// everyKind has a column of every kind that is written.
var everyKind = Schema{Fields: []Field{
	{"k", Simple(String), false},
	{"part", Simple(Date), true},
	{"b", Simple(Boolean), true},
	{"i", Simple(Int), true},
	{"l", Simple(Long), true},
	{"f", Simple(Float), true},
	{"d", Simple(Double), true},
	{"s", Simple(String), true},
	{"y", Simple(Bytes), true},
	{"day", Simple(Date), true},
	{"ts", Simple(TimestampMicros), true},
	{"small", DecimalType(4, 1), true},
	{"big", DecimalType(30, 10), true},
	{"__seq", Simple(String), true},
}}

// everyRow makes the n-th version of a row of everyKind.
func everyRow(b *column.Batch, key string, n int) {
	v := int64(n)*7919 - 11
	for i, f := range everyKind.Fields {
		c := &b.Cols[i]
		if f.Nullable && f.Name != "__seq" && f.Name != "part" && (n+i)%7 == 0 {
			c.AppendNull()
			continue
		}
		switch f.Name {
		case "k":
			c.AppendString(key)
		case "part":
			c.AppendInt(int64(19000 + len(key)%3))
		case "b":
			c.AppendInt(v & 1)
		case "i", "l", "ts":
			c.AppendInt(v * int64(i))
		case "day":
			c.AppendInt(v % 40000)
		case "f":
			c.AppendFloat(float64(float32(v) / 3))
		case "d":
			c.AppendFloat(float64(v) / 3)
		case "s":
			c.AppendString(fmt.Sprintf("ü%d'\"\\\n", v))
		case "y":
			c.AppendBytes([]byte{0, byte(v), 0xff})
		case "small":
			c.AppendBytes([]byte{byte(v >> 8 & 0x0f), byte(v)})
		case "big":
			c.AppendBytes([]byte{byte(v>>8) & 0x0f, byte(v), 1, 2, 3, 4, 5, 6, 7, 8, 9})
		case "__seq":
			c.AppendString(fmt.Sprintf("%016x", n))
		}
	}
	b.Len++
}

// canonical writes a value as read_hudi.py does; ok is false for null.
func canonical(t Type, c *column.Column, r int) (s string, ok bool) {
	if c.IsNull(r) {
		return "", false
	}
	switch t.Kind {
	case Float, Double:
		return pythonHex(c.Floats[r]), true
	case Bytes, Fixed:
		return hex.EncodeToString(c.Value(r)), true
	case TimestampMillis:
		return strconv.FormatInt(c.Ints[r]*1000, 10), true
	default:
		return string(appendText(nil, t, c, r)), true
	}
}

// pythonHex writes v as float.hex does.
func pythonHex(v float64) string {
	switch {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	case v == 0:
		return strings.Repeat("-", int(math.Float64bits(v)>>63)) + "0x0.0p+0"
	}
	s := strconv.FormatFloat(v, 'x', 13, 64)
	mantissa, exp, _ := strings.Cut(s, "p")
	n, _ := strconv.Atoi(exp)
	return fmt.Sprintf("%sp%+d", mantissa, n)
}

// ours reads the table as of an instant, as lines of column=value. The columns
// are those of the newest schema, as in hudi-rs.
func ours(t *testing.T, tab *Table, at string) []string {
	t.Helper()
	s, err := tab.AsOf(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	s.schema = tab.Schema()
	var names []string
	names = append(names, metaNames[:]...)
	for _, f := range s.schema.Fields {
		names = append(names, f.Name)
	}
	fields, err := s.fields(names)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for b, err := range s.Scan(context.Background(), names) {
		if err != nil {
			t.Fatal(err)
		}
		for r := range b.Len {
			vals := map[string]string{}
			for i, f := range fields {
				if v, ok := canonical(f.Type, &b.Cols[i], r); ok {
					vals[f.Name] = v
				}
			}
			out = append(out, line(vals))
		}
	}
	sort.Strings(out)
	return out
}

func line(vals map[string]string) string {
	var parts []string
	for k, v := range vals {
		parts = append(parts, k+"="+v)
	}
	sort.Strings(parts)
	return strings.Join(parts, " ")
}

// theirs reads the table with hudi-rs, by instant.
func theirs(t *testing.T, dir string, instants []string) map[string][]string {
	t.Helper()
	cmd := exec.Command(python(t), append([]string{"testdata/read_hudi.py", dir}, instants...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("hudi-rs: %v\n%s", err, stderr.String())
	}
	out := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<28)
	for lines.Scan() {
		var doc struct {
			Instant string
			Columns []string
			Rows    [][]*string
		}
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		rows := []string{}
		for _, r := range doc.Rows {
			vals := map[string]string{}
			for i, v := range r {
				if v != nil {
					vals[doc.Columns[i]] = *v
				}
			}
			rows = append(rows, line(vals))
		}
		sort.Strings(rows)
		out[doc.Instant] = rows
	}
	return out
}

// sameAsHudiRs compares the table with what hudi-rs reads, at every instant.
func sameAsHudiRs(t *testing.T, tab *Table, dir string) {
	t.Helper()
	var instants []string
	for _, i := range tab.Timeline().Completed() {
		instants = append(instants, i.Time)
	}
	got := theirs(t, dir, instants)
	total := 0
	for _, at := range instants {
		want := ours(t, tab, at)
		total += len(want)
		if strings.Join(got[at], "\n") != strings.Join(want, "\n") {
			t.Errorf("as of %s hudi-rs reads %d rows, we %d: %s", at, len(got[at]), len(want), firstDifference(got[at], want))
		}
	}
	if len(instants) < 2 || total == 0 {
		t.Fatalf("the test compares nothing: %d instants, %d rows", len(instants), total)
	}
}

func firstDifference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("\n theirs %q\n ours   %q", x, y)
		}
	}
	return ""
}

// hudiCheck runs the conformance check of the fixtures, where they are.
func hudiCheck(t *testing.T, dir string) {
	t.Helper()
	tool, err := filepath.Abs("../../shared/tools/hudi-check/hudi_check.py")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		t.Log("the conformance check is not on this machine")
		return
	}
	cmd := exec.Command(python(t), tool, dir, "--quick", "--warnings-fail")
	cmd.Env = append(os.Environ(), "HUDI_CHECK_HOME="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("hudi-check: %v\n%s", err, out)
	}
}

func TestInteropEveryType(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"plain", Config{KeyFields: []string{"k"}}},
		{"hive", Config{KeyFields: []string{"k"}, PartitionFields: []string{"part"}, HivePartitions: true}},
		{"composite", Config{KeyFields: []string{"k", "__seq0"}, PartitionFields: []string{"part"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			store, err := blob.NewDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			cfg := c.cfg
			cfg.Table, cfg.Database, cfg.Schema, cfg.Precombine = "every_"+c.name, "db", everyKind, "__seq"
			if len(cfg.KeyFields) == 2 {
				cfg.KeyFields[1] = "__seq"
				cfg.Schema.Fields = append([]Field(nil), everyKind.Fields...)
				cfg.Schema.Fields[len(cfg.Schema.Fields)-1].Nullable = false
			}
			tab := create(t, store, cfg, Options{MaxFileRows: 70})
			for commit := range 4 {
				b := everyKind.NewBatch()
				for n := range 60 {
					everyRow(b, fmt.Sprintf("key %d", (n*7+commit*25)%160), commit*1000+n+1)
				}
				rows := Rows{Batch: b}
				if commit == 3 {
					rows.Ops = make([]Op, b.Len)
					rows.Ops[5], rows.Ops[9] = Delete, Delete
				}
				if _, err := tab.Upsert(t.Context(), rows, map[string]string{"n": strconv.Itoa(commit)}); err != nil {
					t.Fatal(err)
				}
			}
			sameAsHudiRs(t, tab, filepath.Join(dir, tab.Base()))
			hudiCheck(t, filepath.Join(dir, tab.Base()))
		})
	}
}

func TestInteropEvolution(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	tab := create(t, store, saleConfig(), Options{})
	upsert(t, tab, nil, row{id: 1, qty: 1, price: 100, at: 1, note: "a", seq: 1}, row{id: 2, qty: 2, price: 200, at: 2, note: "b", seq: 2})
	upsert(t, tab, nil, row{id: 2, del: true, seq: 3})
	changed, err := tab.Evolve(Schema{Fields: []Field{{"qty", Simple(Long), true}, {"added", Simple(Date), false}}})
	if err != nil || !changed {
		t.Fatalf("evolve: %v, %v", changed, err)
	}
	b := tab.Schema().NewBatch()
	for i, v := range []any{int64(3), int64(1 << 40), nil, nil, "c", "false", "0000000000000004", int64(20000)} {
		switch v := v.(type) {
		case int64:
			b.Cols[i].AppendInt(v)
		case string:
			b.Cols[i].AppendString(v)
		default:
			b.Cols[i].AppendNull()
		}
	}
	b.Len = 1
	if _, err := tab.Upsert(t.Context(), Rows{Batch: b}, nil); err != nil {
		t.Fatal(err)
	}
	sameAsHudiRs(t, tab, filepath.Join(dir, tab.Base()))
	hudiCheck(t, filepath.Join(dir, tab.Base()))
	first := tab.Timeline().Oldest()
	s, err := tab.AsOf(t.Context(), first.Time)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Schema(); got.Index("added") >= 0 || got.Fields[1].Type != Simple(Int) {
		t.Errorf("the first instant has the schema %s", got.JSON())
	}
}

func TestInteropManyRows(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	tab := create(t, store, saleConfig(), Options{Now: time.Now})
	var rows []row
	for i := range 50_000 {
		rows = append(rows, row{id: int64(i), qty: i % 8, price: i, at: i * 1000, note: fmt.Sprint("note ", i%1000), seq: i})
	}
	upsert(t, tab, nil, rows...)
	upsert(t, tab, nil, row{id: 25_000, qty: 9, seq: 60_000}, row{id: 70_000, qty: 1, price: 1, at: 1, note: "new", seq: 60_001})
	sameAsHudiRs(t, tab, filepath.Join(dir, tab.Base()))
}

// TestInteropAfterSpark goes on with tables that Spark wrote: rows are changed,
// none is doubled, and hudi-rs reads every instant as we do.
func TestInteropAfterSpark(t *testing.T) {
	for _, name := range []string{"sale_evolve", "sale_late", "seat_complex", "odd_partitions"} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir, err := blob.NewDir(root)
			if err != nil {
				t.Fatal(err)
			}
			src := unzip(t, filepath.Join("testdata", "hudi-tables", "hudi-0.15.0", name, "table.zip"))
			for info, err := range src.List(t.Context(), "", "") {
				if err != nil {
					t.Fatal(err)
				}
				b, err := readObject(t.Context(), src, info.Key)
				if err != nil {
					t.Fatal(err)
				}
				addObject(t, dir, "t/"+info.Key, bytes.NewReader(b))
			}
			tab, err := Open(t.Context(), dir, "t", Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { tab.Close(context.Background()) })
			before, err := tab.AsOf(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			rows := tab.Schema().NewBatch()
			for b, err := range before.Scan(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				for r := range min(2, b.Len) {
					for i := range b.Cols {
						rows.Cols[i].Append(&b.Cols[i], r)
					}
					rows.Len++
				}
			}
			newer(t, tab, rows)
			i, err := tab.Upsert(t.Context(), Rows{Batch: rows}, nil)
			if err != nil {
				t.Fatal(err)
			}
			after, err := tab.AsOf(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if after.Rows() != before.Rows() || after.Rows() <= 0 || i == before.Instant() {
				t.Errorf("%d rows became %d at %v", before.Rows(), after.Rows(), i)
			}
			sameAsHudiRs(t, tab, filepath.Join(root, "t"))
		})
	}
}

// newer makes the rows win over the stored ones.
func newer(t *testing.T, tab *Table, rows *column.Batch) {
	t.Helper()
	c := &rows.Cols[tab.Schema().Index(tab.Precombine())]
	if c.Kind != column.Int {
		t.Fatalf("the ordering column %s is no number", tab.Precombine())
	}
	for r := range c.Ints {
		c.Ints[r] += 1_000_000
	}
}
