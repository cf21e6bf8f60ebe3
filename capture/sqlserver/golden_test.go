package sqlserver

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/mssqltest"
)

// record is one that Debezium emitted, as far as it is compared.
type record struct {
	Topic string
	Key   any
	Value map[string]any
	// The schemas: in Avro, or of Debezium's the names in schemas.json.
	KeySchema, ValueSchema string
}

func readRecords(t *testing.T, path string) (out []record) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Topic string `json:"topic"`
			Key   *struct {
				Payload any    `json:"payload"`
				Schema  string `json:"connectSchema"`
			} `json:"key"`
			Value *struct {
				Payload map[string]any `json:"payload"`
				Schema  string         `json:"connectSchema"`
			} `json:"value"`
		}
		dec := json.NewDecoder(strings.NewReader(lines.Text()))
		dec.UseNumber()
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		r := record{Topic: line.Topic}
		if line.Key != nil {
			r.Key, r.KeySchema = line.Key.Payload, line.Key.Schema
		}
		if line.Value != nil {
			r.Value, r.ValueSchema = line.Value.Payload, line.Value.Schema
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// runScript executes the batches of a file.
func runScript(t *testing.T, db *mssqltest.Database, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, batch := range strings.Split(string(text), "\nGO\n") {
		if err := db.Exec(batch); err != nil {
			t.Fatalf("%s, batch %d: %v", path, i+1, err)
		}
	}
}

func serve(t *testing.T, o mssqltest.Options) *mssqltest.Server {
	t.Helper()
	o.Password = "Secret1!"
	if o.Databases == nil {
		o.Databases = []string{"crm"}
	}
	srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func optionsFor(t *testing.T, srv *mssqltest.Server, more map[string]string) Options {
	t.Helper()
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return optionsAt(t, host, port, more)
}

func optionsAt(t testing.TB, host, port string, more map[string]string) Options {
	t.Helper()
	all := map[string]string{"name": "x", "connector.class": "sqlserver", "topic.prefix": "x", "database.names": "crm", "poll.interval.ms": "20", "driver.encrypt": "false"}
	for k, v := range more {
		all[k] = v
	}
	all["database.hostname"], all["database.port"], all["database.user"], all["database.password"] = host, port, "sa", "Secret1!"
	text := ""
	for k, v := range all {
		text += k + ": " + strconv.Quote(v) + "\n"
	}
	var o Options
	if err := config.Parse("test.yaml", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func open(t *testing.T, o Options, resume capture.Position) *Source {
	t.Helper()
	s, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// recordings are those that can be compared.
func recordings(t *testing.T) (out []string) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/debezium/*/*/connector.json")
	if err != nil || len(dirs) < 20 {
		t.Fatalf("%d recordings, %v", len(dirs), err)
	}
	for _, path := range dirs {
		if !strings.HasPrefix(path, "testdata/debezium/signal/") { // see TestSignalAgainstDebezium
			out = append(out, path)
		}
	}
	return out
}

// TestAgainstDebezium replays the scenarios that the real Debezium was recorded
// with against the same model of the server, and compares record by record.
func TestAgainstDebezium(t *testing.T) {
	all := readAllowances(t)
	t.Run("variants", func(t *testing.T) {
		for _, path := range recordings(t) {
			dir := filepath.Dir(path)
			t.Run(strings.TrimPrefix(dir, "testdata/debezium/"), func(t *testing.T) {
				t.Parallel()
				v := variant{all, "debezium/sqlserver/" + strings.TrimPrefix(dir, "testdata/debezium/")}
				v.compare(t, dir, replayed(t, dir), readRecords(t, filepath.Join(dir, "records.jsonl")))
			})
		}
	})
	t.Run("signal", func(t *testing.T) { signalAgainstDebezium(t, all) })
	all.allUsed(t)
}

func (v variant) compare(t *testing.T, dir string, got, want []record) {
	t.Helper()
	var schemas map[string]map[string]any
	readJSON(t, filepath.Join(filepath.Dir(dir), "schemas.json"), &schemas)
	v.withoutColumns(t, want, schemas)
	v.compareRecords(t, got, want)
	v.compareSchemas(t, schemas, got, want)
}

func readJSON(t *testing.T, path string, dst any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, dst)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// replayed runs a recorded scenario, and returns our records.
func replayed(t *testing.T, dir string) []record {
	t.Helper()
	cfg := make(map[string]string)
	readJSON(t, filepath.Join(dir, "connector.json"), &cfg)
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	runScript(t, db, filepath.Join(filepath.Dir(dir), "setup.sql"))
	if strings.HasPrefix(dir, "testdata/debezium/odd/") && cfg["field.name.adjustment.mode"] == "" {
		cfg["column.exclude.list"] = `dbo\.odd\.(` + strings.Join(oddColumns, "|") + ")"
	}
	cfg["poll.interval.ms"] = "50"
	cfg["debezium.defects"] = "all"
	if strings.Contains(dir, "v35-") {
		cfg["debezium.version"] = "3.5"
	}
	version := map[bool]string{false: "3.0.8.Final", true: "3.5.0.Final"}[strings.Contains(dir, "v35-")]
	o := optionsFor(t, srv, cfg)
	s := open(t, o, nil)
	c := &collector{format: envelope.NewFormat(o.Format(Block(&o, version))), tables: make(map[*envelope.Table]*envelope.TableFormat)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	snapshot := true
	for !c.done {
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %d records: %v", len(c.got), err)
		}
		c.take(t, b)
		if p, err := parsePosition(b.End); snapshot && err == nil && p.Snapshot == nil {
			snapshot = false
			runScript(t, db, filepath.Join(filepath.Dir(dir), "changes.sql"))
		}
	}
	return c.got
}

// signalAgainstDebezium takes an incremental snapshot as Debezium was recorded to.
func signalAgainstDebezium(t *testing.T, all *allowances) {
	t.Helper()
	const dir = "testdata/debezium/signal/default"
	v := variant{all, "debezium/sqlserver/signal/default"}
	cfg := make(map[string]string)
	readJSON(t, filepath.Join(dir, "connector.json"), &cfg)
	srv := serve(t, mssqltest.Options{})
	db := srv.DB("crm")
	runScript(t, db, filepath.Join(filepath.Dir(dir), "setup.sql"))
	o := optionsFor(t, srv, cfg)
	inner, err := New(o, slog.New(slog.DiscardHandler))
	check(t, err)
	x := snapshot.NewIncremental(inner, snapshot.IncrementalOptions{ChunkRows: 2, Table: o.SignalTable, Log: slog.New(slog.DiscardHandler)})
	check(t, x.Open(t.Context(), nil))
	defer func() { check(t, x.Close()) }()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "changes.sql"))
	check(t, err)
	steps := strings.Split(string(text), "\nGO\n")
	steps = slices.DeleteFunc(steps, func(s string) bool { return strings.HasPrefix(s, "WAITFOR") })
	c := &collector{format: envelope.NewFormat(o.Format(Block(&o, "3.0.8.Final"))), tables: make(map[*envelope.Table]*envelope.TableFormat)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for worked := false; !c.done; {
		b, err := x.Next(ctx)
		check(t, err)
		c.take(t, b)
		worked = worked || x.Working()
		switch {
		case len(steps) == 0:
		case len(steps) > 2 && inner.Streaming(b.End):
			check(t, db.Exec(steps[0]))
			steps = steps[1:]
		case len(steps) <= 2 && worked && !x.Working():
			for _, s := range steps {
				check(t, db.Exec(s))
			}
			steps = nil
		}
	}
	window := func(r record) bool {
		kind, _ := asMap(r.Value["after"])["type"].(string)
		return strings.HasPrefix(kind, "snapshot-window-") && v.allows("windows")
	}
	want := slices.DeleteFunc(readRecords(t, filepath.Join(dir, "records.jsonl")), window)
	for _, list := range [][]record{c.got, want} {
		for _, r := range list {
			if s := asMap(r.Value["source"]); r.Value["op"] != nil && s != nil {
				s["commit_lsn"], s["change_lsn"], s["event_serial_no"] = nil, nil, nil
			}
		}
	}
	v.compare(t, dir, c.got, want)
}

// collector makes records of batches.
type collector struct {
	format *envelope.Format
	tables map[*envelope.Table]*envelope.TableFormat
	got    []record
	done   bool // a row of zend was created
}

func (c *collector) take(t *testing.T, b *capture.Batch) {
	t.Helper()
	for i := range b.List {
		x := &b.List[i]
		var m envelope.Messages
		if x.Table == nil {
			f := c.format.Event(x.Op)
			f.Append(&m, envelope.Wire{}, x)
			c.add(t, f.Topic, f.KeySchema, f.ValueSchema, m.List[0])
			continue
		}
		f := c.tables[x.Table]
		if f == nil {
			var err error
			if f, err = c.format.Table(x.Table); err != nil {
				t.Fatal(err)
			}
			c.tables[x.Table] = f
		}
		if err := f.Append(&m, envelope.Wire{}, x); err != nil {
			t.Fatal(err)
		}
		for _, msg := range m.List {
			c.add(t, f.Topic, f.KeySchema, f.ValueSchema, msg)
		}
		if x.Table.ID.Name == "zend" && x.Op == envelope.Create {
			c.done = true
			return // what follows was not recorded
		}
	}
}

func (c *collector) add(t *testing.T, topic, key, value string, m envelope.Message) {
	t.Helper()
	r := record{Topic: topic, Key: decode(t, key, m.Key), Value: asMap(decode(t, value, m.Value))}
	if m.Key != nil {
		r.KeySchema = key
	}
	if m.Value != nil {
		r.ValueSchema = value
	}
	c.got = append(c.got, r)
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// masked are fields that differ from run to run.
var masked = []string{"ts_ms", "ts_us", "ts_ns", "__ts_ms", "__source_ts_ms"}

func mask(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if _, number := x.(json.Number); number && slices.Contains(masked, k) {
				v[k] = json.Number("0")
			} else {
				v[k] = mask(x)
			}
		}
	case []any:
		for i := range v {
			v[i] = mask(v[i])
		}
	}
	return v
}

func (v variant) compareRecords(t *testing.T, got, want []record) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Errorf("%d records, Debezium has %d", len(got), len(want))
			return
		}
		g, w := got[i], want[i]
		at := fmt.Sprintf("record %d to %s", i+1, w.Topic)
		if g.Topic != w.Topic {
			t.Errorf("%s: ours goes to %s", at, g.Topic)
			return
		}
		v.unlike(t, at+" key", mask(g.Key), mask(w.Key))
		if (g.Value == nil) != (w.Value == nil) {
			t.Errorf("%s: null %v, want %v", at, g.Value == nil, w.Value == nil)
			return
		}
		v.unlike(t, at, mask(g.Value), mask(w.Value))
	}
}

