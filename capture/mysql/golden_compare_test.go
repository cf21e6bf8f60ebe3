package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"reflect"
	"sort"
	"strings"
	"testing"

	"tributary/capture/capturetest"
	"tributary/envelope"
)

// differences are the intended differences from Debezium, lines of
// NAME<tab>WHAT<tab>REASON. NAME is a pattern of a variant's name, or of its
// first parts. WHAT is skip; or a table ("db.table") that is not
// compared; or a field: of a row ("db.table.column", patterns allowed), of the
// source block ("source.row") or of the envelope ("transaction"); after "live:"
// it is compared in the recorded log only.
type differences []difference

type difference struct{ name, what, reason string }

func readDifferences(t testing.TB) differences {
	t.Helper()
	text, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out differences
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 || f[2] == "" {
			t.Fatalf("differences.txt: want NAME, WHAT and REASON with tabs between: %q", line)
		}
		out = append(out, difference{f[0], f[1], f[2]})
	}
	return out
}

func (d *difference) of(variant string) bool {
	parts := strings.Split(variant, "/")
	n := min(strings.Count(d.name, "/")+1, len(parts))
	ok, err := path.Match(d.name, strings.Join(parts[:n], "/"))
	return err == nil && ok
}

func (d differences) skip(variant string) string {
	for i := range d {
		if d[i].what == "skip" && d[i].of(variant) {
			return d[i].reason
		}
	}
	return ""
}

// tables lists the tables left out.
func (d differences) tables(variant string) []string {
	var out []string
	for i := range d {
		if d[i].of(variant) && strings.Count(d[i].what, ".") == 1 && !strings.HasPrefix(d[i].what, "source.") {
			out = append(out, d[i].what)
		}
	}
	return out
}

func (d differences) field(variant, what string, live bool) bool {
	for i := range d {
		field, only := strings.CutPrefix(d[i].what, "live:")
		if only && !live {
			continue
		}
		if ok, err := path.Match(field, what); err == nil && ok && d[i].of(variant) {
			return true
		}
	}
	return false
}

// comparison compares changes with the recorded records, one after another.
type comparison struct {
	golden *golden
	differ differences
	format *envelope.Format
	tables map[*envelope.Table]*envelope.TableFormat
	want   []capturetest.Record
	next   int
	// fill has the fields that differ from run to run taken from the wanted
	// record.
	fill bool
	// transactions compares what is not about rows, if there is such.
	transactions *capturetest.Transactions
	schemas      schemaComparison
}

func newComparison(g *golden, d differences) *comparison {
	return &comparison{golden: g, differ: d, format: newFormat(g), tables: make(map[*envelope.Table]*envelope.TableFormat)}
}

func (x *comparison) leftOut(id envelope.TableID) bool {
	for _, t := range x.differ.tables(x.golden.variant.Name) {
		if t == id.String() {
			return true
		}
	}
	return false
}

// expect takes the records of the snapshot, or those of the stream.
func (x *comparison) expect(t *testing.T, snapshot bool) {
	t.Helper()
	if x.golden.opts.Transactions && !snapshot {
		x.transactions = &capturetest.Transactions{Format: x.format, LeftOut: func(string) bool { return false }}
		x.transactions.Expect(x.golden.variant)
	}
	streaming := false
	for _, r := range x.golden.variant.Records {
		if r.Topic == x.golden.opts.Prefix {
			if (capturetest.Text(r.Source, "snapshot") == "true") == snapshot {
				x.schemas.want = append(x.schemas.want, r)
			}
			continue
		}
		table, ours := strings.CutPrefix(r.Topic, x.golden.opts.Prefix+".")
		if !ours || table == "transaction" {
			continue
		}
		if r.Value != nil {
			streaming = streaming || capturetest.Text(r.Payload, "op") != "r" && capturetest.Text(r.Payload, "__op") != "r"
		}
		db, name, _ := strings.Cut(table, ".")
		if streaming != snapshot && !x.leftOut(envelope.TableID{Catalog: db, Name: name}) {
			x.want = append(x.want, r)
		}
	}
	if len(x.want) == 0 {
		t.Fatal("there are no records to compare with")
	}
}

