package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tributary/internal/fault"
)

// Format is how a record carries the id of its schema.
type Format string

const (
	// Confluent is 0x00 and 4 bytes, the contentId, before the Avro body.
	Confluent Format = "confluent"
	// Apicurio is 0x00 and 8 bytes, the globalId, before the Avro body.
	Apicurio Format = "apicurio"
	// ApicurioHeaders is a bare Avro body and the globalId in the record's
	// headers: what Apicurio 2.x's converter writes unless told otherwise.
	ApicurioHeaders Format = "apicurio-headers"
)

// ErrNoID marks a value that carries no schema id in any known format.
var ErrNoID = errors.New("record carries no schema id")

// Header is a Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// ParseFormat checks a format's name.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Confluent, Apicurio, ApicurioHeaders:
		return f, nil
	}
	return "", fmt.Errorf("wire format %q is not one of %s, %s, %s", s, Confluent, Apicurio, ApicurioHeaders)
}

// maxWireID is the largest id that readers tell apart in both widths.
const maxWireID = 1<<31 - 1

// Check reports whether the format can carry id. The apicurio formats need a
// globalId, which the Confluent API does not give.
func (f Format) Check(id ID) error {
	switch {
	case f == Confluent && (id.Content <= 0 || id.Content > maxWireID),
		f == Apicurio && (id.Global <= 0 || id.Global > maxWireID),
		f == ApicurioHeaders && id.Global <= 0:
		return fault.Humanf("use the wire format that suits the registry's API, or the URL of its other API",
			"wire format %s cannot carry %s", f, id)
	}
	return nil
}

// AppendHeader appends what precedes the Avro body in a key or value. id must
// have passed Check.
func (f Format) AppendHeader(dst []byte, id ID) []byte {
	switch f {
	case Confluent:
		return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id.Content))
	case Apicurio:
		return binary.BigEndian.AppendUint64(append(dst, 0), uint64(id.Global))
	}
	return dst
}

// The headers of ApicurioHeaders, for keys and for values.
const (
	keyPrefix   = "apicurio.key."
	valuePrefix = "apicurio.value."
)

// Headers returns the record headers that a key or value of this format needs;
// none but for ApicurioHeaders. Key and value headers of a record go together.
func (f Format) Headers(id ID, isKey bool) []Header {
	if f != ApicurioHeaders {
		return nil
	}
	prefix := valuePrefix
	if isKey {
		prefix = keyPrefix
	}
	return []Header{
		{prefix + "globalId", binary.BigEndian.AppendUint64(nil, uint64(id.Global))},
		{prefix + "encoding", []byte("BINARY")},
	}
}

// ParseHeader finds the schema id of a key or value, in whichever format it
// is, and the Avro body, which aliases data. header returns a record header's
// value, or nil; it may be nil. Tombstones have no id: do not ask.
func ParseHeader(data []byte, isKey bool, header func(name string) []byte) (id ID, body []byte, err error) {
	if header != nil {
		prefix := valuePrefix
		if isKey {
			prefix = keyPrefix
		}
		global, content := header(prefix+"globalId"), header(prefix+"contentId")
		if len(global) == 8 || len(content) == 8 {
			if e := header(prefix + "encoding"); e != nil && string(e) != "BINARY" {
				return ID{}, nil, fmt.Errorf("record is encoded as %q, not BINARY: %w", e, ErrNoID)
			}
			if len(global) == 8 {
				id.Global = int64(binary.BigEndian.Uint64(global))
			}
			if len(content) == 8 {
				id.Content = int64(binary.BigEndian.Uint64(content))
			}
			return id, data, nil
		}
	}
	switch {
	case len(data) < 5:
		return ID{}, nil, fmt.Errorf("%d bytes: %w", len(data), ErrNoID)
	case data[0] == 3:
		return ID{}, nil, fmt.Errorf("record is in the wire format of AWS Glue, which is not supported: %w", ErrNoID)
	case data[0] != 0:
		return ID{}, nil, fmt.Errorf("first byte 0x%02x: %w", data[0], ErrNoID)
	}
	if n := binary.BigEndian.Uint32(data[1:]); n != 0 {
		if n > maxWireID {
			return ID{}, nil, fmt.Errorf("schema id %d exceeds 31 bits: %w", n, ErrNoID)
		}
		return ID{Content: int64(n)}, data[5:], nil
	}
	// No id is 0, so these are the upper half of 8 bytes.
	if len(data) < 9 {
		return ID{}, nil, fmt.Errorf("schema id 0: %w", ErrNoID)
	}
	global := binary.BigEndian.Uint64(data[1:])
	if global == 0 || global > math.MaxInt64 {
		return ID{}, nil, fmt.Errorf("global id %d: %w", global, ErrNoID)
	}
	return ID{Global: int64(global)}, data[9:], nil
}