// unlike reports differences that are not intended.
func (v variant) unlike(t *testing.T, at string, got, want any) {
	t.Helper()
	g, ok1 := got.(map[string]any)
	w, ok2 := want.(map[string]any)
	if ok1 && ok2 && (len(g) > 0 || len(w) > 0) {
		for k := range w {
			if _, ok := g[k]; !ok {
				t.Errorf("%s: there is no field %s", at, k)
			}
		}
		for k := range g {
			if _, ok := w[k]; !ok {
				t.Errorf("%s: there is a field %s", at, k)
				continue
			}
			v.unlike(t, at+"."+k, g[k], w[k])
		}
		return
	}
	gl, ok1 := got.([]any)
	wl, ok2 := want.([]any)
	if ok1 && ok2 && len(gl) == len(wl) {
		for i := range gl {
			v.unlike(t, fmt.Sprintf("%s[%d]", at, i), gl[i], wl[i])
		}
		return
	}
	if !reflect.DeepEqual(got, want) && !v.intended(at, got, want) {
		t.Errorf("%s\n got %s\nwant %s", at, brief(got), brief(want))
	}
}

func brief(v any) string {
	text := fmt.Sprintf("%T %v", v, v)
	return text[:min(len(text), 500)]
}

// decode reads an Avro body as Kafka Connect's JSON converter writes it.
func decode(t *testing.T, schema string, body []byte) any {
	t.Helper()
	if body == nil || schema == "" {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(schema))
	dec.UseNumber()
	var s any
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	d := &decoder{names: make(map[string]any), b: body}
	d.learn(s)
	v := d.value(s)
	if len(d.b) > 0 {
		t.Fatalf("%d bytes after the value", len(d.b))
	}
	return v
}

