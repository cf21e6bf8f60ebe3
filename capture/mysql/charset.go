package mysql

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"tributary/capture/mysql/binlog"
)

// plainCharsets are those whose bytes are UTF-8 as they are.
var plainCharsets = map[string]bool{"": true, "utf8mb4": true, "utf8mb3": true, "utf8": true, "ascii": true, "binary": true}

// ownCharsets are those that we decode by rule. All others are asked of the
// server, so that the log gives what the server's own conversion gives a
// snapshot.
var ownCharsets = map[string]binlog.Decoder{
	"latin1": binlog.Latin1, "utf16": binlog.UTF16, "ucs2": binlog.UTF16, "utf16le": binlog.UTF16LE, "utf32": binlog.UTF32,
}

// decoderOf returns how text of a character set becomes UTF-8, nil if it is.
func decoderOf(ctx context.Context, cat catalog, charset string) (binlog.Decoder, error) {
	if plainCharsets[charset] {
		return nil, nil
	}
	if d := ownCharsets[charset]; d != nil {
		return d, nil
	}
	return cat.decoder(ctx, charset)
}

// decoder implements catalog.
func (s *serverCatalog) decoder(ctx context.Context, charset string) (binlog.Decoder, error) {
	if t := s.decoders[charset]; t != nil {
		return t.Decode, nil
	}
	t, err := readCharset(ctx, s.conn, charset)
	if err != nil {
		return nil, fmt.Errorf("read character set %s of the server: %w", charset, err)
	}
	if s.decoders == nil {
		s.decoders = make(map[string]*binlog.CharsetTable)
	}
	s.decoders[charset] = t
	return t.Decode, nil
}

// readCharset has the server convert every code of a character set.
func readCharset(ctx context.Context, c *conn, charset string) (*binlog.CharsetTable, error) {
	longest, err := c.value(ctx, "SELECT MAXLEN FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME = "+quote(charset))
	if err != nil {
		return nil, err
	}
	t := &binlog.CharsetTable{}
	r := charsetReader{ctx: ctx, conn: c, charset: charset, table: t}
	for b := range 256 {
		r.add(byte(b))
	}
	if err := r.ask(); err != nil {
		return nil, err
	}
	if longest > "1" {
		r.each(2, [2]byte{0x80, 0xff}, [2]byte{0x30, 0xff})
	}
	switch longest {
	case "3": // ujis and eucjpms
		r.each(3, [2]byte{0x8f, 0x8f}, [2]byte{0xa1, 0xfe}, [2]byte{0xa1, 0xfe})
	case "4": // gb18030
		r.each(4, [2]byte{0x81, 0x84}, [2]byte{0x30, 0x39}, [2]byte{0x81, 0xfe}, [2]byte{0x30, 0x39})
	}
	if err := r.ask(); err != nil {
		return nil, err
	}
	if longest == "4" {
		addSupplementary(t)
	}
	return t, r.err
}

// addSupplementary adds the codes of gb18030 that follow one another from
// 90308130, the character U+10000.
func addSupplementary(t *binlog.CharsetTable) {
	for r := rune(0x10000); r <= utf8.MaxRune; r++ {
		n := r - 0x10000
		t.Add([]byte{byte(0x90 + n/12600), byte(0x30 + n/1260%10), byte(0x81 + n/10%126), byte(0x30 + n%10)}, string(r))
	}
}

// charsetReader asks for many codes in one query.
type charsetReader struct {
	ctx     context.Context //nolint:containedctx // of one call
	conn    *conn
	charset string
	table   *binlog.CharsetTable
	codes   [][]byte
	err     error
}

// most columns of a result are 4096.
const maxCodes = 4000

// each adds the codes whose bytes are in the ranges, if no character begins
// with the first byte alone.
func (r *charsetReader) each(size int, ranges ...[2]byte) {
	code := make([]byte, size)
	var next func(at int)
	next = func(at int) {
		if at == size {
			r.add(code...)
			return
		}
		for b := int(ranges[at][0]); b <= int(ranges[at][1]); b++ {
			if at == 0 && r.table.Single(byte(b)) {
				continue
			}
			code[at] = byte(b)
			next(at + 1)
		}
	}
	next(0)
}

func (r *charsetReader) add(code ...byte) {
	r.codes = append(r.codes, append([]byte(nil), code...))
	if len(r.codes) == maxCodes && r.err == nil {
		r.err = r.ask()
	}
}

// ask adds to the table what the server makes of the codes.
func (r *charsetReader) ask() error {
	if r.err != nil || len(r.codes) == 0 {
		return r.err
	}
	var q strings.Builder
	q.WriteString("SELECT ")
	for i, c := range r.codes {
		if i > 0 {
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "CONVERT(CAST(x'%s' AS CHAR(4) CHARACTER SET %s) USING utf8mb4) a", hex.EncodeToString(c), r.charset)
	}
	codes := r.codes
	r.codes = nil
	return r.conn.rows(r.ctx, q.String(), func(cells [][]byte) error {
		for i, text := range cells {
			if utf8.RuneCount(text) != 1 || string(text) == "?" && string(codes[i]) != "?" {
				continue // no character of this set
			}
			r.table.Add(codes[i], string(text))
		}
		return nil
	})
}
