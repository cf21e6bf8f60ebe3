package envelope

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
)

func TestMoreTransforms(t *testing.T) {
	table := chainTable()
	key := AppendInt(nil, 7)
	insert := Change{Op: Create, Table: table, Key: key, After: chainRow(7, "seven", 100, 1700000000123), Source: Source{TxID: 5}, TsNs: 1700000000e9}
	update := insert
	update.Op, update.Before = Update, chainRow(7, "six", 100, 1700000000123)
	read := insert
	read.Op = Read
	const row = "{id=7 name=seven price=d at=1700000000123}"
	const changes = "dbz.ExtractChangedRecordState header.changed.name=Changed; header.unchanged.name=Same"
	for name, c := range map[string]struct {
		steps  []string
		change Change
		want   string
	}{
		"changed":               {[]string{changes, "unwrap"}, update, "p.s.t {id=7} " + row + ` Changed:["name"] Same:["id","price","at"]`},
		"changed by an insert":  {[]string{changes, "unwrap"}, insert, "p.s.t {id=7} " + row + " Changed:[] Same:[]"},
		"changed, in the value": {[]string{changes, "unwrap", "dbz.HeaderToValue headers=Changed; fields=changed; operation=move", "ReplaceField$Value include=id,changed"}, update, `p.s.t {id=7} {id=7 changed=[name]} Same:["id","price","at"]`},
		"header in the value":   {[]string{"unwrap", "InsertHeader header=h; value.literal=x", "dbz.HeaderToValue headers=h,no; fields=a,b; operation=copy", "ReplaceField$Value include=a,b"}, insert, "p.s.t {id=7} {a=x b=null} h:x"},
		"by day":                {[]string{"unwrap", "TimestampRouter"}, insert, "p.s.t-20231114 {id=7} " + row},
		"by month":              {[]string{"unwrap", "TimestampRouter topic.format=x.${timestamp}.${topic}; timestamp.format=yyyy-MM"}, insert, "x.2023-11.p.s.t {id=7} " + row},
		"zone of all":           {[]string{"dbz.TimezoneConverter converted.timezone=+01:00", "unwrap"}, insert, "p.s.t {id=7} {id=7 name=seven price=d at=1699996400123}"},
		"zone with summers":     {[]string{"dbz.TimezoneConverter converted.timezone=America/New_York", "unwrap"}, insert, "p.s.t {id=7} {id=7 name=seven price=d at=1700018000123}"},
		"zone of a field":       {[]string{"dbz.TimezoneConverter converted.timezone=+01:00; include.list=source:t:at", "unwrap"}, insert, "p.s.t {id=7} {id=7 name=seven price=d at=1699996400123}"},
		"zone of before":        {[]string{"dbz.TimezoneConverter converted.timezone=+01:00; include.list=source:t:before.at", "unwrap"}, insert, "p.s.t {id=7} " + row},
		"zone of another table": {[]string{"dbz.TimezoneConverter converted.timezone=+01:00; include.list=u:at", "unwrap"}, insert, "p.s.t {id=7} " + row},
		"zone but a field":      {[]string{"dbz.TimezoneConverter converted.timezone=+01:00; exclude.list=topic:p.s.t:at", "unwrap"}, insert, "p.s.t {id=7} " + row},
		"partition":             {[]string{"dbz.partitions.PartitionRouting partition.payload.fields=change.id,after.name; partition.topic.num=10", "unwrap"}, insert, fmt.Sprintf("p.s.t {id=7} "+row+" partition %d", (7+javaText("seven"))%10)},
		"partition of nothing":  {[]string{"dbz.partitions.PartitionRouting partition.payload.fields=before.id,after.no; partition.topic.num=10", "unwrap"}, insert, "p.s.t {id=7} " + row},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true}
			parseSteps(t, &o, c.steps...)
			if got := run(t, o, c.change); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	s, ok := NewStep("io.debezium.connector.mysql.transforms.ReadToInsertEvent", NewStepOptions(nil))
	if !ok {
		t.Fatal("no ReadToInsertEvent")
	}
	o.Before = []Step{s}
	o.Unwrap = &Unwrap{Add: []AddField{{Name: "op", As: "op"}}, Prefix: "__"}
	if got := run(t, o, read); !strings.HasSuffix(got, "__op=c}") {
		t.Errorf("a read is %q", got)
	}
}

// javaText is String.hashCode for ASCII.
func javaText(s string) int {
	h := int32(0)
	for _, r := range s {
		h = 31*h + r
	}
	return int(h)
}

