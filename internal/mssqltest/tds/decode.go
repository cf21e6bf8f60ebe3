package tds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf16"
)

var errShort = errors.New("the request ends too early")

// Decoder walks a request. The first error sticks: later reads give zero values.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder walks b, of which it keeps no copy.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is the first error.
func (d *Decoder) Err() error { return d.err }

// Len is the number of bytes left.
func (d *Decoder) Len() int { return len(d.b) }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *Decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail(errShort)
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *Decoder) num(n int) uint64 {
	b := d.take(n)
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// Peek is the next byte, which is not taken; 0 at the end.
func (d *Decoder) Peek() byte {
	if len(d.b) == 0 {
		return 0
	}
	return d.b[0]
}

// U8 reads a byte as a number.
func (d *Decoder) U8() byte { return byte(d.num(1)) }

// U16 reads an unsigned little-endian number of 2 bytes.
func (d *Decoder) U16() uint16 { return uint16(d.num(2)) }

// U32 reads an unsigned little-endian number of 4 bytes.
func (d *Decoder) U32() uint32 { return uint32(d.num(4)) }

// U64 reads an unsigned little-endian number of 8 bytes.
func (d *Decoder) U64() uint64 { return d.num(8) }

// UCS2 reads n characters of UTF-16.
func (d *Decoder) UCS2(n int) string { return DecodeUCS2(d.take(2 * n)) }

// BVarChar reads a text with its length in a byte.
func (d *Decoder) BVarChar() string { return d.UCS2(int(d.U8())) }

// DecodeUCS2 decodes UTF-16; an odd last byte is dropped.
func DecodeUCS2(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// SkipHeaders passes over ALL_HEADERS and gives the transaction descriptor in them.
func (d *Decoder) SkipHeaders() (transaction uint64) {
	total := int(d.U32())
	if total < 4 {
		d.fail(fmt.Errorf("headers of %d bytes", total))
		return 0
	}
	h := &Decoder{b: d.take(total - 4)}
	for h.Len() > 0 && h.err == nil {
		n := int(h.U32())
		kind := h.U16()
		one := &Decoder{b: h.take(n - 6)}
		if kind == 2 {
			transaction = one.U64()
		}
	}
	if h.err != nil {
		d.fail(h.err)
	}
	return transaction
}

// wireType is a TYPE_INFO as a client sends it.
type wireType struct {
	Type
	code byte
	size int
}

// typeInfo reads TYPE_INFO of a parameter.
func (d *Decoder) typeInfo() wireType {
	w := wireType{code: d.U8()}
	for k, c := range fixedCodes {
		if c == w.code {
			w.Kind, w.size = k, int(sizes[k])
			return w
		}
	}
	bySize := func(of ...Kind) {
		w.size = int(d.U8())
		for _, k := range of {
			if int(sizes[k]) == w.size {
				w.Kind = k
				return
			}
		}
		d.fail(fmt.Errorf("a type %#x of %d bytes", w.code, w.size))
	}
	scaled := func(k Kind) {
		w.Kind, w.Scale = k, int(d.U8())
		if w.Scale > 7 {
			d.fail(fmt.Errorf("a %s of scale %d", k, w.Scale))
		}
	}
	switch w.code {
	case codeNull:
		w.Kind = Int
	case codeIntN:
		bySize(TinyInt, SmallInt, Int, BigInt)
	case codeBitN:
		bySize(Bit)
	case codeFltN:
		bySize(Real, Float)
	case codeMoneyN:
		bySize(SmallMoney, Money)
	case codeDateTimN:
		bySize(SmallDateTime, DateTime)
	case codeGUID:
		w.Kind, w.size = UniqueID, int(d.U8())
	case codeDecimalN, codeNumericN:
		w.Kind = DecimalKind
		if w.code == codeNumericN {
			w.Kind = Numeric
		}
		w.size, w.Precision, w.Scale = int(d.U8()), int(d.U8()), int(d.U8())
		if w.Precision < 1 || w.Precision > 38 || w.Scale > w.Precision {
			d.fail(fmt.Errorf("a decimal(%d,%d)", w.Precision, w.Scale))
		}
	case codeDateN:
		w.Kind = Date
	case codeTimeN:
		scaled(Time)
	case codeDT2N:
		scaled(DateTime2)
	case codeDTON:
		scaled(DateTimeOffset)
	case codeVarBin, codeBinary, codeVarChar, codeChar, codeNVarChar, codeNChar:
		d.lengthType(&w)
	case codeText, codeNText, codeImage:
		w.Kind = map[byte]Kind{codeText: Text, codeNText: NText, codeImage: Image}[w.code]
		d.U32()
		if w.Kind != Image {
			w.UTF8 = isUTF8(d.take(5))
		}
	case codeXML:
		w.Kind = XML
		if d.U8() != 0 {
			d.fail(errors.New("an xml parameter with a schema"))
		}
	default:
		d.fail(fmt.Errorf("a parameter of type %#x", w.code))
	}
	return w
}

func (d *Decoder) lengthType(w *wireType) {
	w.Kind = map[byte]Kind{codeVarBin: VarBinary, codeBinary: Binary, codeVarChar: VarChar, codeChar: Char, codeNVarChar: NVarChar, codeNChar: NChar}[w.code]
	n := d.U16()
	w.Length = int(n)
	if n == 0xFFFF {
		w.Length = Max
	}
	if w.Character() {
		w.UTF8 = isUTF8(d.take(5))
	}
	// Length 0 is what clients send for an empty value; the type has at least one.
	if w.Length == 0 {
		w.Length = 2
	}
}

func isUTF8(c []byte) bool { return len(c) == 5 && c[3]&0x04 != 0 }

// Param is a parameter of an RPC.
type Param struct {
	Name   string
	Output bool
	Type   Type
	Value  Value
}

// Param reads a parameter.
func (d *Decoder) Param() Param {
	p := Param{Name: d.BVarChar()}
	p.Output = d.U8()&1 != 0
	w := d.typeInfo()
	p.Type = w.Type
	if d.err == nil {
		p.Value = d.value(w)
	}
	return p
}

func (d *Decoder) value(w wireType) Value {
	switch w.Kind {
	case Char, VarChar, NChar, NVarChar, Binary, VarBinary:
		if w.Length == Max {
			return d.bytesOf(w, d.plp())
		}
		n := d.U16()
		if n == 0xFFFF {
			return nil
		}
		b := d.take(int(n))
		if b == nil {
			b = []byte{}
		}
		return d.bytesOf(w, b)
	case XML:
		return d.bytesOf(w, d.plp())
	case Text, NText, Image:
		n := d.U32()
		if n == math.MaxUint32 {
			return nil
		}
		return d.bytesOf(w, d.take(int(n)))
	}
	n := w.size
	if _, fixed := fixedCodes[w.Kind]; w.code == codeNull {
		return nil
	} else if !fixed || fixedCodes[w.Kind] != w.code {
		n = int(d.U8())
	}
	if n == 0 {
		return nil
	}
	b := d.take(n)
	if d.err != nil {
		return nil
	}
	v, err := scalar(w.Type, b)
	if err != nil {
		d.fail(err)
	}
	return v
}

// plp reads a large value; nil is NULL.
func (d *Decoder) plp() []byte {
	total := d.U64()
	if total == math.MaxUint64 {
		return nil
	}
	out := []byte{}
	for d.err == nil {
		n := int(d.U32())
		if n == 0 {
			break
		}
		out = append(out, d.take(n)...)
	}
	return out
}

func (d *Decoder) bytesOf(w wireType, b []byte) Value {
	switch {
	case b == nil || d.err != nil:
		return nil
	case w.Unicode():
		return DecodeUCS2(b)
	case w.Character() && w.UTF8:
		return string(b)
	case w.Character():
		return DecodeCP1252(b)
	}
	return append([]byte{}, b...)
}

// scalar decodes a value of a fixed or byte-length type.
func scalar(t Type, b []byte) (Value, error) {
	var u uint64
	for i := 0; i < len(b) && i < 8; i++ {
		u |= uint64(b[i]) << (8 * i)
	}
	want := int(sizes[t.Kind])
	switch t.Kind {
	case UniqueID:
		want = 16
	case Date:
		want = 3
	case Time:
		want = clockSize(t.Scale)
	case DateTime2:
		want = clockSize(t.Scale) + 3
	case DateTimeOffset:
		want = clockSize(t.Scale) + 5
	case DecimalKind, Numeric:
		if len(b) < 2 {
			return nil, errShort
		}
		want = len(b)
	}
	if len(b) != want {
		return nil, fmt.Errorf("%d bytes for a %s", len(b), t)
	}
	switch t.Kind {
	case Bit:
		return b[0] != 0, nil
	case TinyInt:
		return int64(b[0]), nil
	case SmallInt:
		return int64(int16(u)), nil
	case Int:
		return int64(int32(u)), nil
	case BigInt:
		return int64(u), nil
	case Real:
		return float64(math.Float32frombits(uint32(u))), nil
	case Float:
		return math.Float64frombits(u), nil
	case SmallMoney:
		return Dec{big.NewInt(int64(int32(u))), 4}, nil
	case Money:
		return Dec{big.NewInt(int64(u<<32 | u>>32)), 4}, nil
	case UniqueID:
		var g GUID
		copy(g[:], b)
		return GUID(g.wire()), nil
	case DecimalKind, Numeric:
		be := make([]byte, len(b)-1)
		for i := range be {
			be[i] = b[len(b)-1-i]
		}
		n := new(big.Int).SetBytes(be)
		if b[0] == 0 {
			n.Neg(n)
		}
		return Dec{n, t.Scale}, nil
	}
	return temporal(t, b, u)
}

func temporal(t Type, b []byte, u uint64) (Value, error) {
	date := func(b []byte) time.Time {
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(b[0])|int(b[1])<<8|int(b[2])<<16)
	}
	clock := func(n int) time.Duration {
		var c uint64
		for i := range n {
			c |= uint64(b[i]) << (8 * i)
		}
		return time.Duration(int64(c)*scaleFactor[t.Scale]) * 100
	}
	n := clockSize(t.Scale)
	switch t.Kind {
	case DateTime:
		ticks := int64(u >> 32)
		return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(int32(u))).Add(DateTimeTicks(ticks)), nil
	case SmallDateTime:
		return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(uint16(u))).Add(time.Duration(uint16(u>>16)) * time.Minute), nil
	case Date:
		return date(b), nil
	case Time:
		c := clock(n)
		if c >= 24*time.Hour {
			return nil, errors.New("a time past midnight")
		}
		return Clock(c / 100), nil
	case DateTime2:
		return date(b[n:]).Add(clock(n)), nil
	case DateTimeOffset:
		zone := int(int16(uint16(b[n+3]) | uint16(b[n+4])<<8))
		return date(b[n:]).Add(clock(n)).In(time.FixedZone("", zone*60)), nil
	}
	return nil, fmt.Errorf("no way to read a %s", t)
}

// DateTimeTicks is what a datetime shows of its 1/300 seconds: .000, .003 or .007.
func DateTimeTicks(ticks int64) time.Duration {
	ms := (ticks*10 + 1) / 3 // rounds 1/3 down and 2/3 up
	return time.Duration(ms) * time.Millisecond
}
