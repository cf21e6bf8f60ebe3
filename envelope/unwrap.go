package envelope

import (
	"fmt"
	"strings"
)

// DeleteMode says what the flat form does with a delete and its tombstone.
type DeleteMode string

// The values of transforms.unwrap.delete.tombstone.handling.mode.
const (
	DeleteDrop             DeleteMode = "drop"                   // neither
	DeleteTombstone        DeleteMode = "tombstone"              // the tombstone alone
	DeleteRewrite          DeleteMode = "rewrite"                // the row, with __deleted
	DeleteRewriteTombstone DeleteMode = "rewrite-with-tombstone" // both
	DeleteToTombstone      DeleteMode = "delete-to-tombstone"    // the delete becomes the tombstone
)

func (m DeleteMode) rewrites() bool { return m == DeleteRewrite || m == DeleteRewriteTombstone }

// emits returns what a delete becomes; tombstone is whether one would follow
// the delete in the envelope form.
func (m DeleteMode) emits(tombstone bool) (row, stone bool) {
	switch m {
	case DeleteDrop:
		return false, false
	case DeleteRewrite:
		return true, false
	case DeleteRewriteTombstone:
		return true, tombstone
	case DeleteToTombstone:
		return false, true
	default:
		return false, tombstone
	}
}

// Unwrap describes the flat form of ExtractNewRecordState: the row itself and
// fields about the change beside it.
type Unwrap struct {
	Deletes DeleteMode
	Prefix  string     // add.fields.prefix
	Add     []AddField // add.fields

	HeadersPrefix string     // add.headers.prefix
	Headers       []AddField // add.headers
	RouteBy       string     // route.by.field, "" = none
	DropHeader    string     // drop.fields.header.name, "" = none
	NullToDefault bool       // replace.null.with.default: in the modes that rewrite, null becomes the column's default
	When          *Predicate // which topics are unwrapped, nil = all
}

// dynamic reports whether there is more to do than to make a flat record.
func (u *Unwrap) dynamic() bool {
	return len(u.Headers) > 0 || u.RouteBy != "" || u.DropHeader != "" || u.NullToDefault
}

// AddField is one of add.fields or add.headers: a field of the envelope, of its
// source block or of its transaction block.
type AddField struct {
	Source      bool   // named with "source."
	Transaction bool   // named with "transaction."
	Name        string // "op", "ts_ms", "lsn"…
	As          string // name in the record, without prefix
}

// ParseAddField parses an entry of add.fields: NAME, source.NAME, and either
// with :NEWNAME.
func ParseAddField(s string) (AddField, error) {
	name, as, renamed := strings.Cut(strings.TrimSpace(s), ":")
	f := AddField{Name: name}
	if rest, ok := strings.CutPrefix(name, "source."); ok {
		f.Source, f.Name = true, rest
	} else if rest, ok := strings.CutPrefix(name, "transaction."); ok {
		f.Transaction, f.Name = true, rest
	}
	f.As = strings.ReplaceAll(name, ".", "_")
	if renamed {
		f.As = as
	}
	if f.Name == "" || f.As == "" || strings.Contains(f.Name, ".") {
		return f, fmt.Errorf("%q is no field of the envelope or its source block", s)
	}
	return f, nil
}

// addedField is a field of the flat form beside the row's.
type addedField struct {
	name   string
	kind   Kind
	schema string // of the non-null value
	segs   func(t *Table) []segment
}

// fields resolves the added fields against a connector's block. A field that
// the connector does not have is left out, as Debezium does.
func (u *Unwrap) fields(b *Block) []addedField {
	var out []addedField
	if u.Deletes.rewrites() {
		yes, no := AppendString([]byte{2}, "true"), AppendString([]byte{2}, "false")
		out = append(out, addedField{u.Prefix + "deleted", String, `"string"`, dynamic(func(dst []byte, c *Change) []byte {
			if c.Op == Delete {
				return append(dst, yes...)
			}
			return append(dst, no...)
		})})
	}
	for _, a := range u.Add {
		f, ok := a.resolve(b)
		if !ok {
			continue
		}
		f.name = u.Prefix + a.As
		out = append(out, f)
	}
	return out
}

func dynamic(fn func(dst []byte, c *Change) []byte) func(*Table) []segment {
	return func(*Table) []segment { return []segment{{dyn: fn}} }
}

func (a AddField) resolve(b *Block) (addedField, bool) {
	if a.Transaction {
		return a.transaction(b)
	}
	if !a.Source {
		unit := map[string]int64{"ts_ms": 1e6, "ts_us": 1e3, "ts_ns": 1}[a.Name]
		switch {
		case a.Name == "op":
			return addedField{kind: String, schema: `"string"`, segs: dynamic(func(dst []byte, c *Change) []byte {
				return append(dst, 2, 2, byte(c.Op))
			})}, true
		case unit > 0:
			return addedField{kind: Long, schema: `"long"`, segs: dynamic(func(dst []byte, c *Change) []byte {
				return AppendLong(append(dst, 2), floorDiv(c.TsNs, unit))
			})}, true
		}
	}
	for i := range b.Fields {
		if f := &b.Fields[i]; f.Name == a.Name {
			return f.added(b), true
		}
	}
	return addedField{}, false
}

