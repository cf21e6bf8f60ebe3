package ingest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/avro"
	"tributary/lake/blob"
)

// connectType is a Kafka Connect schema as recordings without Avro have it.
type connectType struct {
	Type       string            `json:"type"`
	Optional   bool              `json:"optional"`
	Name       string            `json:"name"`
	Version    int               `json:"version"`
	Field      string            `json:"field"`
	Fields     []*connectType    `json:"fields"`
	Items      *connectType      `json:"items"`
	Parameters map[string]string `json:"parameters"`
}

var avroPrimitives = map[string]string{
	"int8": "int", "int16": "int", "int32": "int", "int64": "long", "boolean": "boolean",
	"float": "float", "double": "double", "string": "string", "bytes": "bytes",
}

var avroName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// avro is the schema that Confluent's AvroConverter makes. named has the records
// that were defined before.
func (c *connectType) avro(named map[string]bool) (any, error) {
	out, err := c.plainAvro(named)
	if err == nil && c.Optional {
		return []any{"null", out}, nil
	}
	return out, err
}

func (c *connectType) plainAvro(named map[string]bool) (any, error) {
	out := map[string]any{}
	if c.Name != "" && c.Type != "struct" {
		out["connect.name"] = c.Name
	}
	if c.Version > 0 {
		out["connect.version"] = c.Version
	}
	if len(c.Parameters) > 0 {
		out["connect.parameters"] = c.Parameters
	}
	switch c.Type {
	case "struct":
		if named[c.Name] {
			return c.Name, nil
		}
		named[c.Name] = true
		out["type"], out["name"] = "record", c.Name
		fields := make([]any, 0, len(c.Fields))
		for _, f := range c.Fields {
			if !avroName.MatchString(f.Field) {
				return nil, fmt.Errorf("%q is no name in Avro: %w", f.Field, fs.ErrInvalid)
			}
			typ, err := f.avro(named)
			if err != nil {
				return nil, err
			}
			fields = append(fields, map[string]any{"name": f.Field, "type": typ})
		}
		out["fields"] = fields
	case "array":
		items, err := c.Items.avro(named)
		if err != nil {
			return nil, err
		}
		out["type"], out["items"] = "array", items
	default:
		if out["type"] = avroPrimitives[c.Type]; out["type"] == "" {
			return nil, fmt.Errorf("no test has a %s", c.Type)
		}
	}
	return out, nil
}

// encode appends a payload of this schema in Avro.
func (c *connectType) encode(t *testing.T, dst []byte, raw json.RawMessage) []byte {
	t.Helper()
	if c.Optional {
		if len(raw) == 0 || string(raw) == "null" {
			return avro.AppendLong(dst, 0)
		}
		dst = avro.AppendLong(dst, 1)
	}
	read := func(v any) { must(t, json.Unmarshal(raw, v)) }
	switch c.Type {
	case "struct":
		var fields map[string]json.RawMessage
		read(&fields)
		for _, f := range c.Fields {
			dst = f.encode(t, dst, fields[f.Field])
		}
		return dst
	case "int8", "int16", "int32", "int64":
		var n int64
		read(&n)
		return avro.AppendLong(dst, n)
	case "boolean":
		var b bool
		read(&b)
		return avro.AppendBoolean(dst, b)
	case "float":
		var f float32
		read(&f)
		return avro.AppendFloat(dst, f)
	case "double":
		var f float64
		read(&f)
		return avro.AppendDouble(dst, f)
	case "string":
		return avro.AppendString(dst, text(raw))
	case "bytes":
		b, err := base64.StdEncoding.DecodeString(text(raw))
		must(t, err)
		return avro.AppendBytes(dst, b)
	}
	t.Fatalf("no test has a %s", c.Type)
	return nil
}

// encoded gives a payload that was recorded without Avro the form in which it
// would lie in bronze. ok is false if it cannot have one.
func encoded(t *testing.T, schema, payload json.RawMessage) (text string, value []byte, ok bool) {
	t.Helper()
	var c connectType
	must(t, json.Unmarshal(schema, &c))
	s, err := c.avro(map[string]bool{})
	if err != nil {
		if strings.Contains(err.Error(), fs.ErrInvalid.Error()) {
			return "", nil, false
		}
		t.Fatal(err)
	}
	out, err := json.Marshal(s)
	must(t, err)
	return string(out), c.encode(t, nil, payload), true
}

