package mysql

import (
	"strings"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
)

// booleanType is a TINYINT that tinyint.boolean.columns makes a boolean: true above 0.
var booleanType = columnType{typ: envelope.TypeOf(envelope.Boolean), text: textAboveZero, log: []logForm{{binlog.ColTiny, anyMeta, appendAboveZero}}}

// boolean reports whether a column is one.
func (s *settings) boolean(table envelope.TableID, d *columnDef) bool {
	return s.booleans != nil && d.DataType == "tinyint" && (!s.BooleanLength || strings.Contains(d.Full, "(1)")) && s.booleans.Column(table, d.Name)
}

func textAboveZero(dst, src []byte) ([]byte, error) {
	if len(src) == 0 || src[0] == '-' || len(strings.Trim(string(src), "0")) == 0 {
		return append(dst, 0), nil
	}
	return append(dst, 1), nil
}

// appendAboveZero takes the byte for one with a sign, as the log's reader of Debezium
// does.
func appendAboveZero(_ *binlog.Column, dst, src []byte) ([]byte, int) {
	if len(src) < 1 {
		return dst, 0
	}
	if int8(src[0]) > 0 {
		return append(dst, 1), 1
	}
	return append(dst, 0), 1
}
