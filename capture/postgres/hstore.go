package postgres

import (
	"errors"
	"unicode/utf8"

	"tributary/envelope"
)

var errHstore = errors.New("not an hstore")

// hstore maps an hstore to JSON text or, with mode "map", to a map.
func hstore(mode string) mapping {
	if mode == "map" {
		return mapping{typ: envelope.TypeMap(envelope.TypeOf(envelope.String)), noDefault: true,
			unavailable: func(p string) []byte { return appendPairs(nil, []pair{{[]byte(p), []byte(p)}}) },
			encode: func(dst, src []byte) ([]byte, error) {
				pairs, err := parseHstore(src)
				if err != nil {
					return dst, err
				}
				return appendPairs(dst, pairs), nil
			}}
	}
	out := text(envelope.TypeJSON())
	out.typ.Zero = envelope.AppendString(nil, "{}")
	out.unavailable = func(p string) []byte {
		return envelope.AppendBytes(nil, appendPairsJSON(nil, []pair{{[]byte(p), []byte(p)}}))
	}
	out.encode = func(dst, src []byte) ([]byte, error) {
		pairs, err := parseHstore(src)
		if err != nil {
			return dst, err
		}
		return envelope.AppendBytes(dst, appendPairsJSON(nil, pairs)), nil
	}
	return out
}

// pair is an entry of an hstore; the value is nil for NULL.
type pair struct{ key, value []byte }

// parseHstore reads "a"=>"1", "b"=>NULL: what hstore prints, where quotes are
// always there. The pairs come in the order that a Java HashMap has, as
// Debezium writes them.
func parseHstore(src []byte) ([]pair, error) {
	if !utf8.Valid(src) {
		return nil, errText
	}
	var out []pair
	for len(src) > 0 {
		var p pair
		var err error
		if p.key, src, err = hstoreWord(src); err != nil {
			return nil, err
		}
		if len(src) < 3 || string(src[:2]) != "=>" {
			return nil, errHstore
		}
		src = src[2:]
		if len(src) >= 4 && string(src[:4]) == "NULL" {
			src = src[4:]
		} else if p.value, src, err = hstoreWord(src); err != nil {
			return nil, err
		}
		out = append(out, p)
		if len(src) == 0 {
			break
		}
		if len(src) < 3 || string(src[:2]) != ", " {
			return nil, errHstore
		}
		src = src[2:]
	}
	hashOrder(out)
	return out, nil
}

func hstoreWord(src []byte) (word, rest []byte, err error) {
	if len(src) < 2 || src[0] != '"' {
		return nil, nil, errHstore
	}
	word = make([]byte, 0, 16)
	for i := 1; i < len(src); i++ {
		switch b := src[i]; {
		case b == '"':
			return word, src[i+1:], nil
		case b == '\\' && i+1 < len(src):
			i++
			word = append(word, src[i])
		default:
			word = append(word, b)
		}
	}
	return nil, nil, errHstore
}

// hashOrder sorts pairs as Debezium has them.
func hashOrder(pairs []pair) {
	envelope.JavaOrder(pairs, func(p pair) string { return string(p.key) })
}

func appendPairs(dst []byte, pairs []pair) []byte {
	if len(pairs) > 0 {
		dst = envelope.AppendLong(dst, int64(len(pairs)))
	}
	for _, p := range pairs {
		dst = envelope.AppendBytes(dst, p.key)
		if p.value == nil {
			dst = append(dst, 0)
		} else {
			dst = envelope.AppendBytes(append(dst, 2), p.value)
		}
	}
	return append(dst, 0)
}

func appendPairsJSON(dst []byte, pairs []pair) []byte {
	dst = append(dst, '{')
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(quoteJSON(dst, p.key), ':')
		if p.value == nil {
			dst = append(dst, "null"...)
		} else {
			dst = quoteJSON(dst, p.value)
		}
	}
	return append(dst, '}')
}

// quoteJSON escapes what JSON must have escaped, and nothing else.
func quoteJSON(dst, s []byte) []byte {
	const hexDigits = "0123456789ABCDEF"
	dst = append(dst, '"')
	for _, b := range s {
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if b >= 0x20 {
				dst = append(dst, b)
				continue
			}
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(dst, '"')
}
