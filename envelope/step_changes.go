package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// changedFields tells in headers which fields an update changed and which not:
// Debezium's ExtractChangedRecordState.
type changedFields struct{ changed, unchanged string }

func newChangedFields(o *StepOptions) Step {
	x := changedFields{o.Text("header.changed.name", ""), o.Text("header.unchanged.name", "")}
	if x.changed == "" && x.unchanged == "" {
		o.fault("header.changed.name", "is needed, or header.unchanged.name")
	}
	return x
}

func (x changedFields) compile(s *shape) (func(*record) (bool, error), error) {
	if s.flat {
		return nil, fmt.Errorf("ExtractChangedRecordState stands after the unwrapping: it needs the envelope")
	}
	columns, err := s.table.opts.Naming.named(s.table.Table.ID, s.table.out.Columns)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{x.changed, x.unchanged} {
		if name != "" {
			s.lists = append(s.lists, name)
		}
	}
	return func(r *record) (bool, error) {
		if r.null {
			return true, nil
		}
		changed, unchanged := []string{}, []string{}
		if r.c.Before != nil && r.c.After != nil {
			before, after := split(s.table.out.Columns, r.c.Before), split(s.table.out.Columns, r.c.After)
			for i := range columns {
				if bytes.Equal(before[i], after[i]) {
					unchanged = append(unchanged, columns[i].Name)
				} else {
					changed = append(changed, columns[i].Name)
				}
			}
		}
		for _, h := range []struct {
			name   string
			fields []string
		}{{x.changed, changed}, {x.unchanged, unchanged}} {
			if h.name != "" {
				text, _ := json.Marshal(h.fields) // texts always marshal
				r.headers = append(r.headers, MessageHeader{h.name, text})
			}
		}
		return true, nil
	}, nil
}

// headerToValue copies or moves headers into fields of the value.
type headerToValue struct {
	headers, fields []string
	move            bool
}

func newHeaderToValue(o *StepOptions) Step {
	fields, headers, move := o.headerFields()
	return headerToValue{headers: headers, fields: fields, move: move}
}

func (x headerToValue) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(false)
	if err != nil {
		return nil, err
	}
	added := make([]Column, len(x.fields))
	for i, name := range x.fields {
		t := TypeOf(String)
		if slices.Contains(s.lists, x.headers[i]) {
			t = TypeArray(TypeOf(String))
		}
		added[i] = Column{Name: name, Nullable: true, Type: t}
	}
	*columns = append((*columns)[:len(*columns):len(*columns)], added...)
	return func(r *record) (bool, error) {
		if r.null {
			return true, nil
		}
		for i, name := range x.headers {
			at := slices.IndexFunc(r.headers, func(h MessageHeader) bool { return h.Key == name })
			if at < 0 {
				r.value = append(r.value, added[i].AppendNull(nil))
				continue
			}
			r.value = append(r.value, r.keep(func(dst []byte) []byte { return appendHeader(dst, &added[i], r.headers[at].Value) }))
		}
		if x.move {
			r.headers = slices.DeleteFunc(r.headers, func(h MessageHeader) bool { return slices.Contains(x.headers, h.Key) })
		}
		return true, nil
	}, nil
}

// appendHeader writes the text of a header as a field: as it is, or a JSON list
// of texts as an array.
func appendHeader(dst []byte, c *Column, text []byte) []byte {
	if c.Type.Kind == String {
		return AppendBytes(c.AppendPresent(dst), text)
	}
	list := headerList(text)
	if list == nil {
		return c.AppendNull(dst)
	}
	dst = c.AppendPresent(dst)
	if len(list) > 0 {
		dst = AppendLong(dst, int64(len(list)))
		for _, v := range list {
			dst = AppendString(append(dst, 2), v)
		}
	}
	return append(dst, 0)
}

// headerList reads a header that is a JSON list of texts, nil if it is none.
func headerList(text []byte) (list []string) {
	if json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

// readToInsert tells rows of snapshots as inserts.
type readToInsert struct{}

func (readToInsert) compile(s *shape) (func(*record) (bool, error), error) {
	if s.flat {
		return nil, fmt.Errorf("ReadToInsertEvent stands after the unwrapping: it needs the envelope")
	}
	return func(r *record) (bool, error) {
		if r.c.Op == Read {
			c := *r.c
			c.Op = Create
			r.c = &c
		}
		return true, nil
	}, nil
}
