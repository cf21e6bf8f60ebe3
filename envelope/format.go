package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// Options say what records a change becomes.
type Options struct {
	Block      Block
	Naming     Naming
	Tombstones bool // a delete is followed by a record without value
	// SkipUnchanged is whether updates that change nothing become no record.
	SkipUnchanged bool
	Unwrap        *Unwrap // nil = the envelope
	Before        []Step  // transforms before the unwrapping, or all without it
	After         []Step  // transforms of the flat form
	Rewrite       Rewrite // done to rows before all else
	// SkipDeletes and SkipCreates leave out the one or the other event of an update
	// that changed the key.
	SkipDeletes, SkipCreates bool
	// TextMessages is whether the content of logical messages is text.
	TextMessages bool
	// DeadLetters is the topic of changes that could not be decoded.
	DeadLetters string
	// Notifications is the topic of notifications, "" = none are written.
	Notifications string
	// QuietFailures is whether such changes are kept aside without a warning.
	QuietFailures bool
}

// Format makes the Kafka records of changes. It is immutable.
type Format struct{ opts Options }

// NewFormat returns the Format of o.
func NewFormat(o Options) *Format { return &Format{opts: o} }

// Quiet reports whether changes that could not be decoded are kept aside
// without a warning.
func (f *Format) Quiet() bool { return f.opts.QuietFailures }

// TableFormat is the Format of one table version: its schemas, and how to
// encode its changes. It is immutable and safe for concurrent use.
type TableFormat struct {
	Table       *Table
	Topic       string
	KeySchema   string // Avro schema of the keys, "" for a table without key
	ValueSchema string // Avro schema of the values: envelope or flat
	// Routed is whether each Message says its Topic: a transform decides it
	// by the record.
	Routed bool

	opts    Options
	out     *Table        // Table, or what the rewrite makes of it
	rewrite *tableRewrite // nil = none
	place   []int         // index in Table of each column of out
	key     []int         // indexes in Table of the key's columns
	names   [][]byte      // names of out's fields as JSON, for headers
	source  []segment     // the source block, as encoded
	added   []segment     // flat form: the fields that follow the row
	keys    []Column      // the key's columns, for headers
	chain   *chain        // nil = no transforms but the unwrapping
}

// segment is a stretch of an encoded record: constant bytes, or what a
// function appends.
type segment struct {
	fixed []byte
	dyn   func(dst []byte, c *Change) []byte
}

// Table compiles the schemas and encoders of a table version. An error needs a
// human: a name that Avro does not allow.
func (f *Format) Table(t *Table) (*TableFormat, error) {
	tf := &TableFormat{Table: t, Topic: f.opts.Naming.Topic(t.ID), opts: f.opts, out: t}
	if u := tf.opts.Unwrap; u != nil && u.When != nil && u.When.Topic != nil && u.When.Topic.MatchString(tf.Topic) == u.When.Negate {
		tf.opts.Unwrap = nil
	}
	var err error
	if tf.rewrite, err = f.opts.Rewrite.table(t); err != nil {
		return nil, err
	}
	tf.key, tf.keys = t.Key, pick(t.Columns, t.Key)
	if w := tf.rewrite; w != nil {
		tf.out, tf.key, tf.keys = w.to, w.key, pick(w.keys, w.key)
	}
	for i := range t.Columns {
		if tf.rewrite == nil || !tf.rewrite.drop[i] {
			tf.place = append(tf.place, i)
		}
	}
	if tf.opts.Unwrap != nil {
		fields, err := f.opts.Naming.named(t.ID, tf.out.Columns)
		if err != nil {
			return nil, err
		}
		for i := range fields {
			tf.names = append(tf.names, appendJSONString(nil, fields[i].Name))
		}
	}
	tf.source = f.opts.Block.segments(t)
	if u := tf.opts.Unwrap; u != nil {
		tf.added = join(u.segments(&f.opts.Block, t))
	}
	if tf.chain, err = tf.compileChain(); err != nil {
		return nil, err
	}
	if tf.chain != nil {
		return tf, tf.chain.schemas(tf)
	}
	return tf, tf.schemas()
}

// segments gives the encoded form of the field within the source block.
func (f *SourceField) segments(b *Block, t *Table) []segment {
	present, null := byte(2), byte(0)
	if f.snapshot {
		present, null = 0, 2
	}
	if f.Const != nil {
		text := f.Const(b, t)
		switch {
		case !f.Nullable:
			return []segment{{fixed: AppendString(nil, text)}}
		case text == "":
			return []segment{{fixed: []byte{null}}}
		}
		return []segment{{fixed: AppendString([]byte{present}, text)}}
	}
	if !f.Nullable {
		return []segment{{dyn: func(dst []byte, c *Change) []byte { return f.Append(dst, &c.Source) }}}
	}
	return []segment{{dyn: func(dst []byte, c *Change) []byte {
		if f.Null(&c.Source) {
			return append(dst, null)
		}
		return f.Append(append(dst, present), &c.Source)
	}}}
}

