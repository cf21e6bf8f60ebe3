package ingest

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/internal/golden"
	"tributary/lake"
)

// recorded is a record of a recording.
type recorded struct {
	offset    int64
	timestamp int64
	schemaID  int64
	schema    string // Avro
	connect   *connectSchema
	key       []string
	value     []byte // Avro, without a registry's header
	payload   map[string]json.RawMessage
}

// connectSchema is a Kafka Connect schema.
type connectSchema struct {
	Type   string           `json:"type"`
	Name   string           `json:"name"`
	Field  string           `json:"field"`
	Fields []*connectSchema `json:"fields"`
	Params struct {
		Scale     string `json:"scale"`
		Precision string `json:"connect.decimal.precision"`
	} `json:"parameters"`
}

func (s *connectSchema) field(name string) *connectSchema {
	for _, f := range s.Fields {
		if f.Field == name {
			return f
		}
	}
	return nil
}

// recordings returns the records of a variant by topic, for the topics that
// carry changes of rows.
func recordings(t *testing.T, dir string) map[string][]recorded {
	t.Helper()
	var schemas map[string]json.RawMessage
	readJSON(t, filepath.Join(filepath.Dir(dir), "schemas.json"), &schemas)
	f, err := os.Open(filepath.Join(dir, "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	topics := map[string][]recorded{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Topic             string
			Offset, Timestamp int64
			Key, Value        *struct {
				ConnectSchema string
				Payload       json.RawMessage
				AvroIDIn      string
				AvroHex       string
				AvroSchema    string
				AvroSchemaID  int64
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Value == nil || strings.HasPrefix(line.Topic, "__") {
			continue
		}
		r := recorded{
			offset: line.Offset, timestamp: line.Timestamp, schema: string(schemas[line.Value.AvroSchema]),
			schemaID: line.Value.AvroSchemaID, connect: &connectSchema{},
		}
		must(t, json.Unmarshal(schemas[line.Value.ConnectSchema], r.connect))
		if !strings.HasSuffix(r.connect.Name, ".Envelope") && !strings.HasSuffix(r.connect.Name, ".Value") {
			continue
		}
		must(t, json.Unmarshal(line.Value.Payload, &r.payload))
		if line.Value.AvroHex == "" { // recorded before any converter
			var ok bool
			if r.schema, r.value, ok = encoded(t, schemas[line.Value.ConnectSchema], line.Value.Payload); !ok {
				continue
			}
			r.offset, r.schemaID = int64(len(topics[line.Topic])), 1
		} else {
			r.value, err = hex.DecodeString(line.Value.AvroHex)
			must(t, err)
			r.value = r.value[map[string]int{"payload4": 5, "payload8": 9}[line.Value.AvroIDIn]:]
		}
		if line.Key != nil && line.Key.ConnectSchema != "" {
			var key connectSchema
			must(t, json.Unmarshal(schemas[line.Key.ConnectSchema], &key))
			for _, f := range key.Fields {
				r.key = append(r.key, f.Field)
			}
		}
		topics[line.Topic] = append(topics[line.Topic], r)
	}
	must(t, lines.Err())
	return topics
}

func readJSON(t *testing.T, path string, dst any) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(text, dst))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// oneBlock yields records as one block.
type oneBlock struct {
	block avro.Block
	done  bool
}

func (b *oneBlock) Next() (avro.Block, error) {
	if b.done {
		return avro.Block{}, io.EOF
	}
	b.done = true
	return b.block, nil
}

// row is the change that a payload describes, by the rules of the package.
type row struct {
	op     string
	values map[string]json.RawMessage // columns of the row
	types  *connectSchema
	source map[string]json.RawMessage
}

func changeOf(t *testing.T, r recorded) row {
	t.Helper()
	if !strings.HasSuffix(r.connect.Name, ".Envelope") {
		out := row{op: text(r.payload["__op"]), values: r.payload, types: r.connect, source: r.payload}
		if text(r.payload["__deleted"]) == "true" {
			out.op = "d"
		}
		return out
	}
	out := row{op: text(r.payload["op"]), types: r.connect.field("after")}
	image := r.payload["after"]
	if out.op == "d" {
		image = r.payload["before"]
	}
	must(t, json.Unmarshal(image, &out.values))
	must(t, json.Unmarshal(r.payload["source"], &out.source))
	return out
}

func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// want is a payload's value as text that cell gives for the same value. ok is
// false for values whose text is not compared here.
func want(t *testing.T, raw json.RawMessage, typ *connectSchema) (s string, ok bool) {
	t.Helper()
	if len(raw) == 0 || string(raw) == "null" {
		return "null", true
	}
	unscaled := func(b64, scale string) string {
		b, err := base64.StdEncoding.DecodeString(b64)
		must(t, err)
		n := new(big.Int).SetBytes(b)
		if len(b) > 0 && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
		r := new(big.Rat).SetInt(n)
		places, err := strconv.Atoi(scale)
		must(t, err)
		r.Quo(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(places, 0))), nil)))
		if places < 0 {
			r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-places)), nil)))
		}
		return r.FloatString(max(places, 0))
	}
	switch typ.Name {
	case "org.apache.kafka.connect.data.Decimal":
		return unscaled(text(raw), typ.Params.Scale), true
	case "io.debezium.data.VariableScaleDecimal":
		var v struct {
			Scale json.Number
			Value string
		}
		must(t, json.Unmarshal(raw, &v))
		return unscaled(v.Value, v.Scale.String()), true
	case "io.debezium.time.Timestamp", "io.debezium.time.Time", "org.apache.kafka.connect.data.Time", "org.apache.kafka.connect.data.Timestamp":
		n, okay := new(big.Int).SetString(string(raw), 10)
		if !okay {
			t.Fatalf("%s is no integer", raw)
		}
		return n.Mul(n, big.NewInt(1000)).String(), true
	}
	switch typ.Type {
	case "bytes":
		b, err := base64.StdEncoding.DecodeString(text(raw))
		must(t, err)
		return hex.EncodeToString(b), true
	case "string":
		return strconv.Quote(text(raw)), true
	case "float", "double":
		var f float64
		if err := json.Unmarshal(raw, &f); err != nil {
			return text(raw), true // NaN, Infinity
		}
		bits := 64
		if typ.Type == "float" {
			bits, f = 32, float64(float32(f))
		}
		return strconv.FormatFloat(f, 'g', -1, bits), true
	case "boolean":
		return map[string]string{"true": "1", "false": "0"}[string(raw)], true
	case "array", "map", "struct":
		return "", false
	default:
		return string(raw), true
	}
}