// sqlServerRecordings are the folders of the records that Debezium's connector for
// SQL Server made of the model of a server, by scenario and variant.
func sqlServerRecordings(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "capture", "sqlserver", "testdata")
	paths, err := filepath.Glob(filepath.Join(root, "debezium", "*", "*", "records.jsonl"))
	must(t, err)
	out := map[string]string{}
	for _, p := range paths {
		rel, err := filepath.Rel(root, filepath.Dir(p))
		must(t, err)
		out[filepath.ToSlash(rel)] = filepath.Dir(p)
	}
	if len(out) < 30 {
		t.Fatalf("only %d recordings below %s", len(out), root)
	}
	return out
}

// What Debezium tells of SQL Server becomes the rows that it says, in both forms,
// and tables in which the order by LSNs leaves the newest state of each row.
func TestGoldenSQLServer(t *testing.T) {
	records, tables := 0, 0
	for name, dir := range sqlServerRecordings(t) {
		t.Run(name, func(t *testing.T) {
			topics := recordings(t, dir)
			// A key that was chosen so that it can be null makes no table.
			delete(topics, "key_columns_ms_crud.crm.dbo.nokey")
			for topic, list := range topics {
				for _, r := range list {
					records++
					checkDecode(t, topic, r)
				}
			}
			if !t.Failed() && !strings.Contains(name, "/alter/") {
				tables += checkTables(t, topics)
			}
		})
	}
	if records < 700 || tables < 90 {
		t.Errorf("only %d records and %d tables were checked", records, tables)
	}
}