// join merges neighbouring constants.
func join(in []segment) []segment {
	var out []segment
	for _, s := range in {
		if n := len(out); s.dyn == nil && n > 0 && out[n-1].dyn == nil {
			out[n-1].fixed = append(out[n-1].fixed, s.fixed...)
			continue
		}
		out = append(out, s)
	}
	return out
}

func appendSegments(dst []byte, segments []segment, c *Change) []byte {
	for i := range segments {
		if s := &segments[i]; s.dyn != nil {
			dst = s.dyn(dst, c)
		} else {
			dst = append(dst, s.fixed...)
		}
	}
	return dst
}

func (tf *TableFormat) schemas() error {
	t, n := tf.out, tf.opts.Naming
	if len(tf.key) > 0 {
		name, err := n.record(t.ID, "Key")
		if err != nil {
			return err
		}
		fields, err := n.named(t.ID, tf.keys)
		if err != nil {
			return err
		}
		w := newSchemaWriter()
		w.fields(name, "", fields, 0)
		tf.KeySchema = string(w.b)
	}
	value, err := n.record(t.ID, "Value")
	if err != nil {
		return err
	}
	w := newSchemaWriter()
	if u := tf.opts.Unwrap; u != nil {
		fields, err := tf.flat(u)
		if err != nil {
			return err
		}
		w.fields(value, "", fields, 0)
	} else {
		full, err := n.record(t.ID, "Envelope")
		if err != nil {
			return err
		}
		if err := w.envelope(tf, value, full); err != nil {
			return err
		}
	}
	tf.ValueSchema = string(w.b)
	return nil
}

// flat returns the fields of the flat form.
func (tf *TableFormat) flat(u *Unwrap) ([]Column, error) {
	out, err := tf.opts.Naming.named(tf.Table.ID, tf.out.Columns)
	for _, f := range u.fields(&tf.opts.Block) {
		out = append(out, Column{Name: f.name, Nullable: true, Type: TypeOf(f.kind), schema: f.schema})
	}
	return out, err
}

// fields writes a record. space is the enclosing namespace, version its
// connect.version, 0 = none.
func (w *schemaWriter) fields(full, space string, columns []Column, version int) {
	own, name := splitName(full)
	w.raw(`{"type":"record"`)
	w.attr("name", name)
	if own != space {
		w.attr("namespace", own)
	}
	w.raw(`,"fields":[`)
	for i := range columns {
		if i > 0 {
			w.raw(",")
		}
		c := &columns[i]
		if c.schema != "" {
			w.field(c.Name, `["null",`+c.schema+`]`, "null")
		} else {
			w.column(c.Name, c)
		}
	}
	w.raw("]")
	if version > 0 {
		w.attrInt("connect.version", version)
	}
	w.attr("connect.name", full)
	w.raw("}")
}

// envelope writes the record called full around the row's record called value.
func (w *schemaWriter) envelope(tf *TableFormat, value, full string) error {
	space, name := splitName(full)
	_, row := splitName(value)
	fields, err := tf.opts.Naming.named(tf.Table.ID, tf.out.Columns)
	if err != nil {
		return err
	}
	w.raw(`{"type":"record"`)
	w.attr("name", name)
	w.attr("namespace", space)
	w.raw(`,"fields":[{"name":"before","type":["null",`)
	w.fields(value, space, fields, 0)
	w.raw(`],"default":null},{"name":"after","type":["null",`)
	w.quote(row)
	w.raw(`],"default":null},{"name":"source","type":`)
	w.source(&tf.opts.Block, space)
	w.raw(`},{"name":"transaction","type":` + transactionBlock + `,"default":null},{"name":"op","type":"string"}`)
	for _, ts := range []string{"ts_ms", "ts_us", "ts_ns"} {
		w.raw(",")
		w.field(ts, `["null","long"]`, "null")
	}
	w.raw("]")
	w.attrInt("connect.version", 2)
	w.attr("connect.name", full)
	w.raw("}")
	return nil
}

// Wire is what precedes the Avro body of keys and values: the registry's magic
// and schema id.
type Wire struct{ Key, Value []byte }

