package envelope

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // a user's choice, for pseudonyms
	"crypto/sha1" //nolint:gosec // a user's choice, for pseudonyms
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"tributary/internal/fault"
)

// Rewrite changes tables and rows before they become records: columns that are
// masked, other keys, types told in the schema. The zero value changes
// nothing.
type Rewrite struct {
	Masks    []Mask
	Keys     []KeyRule
	Types    []func(id TableID, c *Column) bool // columns whose type is told in the schema
	Comments bool                               // tell columns' comments in the schema
	// Values says which columns are in values, nil = all. A table has those of its
	// key besides, which are then in keys alone.
	Values func(id TableID, column string) bool
	// Times is the form of dates and times: microseconds, nanoseconds or
	// isostring; "" = as they are.
	Times string
}

// Mask replaces the values of text columns. Those of a table's key are
// replaced in the row, but not in the key.
type Mask struct {
	Match func(id TableID, c *Column) bool
	// One of these is set.
	Chars    int                           // so many asterisks, for null too
	Truncate int                           // the first so many characters
	Hash     func(dst, text []byte) []byte // the hash in hexadecimal
}

// KeyRule gives tables another key.
type KeyRule struct {
	Match   func(id TableID) bool
	Columns []string
}

// Hasher returns Debezium's hash of text for an algorithm of Java's
// MessageDigest. With version 1 what is hashed is the text as Java serializes
// it, with version 2 its UTF-8.
func Hasher(algorithm string, salt []byte, version int) (func(dst, text []byte) []byte, error) {
	newHash, ok := map[string]func() hash.Hash{
		"MD5": md5.New, "SHA-1": sha1.New, "SHA": sha1.New, "SHA-224": sha256.New224, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New,
	}[strings.ToUpper(algorithm)]
	if !ok {
		return nil, fmt.Errorf("hash algorithm %q is none of MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512", algorithm)
	}
	return func(dst, text []byte) []byte {
		h := newHash()
		h.Write(salt)
		if version == 1 {
			text = javaString(text)
		}
		h.Write(text)
		return hex.AppendEncode(dst, h.Sum(nil))
	}, nil
}

// javaString is a string as Java's ObjectOutputStream writes it: stream magic,
// TC_STRING or TC_LONGSTRING, length, modified UTF-8.
func javaString(text []byte) []byte {
	var body []byte
	for _, r := range string(text) {
		switch hi, lo := utf16.EncodeRune(r); {
		case r == 0:
			body = append(body, 0xc0, 0x80)
		case r > 0xffff:
			for _, u := range []rune{hi, lo} {
				body = append(body, 0xe0|byte(u>>12), 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f)) //nolint:gosec // masked
			}
		default:
			body = utf8.AppendRune(body, r)
		}
	}
	out := []byte{0xac, 0xed, 0, 5}
	if len(body) <= 0xffff {
		out = binary.BigEndian.AppendUint16(append(out, 0x74), uint16(len(body))) //nolint:gosec // checked
	} else {
		out = binary.BigEndian.AppendUint64(append(out, 0x7c), uint64(len(body)))
	}
	return append(out, body...)
}

// tableRewrite is a Rewrite of one table version.
type tableRewrite struct {
	from, to *Table
	values   []func(dst, v []byte, null bool) []byte // by column; nil = it stays
	changes  bool                                    // some of values are set
	keyed    bool                                    // the key is made of the row
	key      []int                                   // the key's columns, as indexes of from
	drop     []bool                                  // by column of from: it is not in values
	drops    bool                                    // some of drop are set
	times    []converter                             // by column; nil = it stays. Done before values, and to keys
	timed    bool                                    // some of times are set
	keys     []Column                                // of from, with the types that keys have
}

