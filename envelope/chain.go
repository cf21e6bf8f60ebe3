package envelope

import (
	"fmt"
	"maps"
	"slices"

	"tributary/internal/fault"
)

// Step is one transform of records: it changes what they look like, where they
// go, or drops them. A step is compiled for each table version, so that what
// is known of the table costs nothing when records pass.
type Step interface {
	// compile changes the shape into that of the step's output. What it
	// returns is called for each record, nil for a step that is done with the
	// shape; it returns false to drop the record.
	compile(s *shape) (func(r *record) (bool, error), error)
}

// shape is the form of the records of one table at a place in the chain.
type shape struct {
	table  *TableFormat
	topic  string
	routed bool // records may go to other topics than topic

	key      []Column // fields of the key, empty for none
	keyName  string
	keyPlain bool // the key is its one field, not a record

	flat       bool     // unwrapped: value has the fields
	value      []Column // fields of the value, in the flat form
	valueName  string
	valuePlain bool     // the value is its one field, not a record
	version    int      // connect.version of the value, 0 = none
	opaque     bool     // records have values of other forms than value
	lists      []string // headers whose text is a JSON list of texts

	names func(what string) (string, error) // full names of the envelope's records
}

// record is one on its way through the chain. Cells are whole Avro values,
// union index included, in the order of the shape's fields.
type record struct {
	buf     *Messages
	c       *Change
	topic   string
	key     [][]byte // nil = null
	value   [][]byte // of the flat form
	null    bool     // a tombstone
	headers []MessageHeader
	millis  int64 // Kafka timestamp, 0 = now
	// partition is that of the topic and 1, 0 = what the key says.
	partition int32
	schema    string // of this value, "" = that of the table's
}

// MessageHeader is a header of a Kafka record.
type MessageHeader struct {
	Key   string
	Value []byte
}

// branch has the records go to topics of their own from here on. What it
// returns is the topic of all of them so far, "" if they had such already.
func (s *shape) branch() string {
	if s.routed {
		return ""
	}
	s.routed = true
	return s.topic
}

// from sets the topic that all records have had until they branch.
func (r *record) from(topic string) {
	if topic != "" {
		r.topic = topic
	}
}

// keep appends to the memory of the messages and returns what was appended.
func (r *record) keep(fn func(dst []byte) []byte) []byte {
	start := len(r.buf.Buf)
	r.buf.Buf = fn(r.buf.Buf)
	return r.buf.Buf[start:len(r.buf.Buf):len(r.buf.Buf)]
}

// chain is the compiled steps of a table.
type chain struct {
	out shape
	// run are the steps that records pass: the first before of them see the
	// envelope, the others the cells of the flat form.
	run    []func(r *record) (bool, error)
	before int
	first  string // the topic that records come in with
	// added gives the cells of the fields beside the row's, one each.
	added [][]segment
}

// compileChain compiles the steps; nil if there are none.
func (tf *TableFormat) compileChain() (*chain, error) {
	o := &tf.opts
	if len(o.Before) == 0 && len(o.After) == 0 && (o.Unwrap == nil || !o.Unwrap.dynamic()) {
		return nil, nil //nolint:nilnil // none
	}
	s := shape{table: tf, topic: tf.Topic}
	s.names = func(what string) (string, error) { return o.Naming.record(tf.Table.ID, what) }
	var err error
	if s.key, err = o.Naming.named(tf.Table.ID, tf.keys); err != nil {
		return nil, err
	}
	c := &chain{first: tf.Topic}
	step := func(x Step) error {
		fn, err := x.compile(&s)
		if err != nil {
			return fault.Human(fmt.Errorf("transforms of table %s: %w", tf.Table.ID, err), "correct the transforms, or give them predicates for the topics that they are meant for")
		}
		if fn != nil {
			c.run = append(c.run, fn)
		}
		return nil
	}
	for _, x := range o.Before {
		if err := step(x); err != nil {
			return nil, err
		}
	}
	c.before = len(c.run)
	if s.keyName == "" && len(s.key) > 0 {
		if s.keyName, err = s.names("Key"); err != nil {
			return nil, err
		}
	}
	if s.valueName == "" {
		if s.valueName, err = s.names("Value"); err != nil {
			return nil, err
		}
	}
	if u := o.Unwrap; u != nil && !s.flat { // what is no envelope stays as it is
		s.flat = true
		if s.value, err = tf.flat(u); err != nil {
			return nil, err
		}
		for _, f := range u.fields(&o.Block) {
			c.added = append(c.added, join(f.segs(tf.Table)))
		}
		if fn := u.compile(&s); fn != nil {
			c.run = append(c.run, fn)
		}
	}
	for _, x := range o.After {
		if err := step(x); err != nil {
			return nil, err
		}
	}
	c.out = s
	return c, nil
}

