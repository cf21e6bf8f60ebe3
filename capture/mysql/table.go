package mysql

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// version is one version of a captured table: how its rows are encoded.
type version struct {
	def   *tableDef
	types []columnType    // by column of def; zero for an excluded one
	at    []int           // by column of def: its place in codec.Table, -1 when excluded
	codec *envelope.Codec // of snapshot rows

	lookedUp bool // it has been told that columns are read from the table
}

func newVersion(def *tableDef, cfg *settings) (*version, error) {
	v := &version{def: def, types: make([]columnType, len(def.Columns)), at: make([]int, len(def.Columns))}
	t := &envelope.Table{ID: def.ID}
	v.codec = &envelope.Codec{Table: t}
	for i := range def.Columns {
		d := &def.Columns[i]
		if d.Excluded {
			v.at[i] = -1
			continue
		}
		ct, err := columnTypeOf(def.ID, d, cfg)
		if err != nil {
			return nil, err
		}
		c, err := envelopeColumn(d, &ct)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", def.ID, err)
		}
		v.types[i], v.at[i] = ct, len(t.Columns)
		t.Columns = append(t.Columns, c)
		v.codec.Columns = append(v.codec.Columns, ct.text)
	}
	for _, name := range def.Key {
		for i := range t.Columns {
			if t.Columns[i].Name == name {
				t.Key = append(t.Key, i)
			}
		}
	}
	return v, nil
}

// bound is what the rows of one TABLE_MAP are decoded with.
type bound struct {
	raw     []byte // the TABLE_MAP's body
	version *version
	layout  binlog.Layout
	key     []int // columns of the layout that make the key, in its order
	told    []int // those, and those of message.key.columns
	ends    []int // scratch: ends of the columns of the row decoded last

	present []byte // the bitmap that known was made of
	known   []bool
}

// knows returns which columns of the table an image has, nil for all. Those that
// are computed of others count as had.
func (b *bound) knows(side *sides) []bool {
	if side.whole {
		return nil
	}
	if b.known == nil || !bytes.Equal(b.present, side.present) {
		b.present, b.known = bytes.Clone(side.present), make([]bool, len(b.version.codec.Table.Columns))
		for i, at := range b.version.at {
			if at >= 0 {
				b.known[at] = i>>3 < len(side.present) && side.has(i) || b.version.def.Columns[i].Expression != ""
			}
		}
	}
	return b.known
}

// table is a captured table: its current version, and those that its events
// needed.
type table struct {
	versions []*version // the last one is that of information_schema
	stale    bool       // to be read again before its next event
}

func (t *table) current() *version { return t.versions[len(t.versions)-1] }

// use makes def the current version, unless it is already.
func (t *table) use(def *tableDef, cfg *settings) error {
	def.exclude(cfg)
	if len(t.versions) > 0 && t.current().def.same(def) {
		return nil
	}
	v, err := newVersion(def, cfg)
	if err != nil {
		return err
	}
	t.versions = append(t.versions, v)
	return nil
}

// maxVersions bounds what is kept of a table's past.
const maxVersions = 16

// bind fits the table to a TABLE_MAP. errUnfit is wrapped when the table as we
// know it is not the one of the log.
func (t *table) bind(ctx context.Context, m *binlog.TableMap, raw []byte, cat catalog, cfg *settings) (*bound, error) {
	def, err := fit(ctx, t.current().def, m, cat, cfg)
	if err != nil {
		return nil, err
	}
	var v *version
	for _, known := range t.versions {
		if known.def.same(def) {
			v = known
		}
	}
	if v == nil {
		if v, err = newVersion(def, cfg); err != nil {
			return nil, err
		}
		// The current version stays the last.
		last := len(t.versions) - 1
		t.versions = append(t.versions[:last:last], v, t.versions[last])
		if len(t.versions) > maxVersions {
			t.versions = t.versions[1:]
		}
	}
	return newBound(ctx, v, m, raw, cat, cfg)
}

