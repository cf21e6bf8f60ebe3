// Package changetext writes changes of rows as lines of text that people read and
// tests compare.
package changetext

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"

	"tributary/envelope"
)

// Lines writes a change of a row. An update that changes the key is a delete and a
// create, as it is in Kafka.
func Lines(c *envelope.Change) []string {
	if c.OldKey != nil {
		before, after := *c, *c
		before.Op, before.Key, before.OldKey, before.After = envelope.Delete, c.OldKey, nil, nil
		after.Op, after.OldKey, after.Before = envelope.Create, nil, nil
		return append(Lines(&before), Lines(&after)...)
	}
	out := c.Op.String() + " " + c.Table.ID.Name
	switch {
	case c.After != nil && c.Before != nil:
		out += rowText(c.Table, c.After) + " |" + rowText(c.Table, c.Before)
	case c.After != nil:
		out += rowText(c.Table, c.After)
	case c.Before != nil:
		out += rowText(c.Table, c.Before)
	default:
		out += keyText(c)
	}
	return []string{out}
}

func rowText(t *envelope.Table, row envelope.Row) string {
	var b strings.Builder
	for i, v := range Cells(t, row) {
		b.WriteString(" " + t.Columns[i].Name + "=" + v)
	}
	return b.String()
}

// keyText is the key alone, where the row is not known.
func keyText(c *envelope.Change) string {
	key := &envelope.Table{ID: c.Table.ID}
	for _, i := range c.Table.Key {
		key.Columns = append(key.Columns, c.Table.Columns[i])
	}
	return rowText(key, c.Key)
}

// Cells are the values of a row as text: null, the number of what is counted,
// decimals in digits, bytes in hexadecimal, text as it is. What is long is cut,
// with its length and the beginning of its SHA-256.
func Cells(t *envelope.Table, row envelope.Row) []string {
	out := t.Texts(row)
	for i := range t.Columns {
		col := &t.Columns[i]
		v := t.Cell(row, i)
		if col.Nullable {
			if (v[0] == 0) == (col.Default == nil) {
				out[i] = "null"
				continue
			}
			v = v[1:]
		}
		if col.Type.Kind == envelope.Bytes {
			_, n := binary.Varint(v)
			out[i] = bytesText(&col.Type, v[n:])
		}
		out[i] = Short(out[i])
	}
	return out
}

func bytesText(t *envelope.Type, v []byte) string {
	if string(v) == envelope.Unavailable {
		return envelope.Unavailable
	}
	if t.Logical != "decimal" {
		return "0x" + hex.EncodeToString(v)
	}
	n := new(big.Int).SetBytes(v)
	if len(v) > 0 && v[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v))))
	}
	digits, sign := n.String(), ""
	if n.Sign() < 0 {
		digits, sign = digits[1:], "-"
	}
	if t.Scale <= 0 {
		return sign + digits
	}
	for len(digits) <= t.Scale {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-t.Scale] + "." + digits[len(digits)-t.Scale:]
}

const longest = 80

// Short cuts a long text, and tells its length and the beginning of its SHA-256.
func Short(s string) string {
	if len(s) <= longest {
		return s
	}
	end := longest / 4
	for !utf8.RuneStart(s[end]) {
		end--
	}
	sum := sha256.Sum256([]byte(s))
	return fmt.Sprintf("%s…(%d bytes, %x)", s[:end], len(s), sum[:4])
}
