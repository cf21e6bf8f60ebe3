package basefile

import (
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The Parquet library also trusts the lengths of runs within a page. A page with
// a checksum (parquet-mr writes them, and so does this package) is what its
// writer wrote, or refused by the library. Of others the runs are added up first,
// for which the page is decompressed once more.
type runCheck struct {
	codec    compress.Codec
	rep, def int // the leaf's greatest levels
	raw      []byte
}

// runs makes the check for the pages of a leaf.
func (c *Chunk) runs(leaf *parquet.Column) *runCheck {
	return &runCheck{codec: parquet.LookupCompressionCodec(c.meta.Codec), rep: leaf.MaxRepetitionLevel(), def: leaf.MaxDefinitionLevel()}
}

// page checks a page of n values without a checksum.
func (k *runCheck) page(h *format.PageHeader, body []byte, n int) (err error) {
	if h.Type == format.DictionaryPage {
		return nil // values are written one by one
	}
	encoding := h.DataPageHeader.V.Encoding
	if h.Type == format.DataPageV2 {
		v2 := &h.DataPageHeaderV2.V
		encoding = v2.Encoding
		rep, def := int(v2.RepetitionLevelsByteLength), int(v2.DefinitionLevelsByteLength)
		if rep < 0 || def < 0 || rep+def > len(body) {
			return fmt.Errorf("%w: levels are beyond their page", errMalformed)
		}
		if !sound(body[:rep], n, k.rep) || !sound(body[rep:rep+def], n, k.def) {
			return fmt.Errorf("%w: more levels than values", errMalformed)
		}
		if body = body[rep+def:]; isSet(v2.IsCompressed, true) {
			if body, err = k.decompress(body); err != nil {
				return err
			}
		}
	} else {
		if body, err = k.decompress(body); err != nil {
			return err
		}
		for _, most := range []int{k.rep, k.def} {
			if most == 0 {
				continue
			}
			if len(body) < 4 || uint64(binary.LittleEndian.Uint32(body)) > uint64(len(body)-4) {
				return fmt.Errorf("%w: levels are beyond their page", errMalformed)
			}
			length := 4 + int(binary.LittleEndian.Uint32(body))
			if !sound(body[4:length], n, most) {
				return fmt.Errorf("%w: more levels than values", errMalformed)
			}
			body = body[length:]
		}
	}
	switch encoding {
	case format.PlainDictionary, format.RLEDictionary: //nolint:staticcheck // older writers use the former
		if len(body) > 0 && !hybridHolds(body[1:], n, int(body[0])) {
			return fmt.Errorf("%w: more values than its page says", errMalformed)
		}
	case format.RLE: // of booleans, after their length
		if len(body) < 4 || !hybridHolds(body[4:], n, 1) {
			return fmt.Errorf("%w: more values than its page says", errMalformed)
		}
	}
	return nil
}

func (k *runCheck) decompress(body []byte) (raw []byte, err error) {
	if k.codec.CompressionCodec() == format.Uncompressed {
		return body, nil
	}
	if k.raw, err = k.codec.Decode(k.raw[:0], body); err != nil {
		return nil, fmt.Errorf("%w: decompress a page: %w", errMalformed, err)
	}
	return k.raw, nil
}

// isSet is a flag's value, or what it is without one.
func isSet(v thrift.Null[bool], without bool) bool {
	if v.Valid {
		return v.V
	}
	return without
}

// sound is whether levels up to most, as runs, are those of n values.
func sound(levels []byte, n, most int) bool {
	width := 0
	for ; most > 0; most >>= 1 {
		width++
	}
	return width == 0 || hybridHolds(levels, n, width)
}

// hybridHolds is whether b, as appendHybrid writes it, is not more than n values
// of width bits, the last of which may be padding up to eight.
func hybridHolds(b []byte, n, width int) bool {
	if width > 32 {
		return false
	}
	for left := n + 7; len(b) > 0; {
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return false
		}
		b = b[k:]
		count, size := head>>1, uint64(width+7)/8
		if head&1 == 1 {
			size, count = count*uint64(width), count*8
		}
		if head>>1 > uint64(left) || count > uint64(left) {
			return false
		}
		left -= int(count)
		b = b[min(size, uint64(len(b))):]
	}
	return true
}
