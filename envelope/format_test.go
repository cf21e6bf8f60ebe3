package envelope

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tributary/internal/avro"
	"tributary/internal/fault"
)

func testBlock() Block {
	fields := append(CommonFields(nil), SchemaField(), TableField(false),
		LongField("txId", true, func(s *Source) int64 { return s.TxID }),
		LongField("lsn", true, func(s *Source) int64 { return s.LSN }),
		IntField("row", func(s *Source) int32 { return s.Row }),
		StringField("gtid", true, func(s *Source) string { return s.GTID }))
	return Block{Version: "1", Connector: "test", Package: "io.test", Name: "p", Database: "db", Fields: fields}
}

func testTable() *Table {
	return &Table{
		ID: TableID{Schema: "s", Name: "t"},
		Columns: []Column{
			{Name: "id", Type: TypeOf(Int)},
			{Name: "name", Type: TypeOf(String), Nullable: true},
			{Name: "price", Type: TypeDecimal(8, 2), Nullable: true, Default: []byte{2, 5}},
			{Name: "big", Type: TypeVariableScaleDecimal()},
			{Name: "more", Type: TypeVariableScaleDecimal(), Nullable: true},
			{Name: "at", Type: TypeZonedTimestamp()},
			{Name: "ratio", Type: TypeOf(Double), Default: AppendDouble(nil, 0.1)},
		},
		Key: []int{0},
	}
}

func testRow(id int32) (row, key Row) {
	row = AppendString(append(AppendInt(nil, id), 2), "n")
	row = append(row, 0, 2, 7)    // price: its union begins with the value
	row = append(row, 4, 2, 9, 0) // big 0.09; more null
	row = AppendDouble(AppendString(row, "1970-01-01T00:00:00Z"), 1.5)
	return row, AppendInt(nil, id)
}

func mustTable(t testing.TB, o Options, table *Table) *TableFormat {
	t.Helper()
	f, err := NewFormat(o).Table(table)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// parseWhole parses a value with the schema that goes with it.
func parseWhole(t *testing.T, schema string, value []byte) {
	t.Helper()
	s, err := avro.Parse(schema)
	if err != nil {
		t.Fatalf("%v in %s", err, schema)
	}
	if err := avro.Check(s, value); err != nil {
		t.Errorf("%x does not fit its schema: %v\n%s", value, err, schema)
	}
}

func TestValuesFitTheirSchemas(t *testing.T) {
	row, key := testRow(1)
	flat := &Unwrap{Deletes: DeleteRewriteTombstone, Prefix: "__"}
	for _, s := range []string{"op", "table", "db", "schema", "lsn", "txId", "row", "gtid", "source.ts_ms", "ts_ms", "ts_us", "nothing", "snapshot", "op:operation"} {
		a, err := ParseAddField(s)
		if err != nil {
			t.Fatal(err)
		}
		flat.Add = append(flat.Add, a)
	}
	for name, u := range map[string]*Unwrap{"envelope": nil, "flat": flat} {
		t.Run(name, func(t *testing.T) {
			f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true, Unwrap: u}, testTable())
			for _, c := range []Change{
				{Op: Create, Key: key, After: row},
				{Op: Read, Key: key, After: row, Source: Source{Snapshot: SnapshotLast, LSN: 1 << 40, TxID: 7, GTID: "g:1", Row: 3, TsNs: -1}},
				{Op: Update, Key: key, After: row, Before: row},
				{Op: Delete, Key: key, Before: row},
				{Op: Delete, Key: key},
			} {
				c.Table = f.Table
				var m Messages
				f.Append(&m, Wire{}, &c)
				if len(m.List) == 0 {
					t.Fatalf("%s has no record", c.Op)
				}
				parseWhole(t, f.KeySchema, m.List[0].Key)
				parseWhole(t, f.ValueSchema, m.List[0].Value)
				if c.Op == Delete && (len(m.List) != 2 || m.List[1].Value != nil || string(m.List[1].Key) != string(key)) {
					t.Errorf("a delete is followed by %+v", m.List[1:])
				}
			}
			if u != nil && (strings.Contains(f.ValueSchema, "__nothing") || !strings.Contains(f.ValueSchema, `"__operation"`)) {
				t.Errorf("added fields: %s", f.ValueSchema)
			}
		})
	}
}

