package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Event types that the reader meets. Numbers are those of the servers' own
// sources (MySQL's binlog_event.h, MariaDB's log_event.h).
const (
	TypeQuery              = 2
	TypeRotate             = 4
	TypeFormatDescription  = 15
	TypeXID                = 16
	TypeTableMap           = 19
	TypeWriteRowsV0        = 20
	TypeUpdateRowsV0       = 21
	TypeDeleteRowsV0       = 22
	TypeWriteRowsV1        = 23
	TypeUpdateRowsV1       = 24
	TypeDeleteRowsV1       = 25
	TypeIncident           = 26
	TypeHeartbeat          = 27
	TypeRowsQuery          = 29
	TypeWriteRowsV2        = 30
	TypeUpdateRowsV2       = 31
	TypeDeleteRowsV2       = 32
	TypeGTID               = 33
	TypeAnonymousGTID      = 34
	TypeXAPrepare          = 38
	TypePartialUpdateRows  = 39
	TypeTransactionPayload = 40
	TypeHeartbeatV2        = 41
	TypeGTIDTagged         = 42
	TypeMariaAnnotateRows  = 160
	TypeMariaGTID          = 162
	TypeMariaQueryCompr    = 165
	TypeMariaWriteCompr    = 166
	TypeMariaUpdateCompr   = 167
	TypeMariaDeleteCompr   = 168
)

// HeaderSize is the length of an event header in bytes.
const HeaderSize = 19

// FlagArtificial marks an event that the server made up for this connection
// and that is in no file.
const FlagArtificial = 0x20

// ErrMalformed is wrapped by every error about bytes that do not decode.
var ErrMalformed = errors.New("malformed binlog data")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Header is an event's header.
type Header struct {
	Timestamp uint32 // Unix seconds
	Type      byte
	ServerID  uint32
	Size      uint32 // header included
	NextPos   uint32 // position of the next event in the file; 0 in artificial events
	Flags     uint16
}

// ParseHeader reads the header at the start of b.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, malformed("event of %d bytes", len(b))
	}
	h := Header{
		Timestamp: binary.LittleEndian.Uint32(b),
		Type:      b[4],
		ServerID:  binary.LittleEndian.Uint32(b[5:]),
		Size:      binary.LittleEndian.Uint32(b[9:]),
		NextPos:   binary.LittleEndian.Uint32(b[13:]),
		Flags:     binary.LittleEndian.Uint16(b[17:]),
	}
	if h.Size < HeaderSize {
		return Header{}, malformed("event size %d", h.Size)
	}
	return h, nil
}

// lenenc reads a length-encoded integer; n is 0 when b is too short or starts
// with a byte that starts no integer.
func lenenc(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch b[0] {
	case 0xfb, 0xff:
		return 0, 0
	case 0xfc:
		if len(b) < 3 {
			return 0, 0
		}
		return uint64(b[1]) | uint64(b[2])<<8, 3
	case 0xfd:
		if len(b) < 4 {
			return 0, 0
		}
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case 0xfe:
		if len(b) < 9 {
			return 0, 0
		}
		return binary.LittleEndian.Uint64(b[1:]), 9
	default:
		return uint64(b[0]), 1
	}
}

// lenencBytes reads a length-encoded string; n counts its length prefix too
// and is 0 when b is too short.
func lenencBytes(b []byte) (v []byte, n int) {
	l, n := lenenc(b)
	if n == 0 || l > uint64(len(b)-n) {
		return nil, 0
	}
	return b[n : n+int(l)], n + int(l)
}

func uint48(b []byte) uint64 {
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40
}
