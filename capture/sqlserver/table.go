package sqlserver

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"tributary/envelope"
	"tributary/internal/fault"
)

// table is a version of a captured table: the columns that a capture instance has.
type table struct {
	id      envelope.TableID
	all     []*column // of the instance, also those that are left out
	columns []*column // those of the codec, in its order
	key     []string
	codec   *envelope.Codec
	cells   []cellFunc
	bits    []int    // where each column is in the update mask
	absent  [][]byte // what stands for a value that the log does not carry; nil = null
	warned  []string // columns that are left out, and why
	// lowFirst: update masks have the first columns in their first byte.
	lowFirst bool
	captured int // how many columns its capture instance has
}

// newTable makes a version. ordinals tell where a column is in the update mask; nil
// for a table without a capture instance.
func newTable(id envelope.TableID, columns []*column, key []string, ordinals map[string]int, cfg *settings) (*table, error) {
	t := &table{id: id, all: columns, key: key}
	et := &envelope.Table{ID: id}
	codec := &envelope.Codec{Table: et}
	keys := make(map[string]int)
	for _, c := range columns {
		isKey := slices.Contains(key, c.name)
		if !isKey && !cfg.column(id, c.name) {
			continue
		}
		typ, why := formOf(c, ordinals != nil, cfg.Options)
		if c.encrypted {
			return nil, fault.Humanf("leave the column out with column.exclude.list, or the table", "the values of column %s of %s are encrypted (Always Encrypted): they cannot be read", c.name, id)
		}
		if why != "" {
			if isKey {
				return nil, fault.Humanf("leave the table out, or give it a key of other columns", "column %s of the key of %s %s", c.name, id, why)
			}
			t.warned = append(t.warned, c.name+" "+why)
			continue
		}
		ec := envelope.Column{Name: c.name, Type: typ.typ, Nullable: c.nullable || c.computed, Native: c.cast(), Declared: c.declared()}
		if cell := defaultCell(c); cell != nil {
			text, err := typ.append(nil, cell)
			if err == nil {
				ec.Default = text
			}
		}
		if isKey {
			keys[c.name] = len(et.Columns)
		}
		et.Columns = append(et.Columns, ec)
		absent := absentCell(c, typ.typ, cfg)
		codec.Columns = append(codec.Columns, withAbsent(typ.append, absent))
		t.columns, t.cells = append(t.columns, c), append(t.cells, typ.cell)
		t.bits = append(t.bits, ordinals[c.name])
		t.absent = append(t.absent, absent)
	}
	for _, name := range key {
		if at, ok := keys[name]; ok {
			et.Key = append(et.Key, at)
		}
	}
	if len(et.Key) != len(key) { // the instance does not have all of them
		et.Key, t.key = nil, nil
	}
	t.codec = codec
	return t, nil
}

// formOf finds what a column becomes, or why it has no form in events. Change tables
// have no values of computed columns: NULL would take the place of what a snapshot
// has read.
func formOf(c *column, tracked bool, o *Options) (columnType, string) {
	if c.computed && tracked && !o.keeps("computed") {
		return columnType{}, "is computed, and change tables do not have its values"
	}
	typ, ok := typeOf(c, o)
	if !ok {
		return columnType{}, "has the type " + c.typ + ", which has no form in events"
	}
	return typ, ""
}

// withAbsent has the placeholder written as it is, whatever the type makes of
// values: it is Avro already. It is told by its memory, so that no value can be
// taken for it.
func withAbsent(app envelope.Append, absent []byte) envelope.Append {
	if absent == nil {
		return app
	}
	return func(dst, src []byte) ([]byte, error) {
		if len(src) > 0 && &src[0] == &absent[0] {
			return append(dst, src...), nil
		}
		return app(dst, src)
	}
}

func absentCell(c *column, t envelope.Type, cfg *settings) []byte {
	if !c.lob() || t.Kind != envelope.String && t.Kind != envelope.Bytes {
		return nil
	}
	return envelope.AppendString(nil, cfg.placeholder())
}

// row makes cells of the driver's values, which are those of the columns in their
// order; the memory is dst's.
func (t *table) row(cells [][]byte, dst []byte, values []driver.Value) ([][]byte, []byte, error) {
	cells = cells[:0]
	for i, v := range values {
		if v == nil {
			cells = append(cells, nil)
			continue
		}
		start := len(dst)
		var ok bool
		if dst, ok = t.cells[i](dst, v); !ok {
			return cells, dst, t.form(i, v)
		}
		cells = append(cells, dst[start:len(dst):len(dst)])
	}
	for i := range cells {
		if values[i] != nil && cells[i] == nil {
			cells[i] = []byte{}
		}
	}
	return cells, dst, nil
}

// form is the error of a value that is not as the driver has values of the column's
// type.
func (t *table) form(i int, v driver.Value) error {
	return fmt.Errorf("read column %s of %s: the driver gives a %T for the type %s", t.columns[i].name, t.id, v, t.columns[i].typ)
}

// changed reports whether the update mask has the bit of a column; of one that the
// mask is too short for, it does.
func (t *table) changed(mask []byte, ordinal int) bool {
	at := (ordinal - 1) / 8
	if ordinal < 1 || at >= len(mask) {
		return true
	}
	if !t.lowFirst {
		at = len(mask) - 1 - at
	}
	return mask[at]&(1<<((ordinal-1)%8)) != 0
}

// complete puts the placeholder into the row of a change where the change table
// has NULL for a value that it does not carry.
func (t *table) complete(cells [][]byte, op int64, mask []byte) {
	for i, c := range t.columns {
		if cells[i] != nil || t.absent[i] == nil {
			continue
		}
		switch op {
		case opBefore, opAfter:
			if !t.changed(mask, t.bits[i]) || op == opBefore && c.old() {
				cells[i] = t.absent[i]
			}
		case opDelete:
			if c.old() {
				cells[i] = t.absent[i]
			}
		}
	}
}

// The values of __$operation.
const (
	opDelete = 1
	opInsert = 2
	opBefore = 3
	opAfter  = 4
)

// schema is the table as the topic of schema changes has it.
func (t *table) schema() *envelope.TableSchema {
	out := &envelope.TableSchema{PrimaryKey: t.key}
	for _, c := range t.all {
		out.Columns = append(out.Columns, c.described())
	}
	return out
}

// list is the columns for a SELECT.
func (t *table) list(prefix string) string {
	var b strings.Builder
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + quoted(c.name))
	}
	return b.String()
}

// same reports whether two versions are written the same.
func (t *table) same(u *table) bool {
	if len(t.columns) != len(u.columns) || strings.Join(t.key, "\x00") != strings.Join(u.key, "\x00") {
		return false
	}
	for i := range t.columns {
		a, b := *t.columns[i], *u.columns[i]
		if a != b {
			return false
		}
	}
	return true
}