func TestKeyChangeIsDeleteAndCreate(t *testing.T) {
	before, oldKey := testRow(1)
	after, key := testRow(2)
	f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true}, testTable())
	var m Messages
	f.Append(&m, Wire{Key: []byte{9}, Value: []byte{8}}, &Change{Op: Update, Table: f.Table, Key: key, OldKey: oldKey, Before: before, After: after})
	var got []string
	for _, r := range m.List {
		kind := "tombstone"
		if r.Value != nil {
			kind = string(r.Value[:1])
		}
		got = append(got, fmt.Sprintf("%x %q %s=%s", r.Key, kind, r.Header, r.HeaderValue))
	}
	want := []string{
		`0902 "\b" __debezium.newkey={"id":2}`,
		`0902 "tombstone" __debezium.newkey={"id":2}`,
		`0904 "\b" __debezium.oldkey={"id":1}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDeleteModes(t *testing.T) {
	row, key := testRow(1)
	for _, c := range []struct {
		mode       DeleteMode
		tombstones bool
		want       string
	}{
		{DeleteDrop, true, ""}, {DeleteTombstone, true, "tombstone"}, {DeleteTombstone, false, ""},
		{DeleteRewrite, true, "row"}, {DeleteRewriteTombstone, true, "row tombstone"},
		{DeleteRewriteTombstone, false, "row"}, {DeleteToTombstone, true, "tombstone"}, {DeleteToTombstone, false, "tombstone"},
	} {
		f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: c.tombstones,
			Unwrap: &Unwrap{Deletes: c.mode, Prefix: "__"}}, testTable())
		var m Messages
		f.Append(&m, Wire{}, &Change{Op: Delete, Table: f.Table, Key: key, Before: row})
		var got []string
		for _, r := range m.List {
			if r.Value == nil {
				got = append(got, "tombstone")
			} else {
				got = append(got, "row")
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s, tombstones %v: %v, want %s", c.mode, c.tombstones, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	id := TableID{Schema: "s", Name: "weird-tbl 1"}
	n := Naming{Prefix: "p", Schemas: AdjustAvro, Fields: AdjustAvro}
	if got := n.Topic(id); got != "p.s.weird-tbl_1" {
		t.Errorf("topic %s", got)
	}
	if got, err := n.record(id, "Key"); err != nil || got != "p.s.weird_tbl_1.Key" {
		t.Errorf("record %s, %v", got, err)
	}
	for name, want := range map[string]string{"id é": "id__", "2key": "_2key", "group by": "group_by", "fine": "fine"} {
		if got, err := n.field(id, name); err != nil || got != want {
			t.Errorf("field %q: %q, %v, want %q", name, got, err, want)
		}
	}
	table := testTable()
	table.ID.Name = "a-b"
	_, err := NewFormat(Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}).Table(table)
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "a-b") {
		t.Errorf("an illegal name: %v", err)
	}
}

func TestKeyAsJSON(t *testing.T) {
	table := &Table{ID: TableID{Name: "t"}, Columns: []Column{
		{Name: "s", Type: TypeOf(String)}, {Name: "b", Type: TypeOf(Bytes)}, {Name: "d", Type: TypeOf(Double)},
		{Name: "t", Type: TypeOf(Boolean)}, {Name: "f", Type: TypeOf(Float)}, {Name: "n", Type: TypeOf(Int), Nullable: true},
		{Name: "v", Type: TypeVariableScaleDecimal()},
	}, Key: []int{0, 1, 2, 3, 4, 5, 6}}
	key := AppendBytes(AppendString(nil, "a\"<é"), []byte{1, 2})
	key = AppendFloat(AppendBoolean(AppendDouble(key, 1.5), true), 2)
	key = append(key, 0, 4, 2, 9)
	f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}, table)
	got := string(f.appendKeyJSON(nil, key))
	if want := `{"s":"a\"<é","b":"AQI=","d":1.5,"t":true,"f":2.0,"n":null,"v":{"scale":2,"value":"CQ=="}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Error("not JSON")
	}
}

func benchmarkAppend(b *testing.B, u *Unwrap) {
	row, key := testRow(123456)
	f := mustTable(b, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Unwrap: u}, testTable())
	c := Change{Op: Create, Table: f.Table, Key: key, After: row, TsNs: 1795368882931129000, Source: Source{LSN: 1 << 40, TsNs: 1795368882931129000}}
	w := Wire{Key: make([]byte, 5), Value: make([]byte, 5)}
	var m Messages
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%10_000 == 0 {
			m.Reset()
		}
		f.Append(&m, w, &c)
	}
}

func BenchmarkEnvelope(b *testing.B) { benchmarkAppend(b, nil) }

func BenchmarkFlat(b *testing.B) {
	u := &Unwrap{Deletes: DeleteRewrite, Prefix: "__"}
	for _, s := range []string{"op", "db", "table", "schema", "lsn", "source.ts_ms"} {
		a, err := ParseAddField(s)
		if err != nil {
			b.Fatal(err)
		}
		u.Add = append(u.Add, a)
	}
	benchmarkAppend(b, u)
}

func TestUnchangedUpdatesAreSkipped(t *testing.T) {
	table := chainTable()
	same := Change{Op: Update, Table: table, Key: AppendInt(nil, 7), Before: chainRow(7, "a", 1, 2), After: chainRow(7, "a", 1, 2)}
	other, unknown := same, same
	other.After, unknown.Before = chainRow(7, "b", 1, 2), nil
	for _, skip := range []bool{false, true} {
		f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, SkipUnchanged: skip}, table)
		for i, c := range []Change{same, other, unknown} {
			var m Messages
			if err := f.Append(&m, Wire{}, &c); err != nil {
				t.Fatal(err)
			}
			if want := !skip || i > 0; (len(m.List) == 1) != want {
				t.Errorf("skip %v, change %d: %d records", skip, i, len(m.List))
			}
		}
	}
}