// named returns the columns with the names that their fields have.
func (n Naming) named(id TableID, columns []Column) ([]Column, error) {
	out := slices.Clone(columns)
	for i := range out {
		var err error
		if out[i].Name, err = n.field(id, out[i].Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendTransformed sends the record of c and its tombstone through the chain.
func (tf *TableFormat) appendTransformed(out *Messages, w Wire, c *Change, head Message, record, tombstone bool) error {
	if record {
		if err := tf.appendChain(out, w, c, head, false); err != nil {
			return err
		}
	}
	if tombstone {
		return tf.appendChain(out, w, c, head, true)
	}
	return nil
}

// appendChain sends one record through the chain and adds what comes out. null
// is whether it is a tombstone.
func (tf *TableFormat) appendChain(out *Messages, w Wire, c *Change, head Message, null bool) error {
	ch := tf.chain
	r := record{buf: out, c: c, topic: ch.first, null: null}
	if head.Header != "" {
		r.headers = append(r.headers, MessageHeader{head.Header, head.HeaderValue})
	}
	if !null {
		r.headers = tf.unknown(out, c, r.headers)
	}
	if c.Key != nil {
		r.key = split(tf.keys, c.Key)
	}
	for i, fn := range ch.run {
		if i == ch.before {
			r.split(tf)
		}
		ok, err := fn(&r)
		if err != nil {
			return fault.Human(fmt.Errorf("transform a record of %s: %w", tf.Table.ID, err), "correct the transforms, or leave the table out")
		}
		if !ok {
			return nil
		}
	}
	if !ch.out.routed {
		r.topic = ch.out.topic
	}
	m := Message{Topic: r.topic, Headers: r.headers, Millis: r.millis, Partition: r.partition, Schema: r.schema}
	if r.key != nil {
		m.Key = r.keep(func(dst []byte) []byte { return appendCells(append(dst, w.Key...), r.key) })
	}
	if !r.null {
		m.Value = r.keep(func(dst []byte) []byte {
			switch dst = append(dst, w.Value...); {
			case !ch.out.flat:
				return tf.appendEnvelope(dst, r.c)
			case r.value == nil: // nobody wanted cells
				return tf.appendFlat(dst, r.c)
			}
			return appendCells(dst, r.value)
		})
	}
	out.List = append(out.List, m)
	return nil
}

// split gives the record the cells of the flat form, unless a step has made
// others.
func (r *record) split(tf *TableFormat) {
	if r.null || r.value != nil || tf.opts.Unwrap == nil {
		return
	}
	row := r.keep(func(dst []byte) []byte { return tf.appendRow(dst, r.c) })
	r.value = split(tf.out.Columns, row)
	for _, s := range tf.chain.added {
		r.value = append(r.value, r.keep(func(dst []byte) []byte { return appendSegments(dst, s, r.c) }))
	}
}

// split takes a row apart into the cells of its columns.
func split(columns []Column, row []byte) [][]byte {
	cells := make([][]byte, len(columns), len(columns)+8)
	for i := range columns {
		rest := skip(&columns[i], row)
		cells[i] = row[: len(row)-len(rest) : len(row)-len(rest)]
		row = rest
	}
	return cells
}

func appendCells(dst []byte, cells [][]byte) []byte {
	for _, c := range cells {
		dst = append(dst, c...)
	}
	return dst
}

// field finds a field, or says which there are.
func field(columns []Column, name string) (int, error) {
	if i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name }); i >= 0 {
		return i, nil
	}
	names := make(map[string]bool)
	for _, c := range columns {
		names[c.Name] = true
	}
	return -1, fault.Humanf("correct the transform, or give it a predicate for the topics that it is meant for",
		"there is no field %q; there are %v", name, slices.Sorted(maps.Keys(names)))
}

// schemas writes the schemas of what comes out of the chain.
func (c *chain) schemas(tf *TableFormat) error {
	s := &c.out
	if len(s.key) > 0 {
		w := newSchemaWriter()
		if s.keyPlain {
			w.plain(&s.key[0])
		} else {
			w.fields(s.keyName, "", s.key, 0)
		}
		tf.KeySchema = string(w.b)
	}
	if s.flat {
		tf.ValueSchema = s.valueSchema(s.version)
	} else {
		full, err := s.names("Envelope")
		if err != nil {
			return err
		}
		w := newSchemaWriter()
		if err := w.envelope(tf, s.valueName, full); err != nil {
			return err
		}
		tf.ValueSchema = string(w.b)
	}
	tf.Topic, tf.Routed = s.topic, s.routed
	return nil
}

// valueSchema writes the schema of a value that is no envelope.
func (s *shape) valueSchema(version int) string {
	w := newSchemaWriter()
	if s.valuePlain {
		w.plain(&s.value[0])
	} else {
		w.fields(s.valueName, "", s.value, version)
	}
	return string(w.b)
}

// plain writes the schema of a value that is in no record.
func (w *schemaWriter) plain(c *Column) {
	switch {
	case c.schema != "":
		w.raw(`["null",` + c.schema + "]")
	case !c.Nullable:
		w.typ(&c.Type, nil)
	case c.Default != nil: // the union's order is that of the bytes
		w.raw("[")
		w.typ(&c.Type, nil)
		w.raw(`,"null"]`)
	default:
		w.raw(`["null",`)
		w.typ(&c.Type, nil)
		w.raw("]")
	}
}