// cell is the value of a column as text.
func cell(t lake.Type, c *column.Column, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	switch t.Kind {
	case lake.String:
		return strconv.Quote(string(c.Value(i)))
	case lake.Bytes, lake.Fixed:
		return hex.EncodeToString(c.Value(i))
	case lake.Decimal:
		return string(appendUnscaled(nil, c.Value(i), t.Scale))
	case lake.Float:
		return strings.Trim(string(appendNumber(nil, c.Floats[i], 32)), `"`)
	case lake.Double:
		return strings.Trim(string(appendNumber(nil, c.Floats[i], 64)), `"`)
	default:
		return strconv.FormatInt(c.Ints[i], 10)
	}
}

// Every recorded record, decoded alone, must give the row that its payload says.
func TestGoldenDecode(t *testing.T) {
	records := 0
	for _, root := range golden.Roots(t) {
		dirs, err := filepath.Glob(filepath.Join(root, "debezium", "*", "*", "*", "records.jsonl"))
		must(t, err)
		for _, path := range dirs {
			dir := filepath.Dir(path)
			rel, err := filepath.Rel(root, dir)
			must(t, err)
			t.Run(filepath.ToSlash(rel), func(t *testing.T) {
				for topic, list := range recordings(t, dir) {
					for _, r := range list {
						records++
						checkDecode(t, topic, r)
					}
				}
			})
		}
	}
	if records < 3000 {
		t.Errorf("only %d records were checked", records)
	}
}

