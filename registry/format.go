package registry

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

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
	// Glue is AWS Glue's: 0x03, 0x00, and the 16 bytes of the version's UUID,
	// before the Avro body.
	Glue Format = "glue"
	// ConfluentGlobal is Confluent with Apicurio's globalId: what its serializers
	// write with as-confluent where use-id is left alone.
	ConfluentGlobal Format = "confluent-globalId"
	// ApicurioContent is Apicurio with the contentId, as use-id makes it.
	ApicurioContent Format = "apicurio-contentId"
	// ApicurioHeadersContent is ApicurioHeaders with the contentId.
	ApicurioHeadersContent Format = "apicurio-headers-contentId"
	// GlueZlib is Glue with 0x05 for 0x00, and the Avro body as a zlib stream,
	// which Pack makes.
	GlueZlib Format = "glue-zlib"
)

// Formats lists every format.
func Formats() []Format {
	return []Format{Confluent, ConfluentGlobal, Apicurio, ApicurioContent, ApicurioHeaders, ApicurioHeadersContent, Glue, GlueZlib}
}

// UseID says which of Apicurio's ids a number before a record's body is.
type UseID string

const (
	// UseDefault is the contentId in 4 bytes, as for every client of the
	// Confluent API, and the globalId in 8.
	UseDefault UseID = ""
	// UseContentID is the contentId everywhere.
	UseContentID UseID = "contentId"
	// UseGlobalID is the globalId everywhere.
	UseGlobalID UseID = "globalId"
)

// With returns the format with the id of the kind.
func (f Format) With(u UseID) Format {
	switch {
	case f == Confluent && u == UseGlobalID:
		return ConfluentGlobal
	case f == Apicurio && u == UseContentID:
		return ApicurioContent
	case f == ApicurioHeaders && u == UseContentID:
		return ApicurioHeadersContent
	}
	return f
}

// id turns what ParseHeader found of a record's body around where its number
// is of the other kind.
func (u UseID) id(id ID) ID {
	switch {
	case u == UseGlobalID && id.Global == 0 && id.Content != 0:
		return ID{Global: id.Content}
	case u == UseContentID && id.Content == 0 && id.Global != 0:
		return ID{Content: id.Global}
	}
	return id
}

// The bytes of Glue's header, and the bound of what a body may unpack to.
const (
	glueVersion = 3
	gluePlain   = 0
	glueZlib    = 5
	glueHeader  = 18
	maxUnpacked = 64 << 20
)

// UUID names a schema version in AWS Glue. The zero one is none.
type UUID [16]byte

// ParseUUID reads the form with dashes.
func ParseUUID(s string) (u UUID, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(raw) != len(u) || len(s) != 36 {
		return u, fmt.Errorf("%q is no UUID", s)
	}
	copy(u[:], raw)
	return u, nil
}

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// ErrNoID marks a value that carries no schema id in any known format.
var ErrNoID = errors.New("record carries no schema id")

// Header is a Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// ParseFormat checks a format's name.
func ParseFormat(s string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if names = append(names, string(f)); s == string(f) {
			return f, nil
		}
	}
	return "", fmt.Errorf("wire format %q is not one of %s", s, strings.Join(names, ", "))
}

// maxWireID is the largest id that readers tell apart in both widths.
const maxWireID = 1<<31 - 1

// Check reports whether the format can carry id. The apicurio formats need a
// globalId, which the Confluent API does not give, and the glue formats a UUID,
// which AWS Glue alone gives.
func (f Format) Check(id ID) error {
	switch {
	case (f == Glue || f == GlueZlib) && id.UUID == UUID{},
		(f == Confluent || f == ApicurioContent) && (id.Content <= 0 || id.Content > maxWireID),
		(f == Apicurio || f == ConfluentGlobal) && (id.Global <= 0 || id.Global > maxWireID),
		f == ApicurioHeaders && id.Global <= 0,
		f == ApicurioHeadersContent && id.Content <= 0:
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
	case ConfluentGlobal:
		return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id.Global))
	case ApicurioContent:
		return binary.BigEndian.AppendUint64(append(dst, 0), uint64(id.Content))
	case Apicurio:
		return binary.BigEndian.AppendUint64(append(dst, 0), uint64(id.Global))
	case Glue:
		return append(append(dst, glueVersion, gluePlain), id.UUID[:]...)
	case GlueZlib:
		return append(append(dst, glueVersion, glueZlib), id.UUID[:]...)
	}
	return dst
}

