package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
)

// catalogProcedures are those through which drivers ask for metadata.
func catalogProcedures() map[string]procedure {
	return map[string]procedure{
		"sp_columns": spColumns, "sp_columns_100": spColumns,
		"sp_pkeys":      spPrimaryKeys,
		"sp_statistics": spStatistics, "sp_statistics_100": spStatistics,
		"sp_tables": spTables,
	}
}

// odbcType is a type as the catalog procedures describe it.
type odbcType struct {
	code      int64 // DATA_TYPE of ODBC 3
	sub       any   // SQL_DATETIME_SUB
	precision int64 // 0: from the type's facets
	length    int64
	radix     any
	scale     any
}

func odbcOf(t tds.Type) odbcType {
	length, precision, scale := facets(t)
	o := odbcType{precision: precision, length: length}
	switch t.Kind {
	case tds.Bit:
		o.code, o.precision, o.length = -7, 1, 1
	case tds.TinyInt:
		o.code, o.radix, o.scale = -6, int64(10), int64(0)
	case tds.SmallInt:
		o.code, o.radix, o.scale = 5, int64(10), int64(0)
	case tds.Int:
		o.code, o.radix, o.scale = 4, int64(10), int64(0)
	case tds.BigInt:
		o.code, o.radix, o.scale = -5, int64(10), int64(0)
	case tds.Real:
		o.code, o.radix = 7, int64(2)
	case tds.Float:
		o.code, o.radix = 6, int64(2)
	case tds.DecimalKind, tds.Money, tds.SmallMoney:
		o.code, o.radix, o.scale = 3, int64(10), scale
		o.length = precision + 2
	case tds.Numeric:
		o.code, o.radix, o.scale = 2, int64(10), scale
		o.length = precision + 2
	case tds.Char, tds.VarChar, tds.Binary, tds.VarBinary:
		o.code = map[tds.Kind]int64{tds.Char: 1, tds.VarChar: 12, tds.Binary: -2, tds.VarBinary: -3}[t.Kind]
		if o.precision = length; length < 0 {
			o.precision, o.length = 2147483647, 2147483647
		}
	case tds.NChar, tds.NVarChar:
		o.code = map[tds.Kind]int64{tds.NChar: -8, tds.NVarChar: -9}[t.Kind]
		if o.precision = length / 2; length < 0 {
			o.precision, o.length = 1073741823, 2147483646
		}
	case tds.Text, tds.Image:
		o.code = map[tds.Kind]int64{tds.Text: -1, tds.Image: -4}[t.Kind]
		o.precision, o.length = 2147483647, 2147483647
	case tds.NText:
		o.code, o.precision, o.length = -10, 1073741823, 2147483646
	case tds.RowVersion:
		o.code, o.precision, o.length = -2, 8, 8
	case tds.UniqueID:
		o.code, o.precision, o.length = -11, 36, 16
	case tds.XML:
		o.code, o.precision, o.length = -152, 0, 0
	case tds.SQLVariant:
		o.code, o.precision, o.length = -150, 0, 8000
	case tds.HierarchyID, tds.Geometry, tds.Geography:
		o.code, o.precision, o.length = -151, 0, 0
	case tds.Date:
		o.code, o.sub, o.length = 91, int64(1), 6
	case tds.Time:
		o.code, o.scale, o.length = -154, scale, 12
	case tds.DateTime, tds.DateTime2, tds.SmallDateTime:
		o.code, o.sub, o.scale, o.length = 93, int64(3), scale, 16
	case tds.DateTimeOffset:
		o.code, o.scale, o.length = -155, scale, 20
	}
	return o
}

