package postgres

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"

	"tributary/envelope"
)

var errArray = errors.New("not an array")

// mapArray maps an array by its elements. All elements may be null. The array
// of an event has no dimensions: those of an array with several are written in
// the order of storage, the last subscript running fastest.
func mapArray(t pgType, m *modes) (mapping, bool) {
	elem := *t.elem
	if m.defects.leavesOut(&elem) {
		return mapping{}, false
	}
	elem.typmod = t.typmod
	if elem.oid == oidTime && !m.debezium35 {
		elem.typmod = -1 // always in microseconds
	}
	em := *m
	if elem.oid == oidTime && m.times == "connect" && !m.debezium35 {
		em.times = "adaptive"
	}
	item, ok := mapType(elem, &em)
	if !ok {
		return mapping{}, false
	}
	if m.defects.times && elem.oid == oidTime && !m.debezium35 {
		item.encode = m.defects.timeItems(item.encode, t.typmod, m.times)
	}
	encode, typ := appendArray(item.encode, t.delim), envelope.TypeArray(item.typ)
	if m.defects.enums && elem.enum != nil {
		encode, typ.ItemsNullable = appendStrict(item.encode, t.delim), false
	}
	if m.defects.dimensions && typ.ItemsNullable {
		encode = m.defects.rows(encode)
	}
	return mapping{typ: typ, encode: encode, unavailable: unavailableItems(&item), noDefault: true, array: true}, true
}

// unavailableItems is an array that stands for an absent value: with the one
// element that does, or with a number for each letter of the placeholder.
func unavailableItems(item *mapping) func(placeholder string) []byte {
	switch one := item.unavailable; {
	case item.typ.Name == envelope.TypeUUID().Name:
		return func(p string) []byte { return append(append([]byte{2, 2}, placeholderText(nameUUID(p))...), 0) }
	case one != nil && !item.array:
		return func(p string) []byte { return append(append([]byte{2, 2}, one(p)...), 0) }
	case item.typ.Kind == envelope.String:
		return func(p string) []byte { return append(append([]byte{2, 2}, placeholderText(p)...), 0) }
	}
	return letters(item.typ.Kind, true)
}

// letters is an array with a number for each letter of the placeholder, nil for
// elements that are no numbers.
func letters(kind envelope.Kind, nullable bool) func(placeholder string) []byte {
	var number func(dst []byte, c byte) []byte
	switch kind {
	case envelope.Int, envelope.Long:
		number = func(dst []byte, c byte) []byte { return envelope.AppendLong(dst, int64(c)) }
	case envelope.Float:
		number = func(dst []byte, c byte) []byte { return envelope.AppendFloat(dst, float32(c)) }
	case envelope.Double:
		number = func(dst []byte, c byte) []byte { return envelope.AppendDouble(dst, float64(c)) }
	default:
		return nil
	}
	return func(p string) []byte {
		out := envelope.AppendLong(nil, int64(len(p)))
		for _, c := range []byte(p) {
			if nullable {
				out = append(out, 2)
			}
			out = number(out, c)
		}
		return append(out, 0)
	}
}

// nameUUID is the placeholder as a UUID of version 3 without a namespace, as
// Java's UUID.nameUUIDFromBytes makes it.
func nameUUID(p string) string {
	sum := md5.Sum([]byte(p)) //nolint:gosec // says nothing secret
	sum[6], sum[8] = sum[6]&0x0f|0x30, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:])
}

// numbers is the text "1 2 3" of int2vector and oidvector, as an array.
func numbers(item envelope.Type) mapping {
	return mapping{typ: envelope.Type{Kind: envelope.Array, Items: &item}, noDefault: true, encode: func(dst, src []byte) ([]byte, error) {
		return appendItems(dst, bytes.ReplaceAll(src, []byte{' '}, []byte{','}), appendInteger)
	}}
}

// vector is the text "[1,2,3]" of pgvector.
func vector(name string, kind envelope.Kind, fn envelope.Append) mapping {
	item := envelope.TypeOf(kind)
	return mapping{typ: envelope.Type{Kind: envelope.Array, Name: name, Version: 1, Items: &item}, noDefault: true, unavailable: letters(kind, false),
		encode: func(dst, src []byte) ([]byte, error) {
			if len(src) < 2 || src[0] != '[' || src[len(src)-1] != ']' {
				return dst, errArray
			}
			return appendItems(dst, src[1:len(src)-1], fn)
		}}
}

