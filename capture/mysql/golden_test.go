package mysql

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture"
	"tributary/envelope"
)

// goldenRoots returns the folders of recordings, or skips where there are none.
func goldenRoots(t testing.TB) []string {
	const shared = "../../../shared/fixtures"
	roots := filepath.SplitList(os.Getenv("GOLDEN_EXTRA"))
	if _, err := os.Stat(shared); err == nil {
		roots = append([]string{shared}, roots...)
	}
	if len(roots) == 0 {
		t.Skip("../shared/fixtures is absent")
	}
	return roots
}

// difference is one that is intended: the first difference found contains text.
type difference struct{ text, reason string }

// differences are the recordings from which we are to differ, by the path of
// the subtest.
func differences(t testing.TB) map[string]difference {
	text, err := os.ReadFile("testdata/golden-differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]difference)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 3 {
			t.Fatalf("golden-differences.txt: want path | difference | reason in %q", line)
		}
		out[f[0]] = difference{f[1], f[2]}
	}
	return out
}

// TestGoldenStream feeds the recorded binary logs to the stream and compares
// every record, key and value, byte by byte, and every schema.
func TestGoldenStream(t *testing.T) {
	differ := differences(t)
	ran := 0
	for _, root := range goldenRoots(t) {
		for _, server := range []string{"mysql", "mariadb"} {
			found, err := filepath.Glob(filepath.Join(root, "debezium", server, "*", "*", "records.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range found {
				variant := filepath.Dir(file)
				if strings.HasPrefix(filepath.Base(variant), "v35-") {
					continue // of another run: the binary log is not that of these records
				}
				ran++
				name, err := filepath.Rel(root, variant)
				if err != nil {
					t.Fatal(err)
				}
				t.Run(name, func(t *testing.T) {
					g := loadGolden(t, variant, server == "mariadb")
					got := g.run(t)
					d, listed := differ[name]
					switch {
					case got == nil && listed:
						t.Errorf("no longer differs: take it out of golden-differences.txt (%s)", d.reason)
					case got != nil && (!listed || !strings.Contains(got.Error(), d.text)):
						t.Error(got)
					}
				})
			}
		}
	}
	if ran == 0 {
		t.Error("the fixtures hold no recordings")
	}
}

type goldenSide struct {
	Payload    map[string]any `json:"payload"`
	AvroHex    string         `json:"avroHex"`
	AvroSchema string         `json:"avroSchema"`
	AvroIDIn   string         `json:"avroIdIn"`
}

func (g *goldenSide) body() []byte {
	if g == nil {
		return nil
	}
	b, _ := hex.DecodeString(g.AvroHex)
	switch g.AvroIDIn {
	case "payload8":
		return b[9:]
	case "payload4":
		return b[5:]
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

type goldenRecord struct {
	Topic   string `json:"topic"`
	Headers []struct {
		Key string `json:"key"`
		Hex string `json:"valueHex"`
	} `json:"headers"`
	Key   *goldenSide `json:"key"`
	Value *goldenSide `json:"value"`
}

// ns returns what the record says in a field of nanoseconds (or its
// milliseconds form), whether it is an envelope or flat.
func (r *goldenRecord) ns() int64 {
	if r.Value == nil {
		return 0
	}
	for name, unit := range map[string]int64{"ts_ns": 1, "__ts_ms": 1e6} {
		if n, ok := r.Value.Payload[name].(json.Number); ok {
			v, _ := n.Int64()
			return v * unit
		}
	}
	return 0
}

type golden struct {
	opts Options
	dir  string // of the scenario
	log  struct {
		File           string
		StreamStartPos uint64
	}
	version string
	schemas map[string]json.RawMessage
	records []goldenRecord // of the stream
	catalog *goldenCatalog
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func jsonLines[T any](t testing.TB, path string, each func(T)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	d.UseNumber()
	for {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		each(v)
	}
}

func loadGolden(t testing.TB, variant string, maria bool) *golden {
	g := &golden{dir: filepath.Dir(variant)}
	readJSON(t, filepath.Join(g.dir, "binlog.json"), &g.log)
	readJSON(t, filepath.Join(g.dir, "schemas.json"), &g.schemas)
	g.opts = goldenOptions(t, filepath.Join(variant, "connector.json"), maria)
	streaming := false
	jsonLines(t, filepath.Join(variant, "records.jsonl"), func(r goldenRecord) {
		rest, ours := strings.CutPrefix(r.Topic, g.opts.Prefix+".")
		if !ours || rest == "transaction" || strings.HasPrefix(r.Topic, "__") {
			return
		}
		if r.Value != nil {
			if s, ok := r.Value.Payload["source"].(map[string]any); ok {
				g.version, _ = s["version"].(string)
			}
			streaming = streaming || r.Value.Payload["op"] != "r" && r.Value.Payload["__op"] != "r"
		}
		if streaming {
			g.records = append(g.records, r)
		}
	})
	g.catalog = readHistory(t, filepath.Join(g.dir, "default", "schemahistory.jsonl"))
	return g
}

// goldenOptions reads those options of a recording that change its records.
func goldenOptions(t testing.TB, path string, maria bool) Options {
	var c map[string]string
	readJSON(t, path, &c)
	o := Options{Options: capture.Options{
		Name: "golden", Class: "mysql", Prefix: c["topic.prefix"], Tombstones: c["tombstones.on.delete"] != "false",
		Decimals: c["decimal.handling.mode"], Times: c["time.precision.mode"],
		SchemaNames: c["schema.name.adjustment.mode"], FieldNames: c["field.name.adjustment.mode"],
		BatchSize: 10_000, BatchBytes: 4 << 20,
	}}
	if maria {
		o.Class = "mariadb"
	}
	o.IncludeDatabases = strings.Split(c["database.include.list"], ",")
	o.Unsigned = c["bigint.unsigned.handling.mode"]
	if c["transforms"] != "" {
		o.Transforms = strings.Split(c["transforms"], ",")
		o.FieldsPrefix = "__"
		o.AddFields = strings.Split(c["transforms.unwrap.add.fields"], ",")
		o.Deletes = c["transforms.unwrap.delete.tombstone.handling.mode"]
		o.OldDeletes, o.OldTombstones = c["transforms.unwrap.delete.handling.mode"], c["transforms.unwrap.drop.tombstones"]
	}
	return o
}

// run returns the first difference between what the log gives and what was
// recorded.
func (g *golden) run(t testing.TB) error {
	cfg, err := newSettings(&g.opts)
	if err != nil {
		return err
	}
	pipe := capture.NewPipe(cfg.Limits())
	tables := make(map[string]*table)
	var left error // tables that cannot be captured; the others are compared
	for name, def := range g.catalog.at(g.log.StreamStartPos) {
		tb := &table{}
		if err := tb.use(def, cfg); err != nil {
			left = fmt.Errorf("left out: %w", err)
			tables[name] = nil
			g.records = slices.DeleteFunc(g.records, func(r goldenRecord) bool { return r.Topic == g.opts.Prefix+"."+name })
			continue
		}
		tables[name] = tb
	}
	at := position{File: g.log.File, Pos: g.log.StreamStartPos}
	st := newStream(t.Context(), cfg, g.catalog, pipe, slog.New(slog.DiscardHandler), at, gtidSet{}, tables)
	g.catalog.stream = st

	p := replication.NewBinlogParser()
	p.SetRawMode(true)
	if g.opts.maria() {
		p.SetFlavor("mariadb")
	}
	file := filepath.Join(g.dir, "binlog"+filepath.Ext(g.log.File))
	go func() {
		err := p.ParseFile(file, int64(g.log.StreamStartPos), st.HandleEvent)
		if err == nil {
			err = io.EOF
		}
		pipe.Fail(err)
	}()
	c := &comparison{golden: g, format: envelope.NewFormat(g.opts.Format(Block(&g.opts, g.version))), tables: make(map[*envelope.Table]*envelope.TableFormat)}
	for {
		b, err := pipe.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := parsePosition(b.End); err != nil {
			return err
		}
		for i := range b.List {
			if err := c.change(&b.List[i]); err != nil {
				return err
			}
		}
	}
	if c.next != len(g.records) {
		return fmt.Errorf("%d records, %d were recorded", c.next, len(g.records))
	}
	return left
}

type comparison struct {
	*golden
	format *envelope.Format
	tables map[*envelope.Table]*envelope.TableFormat
	next   int // record to compare with
	msgs   envelope.Messages
}

func (c *comparison) change(ch *envelope.Change) error {
	tf := c.tables[ch.Table]
	if tf == nil {
		var err error
		if tf, err = c.format.Table(ch.Table); err != nil {
			return err
		}
		c.tables[ch.Table] = tf
	}
	if c.next < len(c.records) {
		ch.TsNs = c.records[c.next].ns()
	}
	c.msgs.Reset()
	tf.Append(&c.msgs, envelope.Wire{}, ch)
	for i := range c.msgs.List {
		if c.next == len(c.records) {
			return fmt.Errorf("a record of %s more than the %d recorded", tf.Topic, c.next)
		}
		r := &c.records[c.next]
		// The halves of an update of the key have times of their own.
		if ns := r.ns(); ns != 0 && ns != ch.TsNs {
			ch.TsNs = ns
			c.msgs.Reset()
			tf.Append(&c.msgs, envelope.Wire{}, ch)
		}
		if err := c.message(tf, &c.msgs.List[i], r); err != nil {
			return fmt.Errorf("record %d of %s (source row %s:%d:%d): %w", c.next, tf.Topic, ch.Source.File, ch.Source.Pos, ch.Source.Row, err)
		}
		c.next++
	}
	return nil
}

func (c *comparison) message(tf *envelope.TableFormat, m *envelope.Message, r *goldenRecord) error {
	if tf.Topic != r.Topic {
		return fmt.Errorf("topic of the recorded one is %s", r.Topic)
	}
	for _, side := range []struct {
		what   string
		got    []byte
		want   *goldenSide
		schema string
	}{{"key", m.Key, r.Key, tf.KeySchema}, {"value", m.Value, r.Value, tf.ValueSchema}} {
		if (side.got == nil) != (side.want == nil) {
			return fmt.Errorf("%s null: %v, recorded: %v", side.what, side.got == nil, side.want == nil)
		}
		if side.want == nil {
			continue
		}
		if err := sameJSON(side.schema, c.schemas[side.want.AvroSchema]); err != nil {
			return fmt.Errorf("%s schema: %w", side.what, err)
		}
		if !bytes.Equal(side.got, side.want.body()) {
			return fmt.Errorf("%s\n%x, recorded\n%x (%v)", side.what, side.got, side.want.body(), side.want.Payload)
		}
	}
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, "__debezium.") {
			v, _ := hex.DecodeString(h.Hex)
			if m.Header != h.Key || !bytes.Equal(m.HeaderValue, v) {
				return fmt.Errorf("header %s %q, recorded %s %q", m.Header, m.HeaderValue, h.Key, v)
			}
		}
	}
	return nil
}

func sameJSON(got string, want json.RawMessage) error {
	var text string
	if json.Unmarshal(want, &text) == nil {
		want = json.RawMessage(text)
	}
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		return err
	}
	if err := json.Unmarshal(want, &b); err != nil {
		return err
	}
	if !reflect.DeepEqual(a, b) {
		return fmt.Errorf("%s\nrecorded %s", got, want)
	}
	return nil
}

// goldenCatalog plays the server's part: what a recording's schema history says
// of the tables, as of where the stream is.
type goldenCatalog struct {
	stream  *stream
	history []historyEntry
}

type historyEntry struct {
	pos    uint64
	change tableChange
}

type tableChange struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Table *struct {
		Key     []string        `json:"primaryKeyColumnNames"`
		Columns []historyColumn `json:"columns"`
	} `json:"table"`
}