// The envelope of SQL Server makes the columns that the flat form has with the
// field list of our configuration.
func TestGoldenSQLServerColumns(t *testing.T) {
	var got []string
	list := recordings(t, sqlServerRecordings(t)["debezium/crud/default"])["default_ms_crud.crm.dbo.zend"]
	if len(list) == 0 {
		t.Fatal("no records")
	}
	s, err := avro.Parse(list[0].schema)
	must(t, err)
	f, err := formOf(s)
	must(t, err)
	for _, c := range f.schema([]string{"id"}).Fields {
		got = append(got, c.Name)
	}
	want := "id __deleted __op __db __table __schema __source_ts_ms __commit_lsn __change_lsn __event_serial_no __seq"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The records of both forms have LSNs that tell them apart, and those of a
// snapshot have the last commit's alone.
func TestGoldenSQLServerOrder(t *testing.T) {
	dirs := sqlServerRecordings(t)
	for name, places := range map[string]int{"debezium/crud/default": 3, "debezium/crud/unwrap": 2} {
		seen := map[string]string{}
		for topic, list := range recordings(t, dirs[name]) {
			for _, r := range list {
				seq := strings.Split(wantSeq(changeOf(t, r).source, r.offset), "-")
				if len(seq) != 4 {
					t.Fatalf("%s: %s", name, seq)
				}
				snapshot := seq[1] == lastLSN
				if op := changeOf(t, r).op; snapshot != (op == "r") {
					t.Errorf("%s: %s of %s has the change %s", name, op, topic, seq[1])
				}
				place := topic + " " + strings.Join(seq[:places], "-")
				if first, ok := seen[place]; ok && !snapshot {
					t.Errorf("%s: %s and %s are both at %s", name, first, r.payload, place)
				}
				seen[place] = fmt.Sprint(r.payload)
			}
		}
		if len(seen) < 10 {
			t.Errorf("%s has %d places only", name, len(seen))
		}
	}
}

// tracked makes the records of a made-up table of SQL Server in the flat form.
type tracked struct{ offset int64 }

const trackedMeta = `{"name":"__deleted","type":["null","string"],"default":null},{"name":"__op","type":["null","string"],"default":null},` +
	`{"name":"__source_ts_ms","type":["null","long"],"default":null},{"name":"__commit_lsn","type":["null","string"],"default":null},` +
	`{"name":"__change_lsn","type":["null","string"],"default":null},{"name":"__event_serial_no","type":["null","long"],"default":null}`

// record is a state of a row; commit, change and serial say where it stands.
func (s *tracked) record(op string, id, qty, commit, change, serial int) recorded {
	optional := func(v []byte, text string) []byte { return avro.AppendString(avro.AppendLong(v, 1), text) }
	lsn := func(n int) string { return fmt.Sprintf("00000025:%08x:%04x", n/16, n%16) }
	v := avro.AppendLong(avro.AppendLong(avro.AppendLong(nil, int64(id)), 1), int64(qty))
	v = optional(optional(v, fmt.Sprint(op == "d")), op)
	v = optional(avro.AppendLong(avro.AppendLong(v, 1), 1_700_000_000_000), lsn(commit))
	if change == 0 {
		v = avro.AppendLong(avro.AppendLong(v, 0), 0)
	} else {
		v = avro.AppendLong(avro.AppendLong(optional(v, lsn(change)), 1), int64(serial))
	}
	r := recorded{
		offset: s.offset, timestamp: 1_700_000_000_000, schemaID: 1, key: []string{"id"}, value: v,
		schema: `{"type":"record","name":"Value","namespace":"t.s.sale","fields":[{"name":"id","type":"int"},{"name":"qty","type":["null","int"],"default":null},` + trackedMeta + `]}`,
	}
	s.offset++
	return r
}

// Snapshots that see more than the position from which the changes are read, that
// are taken again, and changes that come again: the table has the newest states.
func TestSnapshotsAndChangesOfSQLServerOverlap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type change struct{ id, qty, commit, change, serial int } // qty < 0: deleted
		var log []change
		lsn := 1
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			var tx []change
			for range rapid.IntRange(1, 4).Draw(rt, "changes") {
				lsn += rapid.IntRange(0, 1).Draw(rt, "same sequence value")
				c := change{rapid.IntRange(1, 3).Draw(rt, "id"), rapid.IntRange(-3, 50).Draw(rt, "qty"), 0, lsn, 1}
				if n := len(tx); n > 0 && tx[n-1].change == lsn {
					c.serial = tx[n-1].serial + 1
				}
				tx = append(tx, c)
			}
			lsn++
			for i := range tx {
				tx[i].commit = lsn
			}
			lsn++
			log = append(log, tx...)
		}
		state := func(n int) map[int]int { // after n changes
			rows := map[int]int{}
			for _, c := range log[:n] {
				if rows[c.id] = c.qty; c.qty < 0 {
					delete(rows, c.id)
				}
			}
			return rows
		}
		bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
		w := newSink(t, bronzeStore, saleTopic, 0, 0)
		s := newService(t, bronzeStore, lakeStore)
		s.CommitBytes = int64(rapid.IntRange(1, 2000).Draw(rt, "commit bytes"))
		src := &tracked{}
		put := func(r recorded) {
			w.put(r)
			switch rapid.IntRange(0, 9).Draw(rt, "then") {
			case 0, 1:
				w.flush()
			case 2:
				w.flush()
				once(t, s)
			}
		}
		// first is the first change behind the snapshot's position.
		first := rapid.IntRange(0, len(log)).Draw(rt, "position")
		for first > 0 && first < len(log) && log[first].commit == log[first-1].commit {
			first++
		}
		at := 1
		if first > 0 {
			at = log[first-1].commit
		}
		for id, qty := range state(rapid.IntRange(first, len(log)).Draw(rt, "the snapshot sees")) {
			put(src.record("r", id, qty, at, 0, 0))
		}
		gone := map[int]bool{}
		for next := first; next < len(log); {
			if next > first && rapid.IntRange(0, 9).Draw(rt, "again") == 0 { // as after a lost position
				next = rapid.IntRange(first, next).Draw(rt, "from")
			}
			// Changes are cleaned up before they are read: a snapshot is taken anew.
			if rapid.IntRange(0, 9).Draw(rt, "lost") == 0 {
				next = rapid.IntRange(next, len(log)).Draw(rt, "to")
				for next < len(log) && log[next].commit == log[next-min(next, 1)].commit {
					next++
				}
				if next == 0 {
					continue
				}
				for id := range 4 {
					if qty, ok := state(next)[id]; ok {
						put(src.record("r", id, qty, log[next-1].commit, 0, 0))
					}
					gone[id] = true // whether it is there is not told by a snapshot
				}
				first = next // it is not read again from before
				continue
			}
			c := log[next]
			gone[c.id] = false
			op := "u"
			if c.qty < 0 {
				op = "d"
			}
			put(src.record(op, c.id, c.qty, c.commit, c.change, c.serial))
			next++
			within := next < len(log) && log[next].commit == c.commit
			if rapid.IntRange(0, 9).Draw(rt, "incremental") == 0 && !within { // rows as of now, at the position of now
				for id, qty := range state(next) {
					put(src.record("r", id, qty, c.commit, 0, 0))
				}
			}
		}
		w.flush()
		if src.offset == 0 {
			return
		}
		once(t, s)
		got := map[int]int{}
		for _, row := range readTable(t, lakeStore, saleBase, "") {
			if row[colDeleted] == `"true"` {
				continue
			}
			id, err := strconv.Atoi(row["id"])
			must(t, err)
			got[id], err = strconv.Atoi(row["qty"])
			must(t, err)
		}
		want := state(len(log))
		for id, unknown := range gone {
			if _, ok := want[id]; unknown && !ok {
				delete(got, id)
			}
		}
		if !maps.Equal(got, want) {
			rt.Fatalf("the table has %v, the source %v", got, want)
		}
	})
}