// table returns nil if the table stays as it is.
func (w *Rewrite) table(t *Table) (*tableRewrite, error) {
	to := &Table{ID: t.ID, Columns: slices.Clone(t.Columns), Key: t.Key}
	out := &tableRewrite{from: t, to: to, values: make([]func([]byte, []byte, bool) []byte, len(t.Columns)), times: make([]converter, len(t.Columns)), key: t.Key, drop: make([]bool, len(t.Columns))}
	changed, err := out.retime(w.Times)
	if err != nil {
		return nil, err
	}
	for _, k := range w.Keys {
		if !k.Match(t.ID) {
			continue
		}
		out.key, out.keyed, changed = nil, true, true
		for _, name := range k.Columns {
			i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
			if i < 0 {
				return nil, fault.Humanf("correct message.key.columns", "message.key.columns has column %s of table %s, which does not exist or is left out", name, t.ID)
			}
			out.key = append(out.key, i)
		}
		break
	}
	for i := range to.Columns {
		c := &to.Columns[i]
		if w.Comments && c.Comment != "" {
			c.Type.Doc, changed = c.Comment, true
		}
		if slices.ContainsFunc(w.Types, func(m func(TableID, *Column) bool) bool { return m(t.ID, c) }) {
			c.tellType()
			changed = true
		}
		for m := range w.Masks {
			if mask := &w.Masks[m]; out.times[i] == nil && mask.Match(t.ID, c) && mask.applies(c) {
				out.values[i] = mask.value(c)
				c.addParams(mask.params(c)...)
				changed, out.changes = true, true
			}
		}
	}
	for i := range t.Columns {
		out.drop[i] = w.Values != nil && !w.Values(t.ID, t.Columns[i].Name)
		out.drops = out.drops || out.drop[i]
	}
	if !changed && !out.drops {
		return nil, nil //nolint:nilnil // it stays
	}
	out.narrow()
	return out, nil
}

// narrow takes the columns that are not in values out of the table.
func (w *tableRewrite) narrow() {
	at := make([]int, len(w.drop)) // index in to of each column of from
	columns := w.to.Columns[:0:0]
	for i, dropped := range w.drop {
		at[i] = len(columns)
		if !dropped {
			columns = append(columns, w.to.Columns[i])
		}
	}
	w.to.Columns, w.to.Key = columns, nil
	for _, i := range w.key {
		if !w.drop[i] {
			w.to.Key = append(w.to.Key, at[i])
		}
	}
}

// retime gives temporal columns the types of a mode.
func (w *tableRewrite) retime(mode string) (bool, error) {
	for i := range w.to.Columns {
		if c := &w.to.Columns[i]; mode != "" {
			var fn converter
			if c.Type, fn = retime(mode, &c.Type); fn == nil {
				continue
			}
			w.times[i], w.timed = fn, true
			if c.Default != nil {
				def, err := fn(nil, c.Default)
				if err != nil {
					return false, fault.Human(fmt.Errorf("default of column %s of table %s: %w", c.Name, w.from.ID, err), "choose another time.precision.mode: microseconds or isostring")
				}
				c.Default = def
			}
		}
	}
	w.keys = slices.Clone(w.to.Columns)
	return w.timed, nil
}

func (c *Column) addParams(p ...Param) {
	c.Type.Params = append(c.Type.Params[:len(c.Type.Params):len(c.Type.Params)], p...)
}

// SourceType takes the type apart as the database spells it: DECIMAL UNSIGNED,
// 8, 2; -1 for what is not there.
func (c *Column) SourceType() (name string, length, scale int) {
	if d := c.Declared; d != nil {
		return d.Name, d.Length, d.Scale
	}
	length, scale = -1, -1
	head, rest, ok := strings.Cut(c.Native, "(")
	if ok {
		args, tail, _ := strings.Cut(rest, ")")
		first, second, _ := strings.Cut(args, ",")
		if n, err := strconv.Atoi(first); err == nil {
			length = n
		}
		if n, err := strconv.Atoi(strings.TrimSpace(second)); err == nil && length >= 0 {
			scale = n
		}
		head += tail
	}
	return strings.ToUpper(strings.TrimSpace(strings.TrimSuffix(head, " zerofill"))), length, scale
}

func (c *Column) tellType() {
	name, length, scale := c.SourceType()
	const source = "__debezium.source.column."
	p := []Param{{source + "type", name}}
	if length >= 0 {
		p = append(p, Param{source + "length", strconv.Itoa(length)})
	}
	if scale >= 0 {
		p = append(p, Param{source + "scale", strconv.Itoa(scale)})
	}
	if c.Comment != "" {
		p = append(p, Param{source + "comment", c.Comment})
	}
	c.addParams(append(p, Param{source + "name", c.Name})...)
}

// applies reports whether the mask changes values of the column's type.
func (m *Mask) applies(c *Column) bool {
	_, length, _ := c.SourceType()
	return c.Type.Kind == String && (m.Truncate == 0 || length < 0 || length > m.Truncate)
}

func (m *Mask) params(*Column) []Param {
	if m.Truncate > 0 {
		return []Param{{"truncateLength", strconv.Itoa(m.Truncate)}}
	}
	return []Param{{"masked", "true"}}
}

