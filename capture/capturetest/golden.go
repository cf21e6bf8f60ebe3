// Package capturetest is what the sources of all databases are tested with:
// the records that a real Debezium emitted for known SQL, and a suite that any
// Source passes on a live database.
package capturetest

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"tributary/envelope"
	"tributary/internal/golden"
)

// Variant is one connector configuration of a recorded scenario.
type Variant struct {
	Name    string // as in "debezium/postgres/tickit/default"
	Dir     string
	Config  map[string]string // connector.json
	Records []Record
}

// Record is a record that Debezium emitted.
type Record struct {
	Topic   string
	Headers map[string]string // other than those of the wire format
	Key     []byte            // Avro body, nil = null
	Value   []byte
	// KeySchema and ValueSchema are the registered Avro schemas, compact.
	KeySchema, ValueSchema string
	Payload                map[string]json.RawMessage // of the value
	Source                 map[string]json.RawMessage // of the value, in envelope form
}

// Scenario is a folder of the fixtures: SQL, the database's log, and variants.
type Scenario struct {
	Name     string // "debezium/postgres/tickit"
	Dir      string
	Variants []Variant
}

// SQL returns a file of the scenario, "setup.sql" or "changes.sql".
func (s *Scenario) SQL(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Roots returns the folders with golden data: those of all packages, and what the
// package has recorded of Debezium beside them (testdata/recorded).
func Roots(t testing.TB) []string {
	t.Helper()
	roots := golden.Roots(t)
	if _, err := os.Stat(filepath.Join("testdata", "recorded")); err == nil {
		roots = append(roots, filepath.Join("testdata", "recorded"))
	}
	return roots
}

// Scenarios loads the scenarios of a server ("postgres", "mysql", "mariadb")
// from all roots.
func Scenarios(t testing.TB, server string) []Scenario {
	t.Helper()
	var out []Scenario
	for _, root := range Roots(t) {
		dirs, err := filepath.Glob(filepath.Join(root, "debezium", server, "*", "setup.sql"))
		if err != nil {
			t.Fatal(err)
		}
		for _, setup := range dirs {
			dir := filepath.Dir(setup)
			out = append(out, load(t, dir, "debezium/"+server+"/"+filepath.Base(dir)))
		}
	}
	return out
}

func load(t testing.TB, dir, name string) Scenario {
	t.Helper()
	s := Scenario{Name: name, Dir: dir}
	var raw map[string]json.RawMessage
	readJSON(t, filepath.Join(dir, "schemas.json"), &raw)
	schemas := make(map[string]string, len(raw))
	for k, v := range raw {
		schemas[k] = Compact(v)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(files)
	for _, f := range files {
		v := Variant{Dir: filepath.Dir(f)}
		v.Name = name + "/" + filepath.Base(v.Dir)
		readJSON(t, filepath.Join(v.Dir, "connector.json"), &v.Config)
		v.Records = readRecords(t, f, schemas)
		s.Variants = append(s.Variants, v)
	}
	return s
}

// Compact writes JSON without spaces, in the order that it has. A string is
// taken for JSON inside it.
func Compact(raw json.RawMessage) string {
	var inner string
	if json.Unmarshal(raw, &inner) == nil && strings.HasPrefix(inner, "{") {
		raw = json.RawMessage(inner)
	}
	var b strings.Builder
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	compactValue(&b, dec)
	return b.String()
}

// most is more than any schema has.
const most = 1 << 20

func compactValue(b *strings.Builder, dec *json.Decoder) {
	tok, err := dec.Token()
	if err != nil {
		fmt.Fprintf(b, "<%v>", err)
		return
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		switch v := tok.(type) {
		case json.Number:
			b.WriteString(v.String())
		default:
			text, _ := json.Marshal(v) // a token of JSON always is JSON
			b.Write(text)
		}
		return
	}
	b.WriteString(delim.String())
	for i := 0; dec.More(); i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		if delim == '{' {
			compactValue(b, dec)
			b.WriteByte(':')
		}
		compactValue(b, dec)
		if b.Len() > most {
			return // of what is no JSON there is no end
		}
	}
	end, _ := dec.Token()
	fmt.Fprint(b, end)
}

type side struct {
	Payload    map[string]json.RawMessage `json:"payload"`
	AvroIDIn   string                     `json:"avroIdIn"`
	AvroHex    string                     `json:"avroHex"`
	AvroSchema string                     `json:"avroSchema"`
}

func (s *side) body(t testing.TB) []byte {
	if s == nil {
		return nil
	}
	b, err := hex.DecodeString(s.AvroHex)
	if err != nil {
		t.Fatal(err)
	}
	return b[map[string]int{"payload8": 9, "payload4": 5}[s.AvroIDIn]:]
}

func readRecords(t testing.TB, path string, schemas map[string]string) []Record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []Record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Topic   string `json:"topic"`
			Headers []struct {
				Key      string `json:"key"`
				ValueHex string `json:"valueHex"`
			} `json:"headers"`
			Key   *side `json:"key"`
			Value *side `json:"value"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r := Record{Topic: line.Topic, Headers: map[string]string{}, Key: line.Key.body(t), Value: line.Value.body(t)}
		for _, h := range line.Headers {
			if !strings.HasPrefix(h.Key, "apicurio.") && !strings.HasPrefix(h.Key, "__debezium.context.") {
				v, _ := hex.DecodeString(h.ValueHex)
				r.Headers[h.Key] = string(v)
			}
		}
		if line.Key != nil {
			r.KeySchema = schemas[line.Key.AvroSchema]
		}
		if line.Value != nil {
			r.ValueSchema, r.Payload = schemas[line.Value.AvroSchema], line.Value.Payload
			if s, ok := r.Payload["source"]; ok {
				_ = json.Unmarshal(s, &r.Source) // a flat row may have a column of that name
			}
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func readJSON(t testing.TB, path string, dst any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, dst)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Differences are the intended differences from Debezium, read from a file of
// lines "NAME<tab>WHAT<tab>REASON". NAME is a variant's, a scenario's or part
// of one with * for any text; WHAT is "skip", a topic (without prefix) whose
// records are not compared, or what the test of a database makes of it.
type Differences []difference

type difference struct{ name, what, reason string }

// ReadDifferences reads the file at path.
func ReadDifferences(t testing.TB, path string) Differences {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out Differences
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 || f[2] == "" {
			t.Fatalf("%s:%d: want NAME, WHAT and REASON with tabs between", path, n+1)
		}
		out = append(out, difference{f[0], f[1], f[2]})
	}
	return out
}

// Skip returns why a variant is not compared at all, "" if it is.
func (d Differences) Skip(name string) string {
	for _, x := range d {
		if x.what == "skip" && match(x.name, name) {
			return x.reason
		}
	}
	return ""
}

// Topic reports whether the records of a topic (without prefix) are left out.
func (d Differences) Topic(name, topic string) bool {
	for _, x := range d {
		if x.what == topic && match(x.name, name) {
			return true
		}
	}
	return false
}

func match(pattern, name string) bool {
	ok, err := filepath.Match(pattern, name)
	return err == nil && ok || strings.HasPrefix(name, pattern+"/")
}

// Comparer compares changes with what Debezium emitted, record after record.
type Comparer struct {
	Format *envelope.Format
	Want   []Record
	Prefix string // of the topics
	// Fill copies what differs from run to run from the wanted record into
	// the change that is to become it. Nil copies nothing but TsNs.
	Fill func(c *envelope.Change, want *Record)
	// Allow says whether a difference is intended. Nil allows none.
	Allow func(d Difference) bool

	// Transactions compares what is not about rows; nil = it is not compared.
	Transactions *Transactions

	next   int
	tables map[*envelope.Table]*envelope.TableFormat
	told   map[string]bool // schemas that were compared
}

// Change encodes c and compares its records with the next wanted ones.
func (x *Comparer) Change(t *testing.T, c envelope.Change) {
	t.Helper()
	if c.Op == envelope.Logical {
		x.message(t, c)
		return
	}
	if c.Table == nil {
		if x.Transactions != nil {
			x.Transactions.Change(t, &c)
		}
		return
	}
	if x.tables == nil {
		x.tables, x.told = make(map[*envelope.Table]*envelope.TableFormat), make(map[string]bool)
	}
	f, ok := x.tables[c.Table]
	if !ok {
		var err error
		if f, err = x.Format.Table(c.Table); err != nil {
			t.Fatal(err)
		}
		x.tables[c.Table] = f
	}
	// What a change becomes does not depend on its times: see how many
	// records there are, then give each the time of the one it must equal.
	var m envelope.Messages
	if err := f.Append(&m, envelope.Wire{}, &c); err != nil {
		t.Fatal(err)
	}
	n := len(m.List)
	for i := range n {
		if x.next >= len(x.Want) {
			t.Errorf("record %d to %s: Debezium has no more", x.next+1, f.Topic)
			return
		}
		want := &x.Want[x.next]
		x.next++
		each := c
		FillTime(&each, want)
		if x.Fill != nil {
			x.Fill(&each, want)
		}
		m.Reset()
		if err := f.Append(&m, envelope.Wire{}, &each); err != nil {
			t.Fatal(err)
		}
		x.compare(t, f, &c, &m.List[i], want)
	}
}

// message compares a logical message with the next wanted record.
func (x *Comparer) message(t *testing.T, c envelope.Change) {
	t.Helper()
	f := x.Format.Event(c.Op)
	if x.next >= len(x.Want) {
		t.Errorf("record %d to %s: Debezium has no more", x.next+1, f.Topic)
		return
	}
	want := &x.Want[x.next]
	x.next++
	FillTime(&c, want)
	if ms, ok := Int(want.Payload, "ts_ms"); ok {
		c.TsNs = ms * 1e6
	}
	if x.Fill != nil {
		x.Fill(&c, want)
	}
	var m envelope.Messages
	f.Append(&m, envelope.Wire{}, &c)
	at := fmt.Sprintf("record %d to %s", x.next, f.Topic)
	if f.Topic != want.Topic || string(m.List[0].Key) != string(want.Key) || string(m.List[0].Value) != string(want.Value) {
		t.Errorf("%s\n got %q %q\nwant %q %q to %s", at, m.List[0].Key, m.List[0].Value, want.Key, want.Value, want.Topic)
	}
	if Compact(json.RawMessage(f.KeySchema)) != want.KeySchema || Compact(json.RawMessage(f.ValueSchema)) != want.ValueSchema {
		t.Errorf("%s: schemas\n got %s %s\nwant %s %s", at, f.KeySchema, f.ValueSchema, want.KeySchema, want.ValueSchema)
	}
}

func (x *Comparer) compare(t *testing.T, f *envelope.TableFormat, c *envelope.Change, got *envelope.Message, want *Record) {
	t.Helper()
	at := fmt.Sprintf("record %d to %s", x.next, f.Topic)
	if f.Topic != want.Topic {
		t.Fatalf("%s: Debezium's goes to %s", at, want.Topic)
	}
	x.side(t, at+": key", c, got.Key, want.Key, f.KeySchema, want.KeySchema)
	x.side(t, at+": value", c, got.Value, want.Value, f.ValueSchema, want.ValueSchema)
	headers := make(map[string]string)
	if got.Header != "" {
		headers[got.Header] = string(got.HeaderValue)
	}
	for _, h := range got.Headers {
		headers[h.Key] = string(h.Value)
	}
	if names := headers[envelope.HeaderUnknown]; names != "" && want.Headers[envelope.HeaderUnknown] == "" {
		delete(headers, envelope.HeaderUnknown)
		x.unknown(t, at, c, names)
	}
	if !maps.Equal(headers, want.Headers) {
		t.Errorf("%s: headers %v, want %v", at, headers, want.Headers)
	}
}

// unknown checks the names of the fields that the log does not have of a deleted
// row: what stands there is what stands for nothing.
func (x *Comparer) unknown(t *testing.T, at string, c *envelope.Change, header string) {
	t.Helper()
	var names []string
	if err := json.Unmarshal([]byte(header), &names); err != nil || len(names) == 0 {
		t.Errorf("%s: header %s is %s", at, envelope.HeaderUnknown, header)
	}
	for i := range c.Table.Columns {
		col := &c.Table.Columns[i]
		if cell := c.Table.Cell(c.Before, i); slices.Contains(names, col.Name) && string(cell) != string(col.AppendMissing(nil)) {
			t.Errorf("%s: field %s is said not to be known, and is %x", at, col.Name, cell)
		}
	}
	x.report(t, at, c, []Difference{{Field: "header " + envelope.HeaderUnknown, Got: header, Want: Missing{}}}, false)
}

// side compares a key or a value and its schema: the bytes, and where those
// differ field by field.
func (x *Comparer) side(t *testing.T, at string, c *envelope.Change, got, want []byte, gotSchema, wantSchema string) {
	t.Helper()
	if (got == nil) != (want == nil) {
		t.Errorf("%s: null %v, want %v", at, got == nil, want == nil)
		return
	}
	same := Compact(json.RawMessage(gotSchema)) == wantSchema
	if want == nil || same && string(got) == string(want) {
		return
	}
	schemas := make([]any, 2)
	for i, text := range []string{gotSchema, wantSchema} {
		if err := json.Unmarshal([]byte(text), &schemas[i]); err != nil {
			t.Fatalf("%s: schema: %v", at, err)
		}
	}
	if key := gotSchema + wantSchema; !same && !x.told[key] {
		x.told[key] = true
		list := unlikeSchemas(schemas[0], schemas[1], "")
		if len(list) == 0 {
			list = []Difference{{Got: gotSchema, Want: wantSchema}}
		}
		x.report(t, at+": schema", c, list, true)
	}
	if string(got) == string(want) {
		return
	}
	a, err1 := decodeAvro(schemas[0], got)
	b, err2 := decodeAvro(schemas[1], want)
	if err1 != nil || err2 != nil {
		t.Errorf("%s: decode: %v, %v\n got %x\nwant %x", at, err1, err2, got, want)
		return
	}
	x.report(t, at, c, unlikeValues(a, b, ""), false)
}

func (x *Comparer) report(t *testing.T, at string, c *envelope.Change, list []Difference, schema bool) {
	t.Helper()
	for _, d := range list {
		d.Change, d.Schema = c, schema
		d.Field = strings.TrimPrefix(strings.TrimPrefix(d.Field, "before."), "after.")
		for i := range c.Table.Columns {
			if c.Table.Columns[i].Name == d.Field {
				d.Column = &c.Table.Columns[i]
			}
		}
		if x.Allow == nil || !x.Allow(d) {
			t.Errorf("%s: %s\n got %v\nwant %v", at, d.Field, d.Got, d.Want)
		}
	}
}

// Done reports wanted records that never came.
func (x *Comparer) Done(t *testing.T) {
	t.Helper()
	if x.Transactions != nil {
		x.Transactions.Done(t)
	}
	for _, r := range x.Want[min(x.next, len(x.Want)):] {
		t.Errorf("no record where Debezium has one to %s", r.Topic)
	}
}

// FillTime gives the change the processing time of the wanted record.
func FillTime(c *envelope.Change, want *Record) {
	if v, ok := Int(want.Payload, "ts_ns"); ok {
		c.TsNs = v
	} else if v, ok := Int(want.Payload, "__ts_ms"); ok {
		c.TsNs = v * 1e6
	}
}

// Int reads an integer field of a payload.
func Int(m map[string]json.RawMessage, field string) (int64, bool) {
	var v *int64
	if json.Unmarshal(m[field], &v) != nil || v == nil {
		return 0, false
	}
	return *v, true
}

// Text reads a string field of a payload.
func Text(m map[string]json.RawMessage, field string) string {
	var v string
	_ = json.Unmarshal(m[field], &v) // "" for what is no string
	return v
}

// Takes reports whether there is an option of that name, or one for all names
// that begin as it does.
func Takes(options map[string]bool, name string) bool {
	for o := range options {
		if p, ok := strings.CutSuffix(o, "*"); ok && strings.HasPrefix(name, p) {
			return true
		}
	}
	return options[name]
}
