package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

func TestParseInstant(t *testing.T) {
	for in, want := range map[string]string{
		"20260301120203004":           "20260301120203004",
		"20260301120203":              "20260301120203999",
		"202603011202":                "20260301120200000",
		"2026030112":                  "20260301120000000",
		"20260301":                    "20260301000000000",
		"202603":                      "20260301000000000",
		"2026":                        "20260101000000000",
		"00000000000000":              "00000000000000999",
		"2026-03-01":                  "20260301000000000",
		"2026-03-01 12:02":            "20260301120200000",
		"2026-03-01T12:02":            "20260301120200000",
		"2026-03-01 12:02:03":         "20260301120203999",
		"2026-03-01T12:02:03":         "20260301120203999",
		"2026-03-01 12:02:03.004":     "20260301120203004",
		" 2026-03-01 12:02:03.0049 ":  "20260301120203004",
		"2026-03-01T12:02:03Z":        "20260301120203999",
		"2026-03-01T12:02:03.004Z":    "20260301120203004",
		"2026-03-01T12:02:03.5+02:00": "20260301100203500",
		"2026-03-01 23:30:00-01:00":   "20260302003000999",
		"2024-02-29":                  "20240229000000000",
	} {
		got, err := ParseInstant(in)
		if err != nil || got != want {
			t.Errorf("ParseInstant(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "x", "202", "20260", "2026030", "202603011", "20260301120203004005", "20261301", "20260230", "2026-02-30",
		"20260301256000", "2026-03-01 25:00", "12:00", "2026/03/01", "2026-3-1", "-5", "20260301120260000",
	} {
		if got, err := ParseInstant(in); err == nil || !fault.NeedsHuman(err) || fault.Hint(err) == "" {
			t.Errorf("ParseInstant(%q) = %q, %v", in, got, err)
		}
	}
}

func TestInstantsAreTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 4_000_000_000_000).Draw(t, "ms")).UTC()
		s := FormatInstant(at)
		if got := (Instant{Time: s}).When(); !got.Equal(at) || len(s) != instantDigits {
			t.Fatalf("%v is written %s and read %v", at, s, got)
		}
		if again, err := ParseInstant(s); err != nil || again != s {
			t.Fatalf("%s is read as %s, %v", s, again, err)
		}
	})
}

func TestTimelineFileNames(t *testing.T) {
	for name, want := range map[string]Instant{
		"20260301120203004.commit":              {Time: "20260301120203004", Action: ActionCommit, State: StateCompleted},
		"20260301120203004.commit.requested":    {Time: "20260301120203004", Action: ActionCommit, State: StateRequested},
		"20260301120203004.inflight":            {Time: "20260301120203004", Action: ActionCommit, State: StateInflight},
		"20260301120203.clean.inflight":         {Time: "20260301120203", Action: ActionClean, State: StateInflight},
		"20260301120203004.replacecommit":       {Time: "20260301120203004", Action: ActionReplaceCommit, State: StateCompleted},
		"20260301120203004.rollback.requested":  {Time: "20260301120203004", Action: ActionRollback, State: StateRequested},
		"20260301120203004.compaction.inflight": {Time: "20260301120203004", Action: ActionCompaction, State: StateInflight},
		"20260301120203004.savepoint":           {Time: "20260301120203004", Action: ActionSavepoint, State: StateCompleted},
	} {
		got, ok := parseTimelineFile(name)
		if !ok || got != want || timelineFile(got) != name {
			t.Errorf("%s is read as %v, %v and written %s", name, got, ok, timelineFile(got))
		}
	}
	for _, name := range []string{"hoodie.properties", "20260301120203004", "x.commit", "20260301120203004.compaction", "20260301120203004.commit.crc", ".commit"} {
		if got, ok := parseTimelineFile(name); ok {
			t.Errorf("%s is read as %v", name, got)
		}
	}
}

func TestBaseFileNames(t *testing.T) {
	id, instant, ok := parseBaseFile("0e40e324-1a4f-48c5-abaa-44288f4406b7-0_0-125-118_20261122171015807.parquet")
	if !ok || id != "0e40e324-1a4f-48c5-abaa-44288f4406b7-0" || instant != "20261122171015807" {
		t.Errorf("%s, %s, %v", id, instant, ok)
	}
	for _, name := range []string{
		"", ".parquet", "a_0-0-0_1.orc", "a_0-0_1.parquet", "a_0-0-0.parquet", "a_0-0-x_1.parquet", "a_b_0-0-0_1.parquet",
		".a_0-0-0_1.log.1_0-0-0", ".a_0-0-0_1.parquet", "_0-0-0_1.parquet", "a_0-0-0_.parquet", "a_0-0-0_1x.parquet",
	} {
		if id, instant, ok := parseBaseFile(name); ok {
			t.Errorf("%s is read as %s, %s", name, id, instant)
		}
	}
}

func TestPropertiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab:=#! \\\t\n\r\fé日😀\"{}")), 0, 12, -1)
		want := properties(rapid.MapOf(text.Filter(func(s string) bool { return s != "" }), text).Draw(t, "properties"))
		got := parseProperties(want.format(time.Now()))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is read back as %q", want, got)
		}
	})
}

func TestPropertiesAsJavaWritesThem(t *testing.T) {
	got := parseProperties([]byte("#Updated\n! also a comment\nhoodie.table.name=t\n  spaced\\ key : v a l  \ncontinued=a,\\\n    b\n" +
		"schema={\"type\"\\:\"record\"}\nunicode=\\u65e5\\uD83D\\uDE00\nempty=\nalone\n"))
	want := properties{
		"hoodie.table.name": "t", "spaced key": "v a l  ", "continued": "a,b", "schema": `{"type":"record"}`,
		"unicode": "日😀", "empty": "", "alone": "",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

// goldenVectors are values that Hudi's own classes computed.
type goldenVectors struct {
	EscapePathName [][2]string
	TableChecksum  []struct {
		Database, Table string
		Checksum        json.Number
	}
	Keygen []struct {
		Fields     string
		Consistent bool `json:"consistentLogicalTimestamp"`
		RecordKey  any  // a string, or an object with the error
	}
	PartitionPath []struct {
		Fields    string
		HiveStyle bool
		URLEncode bool
		Path      string
	}
}

func readVectors(t *testing.T) goldenVectors {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("basefile", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v goldenVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoldenChecksums(t *testing.T) {
	for _, v := range readVectors(t).TableChecksum {
		if got := tableChecksum(v.Database, v.Table); got != v.Checksum.String() {
			t.Errorf("checksum of %s.%s: %s, want %s", v.Database, v.Table, got, v.Checksum)
		}
	}
	for _, v := range readVectors(t).EscapePathName {
		if got := escapePath(v[0]); got != v[1] {
			t.Errorf("escape of %q: %q, want %q", v[0], got, v[1])
		}
	}
}

// vectorRow is the row from which the keys in the vectors were made.
func vectorRow() (Schema, *column.Batch) {
	s := Schema{Fields: []Field{
		{"i", Simple(Int), true}, {"l", Simple(Long), true}, {"s", Simple(String), true}, {"d", Simple(Double), true},
		{"f", Simple(Float), true}, {"bo", Simple(Boolean), true}, {"dec", DecimalType(10, 2), true}, {"day", Simple(Date), true},
		{"tmi", Simple(TimestampMillis), true}, {"tmu", Simple(TimestampMicros), true}, {"by", Simple(Bytes), true},
		{"emp", Simple(String), true}, {"nul", Simple(String), true},
	}}
	b := s.NewBatch()
	for i, v := range []any{7, 1234567890123, "a,b:c", 1.0e10, float64(float32(0.1)), 1, []byte{0xfb, 0x1e}, 19723, 1700000000123, 1700000000123456, []byte("xyz"), "", nil} {
		switch v := v.(type) {
		case int:
			b.Cols[i].AppendInt(int64(v))
		case float64:
			b.Cols[i].AppendFloat(v)
		case string:
			b.Cols[i].AppendString(v)
		case []byte:
			b.Cols[i].AppendBytes(v)
		default:
			b.Cols[i].AppendNull()
		}
	}
	b.Len = 1
	return s, b
}

func TestGoldenKeys(t *testing.T) {
	s, b := vectorRow()
	n := 0
	for _, v := range readVectors(t).Keygen {
		k, err := newKeyer(properties{propKeys: v.Fields}, s)
		if err != nil || v.Consistent {
			continue // nested fields, and java.sql.Timestamp text, are not made
		}
		n++
		got, err := k.appendKey(nil, b, 0)
		if want, ok := v.RecordKey.(string); ok != (err == nil) || ok && string(got) != want {
			t.Errorf("key of %s: %q, %v, want %v", v.Fields, got, err, v.RecordKey)
		}
	}
	for _, v := range readVectors(t).PartitionPath {
		p := properties{propKeys: "i", propPartitions: v.Fields, propHive: fmt.Sprint(v.HiveStyle), propURLEncode: fmt.Sprint(v.URLEncode)}
		k, err := newKeyer(p, s)
		if err != nil {
			continue
		}
		n++
		if got, err := k.appendPartition(nil, b, 0); err != nil || string(got) != v.Path {
			t.Errorf("partition of %s hive %v encoded %v: %q, %v, want %q", v.Fields, v.HiveStyle, v.URLEncode, got, err, v.Path)
		}
	}
	if n < 20 {
		t.Errorf("only %d vectors were compared", n)
	}
}

func TestSchemaRoundTrip(t *testing.T) {
	for _, s := range []Schema{saleSchema, everyKind, wideSchema} {
		s.Name, s.Namespace = "sale_record", "hoodie.sale"
		got, err := ParseSchema(s.JSON())
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%s\nis read as\n%s, %v", s.JSON(), got.JSON(), err)
		}
		if withMeta, err := ParseSchema(s.avro(true)); err != nil || !withMeta.Equal(s) {
			t.Errorf("with Hudi's own columns it is read as %s, %v", withMeta.JSON(), err)
		}
	}
	odd := `{"type":"record","name":"a.b.r","fields":[{"name":"x","type":["null",{"type":"array","items":"int"}]},{"name":"y","type":["int","string"]},` +
		`{"name":"z","type":["null",{"type":"long","logicalType":"local-timestamp-micros"}]},{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}}]}`
	s, err := ParseSchema(odd)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, f := range s.Fields {
		kinds = append(kinds, f.Type.Kind)
	}
	if !slices.Equal(kinds, []Kind{Other, Other, Other, String}) || s.Name != "r" || s.Namespace != "a.b" {
		t.Errorf("odd schema: %v %s %s", kinds, s.Name, s.Namespace)
	}
}

func TestDecimalSizes(t *testing.T) {
	for p, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 8: 4, 9: 4, 10: 5, 18: 8, 19: 9, 38: 16} {
		if got := DecimalType(p, 0).Size; got != want {
			t.Errorf("decimal(%d): %d bytes, want %d", p, got, want)
		}
	}
}

func TestEvolve(t *testing.T) {
	base := Schema{Fields: []Field{{"id", Simple(Int), false}, {"f", Simple(Float), true}, {"d", DecimalType(8, 2), true}, {"s", Simple(String), true}}}
	one := func(name string, ty Type) Schema { return Schema{Fields: []Field{{name, ty, false}}} }
	for _, c := range []struct {
		in   Schema
		want Type // zero: refused
	}{
		{one("id", Simple(Int)), Simple(Int)},
		{one("id", Simple(Long)), Simple(Long)},
		{one("id", Simple(Double)), Simple(Double)},
		{one("f", Simple(Double)), Simple(Double)},
		{one("new", Simple(Date)), Simple(Date)},
		{one("id", Simple(Float)), Simple(Float)},
		{one("id", Simple(String)), Simple(String)},
		{one("d", Simple(String)), Simple(String)},
		{one("s", Simple(Long)), Simple(String)},
		{one("id", Simple(Boolean)), Type{}},
		{one("f", Simple(Int)), Simple(Float)},
		{one("f", Simple(Long)), Simple(Float)},
		{one("f", Simple(Date)), Type{}},
		{one("d", DecimalType(10, 2)), DecimalType(10, 2)},
		{one("d", DecimalType(9, 3)), DecimalType(9, 3)},
		{one("d", DecimalType(6, 1)), DecimalType(8, 2)},
		{one("d", DecimalType(8, 3)), Type{}},
		{one("d", DecimalType(10, 1)), Type{}},
		{one("s", Simple(Bytes)), Simple(Bytes)},
	} {
		f := c.in.Fields[0]
		got, err := base.Evolve(c.in, "shop.sale")
		if c.want == (Type{}) {
			if !fault.NeedsHuman(err) {
				t.Errorf("%s as %s: %v", f.Name, f.Type, err)
				continue
			}
			for _, part := range []string{"shop.sale", f.Name, f.Type.String(), base.Fields[base.Index(f.Name)].Type.String()} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not name %s", err, part)
				}
			}
			continue
		}
		i := got.Index(f.Name)
		if err != nil || got.Fields[i].Type != c.want {
			t.Errorf("%s as %s: %v, %v", f.Name, f.Type, got, err)
		}
		if i == len(base.Fields) && !got.Fields[i].Nullable {
			t.Errorf("the added column %s is not nullable", f.Name)
		}
	}
	narrow, err := Schema{Fields: []Field{{"x", Simple(Double), true}}}.Evolve(one("x", Simple(Int)), "t")
	if err != nil || narrow.Fields[0].Type != Simple(Double) {
		t.Errorf("int into double: %v, %v", narrow, err)
	}
}

