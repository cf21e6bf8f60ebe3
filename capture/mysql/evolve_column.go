package mysql

import (
	"strconv"
	"strings"

	"tributary/capture/mysql/ddl"
)

// column makes the definition of a column of a table.
func (h *history) column(d *tableDef, c *ddl.Column) columnDef {
	out := columnDef{
		Name: c.Name, DataType: c.Type, Full: c.Full, Nullable: !c.NotNull, Charset: c.Charset,
		Precision: c.Precision, Scale: c.Scale, FSP: c.FSP, Length: c.Length, Members: c.Members,
		Comment: c.Comment, Increment: c.Increment, Expression: c.Generated,
	}
	if strings.ToUpper(c.Full) != c.Written {
		out.Written = c.Written
	}
	if h.maria && c.Type == "json" { // another name
		out.DataType, out.Full, out.Charset = "longtext", "longtext", "utf8mb4"
	}
	if textTypes[out.DataType] && out.Charset == "" {
		if out.Charset = d.Charset; out.Charset == "binary" && out.Members == nil {
			out.DataType = strings.Replace(strings.Replace(out.DataType, "text", "blob", 1), "char", "binary", 1)
			out.Full = strings.Replace(strings.Replace(out.Full, "text", "blob", 1), "char", "binary", 1)
			out.Charset = ""
		}
	}
	out.setDefault(c)
	return out
}

var textTypes = map[string]bool{
	"char": true, "varchar": true, "tinytext": true, "text": true, "mediumtext": true, "longtext": true, "enum": true, "set": true,
}

// setDefault takes over a default, in the form in which the server tells it.
func (c *columnDef) setDefault(from *ddl.Column) {
	c.NoDefault, c.Default, c.Told = from.Now, from.Default, nil
	if c.Default == nil {
		return
	}
	text := *c.Default
	switch c.DataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year":
		if v, err := strconv.ParseFloat(text, 64); err == nil && !integerText(text) {
			text = strconv.FormatFloat(v, 'f', 0, 64)
		}
	case "decimal":
		text = fixedPoint(text, c.Scale)
	case "datetime", "timestamp", "time":
		if c.DataType != "time" && len(text) == len("2000-01-01") {
			text += " 00:00:00"
		}
		if whole, fraction, _ := strings.Cut(text, "."); c.FSP > len(fraction) {
			text = whole + "." + fraction + strings.Repeat("0", c.FSP-len(fraction))
		}
	}
	if text != *c.Default {
		c.Told = c.Default
	}
	c.Default = &text
}

func integerText(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits == "0" || digits != "" && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// fixedPoint gives a number so many digits after the point, if it has fewer.
func fixedPoint(s string, scale int) string {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(s, "+"), ".")
	if strings.ContainsAny(s, "eE") || len(fraction) > scale {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return s
		}
		return strconv.FormatFloat(v, 'f', scale, 64)
	}
	if whole == "" || whole == "-" {
		whole += "0"
	}
	if scale == 0 {
		return whole
	}
	return whole + "." + fraction + strings.Repeat("0", scale-len(fraction))
}
