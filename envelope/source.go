package envelope

import "encoding/hex"

// Source says where in the database's log (or in which snapshot) a change was
// found. It is the union of what the connectors know; each connector's Block
// names the fields that it has. A zero number or empty string is written as
// null where the field is nullable.
type Source struct {
	TsNs     int64 // commit time in the database, in ns since 1970
	Snapshot Snapshot

	// PostgreSQL.
	LSN        int64 // WAL position of the change itself
	LastCommit int64 // end of the last transaction before this one, 0 = none known
	TxID       int64
	Origin     string // replication origin of the transaction, "" = none
	OriginLSN  int64  // its position there

	// MySQL and MariaDB.
	File     string // binary log file
	Pos      int64  // start of the event in File
	Row      int32  // index of the row within the event
	ServerID int64
	Thread   int64
	GTID     string
	Query    string

	// SQL Server. A zero LogPosition is null.
	CommitLSN, ChangeLSN LogPosition
	SerialNo             int64 // of the change among those with the same LSNs, from 1 on
}

// LogPosition is a place in the log of SQL Server. Places compare as bytes.
type LogPosition [10]byte

// Append appends the form in which Debezium and SQL Server's tools write it:
// 00000027:000001d0:0003.
func (p *LogPosition) Append(dst []byte) []byte {
	dst = append(hex.AppendEncode(dst, p[:4]), ':')
	dst = append(hex.AppendEncode(dst, p[4:8]), ':')
	return hex.AppendEncode(dst, p[8:])
}

func (p *LogPosition) String() string { return string(p.Append(nil)) }

// PositionField is a nullable field that tells a place in SQL Server's log.
func PositionField(name string, get func(s *Source) *LogPosition) SourceField {
	return SourceField{Name: name, Kind: String, Nullable: true,
		Null: func(s *Source) bool { return *get(s) == LogPosition{} },
		Append: func(dst []byte, s *Source) []byte {
			var buf [24]byte
			return AppendBytes(dst, get(s).Append(buf[:0]))
		}}
}

// SourceField is one field of a connector's source block.
type SourceField struct {
	Name     string
	Kind     Kind // Int, Long or String
	Nullable bool // union ["null", kind], default null

	// Const gives the value of a String field that is the same for every
	// change of a table; it is encoded once per table. Nil for other fields.
	Const func(b *Block, t *Table) string

	// Append appends the bare Avro value (no union index). Nil with Const.
	Append func(dst []byte, s *Source) []byte

	// Null reports whether a nullable field is null in s. Nil means never,
	// for a field with Const, and is not allowed for another nullable field.
	Null func(s *Source) bool

	// snapshot marks the one field whose schema is an enumeration.
	snapshot bool
}

// Block describes the source block of a connector. It is immutable.
type Block struct {
	Version   string // what goes into source.version
	Connector string // "postgresql", "mysql", "mariadb"
	Package   string // namespace of the Source record
	Name      string // topic.prefix
	Database  string // source.db, where the table's ID has no catalog
	Revision  int    // connect.version of the Source record, 0 = none
	Fields    []SourceField
	// Transaction appends the id of the transaction that a change is in, as
	// provide.transaction.metadata has it.
	Transaction func(dst []byte, s *Source) []byte
}

// segments is the block as it is encoded for changes of t.
func (b *Block) segments(t *Table) []segment {
	var out []segment
	for i := range b.Fields {
		out = append(out, b.Fields[i].segments(b, t)...)
	}
	return join(out)
}

// CommonFields are the fields that the blocks of all connectors begin with, in
// order: version, connector, name, ts_ms, snapshot, db, sequence, ts_us, ts_ns. sequence gives
// the text of source.sequence and may be nil where the connector has none.
func CommonFields(sequence func(dst []byte, s *Source) []byte) []SourceField {
	seq := SourceField{Name: "sequence", Kind: String, Nullable: true}
	if sequence == nil {
		seq.Null = func(*Source) bool { return true }
		seq.Append = func(dst []byte, _ *Source) []byte { return dst }
	} else {
		seq.Null = func(*Source) bool { return false }
		seq.Append = sequence
	}
	present := func(*Source) bool { return false }
	return []SourceField{
		{Name: "version", Kind: String, Const: func(b *Block, _ *Table) string { return b.Version }},
		{Name: "connector", Kind: String, Const: func(b *Block, _ *Table) string { return b.Connector }},
		{Name: "name", Kind: String, Const: func(b *Block, _ *Table) string { return b.Name }},
		{Name: "ts_ms", Kind: Long, Append: func(dst []byte, s *Source) []byte { return AppendLong(dst, floorDiv(s.TsNs, 1e6)) }},
		{Name: "snapshot", Kind: String, Nullable: true, Null: present, snapshot: true,
			Append: func(dst []byte, s *Source) []byte { return AppendString(dst, s.Snapshot.String()) }},
		{Name: "db", Kind: String, Const: func(b *Block, t *Table) string {
			if t.ID.Catalog != "" {
				return t.ID.Catalog
			}
			return b.Database
		}},
		seq,
		{Name: "ts_us", Kind: Long, Nullable: true, Null: present,
			Append: func(dst []byte, s *Source) []byte { return AppendLong(dst, floorDiv(s.TsNs, 1e3)) }},
		{Name: "ts_ns", Kind: Long, Nullable: true, Null: present,
			Append: func(dst []byte, s *Source) []byte { return AppendLong(dst, s.TsNs) }},
	}
}

// SchemaField and TableField are source.schema and source.table. nullable
// follows the connector: MySQL's table is, PostgreSQL's is not.
func SchemaField() SourceField {
	return SourceField{Name: "schema", Kind: String, Const: func(_ *Block, t *Table) string { return t.ID.Schema }}
}

// TableField is source.table.
func TableField(nullable bool) SourceField {
	return SourceField{Name: "table", Kind: String, Nullable: nullable, Const: func(_ *Block, t *Table) string { return t.ID.Name }}
}

// LongField is a field of kind long; with nullable, zero is null.
func LongField(name string, nullable bool, get func(s *Source) int64) SourceField {
	f := SourceField{Name: name, Kind: Long, Nullable: nullable,
		Append: func(dst []byte, s *Source) []byte { return AppendLong(dst, get(s)) }}
	if nullable {
		f.Null = func(s *Source) bool { return get(s) == 0 }
	}
	return f
}

// IntField is a required field of kind int.
func IntField(name string, get func(s *Source) int32) SourceField {
	return SourceField{Name: name, Kind: Int,
		Append: func(dst []byte, s *Source) []byte { return AppendInt(dst, get(s)) }}
}

// StringField is a field of kind string; with nullable, "" is null.
func StringField(name string, nullable bool, get func(s *Source) string) SourceField {
	f := SourceField{Name: name, Kind: String, Nullable: nullable,
		Append: func(dst []byte, s *Source) []byte { return AppendString(dst, get(s)) }}
	if nullable {
		f.Null = func(s *Source) bool { return get(s) == "" }
	}
	return f
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