// Message is one Kafka record. Its slices are valid as long as the Messages
// that it came from are not reset.
type Message struct {
	Key         []byte // nil = null
	Value       []byte // nil = tombstone
	Header      string // name of the one header, "" = none
	HeaderValue []byte

	// What transforms say.
	Topic   string          // "" = that of the TableFormat
	Headers []MessageHeader // further ones
	Millis  int64           // timestamp in ms since 1970, 0 = now
	// Partition is the partition and 1, 0 = what the key says.
	Partition int32
	Schema    string // schema of this value, "" = that of the TableFormat
}

// Messages collects the Kafka records of changes; their memory is Buf.
type Messages struct {
	List []Message
	Buf  []byte
}

// Reset empties the list and keeps its memory.
func (r *Messages) Reset() {
	clear(r.List)
	r.List, r.Buf = r.List[:0], r.Buf[:0]
}

// The headers of the two halves of an update that changed the key.
const (
	headerNewKey = "__debezium.newkey"
	headerOldKey = "__debezium.oldkey"
)

// HeaderUnknown is the header of a deleted row in the flat form that names, as a
// JSON list, the fields that the log does not have of it.
const HeaderUnknown = "tributary.unknown.fields"

// unknown adds the header of the fields that are not known of a deleted row.
func (tf *TableFormat) unknown(r *Messages, c *Change, headers []MessageHeader) []MessageHeader {
	if tf.opts.Unwrap == nil || c.Op != Delete || c.Known == nil && c.Before != nil {
		return headers
	}
	start := len(r.Buf)
	for i, at := range tf.place {
		if tf.knows(c, at) {
			continue
		}
		r.Buf = append(append(r.Buf, ','), tf.names[i]...)
	}
	if len(r.Buf) == start {
		return headers
	}
	r.Buf[start] = '['
	r.Buf = append(r.Buf, ']')
	return append(headers, MessageHeader{HeaderUnknown, r.Buf[start:len(r.Buf):len(r.Buf)]})
}

// knows reports whether the log has a column of Table of a deleted row.
func (tf *TableFormat) knows(c *Change, column int) bool {
	if c.Before == nil {
		return slices.Contains(tf.key, column)
	}
	return c.Known == nil || c.Known[column]
}

// Append adds the records of c: one, or for a delete also the tombstone, or
// for an update that changed the key the delete of the old row, its tombstone
// and the create of the new one. Depending on the options it may add none. An
// error is of a transform.
func (tf *TableFormat) Append(r *Messages, w Wire, c *Change) error {
	if tf.opts.SkipUnchanged && c.Op == Update && c.Before != nil && bytes.Equal(c.Before, c.After) {
		return nil
	}
	if tf.rewrite != nil {
		var err error
		if c, err = tf.rewrite.change(r, c); err != nil {
			return err
		}
	}
	if c.Op != Update || c.OldKey == nil {
		return tf.append(r, w, c, "", nil)
	}
	start := len(r.Buf)
	r.Buf = tf.appendKeyJSON(r.Buf, c.Key)
	mid := len(r.Buf)
	r.Buf = tf.appendKeyJSON(r.Buf, c.OldKey)
	newKey, oldKey := r.Buf[start:mid:mid], r.Buf[mid:len(r.Buf):len(r.Buf)]

	half := *c
	half.Op, half.Key, half.OldKey, half.After = Delete, c.OldKey, nil, nil
	if !tf.opts.SkipDeletes {
		if err := tf.append(r, w, &half, headerNewKey, newKey); err != nil {
			return err
		}
	}
	if tf.opts.SkipCreates {
		return nil
	}
	half = *c
	half.Op, half.OldKey, half.Before = Create, nil, nil
	if c.Order > 0 {
		half.Order, half.TableOrder = c.Order+1, c.TableOrder+1
	}
	return tf.append(r, w, &half, headerOldKey, oldKey)
}

