package sqlserver

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"tributary/envelope"
)

// defaultCell is the default of a column as a cell, nil if it has none that is a
// constant. The server keeps the expression in its own form: ((1)), ('x'), (N'x').
func defaultCell(c *column) []byte {
	text := strings.TrimSpace(c.def)
	for strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")") {
		text = strings.TrimSpace(text[1 : len(text)-1])
	}
	value, quoted := unquote(text)
	switch {
	case text == "" || strings.EqualFold(text, "NULL"):
		return nil
	case strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X"):
		raw, err := hex.DecodeString(text[2:])
		if err != nil || c.typ != "binary" && c.typ != "varbinary" {
			return nil
		}
		return append([]byte{}, raw...)
	}
	switch c.typ {
	case "bit", "tinyint", "smallint", "int", "bigint":
		return defaultInt(strings.TrimSuffix(value, "."))
	case "real", "float":
		return defaultFloat(value)
	case "decimal", "numeric", "money", "smallmoney":
		value = strings.TrimSuffix(value, ".")
		if _, err := envelope.AppendDecimal(nil, []byte(value), 38); err != nil {
			return nil
		}
		return []byte(value)
	case "date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset":
		if !quoted {
			return nil
		}
		return defaultTime(value)
	case "char", "varchar", "nchar", "nvarchar", "text", "ntext", "uniqueidentifier":
		if quoted {
			return append([]byte{}, value...)
		}
	}
	return nil
}

// unquote takes a literal of text apart.
func unquote(text string) (string, bool) {
	body := strings.TrimPrefix(text, "N")
	if len(body) < 2 || body[0] != '\'' || body[len(body)-1] != '\'' {
		return text, false
	}
	body = body[1 : len(body)-1]
	if strings.Contains(strings.ReplaceAll(body, "''", ""), "'") {
		return text, false // of several literals
	}
	return strings.ReplaceAll(body, "''", "'"), true
}

var timeForms = []string{
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "20060102", "20060102 15:04:05", "15:04:05", "15:04",
	"2006-01-02 15:04:05 -07:00", "2006-01-02T15:04:05-07:00", "2006-01-02T15:04:05Z07:00",
}

func defaultTime(text string) []byte {
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil { // takes fractions of a second too
			cell, _ := cellTime(nil, t) // of the right form
			return cell
		}
	}
	return nil
}

func defaultInt(text string) []byte {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	cell, _ := cellInt(nil, n) // of the right form
	return cell
}

func defaultFloat(text string) []byte {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	cell, _ := cellFloat(nil, f) // of the right form
	return cell
}
