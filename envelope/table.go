package envelope

import (
	"errors"
	"fmt"
	"strings"

	"tributary/internal/fault"
)

// TableID names a table as its database does. Empty parts do not take part in
// names: PostgreSQL has Schema and Name, MySQL Catalog and Name, SQL Server
// all three.
type TableID struct {
	Catalog string
	Schema  string
	Name    string
}

// String joins the parts with dots: the form that the filters match.
func (id TableID) String() string { return strings.Join(id.parts(), ".") }

func (id TableID) parts() []string {
	parts := make([]string, 0, 3)
	for _, p := range []string{id.Catalog, id.Schema, id.Name} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// Table is one version of a table. It is immutable: DDL makes a new Table.
type Table struct {
	ID      TableID
	Columns []Column
	// Key holds indexes into Columns in the key's own order, which need not
	// be that of Columns. Empty: the table has no key.
	Key []int
}

// Column is a column of a table version.
type Column struct {
	Name     string
	Type     Type
	Nullable bool
	// NullIsDefault has a null written as the default, as Kafka Connect does.
	NullIsDefault bool
	// Default is the bare Avro encoding (no union index) of the column's
	// default, nil when it has none or it is NULL.
	Default []byte
	// Declared is what SourceType returns where Native does not tell it.
	Declared *SourceType
	// Native is the type as the database spells it, for error messages and
	// column.propagate.source.type.
	Native string
	// Comment is the column's comment, "" if it has none or none is wanted.
	Comment string

	schema string // of the non-null value of a field that is no column of a table
}

// SourceType is a column's type as column.propagate.source.type tells it.
type SourceType struct {
	Name          string // in capitals
	Length, Scale int
}

// ErrNull is what an Append returns for a value that is to be written as null.
var ErrNull = errors.New("the value is written as null")

// AppendNull appends a null of a nullable column: the union index alone.
func (c *Column) AppendNull(dst []byte) []byte {
	if c.Default != nil && c.NullIsDefault {
		return append(append(dst, 0), c.Default...)
	}
	if c.Default != nil {
		return append(dst, 2) // [T, "null"]
	}
	return append(dst, 0) // ["null", T]
}

// AppendPresent appends what precedes a value of the column: a union index
// for a nullable column, nothing for another.
func (c *Column) AppendPresent(dst []byte) []byte {
	switch {
	case !c.Nullable:
		return dst
	case c.Default != nil:
		return append(dst, 0)
	default:
		return append(dst, 2)
	}
}

// AppendMissing appends what stands for a value that the log does not carry
// or that is out of place, as Debezium does: null, else the default, else the
// zero of the type.
func (c *Column) AppendMissing(dst []byte) []byte {
	switch {
	case c.Nullable:
		return c.AppendNull(dst)
	case c.Default != nil:
		return append(dst, c.Default...)
	default:
		return c.Type.AppendZero(dst)
	}
}

// Append encodes one value that is not null: src is the database's own form
// (text, or the bytes of its log), dst gets the bare Avro value. Errors say
// what is wrong with the form and never quote the value.
type Append func(dst, src []byte) ([]byte, error)

// Codec encodes the rows of a table version. Columns has an entry for each
// column of Table, in order. A Codec is safe for concurrent use if its
// functions are.
type Codec struct {
	Table   *Table
	Columns []Append
	// Bad is told of a value of a nullable column that has no form, and has it
	// written as null; nil = it is an error.
	Bad func(col *Column, err error)
}

// AppendRow appends the Avro body of a row; cells has the columns' values in
// the order of Table.Columns, nil for NULL.
func (c *Codec) AppendRow(dst []byte, cells [][]byte) ([]byte, error) {
	if len(cells) != len(c.Columns) {
		return dst, fmt.Errorf("encode row of %s: %d values for %d columns", c.Table.ID, len(cells), len(c.Columns))
	}
	var err error
	for i := range c.Columns {
		if dst, err = c.AppendCell(dst, i, cells[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// AppendKey appends the Avro body of the row's key, in the key's order.
func (c *Codec) AppendKey(dst []byte, cells [][]byte) ([]byte, error) {
	var err error
	for _, i := range c.Table.Key {
		if dst, err = c.AppendCell(dst, i, cells[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// AppendCell appends the value of column i, nil for NULL.
func (c *Codec) AppendCell(dst []byte, i int, cell []byte) ([]byte, error) {
	col := &c.Table.Columns[i]
	if cell == nil {
		return col.AppendMissing(dst), nil
	}
	start := len(dst)
	dst, err := c.Columns[i](col.AppendPresent(dst), cell)
	if err == ErrNull && col.Nullable { //nolint:errorlint // it is returned as it is
		return col.AppendNull(dst[:start]), nil
	}
	if err != nil && c.Bad != nil && col.Nullable {
		c.Bad(col, err)
		return col.AppendNull(dst[:start]), nil
	}
	if err != nil {
		return dst, fault.Human(fmt.Errorf("encode column %s of table %s, type %s: %w", col.Name, c.Table.ID, col.Native, err),
			"the value has no form in the type that the options give this column; change decimal.handling.mode or time.precision.mode, or leave the column out with column.exclude.list (PostgreSQL: event.converting.failure.handling.mode: warn writes null instead, as Debezium does by default)")
	}
	return dst, nil
}

// Cell is the encoded value of a column of a row.
func (t *Table) Cell(row Row, column int) []byte {
	src := []byte(row)
	for i := range column {
		src = skip(&t.Columns[i], src)
	}
	return src[:len(src)-len(skip(&t.Columns[column], src))]
}

// Texts gives the values of a row as text, "" for NULL.
func (t *Table) Texts(row Row) []string {
	out := make([]string, len(t.Columns))
	src := []byte(row)
	for i := range t.Columns {
		rest := skip(&t.Columns[i], src)
		out[i] = string(appendText(nil, &t.Columns[i], src[:len(src)-len(rest)]))
		src = rest
	}
	return out
}
