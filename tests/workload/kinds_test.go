package workload

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tributary/internal/testdb"
)

// kind is a sort of column. Its values have one text by which those of the
// database and those of the topic are compared: see canonical.
type kind struct {
	name        string
	pg, my, ms  string // the type
	value       func(r *rand.Rand, lang dialect) string
	readPG      string // an expression for the text of column %s
	readMy      string
	wider       []string // kinds that a column can become without a change of its texts
	withDefault bool     // whether a literal, without its quotes, is the canonical text
}

var kinds = []kind{
	{
		name: "int", pg: "integer", my: "INT", ms: "int", readPG: "%s", readMy: "%s", wider: []string{"bigint", "str"}, withDefault: true,
		value: func(r *rand.Rand, _ dialect) string { return strconv.Itoa(r.IntN(2_000_000_000) - 1_000_000_000) },
	},
	{
		name: "bigint", pg: "bigint", my: "BIGINT", ms: "bigint", readPG: "%s", readMy: "%s", wider: []string{"str"}, withDefault: true,
		value: func(r *rand.Rand, _ dialect) string { return strconv.FormatInt(r.Int64()-1<<62, 10) },
	},
	{
		name: "str", pg: "varchar(60)", my: "VARCHAR(60)", ms: "nvarchar(60)", readPG: "%s", readMy: "%s", wider: []string{"text"}, withDefault: true,
		value: func(r *rand.Rand, lang dialect) string { return lang.text(word(r, r.IntN(40))) },
	},
	{
		name: "text", pg: "text", my: "LONGTEXT", ms: "nvarchar(max)", readPG: "%s", readMy: "%s",
		value: func(r *rand.Rand, lang dialect) string { return lang.text(word(r, size(r))) },
	},
	{
		name: "num", pg: "numeric(10,2)", my: "DECIMAL(10,2)", ms: "decimal(10,2)", readPG: "%s", readMy: "%s", wider: []string{"bignum"}, withDefault: true,
		value: func(r *rand.Rand, _ dialect) string {
			return trimZeros(fmt.Sprintf("%d.%02d", r.IntN(2000)-1000, r.IntN(100)))
		},
	},
	{
		name: "bignum", pg: "numeric(20,4)", my: "DECIMAL(20,4)", ms: "decimal(20,4)", readPG: "%s", readMy: "%s", withDefault: true,
		value: func(r *rand.Rand, _ dialect) string {
			return trimZeros(fmt.Sprintf("%d.%04d", r.Int64N(1e15), r.IntN(10000)))
		},
	},
	{
		name: "bool", pg: "boolean", my: "TINYINT(1)", ms: "bit", readPG: "(%s)::int", readMy: "%s",
		value: func(r *rand.Rand, lang dialect) string {
			if n := r.IntN(2); lang == transact {
				return strconv.Itoa(n)
			} else {
				return []string{"true", "false"}[n]
			}
		},
	},
	{
		name: "ts", pg: "timestamp(6)", my: "DATETIME(6)", ms: "datetime2(6)", readPG: "(extract(epoch from %s) * 1000000)::bigint", readMy: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %s)",
		value: func(r *rand.Rand, lang dialect) string {
			return lang.text(time.Unix(r.Int64N(4e9)-1e9, r.Int64N(1e6)*1000).UTC().Format("2006-01-02 15:04:05.000000"))
		},
	},
	{
		name: "date", pg: "date", my: "DATE", ms: "date", readPG: "(%s - date '1970-01-01')", readMy: "DATEDIFF(%s, '1970-01-01')",
		value: func(r *rand.Rand, lang dialect) string {
			return lang.text(time.Unix(r.Int64N(4e9)-1e9, 0).UTC().Format(time.DateOnly))
		},
	},
	{
		name: "dbl", pg: "double precision", my: "DOUBLE", ms: "float", readPG: "%s", readMy: "%s",
		value: func(r *rand.Rand, _ dialect) string {
			return strconv.FormatFloat(float64(r.IntN(1e9)-5e8)/64, 'f', -1, 64)
		},
	},
	{
		name: "bin", pg: "bytea", my: "LONGBLOB", ms: "varbinary(max)", readPG: "encode(%s, 'hex')", readMy: "LOWER(HEX(%s))",
		value: func(r *rand.Rand, lang dialect) string {
			b := make([]byte, size(r)/2)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			switch lang {
			case transact:
				return "0x" + hex.EncodeToString(b)
			case postgres:
				return `'\x` + hex.EncodeToString(b) + `'`
			}
			return "x'" + hex.EncodeToString(b) + "'"
		},
	},
	{
		name: "json", pg: "jsonb", my: "JSON", ms: "nvarchar(max)", readPG: "%s::text", readMy: "%s",
		value: func(r *rand.Rand, lang dialect) string {
			return lang.text(fmt.Sprintf(`{"a": %d, "b": ["%s", null, %d.5], "c": {"d": "%s"}}`, r.IntN(1e6), word(r, r.IntN(20)), r.IntN(99), word(r, size(r))))
		},
	},
}

func kindOf(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	panic("no kind " + name)
}

// size is mostly small, and now and then such that PostgreSQL stores the value
// outside its row, or far larger than a page.
func size(r *rand.Rand) int {
	switch r.IntN(30) {
	case 0:
		return 15_000 + r.IntN(15_000)
	case 1, 2, 3:
		return 3_000 + r.IntN(3_000)
	}
	return r.IntN(60)
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .-_üéß漢"

var runes = []rune(letters)

// word has n random characters: compression finds little in it.
func word(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

// fromServer is the text that the values of other servers have, of one that the
// driver for SQL Server gives.
func fromServer(server testdb.Kind, k, text string) string {
	if server != testdb.KindSQLServer || text == null {
		return text
	}
	switch k {
	case "bool":
		return map[string]string{"true": "1", "false": "0"}[text]
	case "bin":
		return hex.EncodeToString([]byte(text))
	case "ts", "date":
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return text
		}
		if k == "date" {
			return strconv.FormatInt(at.Unix()/(24*60*60), 10)
		}
		return strconv.FormatInt(at.UnixMicro(), 10)
	}
	return text
}

// null stands for NULL among canonical texts.
const null = "\x00null"

// canonical is the text by which values of a kind are compared.
func canonical(k string, text string) string {
	if text == null {
		return null
	}
	switch k {
	case "num", "bignum":
		return trimZeros(text)
	case "dbl":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return text
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	case "json":
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return text
		}
		b, err := json.Marshal(v) // sorts the members
		if err != nil {
			return text
		}
		return string(b)
	}
	return text
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}
