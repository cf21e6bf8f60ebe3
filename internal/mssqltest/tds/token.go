package tds

import "math"

// Bits of a DONE token's status.
const (
	DoneMore  = 0x01
	DoneError = 0x02
	DoneInTx  = 0x04
	DoneCount = 0x10
	DoneAttn  = 0x20
)

// The tokens that end a statement: of a batch, of a procedure, of a statement within one.
const (
	TokenDone       = 0xFD
	TokenDoneProc   = 0xFE
	TokenDoneInProc = 0xFF
)

const (
	tokenReturnStatus = 0x79
	tokenColMetadata  = 0x81
	tokenOrder        = 0xA9
	tokenError        = 0xAA
	tokenInfo         = 0xAB
	tokenReturnValue  = 0xAC
	tokenLoginAck     = 0xAD
	tokenFeatureAck   = 0xAE
	tokenRow          = 0xD1
	tokenNBCRow       = 0xD2
	tokenEnvChange    = 0xE3
)

// Column is a column of a result.
type Column struct {
	Name     string
	Type     Type
	Nullable bool
	Identity bool
	Computed bool
	Table    []string // the parts of the base table's name, for text, ntext and image
}

// AppendDone appends DONE, DONEPROC or DONEINPROC.
func AppendDone(dst []byte, token byte, status, command uint16, rows uint64) []byte {
	return le(le(le(append(dst, token), status), command), rows)
}

// AppendColumns appends COLMETADATA.
func AppendColumns(dst []byte, cols []Column) []byte {
	dst = le(append(dst, tokenColMetadata), uint16(len(cols)))
	for _, c := range cols {
		user := uint32(0)
		if c.Type.Kind == RowVersion {
			user = 80
		}
		flags := uint16(0x08) // whether it can be updated is not known
		if c.Nullable {
			flags |= 0x01
		}
		if c.Identity {
			flags |= 0x10
		}
		if c.Computed {
			flags |= 0x20
		}
		dst = le(le(dst, user), flags)
		dst = AppendTypeInfo(dst, c.Type, c.Nullable, c.Table)
		dst = appendB(dst, c.Name)
	}
	return dst
}

// AppendRow appends a row: NBCROW, where the absent values are bits, if compact.
func AppendRow(dst []byte, cols []Column, row []Value, compact bool) ([]byte, error) {
	var err error
	if !compact {
		dst = append(dst, tokenRow)
		for i, c := range cols {
			if dst, err = AppendValue(dst, c.Type, c.Nullable, row[i]); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
	dst = append(dst, tokenNBCRow)
	at := len(dst)
	for range (len(cols) + 7) / 8 {
		dst = append(dst, 0)
	}
	for i, c := range cols {
		if row[i] == nil {
			dst[at+i/8] |= 1 << (i % 8)
			continue
		}
		if dst, err = AppendValue(dst, c.Type, c.Nullable, row[i]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// AppendReturnStatus appends a procedure's return status.
func AppendReturnStatus(dst []byte, status int32) []byte {
	return le(append(dst, tokenReturnStatus), uint32(status))
}

// AppendReturnValue appends an output parameter.
func AppendReturnValue(dst []byte, ordinal uint16, name string, t Type, v Value) ([]byte, error) {
	dst = le(append(dst, tokenReturnValue), ordinal)
	dst = appendB(dst, name)
	dst = append(dst, 1)                    // an output parameter
	dst = le(le(dst, uint32(0)), uint16(1)) // user type; nullable
	dst = AppendTypeInfo(dst, t, true, nil)
	return AppendValue(dst, t, true, v)
}

// AppendMessage appends ERROR, or INFO for a class of 10 and below.
func AppendMessage(dst []byte, number int32, state, class byte, text, server, procedure string, line int32) []byte {
	token := byte(tokenError)
	if class <= 10 {
		token = tokenInfo
	}
	// The whole token has a length of two bytes.
	if u := []rune(text); len(u) > 8000 {
		text = string(u[:8000])
	}
	var b []byte
	b = append(le(b, uint32(number)), state, class)
	b = appendB(appendB(appendUS(b, text), server), procedure)
	b = le(b, uint32(line))
	return append(le(append(dst, token), uint16(len(b))), b...)
}

// Environment changes.
const (
	EnvDatabase   = 1
	EnvPacketSize = 4
	EnvCollation  = 7
	EnvBegin      = 8
	EnvCommit     = 9
	EnvRollback   = 10
	EnvReset      = 18
)

// AppendEnvText appends ENVCHANGE of a text.
func AppendEnvText(dst []byte, kind byte, now, before string) []byte {
	b := appendB(appendB([]byte{kind}, now), before)
	return append(le(append(dst, tokenEnvChange), uint16(len(b))), b...)
}

// AppendEnvBytes appends ENVCHANGE of bytes.
func AppendEnvBytes(dst []byte, kind byte, now, before []byte) []byte {
	b := append([]byte{kind, byte(len(now))}, now...)
	b = append(append(b, byte(len(before))), before...)
	return append(le(append(dst, tokenEnvChange), uint16(len(b))), b...)
}

// AppendEnvCollation appends ENVCHANGE of the server's collation.
func AppendEnvCollation(dst []byte) []byte {
	return AppendEnvBytes(dst, EnvCollation, collation[:], nil)
}

// AppendLoginAck appends LOGINACK: TDS 7.4, version 16.0.1000.
func AppendLoginAck(dst []byte) []byte {
	b := []byte{1, 0x74, 0, 0, 4}
	b = append(appendB(b, "Microsoft SQL Server"), 16, 0, 0x03, 0xE8)
	return append(le(append(dst, tokenLoginAck), uint16(len(b))), b...)
}

// AppendFeatureUTF8 acknowledges that texts of UTF-8 collations come as UTF-8.
func AppendFeatureUTF8(dst []byte) []byte {
	dst = le(append(dst, tokenFeatureAck, featureUTF8), uint32(1))
	return append(dst, 1, 0xFF)
}

// TransactionBytes is a transaction's descriptor as it stands in ENVCHANGE.
func TransactionBytes(id uint64) []byte {
	return le(nil, id&math.MaxInt64)
}
