package ddl

import (
	"strconv"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/format"
	"github.com/pingcap/tidb/pkg/parser/mysql"
	"github.com/pingcap/tidb/pkg/parser/opcode"
	driver "github.com/pingcap/tidb/pkg/parser/test_driver"
	"github.com/pingcap/tidb/pkg/parser/types"
)

// column reads a column's definition.
func (c *converter) column(n *ast.ColumnDef) (Column, error) {
	col := Column{Name: n.Name.Name.O, Charset: strings.ToLower(n.Tp.GetCharset())}
	collation, expression := "", false
	for i := range c.types {
		if w := &c.types[i]; w.column == col.Name {
			col.Written, col.Generated, collation, expression = w.text, w.generated, w.collate, w.expression
			if w.charset != "" {
				col.Charset = w.charset
			}
			c.types = c.types[i+1:]
			break
		}
	}
	if col.Written == "" {
		return col, errUnread
	}
	if !col.setType(n.Tp) {
		return col, errUnread
	}
	for _, o := range n.Options {
		switch o.Tp {
		case ast.ColumnOptionPrimaryKey:
			col.Primary, col.NotNull = true, true
		case ast.ColumnOptionNotNull:
			col.NotNull = true
		case ast.ColumnOptionNull:
			col.NotNull = false
		case ast.ColumnOptionAutoIncrement:
			col.Increment, col.NotNull = true, true
		case ast.ColumnOptionUniqKey:
			col.Unique = true
		case ast.ColumnOptionDefaultValue:
			if !expression {
				col.setDefault(o.Expr)
			}
		case ast.ColumnOptionComment:
			if v, ok := o.Expr.(*driver.ValueExpr); ok {
				col.Comment = v.GetString()
			}
		}
	}
	if strings.HasPrefix(col.Written, "SERIAL") {
		col.NotNull, col.Increment, col.Unique = true, true, true
	}
	switch {
	case !characters[col.Type]:
		col.Charset = ""
	case strings.HasPrefix(col.Written, "N") && strings.Contains(col.Written, "CHAR"):
		col.Charset = "utf8mb3"
	case col.Charset == "" && collation != "":
		col.Charset = CollationCharset(collation)
	}
	col.binary()
	return col, nil
}

var characters = wordSet("char varchar tinytext text mediumtext longtext enum set")

// binary makes the type of text in the character set binary what it is.
func (col *Column) binary() {
	if col.Charset != "binary" || col.Type == "enum" || col.Type == "set" {
		return
	}
	was := col.Type
	col.Charset = ""
	col.Type = map[string]string{"char": "binary", "varchar": "varbinary", "tinytext": "tinyblob", "text": "blob", "mediumtext": "mediumblob", "longtext": "longblob"}[was]
	col.Full = strings.Replace(col.Full, was, col.Type, 1)
	if col.Type == "binary" {
		col.Length, _ = strconv.Atoi(strings.Trim(strings.TrimPrefix(col.Full, "binary"), "()"))
	}
}

// typeNames are the types by the parser's numbers.
var typeNames = map[byte]string{
	mysql.TypeTiny: "tinyint", mysql.TypeShort: "smallint", mysql.TypeInt24: "mediumint", mysql.TypeLong: "int", mysql.TypeLonglong: "bigint",
	mysql.TypeFloat: "float", mysql.TypeDouble: "double", mysql.TypeNewDecimal: "decimal", mysql.TypeBit: "bit",
	mysql.TypeDate: "date", mysql.TypeDuration: "time", mysql.TypeDatetime: "datetime", mysql.TypeTimestamp: "timestamp", mysql.TypeYear: "year",
	mysql.TypeString: "char", mysql.TypeVarchar: "varchar", mysql.TypeVarString: "varchar", mysql.TypeTinyBlob: "tinytext", mysql.TypeBlob: "text",
	mysql.TypeMediumBlob: "mediumtext", mysql.TypeLongBlob: "longtext", mysql.TypeEnum: "enum", mysql.TypeSet: "set", mysql.TypeJSON: "json",
	mysql.TypeTiDBVectorFloat32: "vector",
}