func newBound(ctx context.Context, v *version, m *binlog.TableMap, raw []byte, cat catalog, cfg *settings) (*bound, error) {
	b := &bound{raw: bytes.Clone(raw), version: v, ends: make([]int, len(m.Types))}
	b.layout.Columns = make([]binlog.Column, len(m.Types))
	b.layout.RowEnd = -1
	for i := range m.Types {
		d := &v.def.Columns[i]
		lc := &b.layout.Columns[i]
		*lc = binlog.Column{Name: d.Name, Type: m.Types[i], Meta: m.Meta[i], Skip: d.Excluded}
		if v.def.Versioned == d.Name {
			b.layout.RowEnd = i
		}
		if d.Excluded {
			continue
		}
		var err error
		if lc.Decode, err = decoderOf(ctx, cat, d.Charset); err != nil {
			return nil, err
		}
		if lc.Members = d.Members; binaryTypes[d.DataType] {
			lc.Encoding = cfg.encoding()
		}
		if lc.Append = v.types[i].decoder(m.Types[i], m.Meta[i]); lc.Append == nil {
			return nil, unfit(v.def.ID, d.Name, "its type in the log is another than %s", d.Full)
		}
		c := &v.codec.Table.Columns[v.at[i]]
		if lc.Nullable = c.Nullable; c.Nullable {
			lc.NullTag, lc.ValueTag = c.AppendNull(nil)[0], c.AppendPresent(nil)[0]
		} else if v.types[i].none != nil {
			lc.Zero = c.AppendMissing(nil)
		}
		if d.DataType == "binary" {
			lc.Length = d.Length
		}
	}
	for _, k := range v.codec.Table.Key {
		b.key = append(b.key, slices.Index(v.at, k))
	}
	b.told = slices.Clone(b.key)
	for _, name := range cfg.MessageKey(v.def.ID) {
		if i := v.def.index(name); i >= 0 {
			b.told = append(b.told, i)
		}
	}
	return b, nil
}

// decoder returns the function for a form in the log, nil if the type does not
// have it.
func (t *columnType) decoder(typ byte, meta uint16) binlog.AppendFunc {
	for _, f := range t.log {
		if f.typ == typ && (f.meta == anyMeta || f.meta == int(meta)) {
			return f.decode
		}
	}
	return nil
}

// unfitError says why a TABLE_MAP does not fit what is known of the table.
type unfitError struct{ error }

func unfit(id envelope.TableID, column, format string, args ...any) error {
	return unfitError{fault.Humanf(
		"the log holds rows from before a change of the table: set binlog_row_metadata=FULL on the server, and "+capture.WayOut,
		"column %s of %s: %s", column, id, fmt.Sprintf(format, args...))}
}

func (e unfitError) Unwrap() error { return e.error }

// fit makes the definition that belongs to a TABLE_MAP: now, as the server
// describes the table, corrected by all that the log itself tells.
func fit(ctx context.Context, now *tableDef, m *binlog.TableMap, cat catalog, cfg *settings) (*tableDef, error) {
	if m.Names == nil && len(m.Types) == len(now.Columns)+2 && now.Versioned == "" {
		with := *now // the server does not tell of versioning, or it is over
		with.Columns = slices.Clone(now.Columns)
		with.hidePeriod()
		now = &with
	}
	if m.Names == nil && len(m.Types) != len(now.Columns) {
		return nil, unfit(now.ID, "list", "the log has %d columns, the table has %d", len(m.Types), len(now.Columns))
	}
	def := &tableDef{ID: now.ID, Columns: make([]columnDef, len(m.Types)), Key: now.Key, Versioned: now.Versioned}
	for i := range m.Types {
		var known *columnDef
		if m.Names == nil {
			known = &now.Columns[i]
		} else {
			known = now.column(string(m.Names[i]))
		}
		d, err := fitColumn(ctx, known, m, i, cat, cfg, now.ID)
		if err != nil {
			return nil, err
		}
		def.Columns[i] = d
	}
	if m.Names != nil && m.Key != nil {
		def.Key = nil
		for _, i := range m.Key {
			if def.Columns[i].Name == def.Versioned { // the server adds it
				continue
			}
			def.Key = append(def.Key, def.Columns[i].Name)
			def.Columns[i].Excluded = false
		}
	}
	for _, name := range def.Key {
		if c := def.column(name); c == nil || c.Nullable {
			if m.Names != nil { // the log would tell of a primary key
				def.Key = nil
				break
			}
			return nil, unfit(now.ID, name, "it is part of the key, but the log does not have it as such")
		}
	}
	return def, nil
}

// fitColumn corrects a column's definition, or makes one out of the log's
// metadata if what is known cannot be it.
func fitColumn(ctx context.Context, known *columnDef, m *binlog.TableMap, i int, cat catalog, cfg *settings, id envelope.TableID) (columnDef, error) {
	if known != nil {
		d := *known
		d.Nullable = m.Nullable(i)
		if d.Excluded {
			return d, nil
		}
		if u, ok := m.Unsigned(i); ok && u != d.unsigned() {
			d.Full = strings.ReplaceAll(strings.ReplaceAll(d.Full, " unsigned", ""), " zerofill", "")
			if u {
				d.Full += " unsigned"
			}
		}
		fits := true
		if c, ok := m.Collation(i); ok {
			switch charset := cat.charset(c); {
			case charset == "binary" || d.Charset == "":
				// UUID and INET have a character set in the log only.
				fits = (charset == "binary") == (d.Charset == "") || opaque[d.DataType]
			case charset != "":
				d.Charset = charset
			}
		}
		if list, ok := m.Members[i]; ok {
			text, err := memberText(ctx, list, cat, d.Charset)
			if err != nil {
				return d, err
			}
			if !slices.Equal(text, d.Members) {
				fits = false
			}
		}
		if p, ok := m.Point(i); ok && m.Types[i] == binlog.ColGeometry && p != (d.DataType == "point") {
			fits = false
		}
		if fits {
			t, err := columnTypeOf(id, &d, cfg)
			if err != nil {
				return d, err
			}
			if t.decoder(m.Types[i], m.Meta[i]) != nil {
				return d, nil
			}
		}
		if m.Names == nil {
			return d, unfit(id, d.Name, "its type in the log is another than %s", d.Full)
		}
	}
	return synthesize(ctx, m, i, cat, id)
}

