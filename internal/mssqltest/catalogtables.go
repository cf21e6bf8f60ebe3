package mssqltest

import (
	"slices"
	"strings"
)

func objectViews() map[string]*view { //nolint:funlen // one view after the other
	base := cols("name", sysname, "object_id", intType, "principal_id?", intType, "schema_id", intType, "parent_object_id", intType,
		"type", char(2), "type_desc?", nvarchar(60), "create_date", dtType, "modify_date", dtType, "is_ms_shipped", bitType)
	objectRow := func(st *state, o object) []any {
		return []any{o.name, o.id, nil, st.schemaID(o.schema), int64(0), "U ", "USER_TABLE", datetime(o.created), datetime(o.created), o.shipped}
	}
	return map[string]*view{
		"sys.schemas": {cols: cols("name", sysname, "schema_id", intType, "principal_id?", intType),
			rows: func(_ *session, _ *Database, st *state) (out [][]any) {
				for _, x := range st.schemas {
					out = append(out, []any{x.name, x.id, x.owner})
				}
				return out
			}},
		"sys.objects": {cols: base, rows: func(s *session, db *Database, st *state) (out [][]any) {
			for _, o := range s.objects(db, st) {
				out = append(out, objectRow(st, o))
			}
			return out
		}},
		"sys.tables": {cols: append(slices.Clone(base), cols("is_tracked_by_cdc?", bitType, "is_memory_optimized?", bitType, "temporal_type?", tinyType,
			"is_external", bitType, "is_replicated?", bitType)...),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, o := range s.objects(db, st) {
					out = append(out, append(objectRow(st, o), len(st.tracked(int32(o.id))) > 0, false, int64(0), false, false))
				}
				return out
			}},
		"sys.columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "system_type_id", tinyType, "user_type_id", intType,
			"max_length", smallType, "precision", tinyType, "scale", tinyType, "collation_name?", sysname, "is_nullable?", bitType,
			"is_ansi_padded", bitType, "is_rowguidcol", bitType, "is_identity", bitType, "is_computed", bitType, "is_filestream", bitType,
			"default_object_id", intType, "is_sparse?", bitType, "is_column_set?", bitType, "generated_always_type?", tinyType,
			"is_hidden?", bitType, "encryption_type?", intType, "is_masked", bitType),
			rows: columnRows},
		"sys.masked_columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "is_masked", bitType, "masking_function?", nvarchar(4000)),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, c := range t.columns {
						if c.mask != "" {
							out = append(out, []any{int64(t.id), c.name, int64(c.id), true, c.mask})
						}
					}
				}
				return out
			}},
		"sys.computed_columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "definition?", nmaxType, "is_persisted", bitType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, c := range t.columns {
						if c.computed != nil {
							out = append(out, []any{int64(t.id), c.name, int64(c.id), c.compText, false})
						}
					}
				}
				return out
			}},
		"sys.identity_columns": {cols: cols("object_id", intType, "name?", sysname, "column_id", intType, "seed_value?", bigType, "increment_value?", bigType, "last_value?", bigType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, c := range t.columns {
						if i := c.identity; i != nil {
							var last any
							if i.used.Load() {
								last = i.last.Load()
							}
							out = append(out, []any{int64(t.id), c.name, int64(c.id), i.seed, i.step, last})
						}
					}
				}
				return out
			}},
		"sys.default_constraints": {cols: cols("name", sysname, "object_id", intType, "schema_id", intType, "parent_object_id", intType, "type", char(2),
			"type_desc?", nvarchar(60), "is_ms_shipped", bitType, "parent_column_id", intType, "definition?", nmaxType, "is_system_named", bitType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, c := range t.columns {
						if c.def != nil {
							out = append(out, []any{c.defName, int64(c.defID), st.schemaID(t.schema), int64(t.id), "D ", "DEFAULT_CONSTRAINT", false,
								int64(c.id), c.defText, strings.HasPrefix(c.defName, "DF__")})
						}
					}
				}
				return out
			}},
		"sys.indexes": {cols: cols("object_id", intType, "name?", sysname, "index_id", intType, "type", tinyType, "type_desc?", nvarchar(60),
			"is_unique?", bitType, "data_space_id?", intType, "ignore_dup_key?", bitType, "is_primary_key?", bitType, "is_unique_constraint?", bitType,
			"fill_factor", tinyType, "is_padded?", bitType, "is_disabled?", bitType, "is_hypothetical?", bitType, "has_filter?", bitType, "filter_definition?", nmaxType),
			rows: indexRows},
		"sys.index_columns": {cols: cols("object_id", intType, "index_id", intType, "index_column_id", intType, "column_id", intType, "key_ordinal", tinyType,
			"partition_ordinal", tinyType, "is_descending_key?", bitType, "is_included_column?", bitType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, x := range t.indexes {
						for i, name := range x.columns {
							c := t.columns[t.column(name)]
							out = append(out, []any{int64(t.id), int64(x.id), int64(i + 1), int64(c.id), int64(i + 1), int64(0), false, false})
						}
					}
				}
				return out
			}},
		"sys.key_constraints": {cols: cols("name", sysname, "object_id", intType, "schema_id", intType, "parent_object_id", intType, "type", char(2),
			"type_desc?", nvarchar(60), "unique_index_id?", intType, "is_system_named?", bitType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					for _, x := range t.indexes {
						kind, word := "UQ", "UNIQUE_CONSTRAINT"
						if x.primary {
							kind, word = "PK", "PRIMARY_KEY_CONSTRAINT"
						}
						if x.primary || x.unqConstr {
							out = append(out, []any{x.name, int64(x.objectID), st.schemaID(t.schema), int64(t.id), kind, word, int64(x.id), strings.Contains(x.name, "__")})
						}
					}
				}
				return out
			}},
		"sys.partitions": {cols: cols("partition_id", bigType, "object_id", intType, "index_id", intType, "partition_number", intType, "rows?", bigType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					out = append(out, []any{int64(t.id) << 16, int64(t.id), clusteredID(t), int64(1), count(t.root)})
				}
				return out
			}},
		"sys.dm_db_partition_stats": {cols: cols("partition_id?", bigType, "object_id", intType, "index_id", intType, "partition_number", intType, "row_count?", bigType),
			rows: func(s *session, db *Database, st *state) (out [][]any) {
				for _, t := range s.tables(db, st) {
					out = append(out, []any{int64(t.id) << 16, int64(t.id), clusteredID(t), int64(1), count(t.root)})
				}
				return out
			}},
	}
}

