package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tributary/internal/column"
)

// ErrCorrupt is in the chain of every error about bytes that are not a value of
// their schema.
var ErrCorrupt = errors.New("corrupt avro data")

// maxDepth bounds the nesting of a value of a schema that refers to itself.
const maxDepth = 100

// ErrFull is in the chain of the error of Walk when a column of the batch would
// grow past 4 GiB.
var ErrFull = errors.New("a column of a batch holds at most 4 GiB")

// malformed is one way in which bytes can be wrong. Each is an ErrCorrupt.
type malformed string

func (m malformed) Error() string        { return string(m) }
func (m malformed) Is(target error) bool { return target == ErrCorrupt }

const (
	errShort   malformed = "the data ends in the middle of a value"
	errVarint  malformed = "a number does not fit its type"
	errLength  malformed = "a length is negative or longer than the data"
	errBranch  malformed = "a union has no such branch"
	errSymbol  malformed = "an enum has no such symbol"
	errBoolean malformed = "a boolean is neither 0 nor 1"
	errDepth   malformed = "a value is nested too deep"
	errRest    malformed = "bytes are left over after the last record"
	errCount   malformed = "the number of records of a block is impossible"
)

// Walk reads one record from the start of src and appends a row to dst, whose
// first columns must be of the targets' kinds: target i goes to column i.
// Columns after those are the caller's to append to. It adds 1 to dst.Len and
// returns what follows the record. On an error dst is as it was before.
func (p *Plan) Walk(src []byte, dst *column.Batch) (rest []byte, err error) {
	pos, pc, err := p.run(src, dst.Cols)
	if err != nil {
		n := dst.Len
		dst.Truncate(n)
		return nil, p.located(err, pos, pc)
	}
	dst.Len++
	return src[pos:], nil
}

// WalkAll reads n records, which must fill src to its end, and appends a row for
// each to dst. On an error dst holds the rows before the one at fault.
func (p *Plan) WalkAll(src []byte, n int, dst *column.Batch) error {
	// A record of no bytes at all is allowed, but not without bound.
	if limit := max(len(src), 1<<16); n < 0 || n > limit || (n > len(src) && p.schema.minSize > 0) {
		return fmt.Errorf("%w: %d in %d bytes", errCount, n, len(src))
	}
	rest := src
	for i := range n {
		var err error
		if rest, err = p.Walk(rest, dst); err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, n, err)
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes", errRest, len(rest))
	}
	return nil
}

func (p *Plan) located(err error, pos, pc int) error {
	return fmt.Errorf("field %s at byte %d: %w", p.fields[p.code[pc].path], pos, err)
}

// run executes the plan over src. It returns the number of bytes read, and on an
// error the step that failed.
func (p *Plan) run(src []byte, cols []column.Column) (pos, pc int, err error) {
	code := p.code
	for pc = 0; pc < len(code); pc++ {
		in := &code[pc]
		if in.null != noNull {
			// The branch of a nullable field: two branches, so one byte.
			if pos >= len(src) {
				return pos, pc, errShort
			}
			b, n := src[pos], 1
			if b > 2 || b == 1 {
				if b, n, err = longBranch(src[pos:]); err != nil {
					return pos, pc, err
				}
			}
			pos += n
			if b>>1 == in.null {
				if in.col >= 0 {
					cols[in.col].AppendNull()
				}
				continue
			}
		}
		switch in.op {
		case opVarint32, opVarint64:
			if pos < len(src) && src[pos] < 0x80 {
				u := src[pos]
				pos++
				c := &cols[in.col]
				c.Ints = append(c.Ints, int64(u>>1)^-int64(u&1))
				continue
			}
			v, n := varint(src[pos:])
			if n <= 0 {
				return pos, pc, varintError(n)
			}
			if in.op == opVarint32 && v != int64(int32(v)) {
				return pos, pc, errVarint
			}
			pos += n
			c := &cols[in.col]
			c.Ints = append(c.Ints, v)
		case opBytes:
			v, n := varint(src[pos:])
			if n <= 0 {
				return pos, pc, varintError(n)
			}
			if v < 0 || v > int64(len(src)-pos-n) {
				return pos, pc, errLength
			}
			pos += n
			if !appendBytes(&cols[in.col], src[pos:pos+int(v)]) {
				return pos, pc, ErrFull
			}
			pos += int(v)
		case opSkipVarint, opSkipBytes, opSkipFixed:
			n, err := skipLeaf(in, src[pos:])
			if err != nil {
				return pos, pc, err
			}
			pos += n
		case opJump:
			pc = int(in.n) - 1
		case opUnion:
			to, n, err := p.unions[in.n].branch(src[pos:])
			if err != nil {
				return pos, pc, err
			}
			pos, pc = pos+n, to-1
		default:
			n, err := p.rare(in, src[pos:], cols)
			if err != nil {
				return pos, pc, err
			}
			pos += n
		}
	}
	return pos, pc, nil
}

