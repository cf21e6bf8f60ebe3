package basefile

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/format"

	"tributary/internal/column"
)

const maxStatBytes = 64 // longer bounds are left out: a cut one could be wrong

// statistics returns the chunk's number of nulls and, where they are cheap and
// certain, its least and greatest value.
func statistics(c Column, data *column.Column, nulls int) format.Statistics {
	s := format.Statistics{NullCount: int64(nulls)}
	if nulls == data.Len() {
		return s
	}
	switch {
	case data.Kind == column.Int:
		lo, hi := intBounds(data)
		s.MinValue, s.MaxValue = plainInt(c, lo), plainInt(c, hi)
	case data.Kind == column.Float:
		if lo, hi, ok := floatBounds(data); ok {
			s.MinValue, s.MaxValue = plainFloat(c, lo), plainFloat(c, hi)
		}
	case c.Annotation == Decimal:
		// Signed order over numbers of any length: readers can do without.
	default:
		lo, hi := byteBounds(data)
		if len(lo) <= maxStatBytes && len(hi) <= maxStatBytes {
			// An empty bound would read as absent.
			if len(lo) > 0 {
				s.MinValue, s.MaxValue = bytes.Clone(lo), bytes.Clone(hi)
			}
		}
	}
	return s
}

func intBounds(data *column.Column) (lo, hi int64) {
	lo, hi = math.MaxInt64, math.MinInt64
	for r, v := range data.Ints {
		if !data.Nulls.Get(r) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return lo, hi
}

// floatBounds reports false when a value is no number. Zero is given the sign
// that includes both zeros.
func floatBounds(data *column.Column) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for r, v := range data.Floats {
		if data.Nulls.Get(r) {
			continue
		}
		if math.IsNaN(v) {
			return 0, 0, false
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	if lo == 0 {
		lo = math.Copysign(0, -1)
	}
	if hi == 0 {
		hi = 0
	}
	return lo, hi, true
}

func byteBounds(data *column.Column) (lo, hi []byte) {
	seen := false
	for r := range data.Len() {
		if data.Nulls.Get(r) {
			continue
		}
		v := data.Value(r)
		if !seen {
			lo, hi, seen = v, v, true
			continue
		}
		if bytes.Compare(v, lo) < 0 {
			lo = v
		} else if bytes.Compare(v, hi) > 0 {
			hi = v
		}
	}
	return lo, hi
}

func plainInt(c Column, v int64) []byte {
	switch c.Physical {
	case Boolean:
		return []byte{byte(v)}
	case Int32:
		return binary.LittleEndian.AppendUint32(nil, uint32(v))
	default:
		return binary.LittleEndian.AppendUint64(nil, uint64(v))
	}
}

func plainFloat(c Column, v float64) []byte {
	if c.Physical == Float {
		return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v)))
	}
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
}