type historyColumn struct {
	Name       string  `json:"name"`
	TypeName   string  `json:"typeName"`
	Charset    *string `json:"charsetName"`
	Length     *int    `json:"length"`
	Scale      *int    `json:"scale"`
	Optional   bool    `json:"optional"`
	HasDefault bool    `json:"hasDefaultValue"`
	Default    *string `json:"defaultValueExpression"`
}

func readHistory(t testing.TB, path string) *goldenCatalog {
	c := &goldenCatalog{}
	type line struct {
		Position struct {
			Pos uint64 `json:"pos"`
		} `json:"position"`
		Changes []tableChange `json:"tableChanges"`
		Value   *struct {
			Position struct {
				Pos uint64 `json:"pos"`
			} `json:"position"`
			Changes []tableChange `json:"tableChanges"`
		} `json:"value"`
	}
	jsonLines(t, path, func(l line) {
		if l.Value != nil {
			l.Position, l.Changes = l.Value.Position, l.Value.Changes
		}
		for _, ch := range l.Changes {
			c.history = append(c.history, historyEntry{l.Position.Pos, ch})
		}
	})
	return c
}

// at returns the tables as of a position, by name.
func (c *goldenCatalog) at(pos uint64) map[string]*tableDef {
	out := make(map[string]*tableDef)
	for _, h := range c.history {
		id := strings.Split(strings.ReplaceAll(h.change.ID, `"`, ""), ".")
		if h.pos > pos || len(id) != 2 {
			continue
		}
		name := id[0] + "." + id[1]
		if h.change.Table == nil {
			delete(out, name)
			continue
		}
		d := &tableDef{ID: envelope.TableID{Catalog: id[0], Name: id[1]}, Key: h.change.Table.Key}
		for _, col := range h.change.Table.Columns {
			d.Columns = append(d.Columns, col.def())
		}
		if len(d.Key) == 0 {
			d.Key = nil
		}
		out[name] = d
	}
	return out
}

