package envelope

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"tributary/internal/fault"
)

// dump writes a value as text by its schema, fields in order.
func dump(t *testing.T, schema string, b []byte) string {
	t.Helper()
	var s any
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		t.Fatalf("%v in %s", err, schema)
	}
	out, rest := dumpValue(t, make(map[string]any), s, b)
	if len(rest) > 0 {
		t.Errorf("%d bytes too many for %s", len(rest), schema)
	}
	return out
}

func dumpValue(t *testing.T, names map[string]any, s any, b []byte) (string, []byte) {
	switch s := s.(type) {
	case []any:
		i, rest := decodeLong(b)
		return dumpValue(t, names, s[i], rest)
	case map[string]any:
		if s["type"] == "array" {
			var parts []string
			for n, rest := decodeLong(b); ; n, rest = decodeLong(b) {
				b = rest
				if n == 0 {
					return "[" + strings.Join(parts, " ") + "]", b
				}
				for range n {
					var v string
					v, b = dumpValue(t, names, s["items"], b)
					parts = append(parts, v)
				}
			}
		}
		if s["type"] != "record" {
			return dumpValue(t, names, s["type"], b)
		}
		names[s["name"].(string)] = s
		var parts []string
		for _, f := range s["fields"].([]any) {
			f := f.(map[string]any)
			var v string
			v, b = dumpValue(t, names, f["type"], b)
			parts = append(parts, f["name"].(string)+"="+v)
		}
		return "{" + strings.Join(parts, " ") + "}", b
	}
	switch s {
	case "null":
		return "null", b
	case "boolean":
		return fmt.Sprint(b[0] != 0), b[1:]
	case "int", "long":
		n, rest := decodeLong(b)
		return fmt.Sprint(n), rest
	case "double":
		return fmt.Sprint(math.Float64frombits(binary.LittleEndian.Uint64(b))), b[8:]
	case "string", "bytes":
		n, rest := decodeLong(b)
		return string(rest[:n]), rest[n:]
	}
	if name, ok := s.(string); ok && names[name] != nil {
		return dumpValue(t, names, names[name], b)
	}
	t.Fatalf("schema %v", s)
	return "", nil
}

func chainTable() *Table {
	return &Table{ID: TableID{Schema: "s", Name: "t"}, Key: []int{0}, Columns: []Column{
		{Name: "id", Type: TypeOf(Int)},
		{Name: "name", Type: TypeOf(String), Nullable: true},
		{Name: "price", Type: TypeDecimal(8, 2)},
		{Name: "at", Type: TypeTimestamp(), Nullable: true},
	}}
}

func chainRow(id int32, name string, cents byte, at int64) Row {
	row := AppendString(append(AppendInt(nil, id), 2), name)
	row = AppendBytes(row, []byte{cents})
	return AppendLong(append(row, 2), at)
}

// steps makes the chain of "class option=value; option=value" lines. A line
// "unwrap" stands for the unwrapping.
func parseSteps(t *testing.T, o *Options, lines ...string) {
	t.Helper()
	for _, line := range lines {
		class, rest, _ := strings.Cut(line, " ")
		if class == "unwrap" {
			o.Unwrap = &Unwrap{Deletes: DeleteTombstone, HeadersPrefix: "__"}
			for _, h := range strings.Fields(rest) {
				if field, ok := strings.CutPrefix(h, "route="); ok {
					o.Unwrap.RouteBy = field
					continue
				}
				a, err := ParseAddField(h)
				if err != nil {
					t.Fatal(err)
				}
				o.Unwrap.Headers = append(o.Unwrap.Headers, a)
			}
			continue
		}
		values := make(map[string]string)
		for part := range strings.SplitSeq(rest, "; ") {
			if k, v, ok := strings.Cut(part, "="); ok {
				values[k] = v
			}
		}
		opts := NewStepOptions(values)
		full := connectPackage + class
		if rest, ok := strings.CutPrefix(class, "dbz."); ok {
			full = debeziumPackage + rest
		}
		s, ok := NewStep(full, opts)
		if !ok {
			t.Fatalf("no step %s", full)
		}
		if f := opts.Faults(); len(f) > 0 {
			t.Fatalf("%s: %v", line, f)
		}
		if o.Unwrap == nil {
			o.Before = append(o.Before, s)
		} else {
			o.After = append(o.After, s)
		}
	}
}