// TestJavaHashes has values that Java's documentation and its classes give.
func TestJavaHashes(t *testing.T) {
	decimal := func(unscaled int64, scale int) int32 {
		r := new(big.Rat).SetFrac(big.NewInt(unscaled), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		return decimalHash(r, scale)
	}
	for name, c := range map[string]struct{ got, want int32 }{
		"text":              {textHash("hello"), 99162322},
		"text that wraps":   {textHash("polygenelubricants"), -2147483648},
		"BigDecimal 1.00":   {decimal(100, 2), 3102},
		"BigDecimal -1.00":  {decimal(-100, 2), -3098},
		"BigDecimal 2^32":   {decimal(1<<32, 0), 31 * 31},
		"BigDecimal nought": {decimal(0, 2), 2},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	cell := func(c *Column, bare []byte) int32 {
		h, ok := javaHash(c, bare)
		if !ok {
			t.Error("null")
		}
		return h
	}
	if got := cell(&Column{Type: TypeOf(Long)}, AppendLong(nil, 1<<32+5)); got != 4 {
		t.Errorf("Long: %d", got)
	}
	if got := cell(&Column{Type: TypeOf(Double)}, AppendDouble(nil, 1.5)); got != 1073217536 {
		t.Errorf("Double: %d", got)
	}
	if got := cell(&Column{Type: TypeOf(Boolean)}, []byte{1}); got != 1231 {
		t.Errorf("Boolean: %d", got)
	}
	if _, ok := javaHash(&Column{Type: TypeOf(Long), Nullable: true}, []byte{0}); ok {
		t.Error("null has a hash")
	}
}

func TestFlatten(t *testing.T) {
	point := Type{Kind: Record, Name: "point", Fields: []RecordField{
		{Name: "x", Type: TypeOf(Double)}, {Name: "label", Type: TypeOf(String), Nullable: true},
		{Name: "inner", Type: Type{Kind: Record, Name: "inner", Fields: []RecordField{{Name: "n", Type: TypeOf(Int)}}}, Nullable: true},
	}}
	table := &Table{ID: TableID{Schema: "s", Name: "t"}, Columns: []Column{
		{Name: "a", Type: point}, {Name: "b", Type: point, Nullable: true}, {Name: "c", Type: TypeOf(Int)},
	}}
	full := func(dst []byte) []byte {
		return AppendLong(append(AppendString(append(AppendDouble(dst, 1.5), 2), "l"), 2), 9)
	}
	bare := func(dst []byte) []byte { return append(AppendDouble(dst, 2), 0, 0) }
	for name, c := range map[string]struct {
		row  []byte
		want string
	}{
		"all":  {AppendLong(full(append(bare(nil), 2)), 7), "{a_x=2 a_label=null a_inner_n=null b_x=1.5 b_label=l b_inner_n=9 c=7}"},
		"null": {AppendLong(append(full(nil), 0), 7), "{a_x=1.5 a_label=l a_inner_n=9 b_x=null b_label=null b_inner_n=null c=7}"},
	} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
		parseSteps(t, &o, "unwrap", "Flatten$Value delimiter=_")
		if got := run(t, o, Change{Op: Create, Table: table, After: c.row}); got != "p.s.t null "+c.want {
			t.Errorf("%s: got %q\nwant %q", name, got, c.want)
		}
	}
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	parseSteps(t, &o, "unwrap", "Flatten$Value")
	if _, err := NewFormat(o).Table(table); err == nil || !strings.Contains(err.Error(), "set its delimiter to _") {
		t.Errorf("a point in a name: %v", err)
	}
}

func TestDroppedFields(t *testing.T) {
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	parseSteps(t, &o, "dbz.ExtractChangedRecordState header.unchanged.name=same")
	o.Unwrap = &Unwrap{DropHeader: "same"}
	table := chainTable()
	c := Change{Op: Update, Table: table, Key: AppendInt(nil, 7), Before: chainRow(7, "six", 100, 5), After: chainRow(7, "seven", 100, 5)}
	if got := run(t, o, c); !strings.HasPrefix(got, "p.s.t {id=7} {id=7 name=seven price=d at=null}") {
		t.Errorf("got %q", got)
	}
}

func TestNullsBecomeDefaults(t *testing.T) {
	table := &Table{ID: TableID{Schema: "s", Name: "t"}, Columns: []Column{{Name: "a", Type: TypeOf(String), Nullable: true, Default: AppendString(nil, "d")}}}
	c := Change{Op: Create, Table: table, After: Row{2}}
	for replace, want := range map[bool]string{false: "a=null", true: "a=d"} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Unwrap: &Unwrap{Deletes: DeleteRewrite, Prefix: "__", NullToDefault: replace}}
		if got := run(t, o, c); !strings.Contains(got, want) {
			t.Errorf("%v: %q", replace, got)
		}
	}
}