func TestTables(t *testing.T) {
	mem := new(blob.Mem)
	for _, base := range []string{"silver/db/sale", "silver/db/sale-2", "silver/db/a/b", "silver/other/event"} {
		cfg := saleConfig()
		cfg.Table = base[strings.LastIndexByte(base, '/')+1:]
		tab, err := Create(t.Context(), mem, base, cfg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		upsert(t, tab, nil, manyRows(1, 2, 0)...)
	}
	for _, k := range []string{"silver/db/sale/-5/x", "silver/db/notes.txt", "bronze/x", "silver2/t/.hoodie/hoodie.properties"} {
		if _, err := mem.Put(t.Context(), k, strings.NewReader(""), 0, blob.Always()); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{
		"silver":         {"silver/db/a/b", "silver/db/sale", "silver/db/sale-2", "silver/other/event"},
		"silver/db/":     {"silver/db/a/b", "silver/db/sale", "silver/db/sale-2"},
		"silver/db/sale": {"silver/db/sale"},
		"bronze":         nil,
	} {
		refs, err := Tables(t.Context(), mem, prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range refs {
			got = append(got, r.Base)
			if r.Database != "shop" || !strings.HasSuffix(r.Base, "/"+r.Name) {
				t.Errorf("table %+v", r)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("tables below %s: %q, want %q", prefix, got, want)
		}
	}
}

func TestOpenAndCreateRefuse(t *testing.T) {
	mem := new(blob.Mem)
	if _, err := Open(t.Context(), mem, "none", Options{}); !errors.Is(err, ErrNoTable) {
		t.Errorf("open: %v", err)
	}
	if _, err := Create(t.Context(), mem, "x", saleConfig(), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), mem, "x", saleConfig(), Options{}); !errors.Is(err, ErrTableExists) {
		t.Errorf("create again: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"no name":            func(c *Config) { c.Table = "" },
		"no key":             func(c *Config) { c.KeyFields = nil },
		"unknown key":        func(c *Config) { c.KeyFields = []string{"nope"} },
		"nullable key":       func(c *Config) { c.KeyFields = []string{"qty"} },
		"unknown partition":  func(c *Config) { c.PartitionFields = []string{"nope"} },
		"unknown precombine": func(c *Config) { c.Precombine = "nope" },
		"column twice":       func(c *Config) { c.Schema.Fields = append(c.Schema.Fields[:7:7], Field{"qty", Simple(Int), true}) },
		"column name":        func(c *Config) { c.Schema.Fields = append(c.Schema.Fields[:7:7], Field{"a b", Simple(Int), true}) },
		"column of Hudi": func(c *Config) {
			c.Schema.Fields = append(c.Schema.Fields[:7:7], Field{"_hoodie_x", Simple(Int), true})
		},
		"column of no type": func(c *Config) { c.Schema.Fields = append(c.Schema.Fields[:7:7], Field{"x", Type{Avro: "[]"}, true}) },
	} {
		cfg := saleConfig()
		change(&cfg)
		if _, err := Create(t.Context(), mem, "y", cfg, Options{}); !fault.NeedsHuman(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIndexFindsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x keyIndex
		want := map[uint64]map[int]int{} // by hash: groups, and how often
		for range rapid.IntRange(0, 3000).Draw(t, "operations") {
			// Few different hashes, so that there are collisions.
			h := rapid.Uint64Range(0, 400).Draw(t, "hash") * 0x9e3779b97f4a7c15
			g := rapid.IntRange(0, 5).Draw(t, "group")
			switch {
			case rapid.IntRange(0, 3).Draw(t, "what") > 0:
				if want[h] == nil {
					want[h] = map[int]int{}
				}
				if want[h][g] == 0 {
					want[h][g]++
					x.add(h, g)
				}
			default:
				x.remove(h, g)
				delete(want[h], g)
			}
		}
		for h, groups := range want {
			found := x.find(nil, h)
			for g := range groups {
				if !slices.Contains(found, int32(g)) {
					t.Fatalf("hash %x: group %d is missing in %v", h, g, found)
				}
			}
		}
	})
}