// pattern matches a name: as a LIKE pattern, or as it is.
func pattern(p params, name string, like bool) (func(string) bool, error) {
	want := p.text(name, "%")
	if !like && want != "%" {
		return func(s string) bool { return strings.EqualFold(s, want) }, nil
	}
	re, err := likePattern(want, `\`)
	if err != nil {
		return nil, err
	}
	return re.MatchString, nil
}

// qualified checks @table_qualifier: it must be the database.
func qualified(s *session, db *Database, p params) (*Database, error) {
	q := p.text("@table_qualifier", "")
	if q == "" || strings.EqualFold(q, db.name) {
		return db, nil
	}
	if other := s.srv.DB(q); other != nil && db == s.db {
		return nil, sqlError(15250, "The database name component of the object qualifier must be the name of the current database.")
	}
	return nil, sqlError(15250, "The database name component of the object qualifier must be the name of the current database.")
}

func spColumns(s *session, db *Database, args []arg) error {
	p, err := bind("sp_columns_100", args, "@table_name*", "@table_owner", "@table_qualifier", "@column_name", "@namescope", "@odbcver", "@fusepattern")
	if err != nil {
		return err
	}
	if db, err = qualified(s, db, p); err != nil {
		return err
	}
	like := p.number("@fusepattern", 1) == 1
	var match [3]func(string) bool
	for i, n := range []string{"@table_owner", "@table_name", "@column_name"} {
		if match[i], err = pattern(p, n, like); err != nil {
			return err
		}
	}
	st, err := s.state(db)
	if err != nil {
		return err
	}
	var rows [][]any
	for _, o := range s.objects(db, st) {
		if !match[0](o.schema) || !match[1](o.name) {
			continue
		}
		for i, c := range o.columns {
			if match[2](c.name) {
				rows = append(rows, columnDescription(db, o, c, i))
			}
		}
	}
	return s.result(cols("TABLE_QUALIFIER?", sysname, "TABLE_OWNER?", sysname, "TABLE_NAME?", sysname, "COLUMN_NAME?", sysname, "DATA_TYPE", smallType,
		"TYPE_NAME?", sysname, "PRECISION?", intType, "LENGTH?", intType, "SCALE?", smallType, "RADIX?", smallType, "NULLABLE", smallType,
		"REMARKS?", varchar(254), "COLUMN_DEF?", nvarchar(4000), "SQL_DATA_TYPE", smallType, "SQL_DATETIME_SUB?", smallType,
		"CHAR_OCTET_LENGTH?", intType, "ORDINAL_POSITION", intType, "IS_NULLABLE?", varchar(254), "SS_IS_SPARSE?", smallType, "SS_IS_COLUMN_SET?", smallType,
		"SS_IS_COMPUTED?", smallType, "SS_IS_IDENTITY?", smallType, "SS_UDT_CATALOG_NAME?", nvarchar(128), "SS_UDT_SCHEMA_NAME?", nvarchar(128),
		"SS_UDT_ASSEMBLY_TYPE_NAME?", nmaxType, "SS_XML_SCHEMACOLLECTION_CATALOG_NAME?", nvarchar(128), "SS_XML_SCHEMACOLLECTION_SCHEMA_NAME?", nvarchar(128),
		"SS_XML_SCHEMACOLLECTION_NAME?", nvarchar(128), "SS_DATA_TYPE", tinyType), rows)
}

func columnDescription(db *Database, o object, c *column, i int) []any {
	t := odbcOf(c.typ)
	name := typeRowOf(c.typ).name
	if c.identity != nil {
		name += " identity"
	}
	null, word := int64(0), "NO"
	if c.nullable {
		null, word = 1, "YES"
	}
	var octets, udtCatalog, udtSchema, udtName any
	if c.typ.Character() || c.typ.Bytes() {
		octets = t.length
	}
	switch c.typ.Kind {
	case tds.HierarchyID, tds.Geometry, tds.Geography:
		udtCatalog, udtSchema, udtName = db.name, "sys", string(c.typ.Kind)
	}
	code := t.code
	if code == 91 || code == 93 {
		code = 9
	}
	return []any{db.name, o.schema, o.name, c.name, t.code, name, t.precision, t.length, t.scale, t.radix, null, nil, strOrNull(c.defText), code, t.sub,
		octets, int64(i + 1), word, int64(0), int64(0), toInt(c.computed != nil), toInt(c.identity != nil), udtCatalog, udtSchema, udtName,
		nil, nil, nil, typeRowOf(c.typ).system}
}

// named is the table of @table_name and @table_owner; nil if there is none.
func named(tables []*table, p params) *table {
	for _, t := range tables {
		if strings.EqualFold(t.name, p.text("@table_name", "")) && strings.EqualFold(t.schema, p.text("@table_owner", "dbo")) {
			return t
		}
	}
	return nil
}

func spPrimaryKeys(s *session, db *Database, args []arg) error {
	p, err := bind("sp_pkeys", args, "@table_name*", "@table_owner", "@table_qualifier")
	if err != nil {
		return err
	}
	if db, err = qualified(s, db, p); err != nil {
		return err
	}
	st, err := s.state(db)
	if err != nil {
		return err
	}
	var rows [][]any
	if t := named(s.tables(db, st), p); t != nil {
		if x := t.primary(); x != nil {
			for i, c := range x.columns {
				rows = append(rows, []any{db.name, t.schema, t.name, c, int64(i + 1), x.name})
			}
		}
	}
	return s.result(cols("TABLE_QUALIFIER?", sysname, "TABLE_OWNER?", sysname, "TABLE_NAME", sysname, "COLUMN_NAME", sysname, "KEY_SEQ", smallType, "PK_NAME?", sysname), rows)
}

func spStatistics(s *session, db *Database, args []arg) error {
	p, err := bind("sp_statistics_100", args, "@table_name*", "@table_owner", "@table_qualifier", "@index_name", "@is_unique", "@accuracy")
	if err != nil {
		return err
	}
	if db, err = qualified(s, db, p); err != nil {
		return err
	}
	st, err := s.state(db)
	if err != nil {
		return err
	}
	var rows [][]any
	if t := named(s.tables(db, st), p); t != nil {
		rows = append(rows, []any{db.name, t.schema, t.name, nil, nil, nil, int64(0), nil, nil, nil, count(t.root), int64(1), nil})
		indexes := slices.Clone(t.indexes)
		// Unique ones first, then by the kind and the name.
		slices.SortStableFunc(indexes, func(a, b *index) int {
			if a.unique != b.unique {
				return int(toInt(b.unique) - toInt(a.unique))
			}
			return int(toInt(b.clustered) - toInt(a.clustered))
		})
		for _, x := range indexes {
			if !x.unique && strings.EqualFold(p.text("@is_unique", "N"), "Y") {
				continue
			}
			kind := int64(3)
			if x.clustered {
				kind = 1
			}
			for i, c := range x.columns {
				rows = append(rows, []any{db.name, t.schema, t.name, toInt(!x.unique), t.name, x.name, kind, int64(i + 1), c, "A", nil, nil, nil})
			}
		}
	}
	return s.result(cols("TABLE_QUALIFIER?", sysname, "TABLE_OWNER?", sysname, "TABLE_NAME", sysname, "NON_UNIQUE?", smallType, "INDEX_QUALIFIER?", sysname,
		"INDEX_NAME?", sysname, "TYPE", smallType, "SEQ_IN_INDEX?", smallType, "COLUMN_NAME?", sysname, "COLLATION?", char(1), "CARDINALITY?", bigType,
		"PAGES?", bigType, "FILTER_CONDITION?", varchar(128)), rows)
}

func spTables(s *session, db *Database, args []arg) error {
	p, err := bind("sp_tables", args, "@table_name", "@table_owner", "@table_qualifier", "@table_type", "@fusepattern")
	if err != nil {
		return err
	}
	if db, err = qualified(s, db, p); err != nil {
		return err
	}
	like := p.number("@fusepattern", 1) == 1
	schema, err := pattern(p, "@table_owner", like)
	if err != nil {
		return err
	}
	name, err := pattern(p, "@table_name", like)
	if err != nil {
		return err
	}
	st, err := s.state(db)
	if err != nil {
		return err
	}
	var rows [][]any
	if kinds := strings.ToUpper(p.text("@table_type", "'TABLE'")); strings.Contains(kinds, "'TABLE'") {
		for _, o := range s.objects(db, st) {
			if schema(o.schema) && name(o.name) {
				rows = append(rows, []any{db.name, o.schema, o.name, "TABLE", nil})
			}
		}
	}
	slices.SortFunc(rows, func(a, b []any) int { return compareKeys(a[1:3], b[1:3]) })
	return s.result(cols("TABLE_QUALIFIER?", sysname, "TABLE_OWNER?", sysname, "TABLE_NAME?", sysname, "TABLE_TYPE?", varchar(32), "REMARKS?", varchar(254)), rows)
}