func (c *goldenCatalog) table(_ context.Context, id envelope.TableID) (*tableDef, error) {
	return c.at(c.stream.at.Pos)[id.String()], nil
}

func (c *goldenCatalog) charset(id uint64) string {
	switch id {
	case 63:
		return "binary"
	case 8:
		return "latin1"
	case 33:
		return "utf8mb3"
	case 54, 56, 101:
		return "utf16"
	default:
		return "utf8mb4"
	}
}

func (h *historyColumn) def() columnDef {
	word, rest, _ := strings.Cut(strings.ToLower(h.TypeName), " ")
	d := columnDef{Name: h.Name, DataType: word, Full: word, Nullable: h.Optional}
	if h.Charset != nil {
		d.Charset = *h.Charset
	}
	length, scale := 0, 0
	if h.Length != nil {
		length = *h.Length
	}
	if h.Scale != nil {
		scale = *h.Scale
	}
	switch word {
	case "decimal":
		d.Precision, d.Scale = length, scale
	case "time", "datetime", "timestamp":
		d.FSP = length
	case "binary", "bit":
		d.Length = length
	case "float":
		if h.Scale != nil {
			d.Full += "(" + strconv.Itoa(length) + "," + strconv.Itoa(scale) + ")"
		}
	case "json":
	}
	if rest != "" {
		d.Full += " " + rest
	}
	if h.HasDefault && h.Default != nil {
		v := *h.Default
		if word == "bit" {
			v = "b'" + v + "'"
		}
		if (word == "timestamp" || word == "datetime") && v == "1970-01-01 00:00:00" {
			d.NoDefault = true
		} else {
			d.Default = &v
		}
	}
	return d
}