// branch reads the index of a branch and returns the step where its code is.
func (j jumps) branch(src []byte) (to, n int, err error) {
	v, n := varint(src)
	switch {
	case n <= 0:
		return 0, 0, varintError(n)
	case v < 0 || v >= int64(len(j.to)):
		return 0, 0, errBranch
	}
	return int(j.to[v]), n, nil
}

// skipLeaf returns the length of a number, of a bytes or of a fixed.
func skipLeaf(in *instr, src []byte) (int, error) {
	if in.op == opSkipFixed {
		if len(src) < int(in.n) {
			return 0, errShort
		}
		return int(in.n), nil
	}
	v, n := varint(src)
	switch {
	case n <= 0:
		return 0, varintError(n)
	case in.op == opSkipVarint:
		if in.n == 32 && v != int64(int32(v)) {
			return 0, errVarint
		}
		return n, nil
	case v < 0 || v > int64(len(src)-n):
		return 0, errLength
	}
	return n + int(v), nil
}

// longBranch reads the index of one of two branches that is not written in its
// one byte, and returns that byte.
func longBranch(src []byte) (b byte, n int, err error) {
	v, n := varint(src)
	switch {
	case n <= 0:
		return 0, 0, varintError(n)
	case v < 0 || v > 1:
		return 0, 0, errBranch
	}
	return byte(v << 1), n, nil
}

// rare executes the steps that are not worth a place in the hot loop.
func (p *Plan) rare(in *instr, src []byte, cols []column.Column) (int, error) {
	switch in.op {
	case opFloat, opDouble:
		return floats(in, src, &cols[in.col])
	case opBool, opBoolToFloat, opSkipBool:
		return boolean(in, src, cols)
	case opIntToFloat32, opIntToFloat64:
		v, n := varint(src)
		if n <= 0 {
			return 0, varintError(n)
		}
		if in.op == opIntToFloat32 && v != int64(int32(v)) {
			return 0, errVarint
		}
		cols[in.col].AppendFloat(float64(v))
		return n, nil
	case opFixed:
		if len(src) < int(in.n) {
			return 0, errShort
		}
		if !appendBytes(&cols[in.col], src[:in.n]) {
			return 0, ErrFull
		}
		return int(in.n), nil
	case opEnum:
		v, n := varint(src)
		if n <= 0 {
			return 0, varintError(n)
		}
		symbols := p.enums[in.n]
		if v < 0 || v >= int64(len(symbols)) {
			return 0, errSymbol
		}
		cols[in.col].AppendString(symbols[v])
		return n, nil
	case opSkip:
		return skip(p.skips[in.n], src, 0)
	case opNull:
		cols[in.col].AppendNull()
		return 0, nil
	case opConst:
		cols[in.col].AppendInt(int64(in.n))
		return 0, nil
	case opCopy:
		from := &cols[in.n]
		cols[in.col].Append(from, from.Len()-1)
		return 0, nil
	default: // opRaw
		n, err := skip(p.skips[in.n], src, 0)
		if err != nil {
			return 0, err
		}
		if !appendBytes(&cols[in.col], src[:n]) {
			return 0, ErrFull
		}
		return n, nil
	}
}

func floats(in *instr, src []byte, c *column.Column) (int, error) {
	if in.op == opFloat {
		if len(src) < 4 {
			return 0, errShort
		}
		c.AppendFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(src))))
		return 4, nil
	}
	if len(src) < 8 {
		return 0, errShort
	}
	c.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(src)))
	return 8, nil
}

func boolean(in *instr, src []byte, cols []column.Column) (int, error) {
	if len(src) == 0 {
		return 0, errShort
	}
	if src[0] > 1 {
		return 0, errBoolean
	}
	switch in.op {
	case opBool:
		cols[in.col].AppendInt(int64(src[0]))
	case opBoolToFloat:
		cols[in.col].AppendFloat(float64(src[0]))
	}
	return 1, nil
}

// appendBytes appends v unless the column's offsets would no longer hold it.
func appendBytes(c *column.Column, v []byte) bool {
	if uint64(len(c.Data))+uint64(len(v)) > math.MaxUint32 {
		return false
	}
	c.AppendBytes(v)
	return true
}

// varint reads a zigzag number of at most 64 bits. n is the number of bytes, 0
// when src ends too early, -1 when the number is too long.
func varint(src []byte) (v int64, n int) {
	if len(src) > 0 && src[0] < 0x80 {
		u := src[0]
		return int64(u>>1) ^ -int64(u&1), 1
	}
	u, n := binary.Uvarint(src)
	if n < 0 {
		n = -1
	}
	return int64(u>>1) ^ -int64(u&1), n
}

func varintError(n int) error {
	if n == 0 {
		return errShort
	}
	return errVarint
}