// opaque are MariaDB's types that the log has as BINARY.
var opaque = map[string]bool{"uuid": true, "inet4": true, "inet6": true, "vector": true}

// memberText brings the members of an ENUM or SET into UTF-8.
func memberText(ctx context.Context, list [][]byte, cat catalog, charset string) ([]string, error) {
	decode, err := decoderOf(ctx, cat, charset)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i, m := range list {
		if decode != nil {
			m = decode(nil, m)
		}
		out[i] = string(m)
	}
	return out, nil
}

// plainTypes are the data types that a TABLE_MAP names by itself.
var plainTypes = map[byte]string{
	binlog.ColTiny: "tinyint", binlog.ColShort: "smallint", binlog.ColInt24: "mediumint", binlog.ColLong: "int",
	binlog.ColLongLong: "bigint", binlog.ColFloat: "float", binlog.ColDouble: "double", binlog.ColNewDecimal: "decimal",
	binlog.ColDate: "date", binlog.ColTime: "time", binlog.ColTime2: "time", binlog.ColDatetime: "datetime",
	binlog.ColDatetime2: "datetime", binlog.ColTimestamp: "timestamp", binlog.ColTimestamp2: "timestamp",
	binlog.ColYear: "year", binlog.ColBit: "bit", binlog.ColJSON: "json", binlog.ColVector: "vector",
}

// synthesize makes a column's definition out of the log's metadata alone.
func synthesize(ctx context.Context, m *binlog.TableMap, i int, cat catalog, id envelope.TableID) (columnDef, error) {
	d := columnDef{Name: string(m.Names[i]), DataType: plainTypes[m.Types[i]], Nullable: m.Nullable(i)}
	meta := int(m.Meta[i])
	switch m.Types[i] {
	case binlog.ColNewDecimal:
		d.Precision, d.Scale = meta>>8, meta&0xff
	case binlog.ColTime2, binlog.ColDatetime2, binlog.ColTimestamp2:
		d.FSP = meta
	case binlog.ColBit:
		d.Length = meta>>8*8 + meta&0xff
	case binlog.ColGeometry:
		d.DataType = "geometry"
		if p, _ := m.Point(i); p {
			d.DataType = "point"
		}
	case binlog.ColEnum, binlog.ColSet:
		c, ok := m.Collation(i)
		if !ok || m.Members[i] == nil {
			return d, unfit(id, d.Name, "the log does not tell its members")
		}
		d.DataType, d.Charset = "enum", cat.charset(c)
		if m.Types[i] == binlog.ColSet {
			d.DataType = "set"
		}
		var err error
		if d.Members, err = memberText(ctx, m.Members[i], cat, d.Charset); err != nil {
			return d, err
		}
	case binlog.ColVarchar, binlog.ColVarString, binlog.ColString, binlog.ColBlob, binlog.ColVarcharCompressed, binlog.ColBlobCompressed:
		c, ok := m.Collation(i)
		if !ok {
			return d, unfit(id, d.Name, "the log does not tell its character set")
		}
		kind := map[byte][2]string{
			binlog.ColVarchar: {"varchar", "varbinary"}, binlog.ColVarString: {"varchar", "varbinary"},
			binlog.ColString: {"char", "binary"}, binlog.ColBlob: {"text", "blob"},
			binlog.ColVarcharCompressed: {"varchar", "varbinary"}, binlog.ColBlobCompressed: {"text", "blob"},
		}[m.Types[i]]
		d.DataType, d.Charset = kind[0], cat.charset(c)
		if d.Charset == "binary" {
			d.DataType, d.Charset, d.Length = kind[1], "", meta
		}
	}
	if d.DataType == "" {
		return d, fault.Humanf("leave the table out of table.include.list",
			"column %s of %s: the log's type %d cannot be captured yet", d.Name, id, m.Types[i])
	}
	d.Full = d.DataType
	if u, _ := m.Unsigned(i); u {
		d.Full += " unsigned"
	}
	return d, nil
}