// may reports whether a difference is intended, or is one of another release of
// the server than the recorded one ("other:" before its name).
func (x *comparison) may(what string) bool {
	name := x.golden.variant.Name
	return x.differ.field(name, what, x.fill) || x.golden.other && x.differ.field(name, "other:"+what, x.fill)
}

func (x *comparison) done(t *testing.T) {
	t.Helper()
	if x.transactions != nil {
		x.transactions.Done(t)
	}
	x.schemas.done(t, x)
	for _, r := range x.want[min(x.next, len(x.want)):] {
		t.Errorf("no record where Debezium has one to %s", r.Topic)
	}
}

func (x *comparison) change(t *testing.T, c envelope.Change) {
	t.Helper()
	if c.Op == envelope.DDL {
		x.schemas.change(t, x, c)
		return
	}
	if c.Table == nil {
		x.transactions.Fill = x.fill
		x.transactions.Change(t, &c)
		return
	}
	if x.leftOut(c.Table.ID) {
		return
	}
	f := x.tables[c.Table]
	if f == nil {
		var err error
		if f, err = x.format.Table(c.Table); err != nil {
			t.Fatal(err)
		}
		x.tables[c.Table] = f
	}
	var m envelope.Messages
	f.Append(&m, envelope.Wire{}, &c)
	for i := range len(m.List) {
		if x.next >= len(x.want) {
			t.Fatalf("record %d to %s: Debezium has no more", x.next+1, f.Topic)
		}
		want := &x.want[x.next]
		x.next++
		each := c
		capturetest.FillTime(&each, want)
		if x.fill && want.Value != nil {
			fillSource(&each, want)
		}
		m.Reset()
		f.Append(&m, envelope.Wire{}, &each)
		x.message(t, f, &m.List[i], want)
	}
}

// fillSource copies from want what differs from run to run.
func fillSource(c *envelope.Change, want *capturetest.Record) {
	m, prefix := want.Source, ""
	if m == nil {
		m, prefix = want.Payload, "__"
	}
	s := &c.Source
	s.File = capturetest.Text(m, prefix+"file")
	s.GTID = capturetest.Text(m, prefix+"gtid")
	s.Pos, _ = capturetest.Int(m, prefix+"pos")
	s.ServerID, _ = capturetest.Int(m, prefix+"server_id")
	s.Thread, _ = capturetest.Int(m, prefix+"thread")
	if ns, ok := capturetest.Int(m, "ts_ns"); ok {
		s.TsNs = ns
	} else if ms, ok := capturetest.Int(m, "__source_ts_ms"); ok {
		s.TsNs = ms * 1e6
	}
}

func (x *comparison) message(t *testing.T, f *envelope.TableFormat, got *envelope.Message, want *capturetest.Record) {
	t.Helper()
	at := fmt.Sprintf("record %d to %s", x.next, f.Topic)
	if f.Topic != want.Topic {
		t.Fatalf("%s: Debezium's goes to %s", at, want.Topic)
	}
	x.side(t, at+": key", f.Table.ID, got.Key, want.Key, f.KeySchema, want.KeySchema)
	x.side(t, at+": value", f.Table.ID, got.Value, want.Value, f.ValueSchema, want.ValueSchema)
	if got.Header != "" && want.Headers[got.Header] != string(got.HeaderValue) || got.Header == "" && len(want.Headers) > 0 {
		t.Errorf("%s: header %s: %s, want %v", at, got.Header, got.HeaderValue, want.Headers)
	}
}

