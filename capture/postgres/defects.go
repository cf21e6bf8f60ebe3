package postgres

import (
	"bytes"
	"slices"
	"strings"

	"tributary/envelope"
)

// defects are those of Debezium that debezium.defects keeps, for consumers that
// count on them.
type defects struct {
	dimensions  bool // arrays of several dimensions have a null for each row
	defaults    bool // a default is what is between the first two quotes, or the whole expression
	arrays      bool // arrays of some types, and of domains, are left out
	enums       bool // elements of arrays of enumerations are not nullable in the schema
	times       bool // arrays of times have milliseconds, or are null
	nulls       bool // NULL is written as the default
	unavailable bool // values that the log does not carry are null for most types
	unknown     bool // what the log does not have of a deleted row is not told
}

func (o *Options) defects() defects {
	has := func(name string) bool { return slices.Contains(o.Defects, name) || slices.Contains(o.Defects, "all") }
	return defects{has("dimensions"), has("defaults"), has("arrays"), has("enums"), has("times"), has("nulls"), has("unavailable"), has("unknown")}
}

// leavesOut reports whether Debezium has no form for arrays of an element.
func (d *defects) leavesOut(elem *pgType) bool {
	return d.arrays && (elem.declared != "" || slices.Contains([]uint32{oidMoney, oidName, oidInterval, oidVarbit, oidXML, oidPoint}, elem.oid))
}

// timeItems is how Debezium writes arrays of times with so many digits, -1 = as
// declared by nothing.
func (d *defects) timeItems(item envelope.Append, digits int32, mode string) envelope.Append {
	if mode == "connect" || digits >= 0 && digits <= 3 && mode == "adaptive" {
		return func(dst, _ []byte) ([]byte, error) { return dst, envelope.ErrNull }
	}
	return func(dst, src []byte) ([]byte, error) {
		v, rest, err := envelope.ParseTime(src)
		if err != nil || len(rest) > 0 {
			return item(dst, src) // says what is wrong
		}
		return envelope.AppendLong(dst, v/1000*1000), nil
	}
}

// rows is how Debezium writes an array: with a null for each row of one that has
// several dimensions.
func (d *defects) rows(array envelope.Append) envelope.Append {
	return func(dst, src []byte) ([]byte, error) {
		n, depth, quoted := int64(0), 0, false
		for i := 0; i < len(src); i++ {
			switch {
			case src[i] == '\\':
				i++
			case src[i] == '"':
				quoted = !quoted
			case quoted:
			case src[i] == '{':
				if depth++; depth == 2 {
					n++
				}
			case src[i] == '}':
				depth--
			}
		}
		if n == 0 {
			return array(dst, src)
		}
		return append(append(envelope.AppendLong(dst, n), bytes.Repeat([]byte{0}, int(n))...), 0), nil
	}
}

// literal is what Debezium takes of an expression for the default.
func (d *defects) literal(expr string) (value []byte, ok bool) {
	if strings.HasPrefix(expr, "NULL::") {
		return nil, true
	}
	_, rest, quoted := strings.Cut(expr, "'")
	if !quoted {
		return []byte(expr), true
	}
	text, _, closed := strings.Cut(rest, "'")
	return []byte(text), closed && !strings.Contains(text, "\n")
}

// keeps reports whether Debezium has a form for an absent value of a type.
func (d *defects) keeps(t *pgType, m *mapping, binaries string) bool {
	if t.elem != nil {
		return slices.Contains([]uint32{oidText, oidVarchar, oidBpchar, oidJSON, oidJSONB, oidInt4, oidInt8, oidDate, oidUUID}, t.elem.oid) ||
			t.elem.oid == oidBytea && textOfBytes(binaries) == nil
	}
	return t.oid == oidBytea || m.typ.Kind == envelope.String || t.name == "hstore"
}
