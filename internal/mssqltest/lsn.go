package mssqltest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// LSN is a log sequence number: virtual log file 4, block 4, slot 2, big-endian.
type LSN [10]byte

// String is the LSN as the ecosystem prints it, "0000002a:00000158:0003".
func (l LSN) String() string {
	h := hex.EncodeToString(l[:])
	return fmt.Sprintf("%s:%s:%s", h[:8], h[8:16], h[16:])
}

// Compare orders LSNs.
func (l LSN) Compare(m LSN) int { return compareBytes(l[:], m[:]) }

// Bytes are the LSN as a binary(10).
func (l LSN) Bytes() []byte { return append([]byte{}, l[:]...) }

// value is the LSN as a value of SQL, NULL if it is zero.
func (l LSN) orNull() any {
	if l == (LSN{}) {
		return nil
	}
	return l.Bytes()
}

func lsnOf(b []byte) (l LSN) {
	copy(l[:], b)
	return l
}

// increment gives the next number, or the one before for -1.
func (l LSN) increment(by int) LSN {
	for i := 9; i >= 0; i-- {
		if by > 0 {
			l[i]++
			if l[i] != 0 {
				break
			}
		} else {
			l[i]--
			if l[i] != 0xFF {
				break
			}
		}
	}
	return l
}

// logHead is where the log ends. Records take one or more slots of a block; blocks
// lie apart, as on a server.
type logHead struct {
	vlf, block uint32
	slot       uint16
}

func (h *logHead) next() LSN {
	h.slot++
	if h.slot > 40 {
		h.slot = 1
		h.block += 0x18
		if h.block > 1<<20 {
			h.block = 0x10
			h.vlf++
		}
	}
	return h.lsn()
}

// flush starts a new block, as a commit does.
func (h *logHead) flush() { h.slot = 1000 }

func (h *logHead) lsn() (l LSN) {
	binary.BigEndian.PutUint32(l[0:], h.vlf)
	binary.BigEndian.PutUint32(l[4:], h.block)
	binary.BigEndian.PutUint16(l[8:], h.slot)
	return l
}
