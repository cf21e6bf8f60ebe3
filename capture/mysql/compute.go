package mysql

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"tributary/envelope"
)

// MariaDB 11 leaves generated columns out of the images of updates, whatever
// binlog_row_image says. The server is asked for
// them, with the values of the row that the log has.

// compute fills in columns of the row that begins at start. Until then they
// hold what stands for a missing value.
func (s *stream) compute(row []byte, b *bound, start int, columns []int) ([]byte, error) {
	var expressions, values []string
	for _, i := range columns {
		d := &b.version.def.Columns[i]
		x := d.cast("(" + d.Expression + ")")
		if f := b.version.types[i].sql; f != "" {
			x = fmt.Sprintf(f, x)
		}
		expressions = append(expressions, x)
	}
	from := start
	for i := range b.version.def.Columns {
		cell := row[from:b.ends[i]]
		from = b.ends[i]
		at := b.version.at[i]
		if at < 0 || b.version.def.Columns[i].Expression != "" {
			continue
		}
		if text, ok := sqlLiteral(&b.version.codec.Table.Columns[at], &b.version.def.Columns[i], cell); ok {
			values = append(values, text+" AS "+identifier(b.version.def.Columns[i].Name))
		}
	}
	got, err := s.cat.evaluate(s.ctx, expressions, values)
	if err != nil {
		return nil, fmt.Errorf("compute the generated columns of %s: %w", b.version.def.ID, err)
	}
	if len(got) != len(columns) {
		return nil, fmt.Errorf("compute the generated columns of %s: no answer", b.version.def.ID)
	}
	return b.fill(row, start, columns, got)
}

// cast makes an expression one of a column's type.
func (d *columnDef) cast(x string) string {
	var as string
	switch d.DataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		if as = "SIGNED"; d.unsigned() {
			as = "UNSIGNED"
		}
	case "decimal":
		as = fmt.Sprintf("DECIMAL(%d,%d)", d.Precision, d.Scale)
	case "date":
		as = "DATE"
	case "datetime", "timestamp":
		as = fmt.Sprintf("DATETIME(%d)", d.FSP)
	case "time":
		as = fmt.Sprintf("TIME(%d)", d.FSP)
	default:
		return x
	}
	return "CAST(" + x + " AS " + as + ")"
}

// cell encodes the text of a column's value.
func (v *version) cell(i int, text []byte) ([]byte, error) {
	c, t := &v.codec.Table.Columns[v.at[i]], &v.types[i]
	if text == nil || t.none != nil && t.none(text) {
		return c.AppendMissing(nil), nil
	}
	return t.text(c.AppendPresent(nil), text)
}

// sqlLiteral writes an encoded value as SQL; false where there is no form.
func sqlLiteral(c *envelope.Column, d *columnDef, cell []byte) (string, bool) {
	if c.Nullable {
		null, tag := c.AppendNull(nil), c.AppendPresent(nil)
		if bytes.Equal(cell, null) {
			return "NULL", true
		}
		cell = cell[len(tag):]
	}
	switch d.DataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year":
		if c.Type.Kind == envelope.Bytes {
			return decimalText(cell, 0), true
		}
		v, _ := binary.Varint(cell)
		if d.DataType == "bigint" && d.unsigned() {
			return strconv.FormatUint(uint64(v), 10), true //nolint:gosec // it was wrapped
		}
		return strconv.FormatInt(v, 10), true
	case "decimal":
		switch c.Type.Kind {
		case envelope.Bytes:
			return decimalText(cell, d.Scale), true
		case envelope.String:
			return string(avroBytes(cell)), true
		}
		return strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(cell)), 'g', -1, 64), true
	case "float", "double":
		if c.Type.Kind == envelope.Float {
			return strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(cell))), 'g', -1, 32) + "e0", true
		}
		return strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(cell)), 'e', -1, 64), true
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json", "uuid", "inet4", "inet6":
		return quote(string(avroBytes(cell))), true
	case "timestamp":
		text := strings.TrimSuffix(strings.Replace(string(avroBytes(cell)), "T", " ", 1), "Z")
		return "CAST(" + quote(text) + " AS DATETIME(6))", true
	case "date":
		v, _ := binary.Varint(cell)
		return "DATE_ADD('1970-01-01', INTERVAL " + strconv.FormatInt(v, 10) + " DAY)", true
	case "datetime":
		v, _ := binary.Varint(cell)
		if c.Type.Name != envelope.TypeMicroTimestamp().Name {
			v *= 1000
		}
		return "DATE_ADD(CAST('1970-01-01' AS DATETIME(6)), INTERVAL " + strconv.FormatInt(v, 10) + " MICROSECOND)", true
	case "time":
		v, _ := binary.Varint(cell)
		if c.Type.Name != envelope.TypeMicroTime().Name {
			v *= 1000
		}
		return "SEC_TO_TIME(" + decimalOf(big.NewInt(v), 6) + ")", true
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		if c.Type.Kind == envelope.Bytes {
			return "x'" + hex.EncodeToString(avroBytes(cell)) + "'", true
		}
	}
	return "", false
}

// avroBytes is what follows a length.
func avroBytes(cell []byte) []byte {
	_, n := binary.Varint(cell)
	return cell[n:]
}

// decimalText is an encoded decimal's text.
func decimalText(cell []byte, scale int) string {
	raw := avroBytes(cell)
	v := new(big.Int).SetBytes(raw)
	if len(raw) > 0 && raw[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw)))) //nolint:gosec // short
	}
	return decimalOf(v, scale)
}

func decimalOf(v *big.Int, scale int) string {
	sign, text := "", new(big.Int).Abs(v).String()
	if v.Sign() < 0 {
		sign = "-"
	}
	if scale == 0 {
		return sign + text
	}
	if len(text) <= scale {
		text = strings.Repeat("0", scale-len(text)+1) + text
	}
	return sign + text[:len(text)-scale] + "." + text[len(text)-scale:]
}
