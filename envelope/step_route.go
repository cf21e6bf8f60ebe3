package envelope

import "regexp"

// regexRouter sends records to the topic that a replacement makes of theirs.
type regexRouter struct {
	pattern     *regexp.Regexp
	replacement string
}

func newRegexRouter(o *StepOptions) Step {
	return regexRouter{o.pattern("regex", o.required("regex")), javaReplacement(o.Text("replacement", ""))}
}

// route returns the new topic, the old one if the pattern does not match.
func (x regexRouter) route(topic string) string {
	if to := x.pattern.ReplaceAllString(topic, x.replacement); to != "" {
		return to
	}
	return topic
}

func (x regexRouter) compile(s *shape) (func(*record) (bool, error), error) {
	if !s.routed {
		s.topic = x.route(s.topic)
		return nil, nil
	}
	return func(r *record) (bool, error) {
		r.topic = x.route(r.topic)
		return true, nil
	}, nil
}

// logicalRouter sends the records of several tables to one topic, and tells
// them apart by a field of the key.
type logicalRouter struct {
	topic regexRouter
	field string // "" = none
	value *regexRouter
}

func newLogicalRouter(o *StepOptions) Step {
	x := logicalRouter{topic: regexRouter{o.pattern("topic.regex", o.required("topic.regex")), javaReplacement(o.required("topic.replacement"))}}
	x.field = o.Text("key.field.name", "__dbz__physicalTableIdentifier")
	if !o.flag("key.enforce.uniqueness", true) {
		x.field = ""
	}
	regex, replacement := o.Text("key.field.regex", ""), o.Text("key.field.replacement", "")
	if regex != "" {
		if replacement == "" {
			o.fault("key.field.replacement", "is needed with key.field.regex")
		}
		x.value = &regexRouter{o.pattern("key.field.regex", regex), javaReplacement(replacement)}
	}
	return x
}

func (x logicalRouter) compile(s *shape) (func(*record) (bool, error), error) {
	if !x.topic.pattern.MatchString(s.topic) {
		return nil, nil
	}
	old := s.topic
	s.topic = x.topic.route(old)
	n := s.table.opts.Naming
	names := func(what string) (string, error) { return n.recordOf(s.topic, what, s.table.Table.ID) }
	s.names = names
	var err error
	if s.valueName, err = names("Value"); err != nil {
		return nil, err
	}
	if len(s.key) == 0 {
		return nil, nil
	}
	if s.keyName, err = names("Key"); err != nil || x.field == "" {
		return nil, err
	}
	id := old
	if x.value != nil {
		id = x.value.route(old)
	}
	s.key = append(s.key[:len(s.key):len(s.key)], Column{Name: x.field, Type: TypeOf(String)})
	cell := AppendString(nil, id)
	return func(r *record) (bool, error) {
		if r.key != nil {
			r.key = append(r.key, cell)
		}
		return true, nil
	}, nil
}

// contentRouter sends records to the topic that an expression gives; null
// leaves them where they are.
type contentRouter struct {
	expr  expression
	only  *regexp.Regexp
	nulls string
}

func newContentRouter(o *StepOptions) Step {
	x := contentRouter{expr: o.expression("topic.expression")}
	x.only, x.nulls = o.scope()
	return x
}

func (x contentRouter) compile(s *shape) (func(*record) (bool, error), error) {
	if x.only != nil && !s.routed && !x.only.MatchString(s.topic) {
		return nil, nil
	}
	eval, err := x.expr.compile(s)
	if err != nil {
		return nil, err
	}
	base := s.branch()
	return func(r *record) (bool, error) {
		r.from(base)
		if r.null && x.nulls != "evaluate" {
			return x.nulls != "drop", nil
		}
		v, err := eval(r)
		if text, ok := v.(string); ok && text != "" {
			r.topic = text
		}
		return true, err
	}, nil
}
