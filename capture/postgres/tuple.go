package postgres

import (
	"errors"
	"fmt"

	"tributary/envelope"
	"tributary/internal/fault"
)

// tuple reads a tuple into cells.
func (rel *relation) tuple(r *reader, cells [][]byte) error {
	n := int(r.uint16())
	if n != len(rel.columns) {
		if r.bad {
			return errShort
		}
		return fmt.Errorf("tuple of %d columns where %d were announced", n, len(rel.columns))
	}
	for _, at := range rel.columns {
		var cell []byte
		switch r.byte() {
		case cellNull:
		case cellUnchanged:
			cell = unchanged
		case cellText:
			cell = r.take(int(r.uint32()))
			if cell == nil {
				cell = []byte{}
			}
		default:
			if !r.bad {
				return errors.New("unknown kind of cell")
			}
		}
		if at >= 0 {
			cells[at] = cell
		}
	}
	if r.bad {
		return errShort
	}
	return nil
}

func (rel *relation) appendAfter(c *envelope.Change, out *envelope.Changes) error {
	var err error
	if c.After, err = rel.appendRow(rel.new, out); err != nil {
		return err
	}
	c.Key, err = rel.appendKey(rel.new, out)
	return err
}

func (rel *relation) appendRow(cells [][]byte, out *envelope.Changes) (envelope.Row, error) {
	start := len(out.Buf)
	for i, cell := range cells {
		if err := rel.appendCell(i, cell, out); err != nil {
			return nil, err
		}
	}
	return out.Buf[start:len(out.Buf):len(out.Buf)], nil
}

// appendKey returns nil for a table without a key.
func (rel *relation) appendKey(cells [][]byte, out *envelope.Changes) (envelope.Row, error) {
	key := rel.codec.Table.Key
	if len(key) == 0 {
		return nil, nil
	}
	start := len(out.Buf)
	for _, i := range key {
		if err := rel.appendCell(i, cells[i], out); err != nil {
			return nil, err
		}
	}
	return out.Buf[start:len(out.Buf):len(out.Buf)], nil
}

func (rel *relation) appendCell(i int, cell []byte, out *envelope.Changes) (err error) {
	if !isUnchanged(cell) {
		out.Buf, err = rel.codec.AppendCell(out.Buf, i, cell)
		return err
	}
	col := &rel.codec.Table.Columns[i]
	u := rel.unavailable[i]
	if u != nil && len(u) == 0 && col.Nullable {
		out.Buf = col.AppendNull(out.Buf)
		return nil
	}
	if len(u) == 0 {
		return fault.Human(fmt.Errorf("column %s (%s) of table %s is unchanged and stored apart, and its type has no way to say so", col.Name, col.Native, rel.codec.Table.ID),
			fmt.Sprintf("ALTER TABLE %s.%s REPLICA IDENTITY FULL, so that the log carries the value", quoteIdent(rel.codec.Table.ID.Schema), quoteIdent(rel.codec.Table.ID.Name)))
	}
	out.Buf = append(col.AppendPresent(out.Buf), u...)
	return nil
}