// setType takes over the type; false if it is unknown.
func (col *Column) setType(t *types.FieldType) bool {
	length, scale := t.GetFlen(), t.GetDecimal()
	col.Type = typeNames[t.GetType()]
	if t.GetType() == mysql.TypeVarchar && length >= standInLength && length < standInLength+len(standIns) {
		col.Type = standIns[length-standInLength]
		col.Full, col.Charset = col.Type, ""
		return true
	}
	col.Full = col.Type
	args := func(n ...int) {
		parts := make([]string, len(n))
		for i, v := range n {
			parts[i] = strconv.Itoa(v)
		}
		col.Full += "(" + strings.Join(parts, ",") + ")"
	}
	switch col.Type {
	case "":
		return false
	case "tinyint":
		if length == 1 {
			args(1)
		}
	case "int", "smallint", "mediumint", "bigint":
		if t.GetFlag()&mysql.ZerofillFlag != 0 && length > 0 {
			args(length)
		}
	case "float", "double":
		if scale >= 0 {
			args(length, scale)
		}
	case "decimal":
		if col.Precision, col.Scale = length, max(scale, 0); length <= 0 {
			col.Precision, col.Scale = 10, 0
		}
		args(col.Precision, col.Scale)
	case "bit":
		col.Length = max(length, 1)
		args(col.Length)
	case "time", "datetime", "timestamp":
		if col.FSP = max(scale, 0); col.FSP > 0 {
			args(col.FSP)
		}
	case "char", "varchar":
		args(max(length, 1))
	case "enum", "set":
		col.setMembers(t.GetElems())
	case "vector":
		if length > 0 {
			args(length)
		}
	}
	col.blob(length)
	if t.GetFlag()&mysql.UnsignedFlag != 0 {
		col.Full += " unsigned"
	}
	if t.GetFlag()&mysql.ZerofillFlag != 0 {
		col.Full += " zerofill"
	}
	return true
}

// blob gives a TEXT or BLOB with a length the least type that holds it.
func (col *Column) blob(length int) {
	if col.Type != "text" || length <= 0 {
		return
	}
	size := length
	if col.Charset != "binary" {
		size *= 4
	}
	switch {
	case size < 1<<8:
		col.Type = "tinytext"
	case size < 1<<16:
	case size < 1<<24:
		col.Type = "mediumtext"
	default:
		col.Type = "longtext"
	}
	col.Full = col.Type
}

func (col *Column) setMembers(list []string) {
	col.Members = make([]string, len(list))
	parts := make([]string, len(list))
	for i, m := range list {
		col.Members[i] = strings.TrimRight(m, " ")
		parts[i] = "'" + strings.ReplaceAll(col.Members[i], "'", "''") + "'"
	}
	col.Full += "(" + strings.Join(parts, ",") + ")"
}

// setDefault takes over a default.
func (col *Column) setDefault(e ast.ExprNode) {
	col.Default, col.Now = nil, false
	sign := ""
	if u, ok := e.(*ast.UnaryOperationExpr); ok {
		if u.Op == opcode.Minus {
			sign = "-"
		}
		e = u.V
	}
	switch v := e.(type) {
	case *driver.ValueExpr:
		if text, ok := literal(v); ok {
			text = sign + text
			col.Default = &text
		}
	case *ast.FuncCallExpr:
		switch v.FnName.L {
		case "current_timestamp", "now", "localtime", "localtimestamp":
			col.Now = true
		}
	}
}

// literal is the text of a constant; false for NULL.
func literal(v *driver.ValueExpr) (string, bool) {
	switch v.Kind() {
	case driver.KindNull:
		return "", false
	case driver.KindString, driver.KindBytes:
		return v.GetString(), true
	case driver.KindBinaryLiteral, driver.KindMysqlBit:
		n := uint64(0)
		for _, b := range v.GetBytes() {
			n = n<<8 | uint64(b)
		}
		return "b'" + strconv.FormatUint(n, 2) + "'", true
	}
	var b strings.Builder
	if err := v.Restore(format.NewRestoreCtx(0, &b)); err != nil {
		return "", false
	}
	switch b.String() {
	case "TRUE":
		return "1", true
	case "FALSE":
		return "0", true
	}
	return b.String(), true
}
