package tds

import (
	"encoding/binary"
	"fmt"
)

// Encryption options of PRELOGIN.
const (
	EncryptOff    = 0 // only the login is encrypted
	EncryptOn     = 1
	EncryptNotSup = 2
	EncryptReq    = 3
)

// PreloginEncryption reads what a client's PRELOGIN says of encryption.
func PreloginEncryption(b []byte) (byte, error) {
	for i := 0; i+5 <= len(b) && b[i] != 0xFF; i += 5 {
		off, n := int(binary.BigEndian.Uint16(b[i+1:])), int(binary.BigEndian.Uint16(b[i+3:]))
		if off+n > len(b) {
			return 0, errShort
		}
		if b[i] == 1 && n == 1 {
			return b[off], nil
		}
	}
	return EncryptNotSup, nil
}

// PreloginReply answers PRELOGIN: version 16.0.1000, the given encryption, no MARS.
func PreloginReply(encryption byte) []byte {
	options := [][]byte{
		{16, 0, 0x03, 0xE8, 0, 0}, // VERSION
		{encryption},              // ENCRYPTION
		{0},                       // INSTOPT
		{},                        // THREADID
		{0},                       // MARS
	}
	off := 5*len(options) + 1
	var head, data []byte
	for i, o := range options {
		head = append(head, byte(i))
		head = binary.BigEndian.AppendUint16(head, uint16(off+len(data)))
		head = binary.BigEndian.AppendUint16(head, uint16(len(o)))
		data = append(data, o...)
	}
	return append(append(head, 0xFF), data...)
}

// Login is what the server uses of LOGIN7.
type Login struct {
	Version    uint32
	PacketSize int
	Host       string
	User       string
	Password   string
	App        string
	Library    string
	Database   string
	ReadOnly   bool // ApplicationIntent=ReadOnly
	Integrated bool // SSPI was asked for
	UTF8       bool // the client reads texts of UTF-8 collations as UTF-8
}

// ParseLogin reads LOGIN7.
func ParseLogin(b []byte) (Login, error) {
	if len(b) < 94 {
		return Login{}, errShort
	}
	var l Login
	l.Version = binary.LittleEndian.Uint32(b[4:])
	l.PacketSize = int(binary.LittleEndian.Uint32(b[8:]))
	l.Integrated = b[25]&0x80 != 0
	l.ReadOnly = b[26]&0x20 != 0
	var err error
	field := func(at int) []byte {
		off, n := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
		if off+2*n > len(b) {
			err = fmt.Errorf("read a field of the login: %w", errShort)
			return nil
		}
		return b[off : off+2*n]
	}
	l.Host = DecodeUCS2(field(36))
	l.User = DecodeUCS2(field(40))
	hidden := append([]byte{}, field(44)...)
	for i, c := range hidden {
		c ^= 0xA5
		hidden[i] = c<<4 | c>>4
	}
	l.Password = DecodeUCS2(hidden)
	l.App = DecodeUCS2(field(48))
	l.Library = DecodeUCS2(field(60))
	l.Database = DecodeUCS2(field(68))
	if b[27]&0x10 != 0 && err == nil {
		l.UTF8, err = features(b)
	}
	return l, err
}

// featureUTF8 is UTF8_SUPPORT among the feature extensions.
const featureUTF8 = 0x0A

// features walks the feature extensions: id, length, data, up to 0xFF. The login
// has the offset of their offset.
func features(b []byte) (utf8 bool, err error) {
	at := int(binary.LittleEndian.Uint16(b[56:]))
	if at+4 > len(b) {
		return false, errShort
	}
	at = int(binary.LittleEndian.Uint32(b[at:]))
	for at >= 0 && at < len(b) && b[at] != 0xFF {
		if at+5 > len(b) {
			return false, errShort
		}
		utf8 = utf8 || b[at] == featureUTF8
		n := int(binary.LittleEndian.Uint32(b[at+1:]))
		if n < 0 || n > len(b) {
			return false, errShort
		}
		at += 5 + n
	}
	return utf8, nil
}
