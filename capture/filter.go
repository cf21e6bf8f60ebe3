package capture

import (
	"fmt"
	"regexp"
	"slices"

	"tributary/envelope"
)

// Filter says which tables and columns are captured. Expressions match a whole
// name, without regard to case, as Debezium's do.
type Filter struct {
	tables, columns list
	schemas         list
	patterns        []*regexp.Regexp // of table.include.list, for Unmatched
	texts           []string
	signals         string // the signal table, which is always captured
	keys            []envelope.KeyRule
}

type list struct{ include, exclude []*regexp.Regexp }

// NewFilter compiles the lists of o.
func NewFilter(o *Options) (*Filter, error) {
	w, _ := o.rewrite() // Faults has told
	f := &Filter{signals: o.SignalTable, keys: w.Keys}
	for _, l := range []struct {
		texts []string
		dst   *[]*regexp.Regexp
	}{
		{o.IncludeTables, &f.tables.include}, {o.ExcludeTables, &f.tables.exclude},
		{o.IncludeColumns, &f.columns.include}, {o.ExcludeColumns, &f.columns.exclude},
		{o.IncludeSchemas, &f.schemas.include}, {o.ExcludeSchemas, &f.schemas.exclude},
	} {
		for _, t := range l.texts {
			re, err := regexp.Compile("(?i)^(?:" + t + ")$")
			if err != nil {
				return nil, fmt.Errorf("compile filter %q: %w", t, err)
			}
			*l.dst = append(*l.dst, re)
		}
	}
	f.patterns, f.texts = f.tables.include, o.IncludeTables
	return f, nil
}

// Table reports whether the table is captured.
func (f *Filter) Table(id envelope.TableID) bool {
	name := id.String()
	return f.schemas.allows(id.Schema) && f.tables.allows(name) || f.signals != "" && f.signals == name
}

// Rank is where a table stands in a snapshot: that of its entry in
// table.include.list.
func (f *Filter) Rank(id envelope.TableID) int {
	name := id.String()
	for i, re := range f.tables.include {
		if re.MatchString(name) {
			return i
		}
	}
	return len(f.tables.include)
}

// Column reports whether a column of a captured table is read: those of
// message.key.columns are whatever the lists say. A source reads those of a key
// besides.
func (f *Filter) Column(id envelope.TableID, column string) bool {
	if f.columns.allows(id.String() + "." + column) {
		return true
	}
	for _, k := range f.keys {
		if k.Match(id) {
			return slices.Contains(k.Columns, column)
		}
	}
	return false
}

// Value reports whether a column is in the values of events. SQL Server's tables
// may be named without their database: a list of exclusions that names a column
// either way leaves it out.
func (f *Filter) Value(id envelope.TableID, column string) bool {
	long := f.columns.allows(id.String() + "." + column)
	if id.Catalog == "" || id.Schema == "" {
		return long
	}
	short := f.columns.allows(id.Schema + "." + id.Name + "." + column)
	if len(f.columns.exclude) > 0 {
		return long && short
	}
	return long || short
}

// Unmatched returns the entries of table.include.list that match none of the
// tables: most likely a slip.
func (f *Filter) Unmatched(tables []envelope.TableID) []string {
	var out []string
	for i, re := range f.patterns {
		found := false
		for _, id := range tables {
			found = found || re.MatchString(id.String())
		}
		if !found {
			out = append(out, f.texts[i])
		}
	}
	return out
}

func (l *list) allows(name string) bool {
	if len(l.include) > 0 {
		return matches(l.include, name)
	}
	return !matches(l.exclude, name)
}

func matches(res []*regexp.Regexp, name string) bool {
	for _, re := range res {
		if re.MatchString(name) {
			return true
		}
	}
	return false
}
