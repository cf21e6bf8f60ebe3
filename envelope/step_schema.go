package envelope

import (
	"slices"
	"strings"
)

// schemaChangeFilter leaves out schema changes of some kinds.
type schemaChangeFilter []string

func newSchemaChangeFilter(o *StepOptions) Step {
	kinds := []string{"CREATE", "ALTER", "DROP", "TRUNCATE", "DATABASE"}
	list := o.fieldList("schema.change.event.exclude.list")
	for _, kind := range list {
		if !slices.Contains(kinds, kind) {
			o.fault("schema.change.event.exclude.list", "%q is none of %s", kind, strings.Join(kinds, ", "))
		}
	}
	return schemaChangeFilter(list)
}

func (schemaChangeFilter) compile(*shape) (func(*record) (bool, error), error) {
	return nil, nil //nolint:nilnil // records of tables pass
}

// drops reports whether a schema change is left out. One of no table is of a
// database.
func (x schemaChangeFilter) drops(c *SchemaChange) bool {
	kind := "DATABASE"
	if len(c.Changes) > 0 {
		kind = c.Changes[0].Type
	}
	return slices.Contains(x, kind)
}

// schemaFilter returns what leaves schema changes of the topic out, nil if
// nothing does.
func schemaFilter(s Step, topic string) schemaChangeFilter {
	switch s := s.(type) {
	case schemaChangeFilter:
		return s
	case conditional:
		if s.when.Topic != nil && s.when.Topic.MatchString(topic) != s.when.Negate {
			return schemaFilter(s.step, topic)
		}
	}
	return nil
}

// nullified makes null what the list in a header names: drop.fields.header.name
// of ExtractNewRecordState. (Debezium leaves the fields out of the schema;
// whoever reads with another schema gets null then, too.)
type nullified struct{ header string }

func (x nullified) apply(r *record, columns []Column) {
	for _, h := range r.headers {
		if h.Key != x.header {
			continue
		}
		names := headerList(h.Value)
		for i := range columns {
			if columns[i].Nullable && slices.Contains(names, columns[i].Name) {
				r.value[i] = columns[i].AppendNull(nil)
			}
		}
	}
}