func checkDecode(t *testing.T, topic string, r recorded) {
	t.Helper()
	where := fmt.Sprintf("%s offset %d", topic, r.offset)
	s, err := avro.Parse(r.schema)
	must(t, err)
	f, err := formOf(s)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	ch := changeOf(t, r)
	table := f.schema(r.key)
	d, err := newDecoder(s, f, table, r.key)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	c := newChanges(table)
	err = d.object(c, &oneBlock{block: avro.Block{Count: 1, Data: r.value}}, decodeOptions{first: r.offset, placeholder: []byte("__debezium_unavailable_value")})
	if ch.op == "t" {
		if err == nil || !strings.Contains(err.Error(), "truncate") {
			t.Errorf("%s: a truncate gave %v", where, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if deleted := c.ops[0] == lake.SoftDelete; deleted != (ch.op == "d") {
		t.Errorf("%s: op %s became %v", where, ch.op, c.ops[0])
	}
	get := func(name string) string {
		i := table.Index(name)
		if i < 0 {
			return "no column"
		}
		return cell(table.Fields[i].Type, &c.batch.Cols[i], 0)
	}
	for name, raw := range ch.values {
		typ := ch.types.field(name)
		// Decimals that engines cannot hold are text, with the same digits.
		got := get(name)
		if strings.HasSuffix(typ.Name, "Decimal") {
			got = strings.Trim(got, `"`)
		}
		if w, ok := want(t, raw, typ); ok && got != w {
			t.Errorf("%s: column %s (%s) is %s, want %s", where, name, typ.Name, got, w)
		}
		i := table.Index(name)
		if unavailable := isPlaceholder(string(raw)); ch.op != "d" && c.keep[i].Get(0) != unavailable {
			t.Errorf("%s: column %s is %s and keep is %v", where, name, raw, c.keep[i].Get(0))
		}
	}
	deleted := `"false"`
	if ch.op == "d" {
		deleted = `"true"`
	}
	if get(colDeleted) != deleted {
		t.Errorf("%s: __deleted is %s, want %s", where, get(colDeleted), deleted)
	}
	if w := strconv.Quote(wantSeq(ch.source, r.offset)); get(colSeq) != w {
		t.Errorf("%s: __seq is %s, want %s", where, get(colSeq), w)
	}
}

// isPlaceholder reports whether a payload's value is one of the forms in which
// Debezium says that the database did not send it.
func isPlaceholder(raw string) bool {
	switch strings.ReplaceAll(raw, " ", "") {
	case `"__debezium_unavailable_value"`, `["__debezium_unavailable_value"]`,
		`"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="`, // base64
		`[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]`:
		return true
	}
	return false
}

// wantSeq is __seq by its definition.
func wantSeq(source map[string]json.RawMessage, offset int64) string {
	field := func(name string) string {
		if v, ok := source[name]; ok {
			return string(v)
		}
		return string(source["__"+name])
	}
	number := func(text string) (n int64) {
		n, _ = strconv.ParseInt(text, 10, 64)
		return n
	}
	if _, ok := source["commit_lsn"]; ok || source["__commit_lsn"] != nil {
		lsn := func(name, absent string) string {
			return cmp.Or(strings.ReplaceAll(text(json.RawMessage(field(name))), ":", ""), strings.Repeat(absent, 20))
		}
		return fmt.Sprintf("%s-%s-%06x-%012x", lsn("commit_lsn", "0"), lsn("change_lsn", "f"), number(field("event_serial_no")), offset)
	}
	if field("file") != "" {
		file := text(json.RawMessage(field("file")))
		return fmt.Sprintf("%08x-%012x-%06x-%012x", number(strings.TrimLeft(file[strings.LastIndex(file, ".")+1:], "0")),
			number(field("pos")), number(field("row")), offset)
	}
	return fmt.Sprintf("%016x-%012x", number(field("lsn")), offset)
}

// The envelope makes the columns that the flat form has with the field lists of
// our configurations.
func TestGoldenBothFormsMakeOneTable(t *testing.T) {
	for dir, fields := range map[string]string{
		"mysql/tickit/default":    "op,db,table,source.ts_ms,file,pos,row,gtid",
		"mariadb/tickit/default":  "op,db,table,source.ts_ms,file,pos,row,gtid",
		"postgres/tickit/default": "op,db,table,schema,lsn,source.ts_ms",
	} {
		want := []string{"saleid", "listid", "sellerid", "buyerid", "eventid", "dateid", "qtysold", "pricepaid", "commission", "saletime", "__deleted"}
		for _, f := range strings.Split(fields, ",") {
			want = append(want, "__"+strings.ReplaceAll(f, ".", "_"))
		}
		want = append(want, colSeq)
		for _, root := range golden.Roots(t) {
			path := filepath.Join(root, "debezium", filepath.FromSlash(dir))
			if _, err := os.Stat(path); err != nil {
				continue
			}
			for topic, list := range recordings(t, path) {
				if !strings.HasSuffix(topic, ".sale") {
					continue
				}
				s, err := avro.Parse(list[0].schema)
				must(t, err)
				f, err := formOf(s)
				must(t, err)
				var got []string
				for _, c := range f.schema([]string{"saleid"}).Fields {
					got = append(got, c.Name)
				}
				if strings.Join(got, ",") != strings.Join(want, ",") {
					t.Errorf("%s: got %v, want %v", dir, got, want)
				}
			}
		}
	}
}