func (tf *TableFormat) append(r *Messages, w Wire, c *Change, header string, headerValue []byte) error {
	record, tombstone := true, c.Op == Delete && tf.opts.Tombstones
	if u := tf.opts.Unwrap; u != nil {
		if c.Op == Truncate {
			return nil // it has no flat form
		}
		if c.Op == Delete {
			record, tombstone = u.Deletes.emits(tombstone)
		}
	}
	if tf.chain != nil && len(tf.chain.run) > 0 {
		return tf.appendTransformed(r, w, c, Message{Header: header, HeaderValue: headerValue}, record, tombstone)
	}
	rec := Message{Header: header, HeaderValue: headerValue}
	if record {
		rec.Headers = tf.unknown(r, c, nil)
	}
	if c.Key != nil {
		start := len(r.Buf)
		r.Buf = append(append(r.Buf, w.Key...), c.Key...)
		rec.Key = r.Buf[start:len(r.Buf):len(r.Buf)]
	}
	if record {
		start := len(r.Buf)
		r.Buf = append(r.Buf, w.Value...)
		if tf.opts.Unwrap != nil {
			r.Buf = tf.appendFlat(r.Buf, c)
		} else {
			r.Buf = tf.appendEnvelope(r.Buf, c)
		}
		rec.Value = r.Buf[start:len(r.Buf):len(r.Buf)]
		r.List = append(r.List, rec)
	}
	if tombstone {
		rec.Value, rec.Headers = nil, nil
		r.List = append(r.List, rec)
	}
	return nil
}

func (tf *TableFormat) appendEnvelope(dst []byte, c *Change) []byte {
	dst = appendOptional(dst, c.Before)
	dst = appendOptional(dst, c.After)
	dst = appendSegments(dst, tf.source, c)
	dst = tf.opts.Block.appendOrder(dst, c)
	dst = append(dst, 2, byte(c.Op)) // a string of length 1
	dst = AppendLong(append(dst, 2), floorDiv(c.TsNs, 1e6))
	dst = AppendLong(append(dst, 2), floorDiv(c.TsNs, 1e3))
	return AppendLong(append(dst, 2), c.TsNs)
}

func appendOptional(dst []byte, r Row) []byte {
	if r == nil {
		return append(dst, 0)
	}
	return append(append(dst, 2), r...)
}

// appendFlat appends the row that a change leaves or, for a delete, found, and
// the added fields.
func (tf *TableFormat) appendFlat(dst []byte, c *Change) []byte {
	return appendSegments(tf.appendRow(dst, c), tf.added, c)
}

func (tf *TableFormat) appendRow(dst []byte, c *Change) []byte {
	switch {
	case c.Op != Delete:
		return append(dst, c.After...)
	case c.Before != nil:
		return append(dst, c.Before...)
	default:
		return tf.appendKeyOnly(dst, c.Key)
	}
}

// appendKeyOnly makes a row of a key, for a log that carries no more of a
// deleted row.
func (tf *TableFormat) appendKeyOnly(dst []byte, key Row) []byte {
	cells := make(map[int][]byte, len(tf.keys))
	for n, i := range tf.key {
		rest := skip(&tf.keys[n], key)
		cells[i] = key[:len(key)-len(rest)]
		key = rest
	}
	for i := range tf.out.Columns {
		if v, ok := cells[tf.place[i]]; ok {
			dst = append(dst, v...)
		} else {
			dst = tf.out.Columns[i].AppendMissing(dst)
		}
	}
	return dst
}

// value splits the encoded value of a column off src; null is reported.
func value(c *Column, src []byte) (v, rest []byte, null bool) {
	if c.Nullable {
		if isNull := (src[0] == 0) == (c.Default == nil); isNull {
			return nil, src[1:], true
		}
		src = src[1:]
	}
	rest = c.Type.skip(src)
	return src[:len(src)-len(rest)], rest, false
}

func skip(c *Column, src []byte) []byte {
	_, rest, _ := value(c, src)
	return rest
}

// appendKeyJSON appends a key as Connect's JSON converter writes it without
// schema: {"id":1,"code":"AAA"}, bytes in base64.
func (tf *TableFormat) appendKeyJSON(dst []byte, key Row) []byte {
	dst = append(dst, '{')
	src := []byte(key)
	for i := range tf.keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		col := &tf.keys[i]
		dst = append(appendJSONString(dst, tf.opts.Naming.Fields.apply(col.Name, false)), ':')
		v, rest, null := value(col, src)
		src = rest
		if null {
			dst = append(dst, "null"...)
			continue
		}
		dst = appendJSONValue(dst, &col.Type, v)
	}
	return append(dst, '}')
}

func appendJSONValue(dst []byte, t *Type, v []byte) []byte {
	switch t.Kind {
	case Boolean:
		return strconv.AppendBool(dst, v[0] != 0)
	case Int, Long:
		n, _ := decodeLong(v)
		return strconv.AppendInt(dst, n, 10)
	case Float:
		return appendJSONFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))), 32)
	case Double:
		return appendJSONFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(v)), 64)
	case String:
		_, body := decodeLong(v)
		return appendJSONString(dst, string(body))
	case Bytes:
		_, body := decodeLong(v)
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, body)
		return append(dst, '"')
	default:
		dst, _ = appendJSONNested(dst, t, v)
		return dst
	}
}