// transaction resolves a field of the transaction block.
func (a AddField) transaction(b *Block) (addedField, bool) {
	number := func(get func(*Change) int64) (addedField, bool) {
		return addedField{kind: Long, schema: `"long"`, segs: dynamic(func(dst []byte, c *Change) []byte {
			if c.Order == 0 {
				return append(dst, 0)
			}
			return AppendLong(append(dst, 2), get(c))
		})}, true
	}
	switch a.Name {
	case "id":
		return addedField{kind: String, schema: `"string"`, segs: dynamic(func(dst []byte, c *Change) []byte {
			if c.Order == 0 {
				return append(dst, 0)
			}
			return b.appendTransactionID(append(dst, 2), c)
		})}, true
	case "total_order":
		return number(func(c *Change) int64 { return c.Order })
	case "data_collection_order":
		return number(func(c *Change) int64 { return c.TableOrder })
	}
	return addedField{}, false
}

// added is the source field as ["null", T], whatever it is in the block.
func (f *SourceField) added(b *Block) addedField {
	schema := `"` + f.Kind.String() + `"`
	if f.snapshot {
		schema = enumSnapshot
	}
	return addedField{kind: f.Kind, schema: schema, segs: func(t *Table) []segment {
		if f.Const != nil {
			return []segment{{fixed: AppendString([]byte{2}, f.Const(b, t))}}
		}
		return []segment{{dyn: func(dst []byte, c *Change) []byte {
			if f.Nullable && f.Null(&c.Source) {
				return append(dst, 0)
			}
			return f.Append(append(dst, 2), &c.Source)
		}}}
	}}
}

func (u *Unwrap) segments(b *Block, t *Table) []segment {
	var out []segment
	for _, f := range u.fields(b) {
		out = append(out, f.segs(t)...)
	}
	return out
}

// compile does what is beside the flat record itself: headers and routing.
func (u *Unwrap) compile(s *shape) func(*record) (bool, error) {
	type header struct {
		name string
		col  Column
		segs []segment
	}
	var headers []header
	for _, a := range u.Headers {
		if f, ok := a.resolve(&s.table.opts.Block); ok {
			headers = append(headers, header{u.HeadersPrefix + a.As, Column{Nullable: true, Type: TypeOf(f.kind)}, join(f.segs(s.table.Table))})
		}
	}
	route, base := -1, ""
	if u.RouteBy != "" {
		if i, err := field(s.value, u.RouteBy); err == nil { // a table without it keeps its topic
			route, base = i, s.branch()
		}
	}
	if len(headers) == 0 && route < 0 && u.DropHeader == "" && !u.NullToDefault {
		return nil
	}
	columns := s.value
	routeColumn := Column{}
	if route >= 0 {
		routeColumn = s.value[route]
	}
	return func(r *record) (bool, error) {
		r.from(base)
		for i := range headers {
			h := &headers[i]
			cell := r.keep(func(dst []byte) []byte { return appendSegments(dst, h.segs, r.c) })
			r.headers = append(r.headers, MessageHeader{h.name, r.keep(func(dst []byte) []byte { return appendText(dst, &h.col, cell) })})
		}
		if u.NullToDefault && u.Deletes.rewrites() && !r.null {
			s.table.defaults(r, columns)
		}
		if u.DropHeader != "" && !r.null {
			nullified{u.DropHeader}.apply(r, columns)
		}
		if route >= 0 && !r.null {
			if topic := appendText(nil, &routeColumn, r.value[route]); len(topic) > 0 {
				r.topic = string(topic)
			}
		}
		return true, nil
	}
}

// defaults writes the default of a column for null, but not for what is not
// known.
func (tf *TableFormat) defaults(r *record, columns []Column) {
	for i := range columns {
		if i < len(tf.place) && r.c.Op == Delete && !tf.knows(r.c, tf.place[i]) {
			continue
		}
		if c := &columns[i]; c.Nullable && c.Default != nil {
			if _, _, null := value(c, r.value[i]); null {
				r.value[i] = append(c.AppendPresent(nil), c.Default...)
			}
		}
	}
}

// appendText appends a cell as text, as Connect writes values of headers: null
// as nothing, text as it is, other values as JSON.
func appendText(dst []byte, c *Column, cell []byte) []byte {
	v, _, null := value(c, cell)
	if null {
		return dst
	}
	if c.Type.Kind == String {
		_, text := decodeLong(v)
		return append(dst, text...)
	}
	return appendJSONValue(dst, &c.Type, v)
}
