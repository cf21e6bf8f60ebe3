package ingest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"tributary/internal/avro"
)

var errNested = errors.New("the bytes are no value of their type")

// cursor reads Avro bytes. The walk has checked them, but not what is inside a
// block that tells its own size; where they are wrong, bad is set and zero
// values come.
type cursor struct {
	src []byte
	bad bool
}

func (c *cursor) long() int64 {
	v, n := binary.Varint(c.src)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.src = c.src[n:]
	return v
}

func (c *cursor) take(n int64) []byte {
	if n < 0 || n > int64(len(c.src)) {
		c.bad = true
		return nil
	}
	v := c.src[:n]
	c.src = c.src[n:]
	return v
}

func (c *cursor) bytes() []byte { return c.take(c.long()) }

// appendVariableDecimal writes Debezium's VariableScaleDecimal, a record of a
// scale and an unscaled value, as plain text.
func appendVariableDecimal(dst []byte, s *avro.Schema, src []byte) ([]byte, error) {
	c := cursor{src: src}
	var scale int64
	var value []byte
	for i := range s.Fields {
		switch f := s.Fields[i].Schema; {
		case s.Fields[i].Name == "scale" && f.Type == avro.Int:
			scale = c.long()
		case s.Fields[i].Name == "value" && f.Type == avro.Bytes:
			value = c.bytes()
		default:
			return dst, errNested
		}
	}
	if c.bad || scale < -1<<20 || scale > 1<<20 {
		return dst, errNested
	}
	return appendUnscaled(dst, value, int(scale)), nil
}

// appendNested writes a value as JSON: bytes in base64, decimals as numbers with
// all their digits, records as objects in the order of their fields.
func appendNested(dst []byte, s *avro.Schema, src []byte) ([]byte, error) {
	c := cursor{src: src}
	dst = c.json(dst, s)
	if c.bad {
		return dst, errNested
	}
	return dst, nil
}

func (c *cursor) json(dst []byte, s *avro.Schema) []byte {
	if c.bad {
		return dst
	}
	switch s.Type {
	case avro.Null:
		return append(dst, "null"...)
	case avro.Boolean:
		v := c.take(1)
		return strconv.AppendBool(dst, len(v) == 1 && v[0] == 1)
	case avro.Int, avro.Long:
		return strconv.AppendInt(dst, c.long(), 10)
	case avro.Float:
		var v [4]byte
		copy(v[:], c.take(4))
		return appendNumber(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v[:]))), 32)
	case avro.Double:
		var v [8]byte
		copy(v[:], c.take(8))
		return appendNumber(dst, math.Float64frombits(binary.LittleEndian.Uint64(v[:])), 64)
	case avro.Bytes, avro.Fixed:
		return c.binary(dst, s)
	case avro.String:
		return appendText(dst, string(c.bytes()))
	case avro.Enum:
		i := c.long()
		if i < 0 || i >= int64(len(s.Symbols)) {
			c.bad = true
			return dst
		}
		return appendText(dst, s.Symbols[i])
	case avro.Union:
		i := c.long()
		if i < 0 || i >= int64(len(s.Branches)) {
			c.bad = true
			return dst
		}
		return c.json(dst, s.Branches[i])
	case avro.Record:
		return c.record(dst, s)
	default:
		return c.blocks(dst, s)
	}
}

func (c *cursor) binary(dst []byte, s *avro.Schema) []byte {
	var v []byte
	if s.Type == avro.Fixed {
		v = c.take(int64(s.Size))
	} else {
		v = c.bytes()
	}
	if _, scale, ok := decimalOf(s); ok {
		return appendUnscaled(dst, v, scale)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, v)
	return append(dst, '"')
}

func (c *cursor) record(dst []byte, s *avro.Schema) []byte {
	dst = append(dst, '{')
	for i := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, s.Fields[i].Name)
		dst = append(dst, ':')
		dst = c.json(dst, s.Fields[i].Schema)
	}
	return append(dst, '}')
}

// blocks writes an array or a map.
func (c *cursor) blocks(dst []byte, s *avro.Schema) []byte {
	open, end := byte('['), byte(']')
	if s.Type == avro.Map {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	first := true
	for !c.bad {
		n := c.long()
		if n == 0 {
			break
		}
		if n < 0 {
			n = -n
			c.long() // the block's size in bytes
		}
		if n < 0 || n > int64(len(c.src)) { // an item takes a byte at least
			c.bad = true
		}
		for ; n > 0 && !c.bad; n-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if s.Type == avro.Map {
				dst = append(appendText(dst, string(c.bytes())), ':')
			}
			dst = c.json(dst, s.Items)
		}
	}
	return append(dst, end)
}

func appendNumber(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

// appendText writes s as a JSON string, without escaping what HTML would need.
func appendText(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // text always encodes
		return append(dst, `""`...)
	}
	return append(dst, text...)
}