func count(n *node) int64 {
	if n == nil {
		return 0
	}
	return 1 + count(n.left) + count(n.right)
}

// clusteredID is 1 for a table with a clustered index and 0 for a heap.
func clusteredID(t *table) int64 {
	if slices.ContainsFunc(t.indexes, func(i *index) bool { return i.clustered }) {
		return 1
	}
	return 0
}

func columnRows(s *session, db *Database, st *state) (out [][]any) {
	for _, o := range s.objects(db, st) {
		for _, c := range o.columns {
			t := typeRowOf(c.typ)
			length, precision, scale := facets(c.typ)
			out = append(out, []any{o.id, c.name, int64(c.id), t.system, t.user, length, precision, scale, collationOf(c.typ, c.collate), c.nullable,
				true, false, c.identity != nil, c.computed != nil, false, int64(c.defID), false, false, int64(0), false, nil, c.mask != ""})
		}
	}
	return out
}

func indexRows(s *session, db *Database, st *state) (out [][]any) {
	row := func(id int64, name any, index, kind int64, word string, unique, primary, constraint bool) {
		out = append(out, []any{id, name, index, kind, word, unique, int64(1), false, primary, constraint, int64(0), false, false, false, false, nil})
	}
	for _, t := range s.tables(db, st) {
		if clusteredID(t) == 0 {
			row(int64(t.id), nil, 0, 0, "HEAP", false, false, false)
		}
		for _, x := range t.indexes {
			if x.clustered {
				row(int64(t.id), x.name, int64(x.id), 1, "CLUSTERED", x.unique, x.primary, x.unqConstr)
			} else {
				row(int64(t.id), x.name, int64(x.id), 2, "NONCLUSTERED", x.unique, x.primary, x.unqConstr)
			}
		}
	}
	return out
}
