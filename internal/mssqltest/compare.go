package mssqltest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
)

// compare orders two values of one type, NULL first, as ORDER BY does. Texts
// compare without regard to case and trailing blanks, byte strings without regard
// to trailing zeros, GUIDs by their last part first.
func compare(a, b any) int {
	if a == nil || b == nil {
		switch {
		case a == nil && b == nil:
			return 0
		case a == nil:
			return -1
		}
		return 1
	}
	switch x := a.(type) {
	case int64:
		return cmp.Compare(x, b.(int64))
	case string:
		return compareText(x, b.(string))
	case []byte:
		return compareBytes(x, b.([]byte))
	case bool:
		return cmp.Compare(toInt(x), toInt(b.(bool)))
	case float64:
		return cmp.Compare(x, b.(float64))
	case tds.Dec:
		return x.Cmp(b.(tds.Dec))
	case time.Time:
		return x.Compare(b.(time.Time))
	case tds.Clock:
		return cmp.Compare(x, b.(tds.Clock))
	case tds.GUID:
		return compareGUID(x, b.(tds.GUID))
	case tds.Variant:
		// By the family of the type first, as ORDER BY has it.
		y := b.(tds.Variant)
		if d := rank[x.Type.Kind] - rank[y.Type.Kind]; d != 0 {
			return d
		}
		return compare(x.Value, y.Value)
	}
	panic(fmt.Sprintf("no order for %T", a))
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func fold(s string) string { return strings.ToLower(strings.TrimRight(s, " ")) }

func compareText(a, b string) int {
	if a == b {
		return 0
	}
	return strings.Compare(fold(a), fold(b))
}

func compareBytes(a, b []byte) int {
	for i := range max(len(a), len(b)) {
		var x, y byte
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

func compareGUID(a, b tds.GUID) int {
	for _, part := range [][2]int{{10, 16}, {8, 10}, {6, 8}, {4, 6}, {0, 4}} {
		for i := part[0]; i < part[1]; i++ {
			if a[i] != b[i] {
				return cmp.Compare(a[i], b[i])
			}
		}
	}
	return 0
}

// appendKey appends a form of the value in which equal values, and only they,
// are equal: for locks, groups and hash joins.
func appendKey(dst []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(dst, 0)
	case int64:
		return binary.BigEndian.AppendUint64(append(dst, 1), uint64(x))
	case bool:
		return append(dst, 2, byte(toInt(x)))
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 3), math.Float64bits(x))
	case tds.Dec:
		s := x.String()
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		return append(append(append(dst, 4), s...), 0)
	case string:
		return append(append(append(dst, 5), fold(x)...), 0)
	case []byte:
		b := x
		for len(b) > 0 && b[len(b)-1] == 0 {
			b = b[:len(b)-1]
		}
		return append(binary.BigEndian.AppendUint32(append(dst, 6), uint32(len(b))), b...)
	case time.Time:
		dst = binary.BigEndian.AppendUint64(append(dst, 7), uint64(x.Unix()))
		return binary.BigEndian.AppendUint32(dst, uint32(x.Nanosecond()))
	case tds.Clock:
		return binary.BigEndian.AppendUint64(append(dst, 8), uint64(x))
	case tds.GUID:
		return append(append(dst, 9), x[:]...)
	case tds.Variant:
		return appendKey(append(append(append(dst, 10), x.Type.Kind...), 0), x.Value)
	}
	panic(fmt.Sprintf("no key of %T", v))
}

func keyString(key []any) string {
	var b []byte
	for _, v := range key {
		b = appendKey(b, v)
	}
	return string(b)
}
