package mssqltest

import (
	"tributary/internal/mssqltest/tds"
)

func informationViews() map[string]*view {
	return map[string]*view{
		"information_schema.schemata": {cols: cols("CATALOG_NAME?", sysname, "SCHEMA_NAME?", sysname, "SCHEMA_OWNER?", sysname),
			rows: func(_ *session, db *Database, st *state) (out [][]any) {
				for _, x := range st.schemas {
					out = append(out, []any{db.name, x.name, st.security.byID(x.owner).name})
				}
				return out
			}},
		"information_schema.tables": {cols: cols("TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME", sysname, "TABLE_TYPE?", varchar(10)),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, o := range s.objects(db, st) {
					out = append(out, []any{db.name, o.schema, o.name, "BASE TABLE"})
				}
				return out
			}},
		"information_schema.columns": {cols: cols("TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME", sysname, "COLUMN_NAME?", sysname,
			"ORDINAL_POSITION?", intType, "COLUMN_DEFAULT?", nvarchar(4000), "IS_NULLABLE?", varchar(3), "DATA_TYPE?", sysname,
			"CHARACTER_MAXIMUM_LENGTH?", intType, "CHARACTER_OCTET_LENGTH?", intType, "NUMERIC_PRECISION?", tinyType, "NUMERIC_PRECISION_RADIX?", smallType,
			"NUMERIC_SCALE?", intType, "DATETIME_PRECISION?", smallType, "CHARACTER_SET_NAME?", sysname, "COLLATION_NAME?", sysname),
			rows: informationColumns},
		"information_schema.table_constraints": {cols: cols("CONSTRAINT_CATALOG?", sysname, "CONSTRAINT_SCHEMA?", sysname, "CONSTRAINT_NAME", sysname,
			"TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME?", sysname, "CONSTRAINT_TYPE?", varchar(11)),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, x := range t.indexes {
						kind := "UNIQUE"
						if x.primary {
							kind = "PRIMARY KEY"
						}
						if x.primary || x.unqConstr {
							out = append(out, []any{db.name, t.schema, x.name, db.name, t.schema, t.name, kind})
						}
					}
				}
				return out
			}},
		"information_schema.key_column_usage": {cols: cols("CONSTRAINT_CATALOG?", sysname, "CONSTRAINT_SCHEMA?", sysname, "CONSTRAINT_NAME", sysname,
			"TABLE_CATALOG?", sysname, "TABLE_SCHEMA?", sysname, "TABLE_NAME?", sysname, "COLUMN_NAME?", sysname, "ORDINAL_POSITION", intType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, x := range t.indexes {
						for i, name := range x.columns {
							if x.primary || x.unqConstr {
								out = append(out, []any{db.name, t.schema, x.name, db.name, t.schema, t.name, name, int64(i + 1)})
							}
						}
					}
				}
				return out
			}},
	}
}

func informationColumns(s *session, db *Database, st *state) (out [][]any) {
	for _, o := range s.objects(db, st) {
		for i, c := range o.columns {
			null := "NO"
			if c.nullable {
				null = "YES"
			}
			length, precision, scale := facets(c.typ)
			var chars, octets, prec, radix, sc, dtp, set any
			switch t := c.typ; {
			case isOldLOB(t) && t.Kind != tds.NText:
				chars, octets = int64(2147483647), int64(2147483647)
			case t.Kind == tds.NText:
				chars, octets = int64(1073741823), int64(2147483646)
			case t.Kind == tds.XML, t.Character() && length < 0, t.Bytes() && length < 0:
				chars, octets = int64(-1), int64(-1)
			case t.Character():
				chars, octets = length, length
				if t.Unicode() {
					chars = length / 2
				}
			case t.Bytes():
				chars, octets = length, length
			case t.Integer(), t.Exact():
				prec, radix, sc = precision, int64(10), scale
			case t.Kind == tds.Real, t.Kind == tds.Float:
				prec, radix = precision, int64(2)
			case t.Temporal():
				dtp = scale
			}
			if c.typ.Unicode() && c.typ.Kind != tds.XML {
				set = "UNICODE"
			} else if c.typ.Character() && c.typ.Kind != tds.XML {
				set = "iso_1"
			}
			name := typeRowOf(c.typ).name
			if c.typ.Sysname {
				name = "nvarchar"
			}
			out = append(out, []any{db.name, o.schema, o.name, c.name, int64(i + 1), strOrNull(c.defText), null, name,
				chars, octets, prec, radix, sc, dtp, set, collationOf(c.typ, c.collate)})
		}
	}
	return out
}
