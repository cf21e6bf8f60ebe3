package envelope

import (
	"errors"
	"fmt"
)

// expression is a condition on a record, in what Groovy and JavaScript have in
// common:
//
//	value.op == 'u' && value.after.price > 10 && !(value.source.db in ['a', 'b'])
//
// There are numbers, texts in either quotes, true, false, null, lists; the
// operators ?: || && ! == != < <= > >= in =~; and the methods startsWith,
// endsWith, contains, matches, equals, toLowerCase, toUpperCase, isEmpty and
// length of texts. Names are value (of the envelope: op, ts_ms, before, after,
// source, transaction; unwrapped: the fields), key, topic and header. What is
// null has null fields; a comparison of order with null is false.
type expression struct{ root node }

type evaluator func(r *record) (any, error)

// node is a part of an expression; it is compiled for each shape, so that names
// of fields are looked up once.
type node interface {
	compile(s *shape) (evaluator, error)
}

func (e expression) compile(s *shape) (evaluator, error) {
	if e.root == nil {
		return nil, errors.New("the expression is empty")
	}
	return e.root.compile(s)
}

type literal struct{ v any }

func (n literal) compile(*shape) (evaluator, error) {
	return func(*record) (any, error) { return n.v, nil }, nil
}

type list []node

func (n list) compile(s *shape) (evaluator, error) {
	items := make([]evaluator, len(n))
	for i := range n {
		var err error
		if items[i], err = n[i].compile(s); err != nil {
			return nil, err
		}
	}
	return func(r *record) (any, error) {
		out := make([]any, len(items))
		for i, fn := range items {
			var err error
			if out[i], err = fn(r); err != nil {
				return nil, err
			}
		}
		return out, nil
	}, nil
}

// op is an operator with one to three operands.
type op struct {
	name string
	args []node
}

func (n op) compile(s *shape) (evaluator, error) {
	fn, err := list(n.args).each(s)
	if err != nil {
		return nil, err
	}
	a := fn[0]
	switch n.name {
	case "!":
		return func(r *record) (any, error) {
			v, err := a(r)
			return !truth(v), err
		}, nil
	case "?":
		return func(r *record) (any, error) {
			v, err := a(r)
			if err != nil {
				return nil, err
			}
			if truth(v) {
				return fn[1](r)
			}
			return fn[2](r)
		}, nil
	case "&&", "||":
		return func(r *record) (any, error) {
			v, err := a(r)
			if err != nil || truth(v) == (n.name == "||") {
				return truth(v), err
			}
			v, err = fn[1](r)
			return truth(v), err
		}, nil
	}
	b := fn[1]
	return func(r *record) (any, error) {
		x, err := a(r)
		if err != nil {
			return nil, err
		}
		y, err := b(r)
		if err != nil {
			return nil, err
		}
		return compareValues(n.name, x, y)
	}, nil
}

func (n list) each(s *shape) ([]evaluator, error) {
	out := make([]evaluator, len(n))
	for i := range n {
		var err error
		if out[i], err = n[i].compile(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// method is a call on a value.
type method struct {
	on   node
	name string
	args []node
}

func (n method) compile(s *shape) (evaluator, error) {
	on, err := n.on.compile(s)
	if err != nil {
		return nil, err
	}
	args, err := list(n.args).each(s)
	if err != nil {
		return nil, err
	}
	if want := map[string]int{"startsWith": 1, "endsWith": 1, "contains": 1, "includes": 1, "matches": 1, "equals": 1, "toLowerCase": 0, "toUpperCase": 0, "isEmpty": 0, "length": 0, "size": 0}; true {
		if n, ok := want[n.name]; !ok || n != len(args) {
			return nil, fmt.Errorf("no method of that name and number of arguments is known")
		}
	}
	return func(r *record) (any, error) {
		v, err := on(r)
		if err != nil {
			return nil, err
		}
		var arg any
		if len(args) == 1 {
			if arg, err = args[0](r); err != nil {
				return nil, err
			}
		}
		return call(n.name, v, arg)
	}, nil
}
