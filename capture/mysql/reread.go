package mysql

import (
	"bytes"
	"fmt"
	"strings"

	"tributary/envelope"
	"tributary/internal/fault"
)

// An update may be logged without columns that it leaves alone, where its session has
// binlog_row_image MINIMAL or NOBLOB. Text and bytes have unavailable.value.placeholder.
// Other types have nothing of the kind: their values are read from the table, by the
// row's key. What was changed since comes with its own record later, so that whoever
// keeps the newest state of a row has the right one.

// lacking is the way out where a change is logged without what it needs.
const lacking = "set binlog_row_image=FULL (or NOBLOB) on the server and in all sessions, for what comes; to go on past what is logged already," +
	" start once with event.processing.failure.handling.mode: warn, which puts it into the topic of dead letters, and have the table read again: cdc-source signal execute-snapshot"

// goneError says that a row cannot be read again because it is not there any more. rest
// is what follows it in the event.
type goneError struct {
	error
	rest []byte
}

func (e goneError) Unwrap() error { return e.error }

// lookUp fills in columns of the row that begins at start by asking the server. Until
// then they hold what stands for a missing value.
func (s *stream) lookUp(row []byte, b *bound, start int, columns []int, rest []byte) ([]byte, error) {
	v := b.version
	names := make([]string, len(columns))
	selected := make([]string, len(columns))
	for i, c := range columns {
		names[i], selected[i] = v.def.Columns[c].Name, v.selected(c)
	}
	what := fmt.Sprintf("an update of %s is logged without column %s (binlog_row_image)", v.def.ID, strings.Join(names, ", "))
	var where []string
	for _, i := range b.key {
		text, ok := sqlLiteral(&v.codec.Table.Columns[v.at[i]], &v.def.Columns[i], row[columnStart(b.ends, i, start):b.ends[i]])
		if !ok {
			return nil, fault.Humanf(lacking, "%s, and no row can be looked for by column %s", what, v.def.Columns[i].Name)
		}
		where = append(where, identifier(v.def.Columns[i].Name)+" = "+text)
	}
	if len(where) == 0 {
		return nil, fault.Humanf(lacking, "%s, and the table has no key by which the value could be read", what)
	}
	if !v.lookedUp {
		v.lookedUp = true
		s.log.Warn("updates are logged without some columns (binlog_row_image): they are read from the table, a query for each row", "table", v.def.ID.String(), "columns", names)
	}
	rows, err := s.cat.reread(s.ctx, v.def.ID, selected, where)
	switch {
	case ofStatement(err): // the table is another by now
		return nil, fault.Humanf(lacking, "%s, and it cannot be read from the table: %v", what, err)
	case err != nil:
		return nil, fmt.Errorf("read columns of %s that the log does not have: %w", v.def.ID, err)
	case len(rows) == 0:
		return nil, goneError{fault.Humanf(lacking, "%s, and the row is not there any more to read it from", what), rest}
	case len(rows) > 1:
		return nil, fault.Humanf(lacking, "%s, and several rows have its key by now", what)
	}
	return b.fill(row, start, columns, rows[0])
}

// plain reports whether text of a column is any text, not that of a time or a member
// of an ENUM.
func plain(c *envelope.Column) bool {
	return c.Type.Name == "" || c.Type.Name == envelope.TypeJSON().Name
}

// fill replaces columns of the row that begins at start by values of which it is given
// the text, nil for NULL.
func (b *bound) fill(row []byte, start int, columns []int, values [][]byte) (_ []byte, err error) {
	old := bytes.Clone(row[start:])
	row = row[:start]
	from := 0
	for i := range b.ends {
		end := b.ends[i] - start
		cell := old[from:end]
		from = end
		for j, column := range columns {
			if column != i {
				continue
			}
			if cell, err = b.version.cell(i, values[j]); err != nil {
				return nil, err
			}
		}
		row = append(row, cell...)
		b.ends[i] = len(row)
	}
	return row, nil
}

// moves reports whether an update, whose row of after begins at start, changes the key.
func (b *bound) moves(after *sides, row []byte, start int) bool {
	for _, i := range b.key {
		if !bytes.Equal(row[columnStart(b.ends, i, start):b.ends[i]], after.row[columnStart(after.before.ends, i, 0):after.before.ends[i]]) {
			return true
		}
	}
	return false
}

// tellsKey fails where the image of before lacks a column of the key, that of
// message.key.columns too: the key would be another row's. Those that are computed are
// asked for.
func (b *bound) tellsKey(side *sides) error {
	if side.whole {
		return nil
	}
	for _, i := range b.told {
		if !side.has(i) && b.version.def.Columns[i].Expression == "" {
			return fault.Humanf(lacking, "a change of %s is logged without column %s of its key (binlog_row_image)", b.version.def.ID, b.version.def.Columns[i].Name)
		}
	}
	return nil
}