// value returns the function that writes the column's value, union index
// included, for one whose bare value is v.
func (m *Mask) value(c *Column) func(dst, v []byte, null bool) []byte {
	col := *c
	switch {
	case m.Truncate > 0:
		return func(dst, v []byte, null bool) []byte {
			if null {
				return col.AppendNull(dst)
			}
			_, text := decodeLong(v)
			return AppendBytes(col.AppendPresent(dst), firstChars(text, m.Truncate))
		}
	case m.Hash != nil:
		_, length, _ := c.SourceType()
		return func(dst, v []byte, null bool) []byte {
			if null {
				return col.AppendNull(dst)
			}
			_, text := decodeLong(v)
			sum := m.Hash(nil, text)
			if length > 0 && length < len(sum) {
				sum = sum[:length]
			}
			return AppendBytes(col.AppendPresent(dst), sum)
		}
	default:
		stars := bytes.Repeat([]byte{'*'}, m.Chars)
		return func(dst, _ []byte, _ bool) []byte { return AppendBytes(col.AppendPresent(dst), stars) }
	}
}

// firstChars is the beginning of text of n characters as Java counts them:
// those beyond the basic plane are two.
func firstChars(text []byte, n int) []byte {
	i := 0
	for i < len(text) {
		r, size := utf8.DecodeRune(text[i:])
		if n--; r > 0xffff {
			n--
		}
		if n < 0 {
			break
		}
		i += size
	}
	return text[:i]
}

// change rewrites the rows and keys of c. The new ones are appended to r.Buf.
func (w *tableRewrite) change(r *Messages, c *Change) (*Change, error) {
	out := *c
	if w.keyed {
		out.Key, out.OldKey = nil, nil
		row := c.After
		if row == nil {
			row = c.Before
		}
		if row != nil && len(w.key) > 0 {
			out.Key = w.keyOf(r, row)
		}
		if c.Op == Update && c.Before != nil && len(w.key) > 0 {
			if old := w.keyOf(r, c.Before); !bytes.Equal(old, out.Key) {
				out.OldKey = old
			}
		}
	}
	var err error
	if w.timed {
		if out.Key, err = w.retimed(r, w.key, out.Key); err == nil {
			out.OldKey, err = w.retimed(r, w.key, out.OldKey)
		}
	}
	if w.changes || w.timed || w.drops {
		if err == nil {
			out.Before, err = w.row(r, c.Before)
		}
		if err == nil {
			out.After, err = w.row(r, c.After)
		}
	}
	if err != nil {
		return nil, fault.Human(fmt.Errorf("table %s: %w", w.from.ID, err), "choose another time.precision.mode: microseconds or isostring")
	}
	return &out, nil
}

func (w *tableRewrite) row(r *Messages, row Row) (Row, error) {
	if row == nil {
		return nil, nil
	}
	start := len(r.Buf)
	src := []byte(row)
	var err error
	for i := range w.from.Columns {
		v, rest, null := value(&w.from.Columns[i], src)
		switch fn := w.values[i]; {
		case w.drop[i]:
		case fn != nil:
			r.Buf = fn(r.Buf, v, null)
		case w.times[i] != nil && !null:
			if r.Buf, err = w.times[i](w.keys[i].AppendPresent(r.Buf), v); err != nil {
				return nil, fmt.Errorf("column %s: %w", w.from.Columns[i].Name, err)
			}
		default:
			r.Buf = append(r.Buf, src[:len(src)-len(rest)]...)
		}
		src = rest
	}
	return r.Buf[start:len(r.Buf):len(r.Buf)], nil
}

// retimed rewrites a key of those columns.
func (w *tableRewrite) retimed(r *Messages, columns []int, key Row) (Row, error) {
	if key == nil {
		return nil, nil
	}
	start := len(r.Buf)
	src := []byte(key)
	var err error
	for _, i := range columns {
		v, rest, null := value(&w.from.Columns[i], src)
		if fn := w.times[i]; fn == nil || null {
			r.Buf = append(r.Buf, src[:len(src)-len(rest)]...)
		} else if r.Buf, err = fn(w.keys[i].AppendPresent(r.Buf), v); err != nil {
			return nil, fmt.Errorf("column %s: %w", w.from.Columns[i].Name, err)
		}
		src = rest
	}
	return r.Buf[start:len(r.Buf):len(r.Buf)], nil
}

func (w *tableRewrite) keyOf(r *Messages, row Row) Row {
	cells := make([][]byte, len(w.from.Columns))
	src := []byte(row)
	for i := range w.from.Columns {
		rest := skip(&w.from.Columns[i], src)
		cells[i] = src[:len(src)-len(rest)]
		src = rest
	}
	start := len(r.Buf)
	for _, i := range w.key {
		r.Buf = append(r.Buf, cells[i]...)
	}
	return r.Buf[start:len(r.Buf):len(r.Buf)]
}
