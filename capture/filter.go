package capture

import (
	"fmt"
	"regexp"

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
}

type list struct{ include, exclude []*regexp.Regexp }

// NewFilter compiles the lists of o.
func NewFilter(o *Options) (*Filter, error) {
	f := &Filter{signals: o.SignalTable}
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

// Column reports whether a column of a captured table is. The columns of a key
// always are.
func (f *Filter) Column(id envelope.TableID, column string) bool {
	return f.columns.allows(id.String() + "." + column)
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