// side compares a key or a value, and its schema. What differs must be an
// intended difference, field by field.
func (x *comparison) side(t *testing.T, at string, id envelope.TableID, got, want []byte, gotSchema, wantSchema string) {
	t.Helper()
	if (got == nil) != (want == nil) {
		t.Errorf("%s: null %v, want %v", at, got == nil, want == nil)
		return
	}
	if want == nil || bytes.Equal(got, want) && gotSchema == wantSchema {
		return
	}
	schema := make([]any, 2)
	for i, text := range []string{gotSchema, wantSchema} {
		if err := json.Unmarshal([]byte(text), &schema[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, field := range unlike(schema[0], schema[1], "") {
		if !x.may(fieldName(id, field)) {
			t.Errorf("%s: schema of %s\n got %v\nwant %v", at, field, schemaAt(schema[0], field), schemaAt(schema[1], field))
		}
	}
	if bytes.Equal(got, want) {
		return
	}
	a, err1 := decodeAvro(schema[0], got)
	b, err2 := decodeAvro(schema[1], want)
	if err1 != nil || err2 != nil {
		t.Fatalf("%s: decode: %v, %v\n got %x\nwant %x", at, err1, err2, got, want)
	}
	for _, field := range unlikeValues(a, b, "") {
		if !x.may(fieldName(id, field)) {
			t.Errorf("%s: %s\n got %v\nwant %v", at, field, valueAt(a, field), valueAt(b, field))
		}
	}
}

// fieldName gives a path in a record the name that differences.txt has for it.
func fieldName(id envelope.TableID, field string) string {
	switch head, rest, _ := strings.Cut(field, "."); head {
	case "before", "after":
		return id.String() + "." + rest
	case "source", "transaction":
		return field
	default:
		return id.String() + "." + field
	}
}

// unlike lists the paths of fields at which two schemas differ.
func unlike(a, b any, at string) []string {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	fa, oka := recordFields(a)
	fb, okb := recordFields(b)
	if !oka || !okb || len(fa) != len(fb) {
		return []string{strings.TrimPrefix(at, ".")}
	}
	var out []string
	for name, f := range fa {
		out = append(out, unlike(f, fb[name], at+"."+name)...)
	}
	sort.Strings(out)
	if !reflect.DeepEqual(capturetest.Outline(a, fb), capturetest.Outline(b, fa)) { // the records' own attributes
		out = append(out, strings.TrimPrefix(at+".attributes", "."))
	}
	return out
}

// schemaAt and valueAt find what a path leads to.
func schemaAt(s any, field string) any {
	for name := range strings.SplitSeq(field, ".") {
		if f, ok := recordFields(s); ok {
			s = f[name]
		}
	}
	return s
}

func valueAt(v any, field string) any {
	for name := range strings.SplitSeq(field, ".") {
		if m, ok := v.(map[string]any); ok {
			v = m[name]
		}
	}
	return v
}

// recordFields returns the fields of a record, of a union with one, or of a
// field whose type is such.
func recordFields(s any) (map[string]any, bool) {
	switch v := s.(type) {
	case []any:
		for _, branch := range v {
			if f, ok := recordFields(branch); ok {
				return f, true
			}
		}
	case map[string]any:
		if list, ok := v["fields"].([]any); ok {
			out := make(map[string]any)
			for _, f := range list {
				m, _ := f.(map[string]any)
				name, _ := m["name"].(string)
				out[name] = f
			}
			return out, true
		}
		if _, named := v["name"]; named && v["type"] != nil {
			return recordFields(v["type"])
		}
	}
	return nil, false
}

func unlikeValues(a, b any, at string) []string {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	ma, oka := a.(map[string]any)
	mb, okb := b.(map[string]any)
	if !oka || !okb {
		return []string{strings.TrimPrefix(at, ".")}
	}
	var out []string
	for name := range ma {
		out = append(out, unlikeValues(ma[name], mb[name], at+"."+name)...)
	}
	for name := range mb {
		if _, ok := ma[name]; !ok {
			out = append(out, strings.TrimPrefix(at+"."+name, "."))
		}
	}
	sort.Strings(out)
	return out
}

// decodeAvro decodes b by a schema.
func decodeAvro(schema any, b []byte) (any, error) {
	text, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	return capturetest.DecodeAvro(string(text), b)
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
