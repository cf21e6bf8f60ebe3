package envelope

import (
	"fmt"
	"strings"
)

// DeleteMode says what the flat form does with a delete and its tombstone.
type DeleteMode string

// The values of transforms.unwrap.delete.tombstone.handling.mode.
const (
	DeleteDrop             DeleteMode = "drop"                   // neither
	DeleteTombstone        DeleteMode = "tombstone"              // the tombstone alone
	DeleteRewrite          DeleteMode = "rewrite"                // the row, with __deleted
	DeleteRewriteTombstone DeleteMode = "rewrite-with-tombstone" // both
	DeleteToTombstone      DeleteMode = "delete-to-tombstone"    // the delete becomes the tombstone
)

func (m DeleteMode) rewrites() bool { return m == DeleteRewrite || m == DeleteRewriteTombstone }

// emits returns what a delete becomes; tombstone is whether one would follow
// the delete in the envelope form.
func (m DeleteMode) emits(tombstone bool) (row, stone bool) {
	switch m {
	case DeleteDrop:
		return false, false
	case DeleteRewrite:
		return true, false
	case DeleteRewriteTombstone:
		return true, tombstone
	case DeleteToTombstone:
		return false, true
	default:
		return false, tombstone
	}
}

// Unwrap describes the flat form of ExtractNewRecordState: the row itself and
// fields about the change beside it.
type Unwrap struct {
	Deletes DeleteMode
	Prefix  string     // add.fields.prefix
	Add     []AddField // add.fields
}

// AddField is one of add.fields: a field of the envelope or of its source
// block.
type AddField struct {
	Source bool   // named with "source."
	Name   string // "op", "ts_ms", "lsn"…
	As     string // name in the record, without prefix
}

// ParseAddField parses an entry of add.fields: NAME, source.NAME, and either
// with :NEWNAME.
func ParseAddField(s string) (AddField, error) {
	name, as, renamed := strings.Cut(strings.TrimSpace(s), ":")
	f := AddField{Name: name}
	if rest, ok := strings.CutPrefix(name, "source."); ok {
		f.Source, f.Name = true, rest
	}
	f.As = strings.ReplaceAll(name, ".", "_")
	if renamed {
		f.As = as
	}
	if f.Name == "" || f.As == "" || strings.Contains(f.Name, ".") {
		return f, fmt.Errorf("%q is no field of the envelope or its source block", s)
	}
	return f, nil
}

// addedField is a field of the flat form beside the row's.
type addedField struct {
	name   string
	schema string // of the non-null value
	segs   func(t *Table) []segment
}

// fields resolves the added fields against a connector's block. A field that
// the connector does not have is left out, as Debezium does.
func (u *Unwrap) fields(b *Block) []addedField {
	var out []addedField
	if u.Deletes.rewrites() {
		yes, no := AppendString([]byte{2}, "true"), AppendString([]byte{2}, "false")
		out = append(out, addedField{u.Prefix + "deleted", `"string"`, dynamic(func(dst []byte, c *Change) []byte {
			if c.Op == Delete {
				return append(dst, yes...)
			}
			return append(dst, no...)
		})})
	}
	for _, a := range u.Add {
		f, ok := a.resolve(b)
		if !ok {
			continue
		}
		f.name = u.Prefix + a.As
		out = append(out, f)
	}
	return out
}

func dynamic(fn func(dst []byte, c *Change) []byte) func(*Table) []segment {
	return func(*Table) []segment { return []segment{{dyn: fn}} }
}

func (a AddField) resolve(b *Block) (addedField, bool) {
	if !a.Source {
		unit := map[string]int64{"ts_ms": 1e6, "ts_us": 1e3, "ts_ns": 1}[a.Name]
		switch {
		case a.Name == "op":
			return addedField{schema: `"string"`, segs: dynamic(func(dst []byte, c *Change) []byte {
				return append(dst, 2, 2, byte(c.Op))
			})}, true
		case unit > 0:
			return addedField{schema: `"long"`, segs: dynamic(func(dst []byte, c *Change) []byte {
				return AppendLong(append(dst, 2), floorDiv(c.TsNs, unit))
			})}, true
		}
	}
	for i := range b.Fields {
		if f := &b.Fields[i]; f.Name == a.Name {
			return f.added(b), true
		}
	}
	return addedField{}, false
}

// added is the source field as ["null", T], whatever it is in the block.
func (f *SourceField) added(b *Block) addedField {
	schema := `"` + f.Kind.String() + `"`
	if f.snapshot {
		schema = enumSnapshot
	}
	return addedField{schema: schema, segs: func(t *Table) []segment {
		if f.Const != nil {
			return []segment{{fixed: AppendString([]byte{2}, f.Const(b, t))}}
		}
		return []segment{{dyn: func(dst []byte, c *Change) []byte {
			if f.Nullable && f.Null(&c.Source) {
				return append(dst, 0)
			}
			return f.Append(append(dst, 2), &c.Source)
		}}}
	}}
}

func (u *Unwrap) segments(b *Block, t *Table) []segment {
	var out []segment
	for _, f := range u.fields(b) {
		out = append(out, f.segs(t)...)
	}
	return out
}
