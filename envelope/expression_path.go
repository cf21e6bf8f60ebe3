package envelope

import (
	"errors"
	"fmt"
	"strings"
)

// path is a name and the names after it: value.after.id.
type path []string

func (n path) compile(s *shape) (evaluator, error) {
	switch n[0] {
	case "topic":
		if !s.routed {
			topic := s.topic
			return func(*record) (any, error) { return topic, nil }, nil
		}
		return func(r *record) (any, error) { return r.topic, nil }, nil
	case "key":
		return n.keyField(s)
	case "header", "headers":
		if len(n) < 2 {
			return nil, errors.New("header needs a name: header.name")
		}
		name := strings.Join(n[1:], ".")
		return func(r *record) (any, error) {
			for _, h := range r.headers {
				if h.Key == name {
					return string(h.Value), nil
				}
			}
			return nil, nil
		}, nil
	case "value":
		if len(n) == 1 {
			return func(r *record) (any, error) { return map[bool]any{false: true, true: nil}[r.null], nil }, nil
		}
		if s.flat {
			return n.flatField(s)
		}
		return n.envelopeField(s)
	}
	return nil, fmt.Errorf("%s is not known; there are value, key, topic and header", strings.Join(n, "."))
}

func (n path) keyField(s *shape) (evaluator, error) {
	if len(n) == 1 {
		return func(r *record) (any, error) { return map[bool]any{true: true, false: nil}[r.key != nil], nil }, nil
	}
	i, err := field(s.key, n[1])
	if err != nil {
		return nil, err
	}
	c := s.key[i]
	return func(r *record) (any, error) {
		if r.key == nil {
			return nil, nil
		}
		return decodeValue(&c, r.key[i]), nil
	}, nil
}

func (n path) flatField(s *shape) (evaluator, error) {
	i, err := field(s.value, n[1])
	if err != nil {
		return nil, err
	}
	c := s.value[i]
	return func(r *record) (any, error) {
		if r.null {
			return nil, nil
		}
		return decodeValue(&c, r.value[i]), nil
	}, nil
}

func (n path) envelopeField(s *shape) (evaluator, error) {
	switch n[1] {
	case "op":
		return func(r *record) (any, error) { return r.c.Op.String(), nil }, nil
	case "ts_ms":
		return func(r *record) (any, error) { return floorDiv(r.c.TsNs, 1e6), nil }, nil
	case "before", "after":
		get := func(r *record) Row { return r.c.After }
		if n[1] == "before" {
			get = func(r *record) Row { return r.c.Before }
		}
		if len(n) == 2 {
			return func(r *record) (any, error) { return map[bool]any{true: true, false: nil}[get(r) != nil], nil }, nil
		}
		columns := s.table.out.Columns
		at, err := field(columns, n[2])
		if err != nil {
			return nil, err
		}
		return func(r *record) (any, error) {
			row := []byte(get(r))
			if row == nil {
				return nil, nil
			}
			for i := range at {
				row = skip(&columns[i], row)
			}
			return decodeValue(&columns[at], row), nil
		}, nil
	case "source", "transaction":
		if len(n) < 3 {
			return nil, fmt.Errorf("value.%s needs the name of a field", n[1])
		}
		a := AddField{Source: n[1] == "source", Transaction: n[1] == "transaction", Name: n[2]}
		f, ok := a.resolve(&s.table.opts.Block)
		if !ok {
			return nil, fmt.Errorf("there is no field value.%s.%s", n[1], n[2])
		}
		c, segs := Column{Nullable: true, Type: TypeOf(f.kind)}, join(f.segs(s.table.Table))
		return func(r *record) (any, error) { return decodeValue(&c, appendSegments(nil, segs, r.c)), nil }, nil
	}
	return nil, fmt.Errorf("there is no field value.%s: the envelope has op, ts_ms, before, after, source and transaction", n[1])
}