type decoder struct {
	names map[string]any
	b     []byte
}

// learn notes the records that have a name.
func (d *decoder) learn(s any) {
	switch s := s.(type) {
	case []any:
		for _, x := range s {
			d.learn(x)
		}
	case map[string]any:
		if name, ok := s["name"].(string); ok && s["type"] == "record" {
			d.names[name] = s
			if space, ok := s["namespace"].(string); ok {
				d.names[space+"."+name] = s
			}
		}
		for _, x := range s {
			d.learn(x)
		}
	}
}

func (d *decoder) long() int64 {
	v, n := binary.Varint(d.b)
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.long()
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) value(s any) any {
	switch s := s.(type) {
	case []any:
		return d.value(s[d.long()])
	case map[string]any:
		switch s["type"] {
		case "record":
			out := make(map[string]any)
			for _, f := range s["fields"].([]any) {
				f := f.(map[string]any)
				out[f["name"].(string)] = d.value(f["type"])
			}
			return out
		case "array":
			out := []any{}
			for n := d.long(); n != 0; n = d.long() {
				for range n {
					out = append(out, d.value(s["items"]))
				}
			}
			return out
		}
		return d.value(s["type"])
	case string:
		return d.plain(s)
	}
	panic(fmt.Sprintf("schema %v", s))
}

func (d *decoder) plain(name string) any {
	switch name {
	case "null":
		return nil
	case "boolean":
		v := d.b[0] != 0
		d.b = d.b[1:]
		return v
	case "int", "long":
		return json.Number(strconv.FormatInt(d.long(), 10))
	case "float":
		v := math.Float32frombits(binary.LittleEndian.Uint32(d.b))
		d.b = d.b[4:]
		return json.Number(strconv.FormatFloat(float64(v), 'g', -1, 32))
	case "double":
		v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
		d.b = d.b[8:]
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case "string":
		return string(d.bytes())
	case "bytes":
		return base64.StdEncoding.EncodeToString(d.bytes())
	}
	s, ok := d.names[name]
	if !ok {
		panic("no schema " + name)
	}
	return d.value(s)
}