// run gives the records of a change as "topic key value headers" lines, the
// schemas' names included.
func run(t *testing.T, o Options, c Change) string {
	t.Helper()
	f := mustTable(t, o, c.Table)
	var m Messages
	if err := f.Append(&m, Wire{Key: []byte("K"), Value: []byte("V")}, &c); err != nil {
		return "error: " + err.Error()
	}
	var lines []string
	for _, x := range m.List {
		topic := x.Topic
		if topic == "" {
			topic = f.Topic
		}
		line := topic
		if x.Key == nil {
			line += " null"
		} else {
			line += " " + dump(t, f.KeySchema, x.Key[1:])
			parseWhole(t, f.KeySchema, x.Key[1:])
		}
		if x.Value == nil {
			line += " null"
		} else {
			if f.chain == nil || f.chain.out.flat {
				line += " " + dump(t, f.ValueSchema, x.Value[1:])
			}
			parseWhole(t, f.ValueSchema, x.Value[1:])
		}
		if x.Partition > 0 {
			line += fmt.Sprintf(" partition %d", x.Partition-1)
		}
		for _, h := range x.Headers {
			line += fmt.Sprintf(" %s:%s", h.Key, h.Value)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTransforms(t *testing.T) {
	table := chainTable()
	key := func(id int32) Row { return AppendInt(nil, id) }
	insert := Change{Op: Create, Table: table, Key: key(7), After: chainRow(7, "seven", 100, 1700000000123), Source: Source{TxID: 5}, TsNs: 1e9}
	remove := Change{Op: Delete, Table: table, Key: key(7), Before: insert.After, TsNs: 1e9}
	nulls := insert
	nulls.After = append(AppendBytes(append(AppendInt(nil, 7), 0), []byte{100}), 0)
	const row = "{id=7 name=seven price=d at=1700000000123}"
	for name, c := range map[string]struct {
		steps  []string
		change Change
		want   string
	}{
		"nothing":               {[]string{"unwrap"}, insert, "p.s.t {id=7} " + row},
		"a tombstone":           {[]string{"unwrap", "RegexRouter regex=p\\.(.*); replacement=x-$1"}, remove, "x-s.t {id=7} null"},
		"regex, no match":       {[]string{"unwrap", "RegexRouter regex=q; replacement=x"}, insert, "p.s.t {id=7} " + row},
		"regex with names":      {[]string{"unwrap", "RegexRouter regex=p\\.(?<rest>.*); replacement=${rest}_$1"}, insert, "s.t_s.t {id=7} " + row},
		"headers of the change": {[]string{"unwrap op source.txId transaction.id"}, insert, "p.s.t {id=7} " + row + " __op:c __source_txId:5 __transaction_id:"},
		"route by field":        {[]string{"unwrap route=name"}, insert, "seven {id=7} " + row},
		"then by regex":         {[]string{"unwrap route=name", "RegexRouter regex=sev(.*); replacement=$1"}, insert, "en {id=7} " + row},
		"mask":                  {[]string{"unwrap", "MaskField$Value fields=name,at"}, insert, "p.s.t {id=7} {id=7 name= price=d at=0}"},
		"mask with text":        {[]string{"unwrap", "MaskField$Value fields=name; replacement=***"}, insert, "p.s.t {id=7} {id=7 name=*** price=d at=1700000000123}"},
		"replace":               {[]string{"unwrap", "ReplaceField$Value exclude=price,at; renames=name:title"}, insert, "p.s.t {id=7} {id=7 title=seven}"},
		"include":               {[]string{"unwrap", "ReplaceField$Value include=at"}, insert, "p.s.t {id=7} {at=1700000000123}"},
		"insert":                {[]string{"unwrap", "ReplaceField$Value include=id", "InsertField$Value static.field=env!; static.value=prod; topic.field=topic"}, insert, "p.s.t {id=7} {id=7 topic=p.s.t env=prod}"},
		"key of the value":      {[]string{"unwrap", "ValueToKey fields=name,id"}, insert, "p.s.t {name=seven id=7} " + row},
		"extract":               {[]string{"unwrap", "ExtractField$Key field=id", "ExtractField$Value field=name"}, insert, "p.s.t 7 seven"},
		"hoist":                 {[]string{"unwrap", "ExtractField$Key field=id", "HoistField$Key field=number"}, insert, "p.s.t {number=7} " + row},
		"cast":                  {[]string{"unwrap", "Cast$Value spec=id:string,at:float64", "ReplaceField$Value include=id,at"}, insert, "p.s.t {id=7} {id=7 at=1.700000000123e+12}"},
		"cast out of range":     {[]string{"unwrap", "Cast$Value spec=at:int16"}, insert, "error: transform a record of s.t: cast field at to int16: the value is out of range"},
		"time to text":          {[]string{"unwrap", "TimestampConverter$Value field=at; target.type=string; format=yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "ReplaceField$Value include=at"}, insert, "p.s.t {id=7} {at=2023-11-14T22:13:20.123Z}"},
		"time to Date":          {[]string{"unwrap", "TimestampConverter$Value field=at; target.type=Date", "ReplaceField$Value include=at"}, insert, "p.s.t {id=7} {at=19675}"},
		"time to unix":          {[]string{"unwrap", "TimestampConverter$Value field=at; target.type=unix; unix.precision=seconds", "ReplaceField$Value include=at"}, insert, "p.s.t {id=7} {at=1700000000}"},
		"text to time":          {[]string{"unwrap", "TimestampConverter$Value field=at; target.type=string; format=yyyyMMddHHmmss.SSS", "TimestampConverter$Value field=at; target.type=Timestamp; format=yyyyMMddHHmmss.SSS", "ReplaceField$Value include=at"}, insert, "p.s.t {id=7} {at=1700000000123}"},
		// As Connect does: a table that lacks the field is passed on as it is.
		"mask, no such field":    {[]string{"unwrap", "MaskField$Value fields=nam,name"}, insert, "p.s.t {id=7} {id=7 name= price=d at=1700000000123}"},
		"mask leaves null":       {[]string{"unwrap", "MaskField$Value fields=at,name"}, nulls, "p.s.t {id=7} {id=7 name=null price=d at=null}"},
		"cast, no such field":    {[]string{"unwrap", "Cast$Value spec=nothing:int32,id: STRING", "ReplaceField$Value include=id"}, insert, "p.s.t {id=7} {id=7}"},
		"cast, no field at all":  {[]string{"unwrap", "Cast$Value spec=nothing:int32"}, insert, "p.s.t {id=7} " + row},
		"convert, no such field": {[]string{"unwrap", "TimestampConverter$Value field=dt; target.type=Timestamp"}, insert, "p.s.t {id=7} " + row},
		"replace, no such field": {[]string{"unwrap", "ReplaceField$Value exclude=dt; renames=da:db"}, insert, "p.s.t {id=7} " + row},
		"fixed header":           {[]string{"unwrap", "InsertHeader header=h; value.literal=x"}, insert, "p.s.t {id=7} " + row + " h:x"},
		"field to header":        {[]string{"unwrap", "HeaderFrom$Value fields=id,price; headers=i,p; operation=move", "DropHeaders headers=p"}, insert, "p.s.t {id=7} {name=seven at=1700000000123} i:7"},
		"kept":                   {[]string{"dbz.Filter language=jsr223.groovy; condition=value.op == 'c' && value.after.price > 0.75", "unwrap"}, insert, "p.s.t {id=7} " + row},
		"dropped":                {[]string{"dbz.Filter condition=value.op != 'c'", "unwrap"}, insert, ""},
		"kept when unwrapped":    {[]string{"unwrap", "dbz.Filter condition=value.name.startsWith('sev') && key.id in [1, 7]"}, insert, "p.s.t {id=7} " + row},
		"other topic's filter":   {[]string{"unwrap", "dbz.Filter condition=false; topic.regex=q"}, insert, "p.s.t {id=7} " + row},
		"tombstone kept":         {[]string{"unwrap", "dbz.Filter condition=false"}, remove, "p.s.t {id=7} null"},
		"tombstone dropped":      {[]string{"unwrap", "dbz.Filter condition=true; null.handling.mode=drop"}, remove, ""},
		"by content":             {[]string{"unwrap", "dbz.ContentBasedRouter topic.expression=value.id > 5 ? 'large' : null"}, insert, "large {id=7} " + row},
		"one logical table":      {[]string{"dbz.ByLogicalTableRouter topic.regex=(.*)\\.t; topic.replacement=$1.all; key.field.name=shard; key.field.regex=.*\\.(.*)\\.t; key.field.replacement=$1", "unwrap"}, insert, "p.s.all {id=7 shard=s} " + row},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true}
			parseSteps(t, &o, c.steps...)
			if got := run(t, o, c.change); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestLogicalTableHasItsOwnSchemas(t *testing.T) {
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	parseSteps(t, &o, "dbz.ByLogicalTableRouter topic.regex=(.*)\\.t; topic.replacement=$1.all; key.enforce.uniqueness=false")
	f := mustTable(t, o, chainTable())
	for schema, want := range map[string]string{f.KeySchema: "p.s.all.Key", f.ValueSchema: "p.s.all.Envelope"} {
		if !strings.Contains(schema, want) || strings.Contains(schema, "p.s.t") {
			t.Errorf("schema %s, want %s", schema, want)
		}
	}
}

func TestOutbox(t *testing.T) {
	table := &Table{ID: TableID{Schema: "s", Name: "outbox"}, Key: []int{0}, Columns: []Column{
		{Name: "id", Type: TypeUUID()}, {Name: "aggregatetype", Type: TypeOf(String)}, {Name: "aggregateid", Type: TypeOf(String)},
		{Name: "type", Type: TypeOf(String)}, {Name: "payload", Type: TypeJSON(), Nullable: true}, {Name: "made", Type: TypeMicroTimestamp()},
	}}
	row := func(payload string) Row {
		out := AppendString(AppendString(AppendString(AppendString(nil, "u-1"), "order"), "42"), "placed")
		if payload == "" {
			out = append(out, 0)
		} else {
			out = AppendString(append(out, 2), payload)
		}
		return AppendLong(out, 5_000_000)
	}
	change := func(op Op, payload string) Change {
		return Change{Op: op, Table: table, Key: AppendString(nil, "u-1"), After: row(payload), TsNs: 9e9}
	}
	for name, c := range map[string]struct {
		step   string
		change Change
		want   string
	}{
		"plain":     {"", change(Create, "{}"), "outbox.event.order 42 {} id:u-1"},
		"fields":    {"table.fields.additional.placement=type:header:kind,made:envelope", change(Create, "{}"), "outbox.event.order 42 {payload={} made=5000000} id:u-1 kind:placed"},
		"route":     {"route.topic.replacement=${routedByValue}.events; route.by.field=type", change(Create, "{}"), "placed.events 42 {} id:u-1"},
		"tombstone": {"route.tombstone.on.empty.payload=true", change(Create, ""), "outbox.event.order 42 null id:u-1"},
		"update":    {"", change(Update, "{}"), ""},
		"fatal":     {"table.op.invalid.behavior=fatal", change(Update, "{}"), "error: transform a record of s.outbox: a row of an outbox table was updated"},
		"delete":    {"", Change{Op: Delete, Table: table, Key: AppendString(nil, "u-1"), Before: row("{}")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true}
			parseSteps(t, &o, "dbz.outbox.EventRouter "+c.step, "RegexRouter regex=nothing; replacement=x")
			if got := run(t, o, c.change); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	parseSteps(t, &o, "dbz.outbox.EventRouter table.field.event.timestamp=made")
	var m Messages
	c := change(Create, "{}")
	if err := mustTable(t, o, table).Append(&m, Wire{}, &c); err != nil || m.List[0].Millis != 5000 {
		t.Errorf("timestamp %d, %v", m.List[0].Millis, err)
	}
}

// TestPredicates has the outbox of one table beside the rows of another.
func TestPredicates(t *testing.T) {
	named := func(pattern string, negate bool) Predicate {
		o := NewStepOptions(map[string]string{"pattern": pattern})
		p, ok := NewPredicate(connectPackage+"predicates.TopicNameMatches", o)
		if !ok || len(o.Faults()) > 0 {
			t.Fatal(o.Faults())
		}
		p.Negate = negate
		return p
	}
	table := chainTable()
	c := Change{Op: Create, Table: table, Key: AppendInt(nil, 7), After: chainRow(7, "n", 1, 2)}
	for name, want := range map[string]string{"p\\.s\\.t": "x {id=7} {id=7 name=n price=\x01 at=2}", "p\\.other": "p.s.t {id=7}"} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
		parseSteps(t, &o, "unwrap", "RegexRouter regex=.*; replacement=x")
		when := named(name, false)
		o.Unwrap.When = &when
		o.After[0] = When(when, o.After[0])
		if got := run(t, o, c); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	tombstones := When(Predicate{Tombstone: true}, dropAll{})
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true, Unwrap: &Unwrap{Deletes: DeleteRewriteTombstone}, After: []Step{tombstones}}
	d := Change{Op: Delete, Table: table, Key: AppendInt(nil, 7), Before: c.After}
	if got := run(t, o, d); strings.Contains(got, "null") || got == "" {
		t.Errorf("tombstone dropped: %q", got)
	}
}

func TestTransformsThatDoNotFit(t *testing.T) {
	for line, want := range map[string]string{
		"MaskField$Value fields=name":                                    "put it after one of type io.debezium.transforms.ExtractNewRecordState",
		"unwrap\nValueToKey fields=nam":                                  `no field "nam"; there are [at id name price]`,
		"unwrap\nExtractField$Value field=nam":                           `no field "nam"`,
		"unwrap\nHeaderFrom$Value fields=nam; headers=h; operation=copy": `no field "nam"`,
		"unwrap\ndbz.Filter condition=value.op == 'c'":                   `no field "op"`,
		"dbz.Filter condition=value.after.nothing == 1":                  `no field "nothing"`,
		"unwrap\nTimestampConverter$Value field=price; target.type=unix": "is no time",
		"unwrap\nHoistField$Key field=x":                                 "the key is a record",
	} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
		parseSteps(t, &o, strings.Split(line, "\n")...)
		_, err := NewFormat(o).Table(chainTable())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
		if !fault.NeedsHuman(err) {
			t.Errorf("%s: %v needs no human", line, err)
		}
	}
}

func TestExpressions(t *testing.T) {
	table := chainTable()
	f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}, table)
	s := shape{table: f, topic: "p.s.t", key: f.keys}
	r := record{c: &Change{Op: Update, Before: chainRow(7, "Old", 50, 1), After: chainRow(7, "new\u00e9", 0xce, 2), Source: Source{TxID: 9}}, topic: "p.s.t", key: [][]byte{AppendInt(nil, 7)}}
	for text, want := range map[string]bool{
		`value.op == "u"`: true, `value.op === 'u' && value.before != null`: true, `value.before.name.toLowerCase() == 'old'`: true,
		`value.after.price < 0 && value.after.price == -0.5`: true, `value.before.price == 0.5`: true, `value.after.price > 10 || false`: false,
		`!(value.after.id == 7)`: false, `value.after.id in [1, 2]`: false, `[7, 8].contains(value.after.id)`: true, `value.after.name.length() == 4`: true,
		`value.after.name =~ 'w'`: true, `value.after.name.matches('w')`: false, `value.after.name ==~ 'new.'`: true, `topic.endsWith('.t')`: true,
		`key.id >= 7 ? true : false`: true, `value.source.txId == 9`: true, `value.after.name > null`: false, `value.get('after').get('id') == 7`: true,
		`header.x == null`: true, `-7 < value.after.id`: true, `value.before?.at != value.after?.at`: true, `'it\'s' == "it's"`: true, `value`: true,
	} {
		e, err := parseExpression(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		fn, err := e.compile(&s)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v, err := fn(&r); err != nil || truth(v) != want {
			t.Errorf("%s is %v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "value.op ==", "(true", "'x", "value.op = 'u'", "1 + 1", "[1, 2", "a.b(", "?", "value..op"} {
		e, err := parseExpression(text)
		if err == nil {
			_, err = e.compile(&s)
		}
		if err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzExpression(f *testing.F) {
	f.Add("value.op == 'u' && !(value.after.id in [1, 2.5]) ? 'a' : null")
	tf, err := NewFormat(Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}).Table(chainTable())
	if err != nil {
		f.Fatal(err)
	}
	r := record{c: &Change{Op: Create, After: chainRow(1, "x", 1, 1)}}
	f.Fuzz(func(_ *testing.T, text string) {
		e, err := parseExpression(text)
		if err != nil {
			return
		}
		if fn, err := e.compile(&shape{table: tf}); err == nil {
			_, _ = fn(&r)
		}
	})
}

// TestPredicateOfRoutedRecords: a transform that does not fit the records of an
// outbox is no fault as long as its predicate leaves them out by the topic to which
// they go.
func TestPredicateOfRoutedRecords(t *testing.T) {
	table := &Table{ID: TableID{Schema: "s", Name: "outbox"}, Key: []int{0}, Columns: []Column{
		{Name: "id", Type: TypeOf(String)}, {Name: "aggregatetype", Type: TypeOf(String)}, {Name: "aggregateid", Type: TypeOf(String)}, {Name: "payload", Type: TypeOf(String)},
	}}
	var row Row
	for _, v := range []string{"1", "order", "42", "x"} {
		row = AppendString(row, v)
	}
	c := Change{Op: Create, Table: table, Key: AppendString(nil, "1"), After: row}
	for pattern, want := range map[string]string{"outbox\\.event\\..*": "outbox.event.order 42 x id:1", "other": "error: transform a record of s.outbox: a transform of fields stands where there is no record of fields"} {
		o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
		parseSteps(t, &o, "dbz.outbox.EventRouter ", "unwrap", "MaskField$Value fields=secret")
		p, _ := NewPredicate(connectPackage+"predicates.TopicNameMatches", NewStepOptions(map[string]string{"pattern": pattern}))
		p.Negate = true
		o.After[0] = When(p, o.After[0])
		if got := run(t, o, c); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got  %q\nwant %q", pattern, got, want)
		}
	}
}

// TestColumnsOfKeysAlone: a column of the key that is left out of the values is in
// the key, and in no value, in all forms.
func TestColumnsOfKeysAlone(t *testing.T) {
	table := chainTable()
	key := func(id int32) Row { return AppendInt(nil, id) }
	insert := Change{Op: Create, Table: table, Key: key(7), After: chainRow(7, "seven", 100, 1700000000123)}
	update := Change{Op: Update, Table: table, OldKey: key(7), Key: key(8), Before: insert.After, After: chainRow(8, "eight", 101, 1700000000124)}
	remove := Change{Op: Delete, Table: table, Key: key(8), Before: update.After}
	bare := Change{Op: Delete, Table: table, Key: key(8)}
	partial := remove
	partial.Known = []bool{true, false, true, false}
	all := func(o *Options) {}
	for name, c := range map[string]struct {
		options func(o *Options)
		steps   []string
		change  Change
		want    string
	}{
		"insert":                 {all, []string{"unwrap"}, insert, "p.s.t {id=7} {name=seven price=d at=1700000000123}"},
		"another key":            {all, []string{"unwrap"}, update, "p.s.t {id=7} null\np.s.t {id=8} {name=eight price=e at=1700000000124}"},
		"delete":                 {rewrites, nil, remove, "p.s.t {id=8} {name=eight price=e at=1700000000124 __deleted=true}\np.s.t {id=8} null"},
		"of a key":               {rewrites, nil, bare, "p.s.t {id=8} {name=null price=\x00 at=null __deleted=true} " + `tributary.unknown.fields:["name","price","at"]` + "\np.s.t {id=8} null"},
		"of a part":              {rewrites, nil, partial, `p.s.t {id=8} {name=eight price=e at=1700000000124 __deleted=true} tributary.unknown.fields:["name","at"]` + "\np.s.t {id=8} null"},
		"of a part, transformed": {rewrites, []string{"InsertHeader header=h; value.literal=x"}, partial, `p.s.t {id=8} {name=eight price=e at=1700000000124 __deleted=true} tributary.unknown.fields:["name","at"] h:x` + "\np.s.t {id=8} null h:x"},
		"another key than the table's": {func(o *Options) {
			o.Rewrite.Keys = []KeyRule{{Match: func(TableID) bool { return true }, Columns: []string{"name", "id"}}}
		}, []string{"unwrap"}, insert, "p.s.t {name=seven id=7} {name=seven price=d at=1700000000123}"},
		"masked": {func(o *Options) {
			o.Rewrite.Masks = []Mask{{Match: func(_ TableID, c *Column) bool { return true }, Chars: 2}}
		}, []string{"unwrap"}, insert, "p.s.t {id=7} {name=** price=d at=1700000000123}"},
		"retimed": {func(o *Options) { o.Rewrite.Times = "microseconds" }, []string{"unwrap"}, insert, "p.s.t {id=7} {name=seven price=d at=1700000000123000}"},
		"cast":    {all, []string{"unwrap", "Cast$Value spec=id:string,at:string"}, insert, "p.s.t {id=7} {name=seven price=d at=1700000000123}"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true}
			o.Rewrite.Values = func(_ TableID, column string) bool { return column != "id" }
			parseSteps(t, &o, c.steps...)
			c.options(&o)
			if c.steps != nil && o.Unwrap == nil || c.steps != nil && o.Unwrap.Deletes == DeleteRewriteTombstone {
				o.After, o.Before = append(o.After, o.Before...), nil
			}
			if got := run(t, o, c.change); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	o := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}}
	o.Rewrite.Values = func(_ TableID, column string) bool { return column == "name" }
	f := mustTable(t, o, table)
	var m Messages
	if err := f.Append(&m, Wire{}, &insert); err != nil || !strings.Contains(f.KeySchema, `"id"`) || strings.Contains(f.ValueSchema, `"id","type":"int"`) {
		t.Errorf("%v\n%s\n%s", err, f.KeySchema, f.ValueSchema)
	}
	parseWhole(t, f.ValueSchema, m.List[0].Value)
}

func rewrites(o *Options) {
	o.Unwrap = &Unwrap{Deletes: DeleteRewriteTombstone, Prefix: "__"}
}
