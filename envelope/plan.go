package envelope

import (
	"encoding/json"
	"strings"
)

// Plan is what the records of a table will be like.
type Plan struct {
	// Topic is where they go. What a transform takes from a row stands in it as the
	// column's name in braces.
	Topic string
	// Key names the fields of the keys, nil = they have none.
	Key []string
	// Masked and Truncated are the columns whose values change, Unmasked those that
	// are to be masked or truncated, and stay, since they are no text.
	Masked, Truncated, Unmasked []string
	// Out are columns that are in no value.
	Out []string
}

// Plan tries everything about a table that does not depend on its rows. Its error is
// that of Table.
func (f *Format) Plan(t *Table) (Plan, error) {
	tf, err := f.Table(t)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Topic: tf.Topic, Key: fieldsOf(tf.KeySchema)}
	for i := range t.Columns {
		c := &t.Columns[i]
		if tf.rewrite != nil && tf.rewrite.drop[i] {
			p.Out = append(p.Out, c.Name)
			continue
		}
		for m := range f.opts.Rewrite.Masks {
			mask := &f.opts.Rewrite.Masks[m]
			switch {
			case !mask.Match(t.ID, c):
			case c.Type.Kind != String:
				p.Unmasked = append(p.Unmasked, c.Name)
			case mask.Truncate > 0:
				p.Truncated = append(p.Truncated, c.Name)
			default:
				p.Masked = append(p.Masked, c.Name)
			}
		}
	}
	if tf.Routed {
		if topic := tf.sampleTopic(t); topic != "" {
			p.Topic = topic
		}
	}
	return p, nil
}

// sampleTopic is the topic of a row whose texts are the names of their columns, "" if
// such a row becomes no record.
func (tf *TableFormat) sampleTopic(t *Table) string {
	c := &Change{Op: Create, Table: t}
	value := func(dst []byte, col *Column) []byte {
		dst = col.AppendPresent(dst)
		if col.Type.Kind == String {
			return AppendString(dst, "{"+col.Name+"}")
		}
		return col.Type.AppendZero(dst)
	}
	for i := range t.Columns {
		c.After = value(c.After, &t.Columns[i])
	}
	for _, i := range t.Key {
		c.Key = value(c.Key, &t.Columns[i])
	}
	var out Messages
	room := []byte{0, 0, 0, 0, 0}
	if err := tf.Append(&out, Wire{Key: room, Value: room}, c); err != nil || len(out.List) == 0 {
		return "" // it depends on the row
	}
	return out.List[0].Topic
}

// fieldsOf names the fields of a record's schema; one of another type has none and is
// told by its type.
func fieldsOf(schema string) (names []string) {
	if schema == "" {
		return nil
	}
	var s struct {
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	}
	if json.Unmarshal([]byte(schema), &s) != nil || s.Fields == nil {
		return []string{strings.Trim(schema, `"`)}
	}
	for _, f := range s.Fields {
		names = append(names, f.Name)
	}
	return names
}
