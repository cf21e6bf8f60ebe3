package ingest

import (
	"cmp"
	"fmt"
	"strings"

	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake"
)

// The columns that are made here or have a meaning here.
const (
	colDeleted = "__deleted"
	colOp      = "__op"
	colSeq     = "__seq"
	metaPrefix = "__" // of every column that tells of the change, not of the row
)

// form is how a writer schema lays out a change, and what its table is.
type form struct {
	envelope bool // before, after, source and op; else the row itself with __ fields
	cols     []sourceColumn
	order    order
	// paths of what decides about a row; "" where the schema has no such field
	op, deleted, lsn, file, pos, row, ts, gtid string
	commit, change, serial                     string // SQL Server
}

// order is what the source gives for ordering the states of a row.
type order uint8

const (
	byKafka order = iota
	byLSN
	byBinlog
	byCommit
)

// sourceColumn is a column of the table as this writer schema fills it.
type sourceColumn struct {
	name   string
	path   string // "" for a column that is made here
	before string // envelope: where a deleted row has it
	typ    lake.Type
	conv   conversion
	schema *avro.Schema
}

// envelopeMeta are the columns that the change envelope gives besides the row's,
// named and ordered as ExtractNewRecordState does with the field lists of our
// configurations, so that both forms make the same table.
var envelopeMeta = []struct{ name, path string }{
	{colOp, "op"}, {"__db", "source.db"}, {"__table", "source.table"}, {"__schema", "source.schema"},
	{"__lsn", "source.lsn"}, {"__source_ts_ms", "source.ts_ms"},
	{"__file", "source.file"}, {"__pos", "source.pos"}, {"__row", "source.row"}, {"__gtid", "source.gtid"},
	{"__commit_lsn", "source.commit_lsn"}, {"__change_lsn", "source.change_lsn"}, {"__event_serial_no", "source.event_serial_no"},
}

// formOf reads a writer schema.
func formOf(s *avro.Schema) (*form, error) {
	if s.Type != avro.Record {
		return nil, fmt.Errorf("the schema is of type %s, not record", s.Type)
	}
	f := &form{}
	var err error
	if s.Field("op") != nil && s.Field("source") != nil {
		err = f.readEnvelope(s)
	} else {
		err = f.readFlat(s)
	}
	if err != nil {
		return nil, err
	}
	has := func(path string) string {
		if s.Lookup(path) == nil {
			return ""
		}
		return path
	}
	// The unwrapping names a field after what add.fields calls it: lsn or source.lsn.
	source := func(name string) string { return cmp.Or(has(metaPrefix+name), has(metaPrefix+"source_"+name)) }
	if f.envelope {
		source = func(name string) string { return has("source." + name) }
		f.op, f.ts = has("op"), has("source.ts_ms")
	} else {
		f.op, f.ts, f.deleted = has(colOp), has("__source_ts_ms"), has(colDeleted)
	}
	f.lsn, f.gtid = source("lsn"), source("gtid")
	f.file, f.pos, f.row = source("file"), source("pos"), source("row")
	f.commit, f.change, f.serial = source("commit_lsn"), source("change_lsn"), source("event_serial_no")
	switch {
	case f.lsn != "":
		f.order = byLSN
	case f.file != "" && f.pos != "":
		f.order = byBinlog
	case f.commit != "":
		f.order = byCommit
	}
	f.cols = append(f.cols, sourceColumn{name: colSeq, typ: lake.Simple(lake.String)})
	return f, nil
}

func (f *form) readFlat(s *avro.Schema) error {
	if err := f.addRow(s, "", ""); err != nil {
		return err
	}
	if s.Field(colDeleted) == nil {
		f.cols = append(f.cols, sourceColumn{name: colDeleted, typ: lake.Simple(lake.String)})
	}
	return nil
}

