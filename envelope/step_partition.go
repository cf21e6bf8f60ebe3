package envelope

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
)

// partitionRouting chooses the partition of a record by fields of it, as
// Debezium's PartitionRouting does.
type partitionRouting struct {
	fields []partitionField
	count  int32
}

type partitionField struct {
	side string // before, after, change, source; "" = of the envelope itself
	name string
}

func newPartitionRouting(o *StepOptions) Step {
	var x partitionRouting
	for _, f := range o.fieldList("partition.payload.fields") {
		side, name, ok := strings.Cut(f, ".")
		switch {
		case !ok && f == "op":
			x.fields = append(x.fields, partitionField{"", f})
		case ok && (side == "before" || side == "after" || side == "change" || side == "source"):
			x.fields = append(x.fields, partitionField{side, name})
		default:
			o.fault("partition.payload.fields", "%q is none of op, before.FIELD, after.FIELD, change.FIELD, source.FIELD", f)
		}
	}
	n, err := strconv.ParseInt(o.required("partition.topic.num"), 10, 31)
	if err != nil || n < 1 {
		o.fault("partition.topic.num", "must be a number from 1 on")
	}
	x.count = int32(n)
	if f := o.Text("partition.hash.function", "java"); f != "java" {
		o.fault("partition.hash.function", "%q is not known: there is java", f)
	}
	return x
}

// hasher gives the hash of a field of a change, false if there is none or it is
// null.
type hasher func(c *Change) (int32, bool)

func (x partitionRouting) compile(s *shape) (func(*record) (bool, error), error) {
	if s.flat {
		return nil, fmt.Errorf("PartitionRouting stands after the unwrapping: it needs the envelope")
	}
	columns, err := s.table.opts.Naming.named(s.table.Table.ID, s.table.out.Columns)
	if err != nil {
		return nil, err
	}
	var hashers []hasher
	for _, f := range x.fields {
		if h := f.hasher(s, columns); h != nil { // a field that is not there does not take part
			hashers = append(hashers, h)
		}
	}
	return func(r *record) (bool, error) {
		if r.null || r.c.Op == Truncate {
			return true, nil
		}
		total, some := int32(0), false
		for _, h := range hashers {
			if n, ok := h(r.c); ok {
				total, some = total+n, true
			}
		}
		if some {
			if total &= math.MaxInt32; total == math.MaxInt32 {
				total = 0
			}
			r.partition = total%x.count + 1
		}
		return true, nil
	}, nil
}

func (f partitionField) hasher(s *shape, columns []Column) hasher {
	switch f.side {
	case "":
		return func(c *Change) (int32, bool) { return textHash(c.Op.String()), true }
	case "source":
		a, ok := AddField{Source: true, Name: f.name}.resolve(&s.table.opts.Block)
		if !ok {
			return nil
		}
		segs, col := join(a.segs(s.table.Table)), Column{Nullable: true, Type: TypeOf(a.kind)}
		return func(c *Change) (int32, bool) { return javaHash(&col, appendSegments(nil, segs, c)) }
	}
	i, err := field(columns, f.name)
	if err != nil {
		return nil
	}
	return func(c *Change) (int32, bool) {
		row := c.After
		if f.side == "before" || f.side == "change" && c.Op == Delete {
			row = c.Before
		}
		if row == nil {
			return 0, false
		}
		return javaHash(&columns[i], split(s.table.out.Columns, row)[i])
	}
}

// javaHash is what hashCode of Java gives for the value of a cell, as Connect
// has it; false for null.
func javaHash(c *Column, cell []byte) (int32, bool) {
	v, _, null := value(c, cell)
	if null {
		return 0, false
	}
	wide := func(n uint64) int32 { return int32(uint32(n ^ n>>32)) } //nolint:gosec // Java's
	switch x := decodeBare(&c.Type, v).(type) {
	case bool:
		if x {
			return 1231, true
		}
		return 1237, true
	case int64:
		if c.Type.Kind == Int {
			return int32(x), true //nolint:gosec // it is an int
		}
		return wide(uint64(x)), true //nolint:gosec // its bits
	case float64:
		if c.Type.Kind == Float {
			return int32(math.Float32bits(float32(x))), true //nolint:gosec // its bits
		}
		return wide(math.Float64bits(x)), true
	case string:
		return textHash(x), true
	case *big.Rat:
		return decimalHash(x, c.Type.Scale), true
	case []byte: // Connect's ByteBuffer
		h := int32(1)
		for i := len(x) - 1; i >= 0; i-- {
			h = 31*h + int32(int8(x[i])) //nolint:gosec // Java's bytes have a sign
		}
		return h, true
	}
	return 0, true
}

func textHash(s string) int32 {
	h := int32(0)
	for _, u := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(u)
	}
	return h
}

// decimalHash is that of a BigDecimal: of its unscaled number and its scale.
func decimalHash(r *big.Rat, scale int) int32 {
	n := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, 0))), nil)
	n.Mul(n, r.Num()).Quo(n, r.Denom())
	h := int32(0)
	mag := n.Bytes()
	for len(mag) > 0 { // words of 32 bits, the highest first
		size := (len(mag)-1)%4 + 1
		var w uint32
		for _, b := range mag[:size] {
			w = w<<8 | uint32(b)
		}
		h, mag = 31*h+int32(w), mag[size:] //nolint:gosec // Java's
	}
	if n.Sign() < 0 {
		h = -h
	}
	return 31*h + int32(scale) //nolint:gosec // small
}
