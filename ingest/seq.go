package ingest

import (
	"bytes"
	"math"
)

// The column __seq orders the states of a row as its source ordered them. It is
// text of fixed width, so that it sorts as text:
//
//	PostgreSQL   %016x of the LSN                                   -%012x
//	MySQL        %08x-%012x-%06x of binlog file number, pos, row    -%012x
//	             (after a failover the number of servers followed before,
//	             which the file's name ends with, is in its upper 8 bits)
//	SQL Server   %020x-%020x-%06x of commit_lsn, change_lsn and
//	             event_serial_no                                    -%012x
//	none         %016x of 0                                         -%012x
//
// What a record does not have counts as 0, but a change_lsn: the rows of SQL
// Server's snapshots have none. They are as the commit of their commit_lsn left
// them, or newer, and so come after all of its changes, as if theirs were the
// greatest, and before every change that the stream brings then.
//
// The last part is the row's place in Kafka: the first offset of its bronze
// object plus its index in it. It decides between states that the source gives
// the same position, such as two rows of one key in a snapshot read again.
const (
	seqKafkaBits = 48
	seqRowBits   = 24
	seqPosBits   = 48
	seqFileBits  = 32
)

const hexDigits = "0123456789abcdef"

// appendHex appends v with exactly bits/4 digits; a greater or negative v is
// clamped, which leaves the order to the parts that follow.
func appendHex(dst []byte, v int64, bits int) []byte {
	u := uint64(max(v, 0))
	if bits < 64 {
		u = min(u, 1<<bits-1)
	}
	for shift := bits - 4; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[u>>shift&0xf])
	}
	return dst
}

// appendLSNSeq appends the order of a row of PostgreSQL; an LSN is an unsigned
// number that travels as a signed one.
func appendLSNSeq(dst []byte, lsn, kafka int64) []byte {
	u := uint64(lsn)
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[u>>shift&0xf])
	}
	dst = append(dst, '-')
	return appendHex(dst, kafka, seqKafkaBits)
}

// appendBinlogSeq appends the order of a row of MySQL or MariaDB.
func appendBinlogSeq(dst, file []byte, pos, row, kafka int64) []byte {
	dst = appendHex(dst, binlogNumber(file), seqFileBits)
	dst = append(dst, '-')
	dst = appendHex(dst, pos, seqPosBits)
	dst = append(dst, '-')
	dst = appendHex(dst, row, seqRowBits)
	dst = append(dst, '-')
	return appendHex(dst, kafka, seqKafkaBits)
}

// appendChangeSeq appends the order of a row of SQL Server.
func appendChangeSeq(dst, commit, change []byte, serial, kafka int64) []byte {
	dst = append(appendDigits(dst, commit, noLSN), '-')
	dst = append(appendDigits(dst, change, lastLSN), '-')
	dst = append(appendHex(dst, serial, seqRowBits), '-')
	return appendHex(dst, kafka, seqKafkaBits)
}

const (
	noLSN   = "00000000000000000000"
	lastLSN = "ffffffffffffffffffff"
)

// appendDigits appends the digits of an LSN such as 00000025:00000d98:0002; absent
// for what is none.
func appendDigits(dst, lsn []byte, absent string) []byte {
	start := len(dst)
	for _, c := range lsn {
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
			dst = append(dst, c)
		case c >= 'A' && c <= 'F':
			dst = append(dst, c+'a'-'A')
		case c != ':':
			return append(dst[:start], absent...)
		}
	}
	if len(dst)-start != len(absent) {
		return append(dst[:start], absent...)
	}
	return dst
}

// epochShift leaves 24 bits to the number of a binlog.
const epochShift = 24

// binlogNumber returns the number at the end of a binlog's name: 42 of
// "bin.000042"; 0 when there is none. A name such as "bin.000042@1", of the
// log of another server than the first, comes after all of the servers before.
func binlogNumber(file []byte) int64 {
	if at := bytes.LastIndexByte(file, '@'); at >= 0 {
		epoch := min(trailingNumber(file[at+1:]), 1<<(seqFileBits-epochShift)-1)
		return epoch<<epochShift | min(trailingNumber(file[:at]), 1<<epochShift-1)
	}
	return trailingNumber(file)
}

func trailingNumber(text []byte) int64 {
	n, unit := int64(0), int64(1)
	for i := len(text) - 1; i >= 0 && text[i] >= '0' && text[i] <= '9'; i-- {
		if unit > math.MaxUint32 {
			break
		}
		n += int64(text[i]-'0') * unit
		unit *= 10
	}
	return n
}