// Packer makes the values of GlueZlib. It is for one goroutine; the zero value
// is ready for use.
type Packer struct{ z *zlib.Writer }

// Pack appends the header that value begins with, and its body compressed.
// value is what AppendHeader of GlueZlib began; an empty one stays so.
func (p *Packer) Pack(dst, value []byte) []byte {
	if len(value) < glueHeader {
		return append(dst, value...)
	}
	out := bytes.NewBuffer(append(dst, value[:glueHeader]...))
	if p.z == nil {
		p.z = zlib.NewWriter(out)
	} else {
		p.z.Reset(out)
	}
	// A buffer takes everything.
	_, _ = p.z.Write(value[glueHeader:])
	_ = p.z.Close()
	return out.Bytes()
}

// unpack is the other way round: the body of a value of GlueZlib.
func unpack(stream []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(stream))
	if err != nil {
		return nil, fmt.Errorf("unpack a record's body: %w", err)
	}
	var out bytes.Buffer
	if _, err = out.ReadFrom(io.LimitReader(z, maxUnpacked+1)); err != nil {
		return nil, fmt.Errorf("unpack a record's body: %w", err)
	}
	if out.Len() > maxUnpacked {
		return nil, fmt.Errorf("unpack a record's body: more than %d bytes", maxUnpacked)
	}
	return out.Bytes(), nil
}

// parseGlue reads what begins with Glue's version byte.
func parseGlue(data []byte) (id ID, body []byte, err error) {
	if len(data) < glueHeader {
		return ID{}, nil, fmt.Errorf("%d bytes are less than the header of AWS Glue: %w", len(data), ErrNoID)
	}
	if copy(id.UUID[:], data[2:]); id.UUID == (UUID{}) {
		return ID{}, nil, fmt.Errorf("the id in the header of AWS Glue is all zero: %w", ErrNoID)
	}
	if body = data[glueHeader:]; data[1] == gluePlain {
		return id, body, nil
	}
	if data[1] != glueZlib {
		return ID{}, nil, fmt.Errorf("compression 0x%02x of AWS Glue is not known: %w", data[1], ErrNoID)
	}
	if body, err = unpack(body); err != nil {
		return ID{}, nil, err
	}
	return id, body, nil
}

// The headers of ApicurioHeaders, for keys and for values.
const (
	keyPrefix   = "apicurio.key."
	valuePrefix = "apicurio.value."
)

// Headers returns the record headers that a key or value of this format needs;
// none but for ApicurioHeaders. Key and value headers of a record go together.
func (f Format) Headers(id ID, isKey bool) []Header {
	if f != ApicurioHeaders && f != ApicurioHeadersContent {
		return nil
	}
	prefix := valuePrefix
	if isKey {
		prefix = keyPrefix
	}
	name, number := "globalId", id.Global
	if f == ApicurioHeadersContent {
		name, number = "contentId", id.Content
	}
	return []Header{
		{prefix + name, binary.BigEndian.AppendUint64(nil, uint64(number))},
		{prefix + "encoding", []byte("BINARY")},
	}
}

// ParseHeader finds the schema id of a key or value, in whichever format it
// is, and the Avro body, which aliases data unless it was compressed. header returns a record header's
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
			if id.Global < 0 || id.Content < 0 || id == (ID{}) {
				return ID{}, nil, fmt.Errorf("the record's headers hold global id %d and content id %d: %w", id.Global, id.Content, ErrNoID)
			}
			return id, data, nil
		}
	}
	switch {
	case len(data) < 5:
		return ID{}, nil, fmt.Errorf("%d bytes: %w", len(data), ErrNoID)
	case data[0] == glueVersion:
		return parseGlue(data)
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