// appendItems appends numbers that commas part as an array whose items are
// never null.
func appendItems(dst, src []byte, fn envelope.Append) ([]byte, error) {
	if len(src) == 0 {
		return append(dst, 0), nil
	}
	n := int64(1)
	for _, b := range src {
		if b == ',' {
			n++
		}
	}
	dst = envelope.AppendLong(dst, n)
	for start, i := 0, 0; i <= len(src); i++ {
		if i < len(src) && src[i] != ',' {
			continue
		}
		var err error
		if dst, err = fn(dst, src[start:i]); err != nil {
			return dst, err
		}
		start = i + 1
	}
	return append(dst, 0), nil
}

// appendArray reads the text form of an array (PostgreSQL manual, "Array Input
// and Output Syntax"): elements in braces with delim between, in double quotes
// where needed, with bounds before where they do not begin at 1.
func appendArray(item envelope.Append, delim byte) envelope.Append {
	if delim == 0 {
		delim = ','
	}
	return func(dst, src []byte) ([]byte, error) {
		n, err := (&arrayReader{rest: src, delim: delim}).count()
		if err != nil || n == 0 {
			return append(dst, 0), err
		}
		dst = envelope.AppendLong(dst, int64(n))
		r := arrayReader{rest: src, delim: delim}
		for {
			cell, ok, err := r.next()
			if err != nil {
				return dst, err
			}
			if !ok {
				return append(dst, 0), nil
			}
			if cell == nil {
				dst = append(dst, 0)
			} else if dst, err = item(append(dst, 2), cell); err != nil {
				return dst, err
			}
		}
	}
}

// appendStrict is appendArray for elements that are never NULL.
func appendStrict(item envelope.Append, delim byte) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		n, err := (&arrayReader{rest: src, delim: delim}).count()
		if err != nil || n == 0 {
			return append(dst, 0), err
		}
		dst = envelope.AppendLong(dst, int64(n))
		r := arrayReader{rest: src, delim: delim}
		for range n {
			cell, _, err := r.next()
			if err == nil && cell == nil {
				err = errArrayNull
			}
			if err == nil {
				dst, err = item(dst, cell)
			}
			if err != nil {
				return dst, err
			}
		}
		return append(dst, 0), nil
	}
}

var errArrayNull = errors.New("an element is NULL, which debezium.defects leaves no form for")

// arrayReader takes the text of an array apart.
type arrayReader struct {
	rest    []byte
	delim   byte
	begun   bool
	depth   int
	scratch []byte // for elements that are quoted
}

// count returns the number of elements and checks the whole text.
func (r *arrayReader) count() (int, error) {
	for n := 0; ; n++ {
		_, ok, err := r.next()
		if err != nil || !ok {
			return n, err
		}
	}
}

// next returns the next element, nil for NULL; it is valid until the following
// call. ok is false at the end.
func (r *arrayReader) next() (cell []byte, ok bool, err error) {
	if !r.begun {
		r.begun = true
		if len(r.rest) > 0 && r.rest[0] == '[' { // [1:2][0:3]={{…
			for len(r.rest) > 0 && r.rest[0] != '=' {
				r.rest = r.rest[1:]
			}
			if len(r.rest) > 0 {
				r.rest = r.rest[1:]
			}
		}
		if len(r.rest) == 0 || r.rest[0] != '{' {
			return nil, false, errArray
		}
	}
	for len(r.rest) > 0 {
		switch b := r.rest[0]; {
		case b == '{':
			r.depth++
		case b == '}':
			if r.depth--; r.depth < 0 {
				return nil, false, errArray
			}
		case r.depth == 0:
			return nil, false, errTrailing
		case b == r.delim:
		case b == '"':
			cell, err = r.quoted()
			return cell, err == nil, err
		default:
			cell = r.bare()
			return cell, true, nil
		}
		r.rest = r.rest[1:]
	}
	if r.depth != 0 {
		return nil, false, errArray
	}
	return nil, false, nil
}

func (r *arrayReader) bare() []byte {
	i := 0
	for i < len(r.rest) && r.rest[i] != r.delim && r.rest[i] != '}' {
		i++
	}
	cell := r.rest[:i:i]
	r.rest = r.rest[i:]
	if string(cell) == "NULL" {
		return nil
	}
	return cell
}

func (r *arrayReader) quoted() ([]byte, error) {
	r.scratch = r.scratch[:0]
	for i := 1; i < len(r.rest); i++ {
		switch b := r.rest[i]; {
		case b == '"':
			r.rest = r.rest[i+1:]
			if r.scratch == nil {
				return []byte{}, nil
			}
			return r.scratch, nil
		case b == '\\' && i+1 < len(r.rest):
			i++
			r.scratch = append(r.scratch, r.rest[i])
		default:
			r.scratch = append(r.scratch, b)
		}
	}
	return nil, errArray
}