func (f *form) readEnvelope(s *avro.Schema) error {
	f.envelope = true
	after := s.Lookup("after")
	if after == nil || after.NonNull().Type != avro.Record {
		return fault.Humanf("leave the topic out with topics.exclude.regex",
			"the records are change events without rows (heartbeats, transactions or messages)")
	}
	if err := f.addRow(after.NonNull(), "after", "before"); err != nil {
		return err
	}
	f.cols = append(f.cols, sourceColumn{name: colDeleted, typ: lake.Simple(lake.String)})
	for _, m := range envelopeMeta {
		field := s.Lookup(m.path)
		if field == nil {
			continue
		}
		typ, conv, err := tableType(field)
		if err != nil {
			return fmt.Errorf("field %s: %w", m.path, err)
		}
		f.cols = append(f.cols, sourceColumn{name: m.name, path: m.path, typ: typ, conv: conv, schema: field})
	}
	return nil
}

// addRow adds the fields of a record as columns.
func (f *form) addRow(s *avro.Schema, record, before string) error {
	for i := range s.Fields {
		field := &s.Fields[i]
		if strings.HasPrefix(field.Name, "_hoodie_") || field.Name == colSeq {
			return fault.Humanf("rename the column, or leave it out with column.exclude.list",
				"column %s has a name that the lake uses itself", field.Name)
		}
		typ, conv, err := tableType(field.Schema)
		if err != nil {
			return fault.Human(fmt.Errorf("column %s: %w", field.Name, err), "leave the column out with column.exclude.list")
		}
		c := sourceColumn{name: field.Name, path: pathOf(record, field.Name), typ: typ, conv: conv, schema: field.Schema}
		if before != "" {
			c.before = pathOf(before, field.Name)
		}
		f.cols = append(f.cols, c)
	}
	return nil
}

// schema returns the table's schema for these records: all columns may be null
// but those of the key, as Hudi's evolution wants it.
func (f *form) schema(key []string) lake.Schema {
	var s lake.Schema
	for _, c := range f.cols {
		field := lake.Field{Name: c.name, Type: c.typ, Nullable: true}
		for _, k := range key {
			field.Nullable = field.Nullable && k != c.name
		}
		s.Fields = append(s.Fields, field)
	}
	return s
}

// column returns the column of that name, or nil.
func (f *form) column(name string) *sourceColumn {
	for i := range f.cols {
		if f.cols[i].name == name {
			return &f.cols[i]
		}
	}
	return nil
}

// The scratch columns that follow the table's in a decoder's batch. Those of a
// deleted row's before image come after them.
const (
	scratchOp = iota
	scratchDeleted
	scratchLSN
	scratchFile
	scratchPos
	scratchRow
	scratchTs
	scratchGTID
	scratchCommit
	scratchChange
	scratchSerial
	scratchCount
)

func (f *form) scratchTargets() []avro.Target {
	// A path that no schema has yields nulls.
	path := func(p string) string {
		if p == "" {
			return "\x00"
		}
		return p
	}
	t := make([]avro.Target, scratchCount)
	t[scratchOp] = avro.Target{Path: path(f.op), Kind: column.Bytes}
	t[scratchDeleted] = avro.Target{Path: path(f.deleted), Kind: column.Bytes}
	t[scratchLSN] = avro.Target{Path: path(f.lsn), Kind: column.Int}
	t[scratchFile] = avro.Target{Path: path(f.file), Kind: column.Bytes}
	t[scratchPos] = avro.Target{Path: path(f.pos), Kind: column.Int}
	t[scratchRow] = avro.Target{Path: path(f.row), Kind: column.Int}
	t[scratchTs] = avro.Target{Path: path(f.ts), Kind: column.Int}
	t[scratchGTID] = avro.Target{Path: path(f.gtid), Kind: column.Bytes}
	t[scratchCommit] = avro.Target{Path: path(f.commit), Kind: column.Bytes}
	t[scratchChange] = avro.Target{Path: path(f.change), Kind: column.Bytes}
	t[scratchSerial] = avro.Target{Path: path(f.serial), Kind: column.Int}
	return t
}
