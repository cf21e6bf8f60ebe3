package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tributary/envelope"
)

// Described is a table with all the columns that it has in the database.
type Described struct {
	Table   *envelope.Table // as it is captured
	Columns []string
}

// plan is what becomes of a table's records, as far as that is known here.
func (o *Options) plan(t *envelope.Table) (envelope.Plan, error) {
	if o.Plan != nil {
		return o.Plan(t)
	}
	p := envelope.Plan{Topic: o.Naming().Topic(t.ID)}
	for _, i := range t.Key {
		p.Key = append(p.Key, t.Columns[i].Name)
	}
	return p, nil
}

// CheckTables returns why tables cannot be captured: their records have no form. It
// changes nothing, so that it can come before anything is made in a database.
func (o *Options) CheckTables(tables []Described) error {
	var errs []error
	for _, d := range tables {
		if _, err := o.plan(d.Table); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Note describes what becomes of a table, for check: its topic, its key and what is
// special about its columns.
func (o *Options) Note(d Described) (string, error) {
	p, err := o.plan(d.Table)
	if err != nil {
		return "", err
	}
	key := "no key: every change is kept, none replaces another"
	if len(p.Key) > 0 {
		key = "key " + strings.Join(p.Key, ", ")
	}
	text := fmt.Sprintf("to topic %s, %d columns, %s", p.Topic, len(d.Table.Columns)-len(p.Out), key)
	var excluded []string
	for _, name := range d.Columns {
		if !o.columns().Column(d.Table.ID, name) {
			excluded = append(excluded, name)
		}
	}
	for _, n := range []struct {
		what string
		list []string
	}{{"excluded", excluded}, {"masked", p.Masked}, {"truncated", p.Truncated}, {"NOT masked, since they are no text", p.Unmasked}} {
		if len(n.list) > 0 {
			text += fmt.Sprintf("; %s: %s", n.what, strings.Join(n.list, ", "))
		}
	}
	return text, nil
}

// columns is the filter of columns; the options have no faults.
func (o *Options) columns() *Filter {
	f, err := NewFilter(o)
	if err != nil {
		return &Filter{}
	}
	return f
}

// Unused returns the patterns of options about columns and keys that match nothing of
// the tables: most likely slips.
func (o *Options) Unused(tables []Described) (out []string) {
	lists := map[string][]string{
		"column.include.list": o.IncludeColumns, "column.exclude.list": o.ExcludeColumns,
		"column.propagate.source.type": o.SourceType,
	}
	for key, list := range o.masks() {
		lists[key] = strings.Split(list, ",")
	}
	for key, list := range lists {
		for _, pattern := range list {
			if res, err := compileAll([]string{pattern}); err == nil && len(res) > 0 && !anyColumn(tables, func(name string) bool { return matches(res, name) }) {
				out = append(out, fmt.Sprintf("%s: %s matches no column", key, strings.TrimSpace(pattern)))
			}
		}
	}
	for rule := range strings.SplitSeq(o.Keys, ";") {
		k, err := keyRule(strings.TrimSpace(rule))
		if err == nil && !slices.ContainsFunc(tables, func(d Described) bool { return k.Match(d.Table.ID) }) {
			out = append(out, fmt.Sprintf("message.key.columns: %s matches no table", strings.TrimSpace(rule)))
		}
	}
	slices.Sort(out)
	return out
}

// anyColumn reports whether a column has a name as test wants it.
func anyColumn(tables []Described, test func(string) bool) bool {
	return slices.ContainsFunc(tables, func(d Described) bool {
		return slices.ContainsFunc(d.Columns, func(c string) bool { return test(d.Table.ID.String() + "." + c) })
	})
}
