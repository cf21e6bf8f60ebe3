package envelope

import "regexp"

// filter keeps the records for which an expression holds.
type filter struct {
	expr  expression
	only  *regexp.Regexp
	nulls string
}

func newFilter(o *StepOptions) Step {
	x := filter{expr: o.expression("condition")}
	x.only, x.nulls = o.scope()
	return x
}

// expression reads an option that is an expression. Those of Debezium are in
// Groovy or JavaScript; ours are what both have in common.
func (o *StepOptions) expression(name string) expression {
	o.Text("language", "")
	e, err := parseExpression(o.required(name))
	if err != nil {
		o.fault(name, "%v", err)
	}
	return e
}

// scope reads which topics a transform is for, and what it does about
// tombstones.
func (o *StepOptions) scope() (only *regexp.Regexp, nulls string) {
	if re := o.Text("topic.regex", ""); re != "" {
		only = o.pattern("topic.regex", re)
	}
	nulls = o.Text("null.handling.mode", "keep")
	if nulls != "keep" && nulls != "drop" && nulls != "evaluate" {
		o.fault("null.handling.mode", "%q is none of keep, drop, evaluate", nulls)
	}
	return only, nulls
}

func (x filter) compile(s *shape) (func(*record) (bool, error), error) {
	if x.only != nil && !s.routed && !x.only.MatchString(s.topic) {
		return nil, nil
	}
	eval, err := x.expr.compile(s)
	if err != nil {
		return nil, err
	}
	if !s.routed {
		x.only = nil // it matches
	}
	return func(r *record) (bool, error) {
		if x.only != nil && !x.only.MatchString(r.topic) {
			return true, nil
		}
		if r.null && x.nulls != "evaluate" {
			return x.nulls == "keep", nil
		}
		v, err := eval(r)
		return truth(v), err
	}, nil
}