func TestSchemaChangesAreLeftOut(t *testing.T) {
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	parseSteps(t, &o, "dbz.SchemaChangeEventFilter schema.change.event.exclude.list=DROP,DATABASE")
	f := NewFormat(o).Event(DDL)
	for kind, want := range map[string]int{"CREATE": 1, "DROP": 0, "": 0} {
		var m Messages
		s := &SchemaChange{}
		if kind != "" {
			s.Changes = []TableChange{{Type: kind}}
		}
		f.Append(&m, Wire{}, &Change{Op: DDL, Event: &Event{Schema: s}})
		if len(m.List) != want {
			t.Errorf("%q: %d records", kind, len(m.List))
		}
	}
}

func TestNotificationRecord(t *testing.T) {
	f := NewFormat(Options{Notifications: "notes"}).Event(Notify)
	var m Messages
	f.Append(&m, Wire{}, &Change{Op: Notify, TsNs: 5e6, Event: &Event{Note: &Notification{ID: "i", Aggregate: "Initial Snapshot", Type: "STARTED", Data: []Param{{"k", "v"}}}}})
	parseWhole(t, f.ValueSchema, m.List[0].Value)
	parseWhole(t, f.KeySchema, m.List[0].Key)
	if NewFormat(Options{}).Event(Notify) != nil {
		t.Error("notifications without a topic")
	}
}

// TestExpandedPayloads has the payload of an outbox as a record, by the schema
// that the message itself says.
func TestExpandedPayloads(t *testing.T) {
	table := &Table{ID: TableID{Schema: "s", Name: "outbox"}, Key: []int{0}, Columns: []Column{
		{Name: "id", Type: TypeUUID()}, {Name: "aggregatetype", Type: TypeOf(String)}, {Name: "aggregateid", Type: TypeOf(String)},
		{Name: "version", Type: TypeOf(Int)}, {Name: "payload", Type: TypeJSON(), Nullable: true},
	}}
	for payload, want := range map[string]string{
		`{"id": 1, "big": 5000000000, "f": 1.5, "t": true, "s": "x", "n": null}`: "{id=1 big=5000000000 f=1.5 t=true s=x}",
		`{"o": {"a": {"b": "c"}}, "l": [1, null, 2], "e": []}`:                   "{o={a={b=c}} l=[1 null 2]}",
		`{"l": [{"a": 1}, {"b": "x"}]}`:                                          "{l=[{a=1 b=null} {a=null b=x}]}",
		`{"l": [1, "x"]}`:                                                        `{"l": [1, "x"]}`, // no one type
		`{"a-b": 1}`:                                                             `{"a-b": 1}`,      // no Avro name
		`[1]`:                                                                    `[1]`,
		`{"a": 1} x`:                                                             `{"a": 1} x`,
	} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
		parseSteps(t, &o, "dbz.outbox.EventRouter table.expand.json.payload=true; table.field.event.schema.version=version")
		f := mustTable(t, o, table)
		row := AppendString(AppendString(AppendString(nil, "u"), "order"), "42")
		row = AppendString(append(AppendInt(row, 3), 2), payload)
		var m Messages
		if err := f.Append(&m, Wire{Value: []byte("V")}, &Change{Op: Create, Table: table, Key: AppendString(nil, "u"), After: row}); err != nil {
			t.Fatal(err)
		}
		schema := m.List[0].Schema
		parseWhole(t, schema, m.List[0].Value[1:])
		if got := dump(t, schema, m.List[0].Value[1:]); got != want {
			t.Errorf("%s: got %s", payload, got)
		}
	}
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	parseSteps(t, &o, "dbz.outbox.EventRouter table.expand.json.payload=true; table.fields.additional.placement=version:envelope", "ReplaceField$Value include=payload")
	if _, err := NewFormat(o).Table(table); err == nil || !strings.Contains(err.Error(), "expands JSON") {
		t.Errorf("a transform of an expanded payload: %v", err)
	}
}

func FuzzExpandedPayload(f *testing.F) {
	f.Add([]byte(`{"a": [{"b": 1.5}, null], "c": {"d": "x"}}`))
	x := expansion{nulls: true, arrays: true}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, cell, ok := x.expand(text)
		if !ok {
			return
		}
		if rest := skip(&c, cell); len(rest) > 0 {
			t.Errorf("%d bytes too many", len(rest))
		}
	})
}
