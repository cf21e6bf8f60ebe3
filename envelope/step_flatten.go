package envelope

import (
	"fmt"
	"strings"
	"time"
)

// flatten makes fields of the fields of records within: Kafka's Flatten.
type flatten struct {
	key       bool
	delimiter string
}

func newFlatten(o *StepOptions, key bool) Step { return flatten{key, o.Text("delimiter", ".")} }

func (x flatten) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	from := *columns
	var to []Column
	nested := false
	for i := range from {
		if from[i].Type.Kind == Record && from[i].schema == "" {
			nested = true
			to = x.columns(to, &from[i])
			continue
		}
		to = append(to, from[i])
	}
	if !nested {
		return nil, nil //nolint:nilnil // nothing to do
	}
	for i := range to {
		if !legal(to[i].Name) {
			return nil, fmt.Errorf("field %s, which Flatten makes, is no Avro name: set its delimiter to _", to[i].Name)
		}
	}
	*columns = to
	return func(r *record) (bool, error) {
		if r.absent(x.key) {
			return true, nil
		}
		cells := *r.cells(x.key)
		out := make([][]byte, 0, len(to))
		for i := range from {
			if from[i].Type.Kind == Record && from[i].schema == "" {
				out = flatCells(out, &from[i].Type, from[i].Nullable, &from[i], cells[i])
				continue
			}
			out = append(out, cells[i])
		}
		*r.cells(x.key) = out
		return true, nil
	}, nil
}

// columns are the fields that a record becomes.
func (x flatten) columns(to []Column, c *Column) []Column {
	for _, f := range c.Type.Fields {
		sub := Column{Name: c.Name + x.delimiter + f.Name, Type: f.Type, Nullable: f.Nullable || c.Nullable}
		if f.Type.Kind == Record {
			to = x.columns(to, &sub)
			continue
		}
		to = append(to, sub)
	}
	return to
}

// flatCells are the cells of a record's fields, each as nullable as columns
// makes it. cell is nil for one within a record that is null.
func flatCells(out [][]byte, t *Type, nullable bool, c *Column, cell []byte) [][]byte {
	null := cell == nil
	if !null && nullable {
		var v []byte
		v, _, null = value(c, cell)
		cell = v
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		var v []byte
		if !null {
			rest := f.Type.skipOptional(cell, f.Nullable)
			v, cell = cell[:len(cell)-len(rest)], rest
		}
		if f.Type.Kind == Record {
			sub := Column{Type: f.Type, Nullable: f.Nullable}
			out = flatCells(out, &f.Type, f.Nullable, &sub, v)
			continue
		}
		switch {
		case null:
			out = append(out, []byte{0})
		case nullable && !f.Nullable:
			out = append(out, append([]byte{2}, v...))
		default:
			out = append(out, v)
		}
	}
	return out
}

// timestampRouter sends records to topics by their time: Kafka's
// TimestampRouter. The time is that of the record, or of the change.
type timestampRouter struct{ topic, layout string }

func newTimestampRouter(o *StepOptions) Step {
	x := timestampRouter{topic: o.Text("topic.format", "${topic}-${timestamp}")}
	var err error
	if x.layout, err = javaLayout(o.Text("timestamp.format", "yyyyMMdd")); err != nil {
		o.fault("timestamp.format", "%v", err)
	}
	return x
}

func (x timestampRouter) compile(s *shape) (func(*record) (bool, error), error) {
	base := s.branch()
	return func(r *record) (bool, error) {
		r.from(base)
		millis := r.millis
		if millis == 0 {
			millis = floorDiv(r.c.TsNs, 1e6)
		}
		r.topic = strings.NewReplacer("${topic}", r.topic, "${timestamp}", time.UnixMilli(millis).UTC().Format(x.layout)).Replace(x.topic)
		return true, nil
	}, nil
}
