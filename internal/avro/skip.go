package avro

import "fmt"

// Skip returns the length of the value of schema s at the start of src.
func Skip(s *Schema, src []byte) (int, error) {
	return skip(s, src, 0)
}

// Check reports whether src is exactly one value of schema s.
func Check(s *Schema, src []byte) error {
	n, err := Skip(s, src)
	if err != nil {
		return err
	}
	if n < len(src) {
		return fmt.Errorf("%w: %d bytes", errRest, len(src)-n)
	}
	return nil
}

// skip returns the length of the value of schema s at the start of src.
func skip(s *Schema, src []byte, depth int) (int, error) {
	if s.minSize == 0 {
		return 0, nil // takes no bytes, however deep it is nested
	}
	switch s.Type {
	case Boolean:
		if len(src) == 0 {
			return 0, errShort
		}
		if src[0] > 1 {
			return 0, errBoolean
		}
		return 1, nil
	case Int, Long, Enum:
		return skipNumber(s, src)
	case Float, Double, Fixed:
		if len(src) < s.minSize {
			return 0, errShort
		}
		return s.minSize, nil
	case Bytes, String:
		v, n := varint(src)
		if n <= 0 {
			return 0, varintError(n)
		}
		if v < 0 || v > int64(len(src)-n) {
			return 0, errLength
		}
		return n + int(v), nil
	}
	if depth == maxDepth {
		return 0, errDepth
	}
	switch s.Type {
	case Record:
		pos := 0
		for i := range s.Fields {
			n, err := skip(s.Fields[i].Schema, src[pos:], depth+1)
			if err != nil {
				return 0, err
			}
			pos += n
		}
		return pos, nil
	case Union:
		v, n := varint(src)
		if n <= 0 {
			return 0, varintError(n)
		}
		if v < 0 || v >= int64(len(s.Branches)) {
			return 0, errBranch
		}
		m, err := skip(s.Branches[v], src[n:], depth+1)
		return n + m, err
	default:
		return skipBlocks(s, src, depth+1)
	}
}

func skipNumber(s *Schema, src []byte) (int, error) {
	v, n := varint(src)
	switch {
	case n <= 0:
		return 0, varintError(n)
	case s.Type == Int && v != int64(int32(v)):
		return 0, errVarint
	case s.Type == Enum && (v < 0 || v >= int64(len(s.Symbols))):
		return 0, errSymbol
	}
	return n, nil
}

// skipBlocks passes over the blocks of an array or map. Each item takes at least
// one byte, or none of them takes any: so the work is bounded by the input.
func skipBlocks(s *Schema, src []byte, depth int) (int, error) {
	pos := 0
	for {
		count, n := varint(src[pos:])
		if n <= 0 {
			return 0, varintError(n)
		}
		pos += n
		switch {
		case count == 0:
			return pos, nil
		case count < 0:
			// A block with its size: passed over unseen.
			size, n := varint(src[pos:])
			if n <= 0 {
				return 0, varintError(n)
			}
			if size < 0 || size > int64(len(src)-pos-n) {
				return 0, errLength
			}
			pos += n + int(size)
			continue
		case s.Type == Array && s.Items.minSize == 0:
			continue
		case count > int64(len(src)-pos):
			return 0, errLength
		}
		for range count {
			n, err := skipItem(s, src[pos:], depth)
			if err != nil {
				return 0, err
			}
			pos += n
		}
	}
}

func skipItem(s *Schema, src []byte, depth int) (int, error) {
	pos := 0
	if s.Type == Map {
		v, n := varint(src)
		if n <= 0 {
			return 0, varintError(n)
		}
		if v < 0 || v > int64(len(src)-n) {
			return 0, errLength
		}
		pos = n + int(v)
	}
	n, err := skip(s.Items, src[pos:], depth)
	return pos + n, err
}
