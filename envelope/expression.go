package envelope

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"
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

// truth is whether a value counts as true.
func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case nil:
		return false
	case string:
		return v != ""
	case int64:
		return v != 0
	case float64:
		return v != 0
	case []byte:
		return len(v) > 0
	case *big.Rat:
		return v.Sign() != 0
	}
	return true
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

func compareValues(name string, x, y any) (bool, error) {
	switch name {
	case "==":
		return equal(x, y), nil
	case "!=":
		return !equal(x, y), nil
	case "in":
		items, ok := y.([]any)
		if !ok {
			return false, errors.New("what follows in must be a list")
		}
		for _, v := range items {
			if equal(x, v) {
				return true, nil
			}
		}
		return false, nil
	case "=~":
		text, ok1 := x.(string)
		pattern, ok2 := y.(string)
		if !ok1 || !ok2 {
			return false, nil
		}
		re, err := regexp.Compile(javaPattern(pattern))
		if err != nil {
			return false, errors.New("what follows =~ is no regular expression")
		}
		return re.MatchString(text), nil
	}
	c, ok := order(x, y)
	switch name {
	case "<":
		return ok && c < 0, nil
	case "<=":
		return ok && c <= 0, nil
	case ">":
		return ok && c > 0, nil
	default:
		return ok && c >= 0, nil
	}
}

func equal(x, y any) bool {
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	c, ok := order(x, y)
	return ok && c == 0
}

// order compares two values of a kind: numbers exactly, whatever their types.
func order(x, y any) (int, bool) {
	if a, ok := x.(int64); ok {
		if b, ok := y.(int64); ok {
			return cmp.Compare(a, b), true
		}
	}
	if a, ok := rational(x); ok {
		b, ok := rational(y)
		if !ok {
			return 0, false
		}
		return a.Cmp(b), true
	}
	switch a := x.(type) {
	case string:
		b, ok := y.(string)
		return strings.Compare(a, b), ok
	case []byte:
		b, ok := y.([]byte)
		return strings.Compare(string(a), string(b)), ok
	case bool:
		b, ok := y.(bool)
		if !ok || a == b {
			return 0, ok
		}
		return map[bool]int{false: -1, true: 1}[a], true
	}
	return 0, false
}

func rational(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(v), true
	case float64:
		r := new(big.Rat)
		if r.SetFloat64(v) == nil {
			return nil, false // NaN or infinite
		}
		return r, true
	case *big.Rat:
		return v, true
	}
	return nil, false
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

func call(name string, v, arg any) (any, error) {
	if name == "equals" {
		return equal(v, arg), nil
	}
	if items, ok := v.([]any); ok && (name == "contains" || name == "includes") {
		return compareValues("in", arg, items)
	}
	text, ok := v.(string)
	if !ok {
		return nil, nil // of null, or of what is no text
	}
	other, _ := arg.(string)
	switch name {
	case "startsWith":
		return strings.HasPrefix(text, other), nil
	case "endsWith":
		return strings.HasSuffix(text, other), nil
	case "contains", "includes":
		return strings.Contains(text, other), nil
	case "matches":
		re, err := regexp.Compile("^(?:" + javaPattern(other) + ")$")
		if err != nil {
			return nil, errors.New("the argument of matches is no regular expression")
		}
		return re.MatchString(text), nil
	case "toLowerCase":
		return strings.ToLower(text), nil
	case "toUpperCase":
		return strings.ToUpper(text), nil
	case "isEmpty":
		return text == "", nil
	default:
		return int64(len([]rune(text))), nil
	}
}

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

// parser reads an expression.
type parser struct {
	tokens []string
	at     int
}

func parseExpression(text string) (expression, error) {
	tokens, err := tokenize(text)
	if err != nil {
		return expression{}, err
	}
	p := &parser{tokens: tokens}
	n, err := p.ternary()
	if err == nil && p.at < len(p.tokens) {
		err = fmt.Errorf("%q is not expected here", p.tokens[p.at])
	}
	return expression{n}, err
}

func tokenize(text string) ([]string, error) {
	var out []string
	for i := 0; i < len(text); {
		c := rune(text[i])
		start := i
		switch {
		case unicode.IsSpace(c):
			i++
			continue
		case c == '\'' || c == '"':
			for i++; i < len(text) && rune(text[i]) != c; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if i++; i > len(text) {
				return nil, errors.New("a text does not end")
			}
		case c == '_' || c == '$' || unicode.IsLetter(c):
			for i < len(text) && (text[i] == '_' || text[i] == '$' || alphanumeric(rune(text[i])) || text[i] >= 0x80) {
				i++
			}
		case digit(c):
			for i < len(text) && (digit(rune(text[i])) || text[i] == '.' || text[i] == 'e' || text[i] == 'E') {
				i++
			}
		default:
			i++
			for _, op := range []string{"===", "!==", "==~", "==", "!=", "<=", ">=", "&&", "||", "=~", "?."} {
				if strings.HasPrefix(text[start:], op) {
					i = start + len(op)
					break
				}
			}
		}
		out = append(out, text[start:i])
	}
	return out, nil
}

func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) take(token string) bool {
	if p.peek() == token {
		p.at++
		return true
	}
	return false
}

func (p *parser) want(token string) error {
	if !p.take(token) {
		return fmt.Errorf("%q is missing before %q", token, p.peek())
	}
	return nil
}

func (p *parser) ternary() (node, error) {
	n, err := p.binary(0)
	if err != nil || !p.take("?") {
		return n, err
	}
	yes, err := p.ternary()
	if err != nil {
		return nil, err
	}
	if err := p.want(":"); err != nil {
		return nil, err
	}
	no, err := p.ternary()
	return op{"?", []node{n, yes, no}}, err
}

// levels are the binary operators, those that bind least first.
var levels = [][]string{{"||"}, {"&&"}, {"==", "!=", "===", "!==", "=~", "==~", "in", "<", "<=", ">", ">="}}

func (p *parser) binary(level int) (node, error) {
	if level == len(levels) {
		return p.unary()
	}
	n, err := p.binary(level + 1)
	for err == nil {
		name := p.peek()
		found := false
		for _, o := range levels[level] {
			found = found || o == name && name != ""
		}
		if !found {
			break
		}
		p.at++
		var right node
		if right, err = p.binary(level + 1); err != nil {
			break
		}
		if canonical, ok := map[string]string{"===": "==", "!==": "!="}[name]; ok {
			name = canonical
		}
		if name == "==~" {
			n = method{n, "matches", []node{right}}
		} else {
			n = op{name, []node{n, right}}
		}
	}
	return n, err
}

func (p *parser) unary() (node, error) {
	if p.take("!") {
		n, err := p.unary()
		return op{"!", []node{n}}, err
	}
	if p.take("-") {
		n, err := p.number(p.peek())
		p.at++
		if l, ok := n.(literal); ok && err == nil {
			switch v := l.v.(type) {
			case int64:
				return literal{-v}, nil
			case float64:
				return literal{-v}, nil
			}
		}
		return nil, errors.New("- must stand before a number")
	}
	return p.postfix()
}

func (p *parser) postfix() (node, error) {
	n, err := p.primary()
	for err == nil && (p.take(".") || p.take("?.")) {
		name := p.peek()
		p.at++
		if p.take("(") {
			var args []node
			if args, err = p.items(")"); err != nil {
				break
			}
			if name == "get" && len(args) == 1 { // value.get('x') of Java's structs
				if l, ok := args[0].(literal); ok {
					if text, ok := l.v.(string); ok {
						n, err = extend(n, text)
						continue
					}
				}
			}
			n = method{n, name, args}
			continue
		}
		n, err = extend(n, name)
	}
	return n, err
}

func extend(n node, name string) (node, error) {
	base, ok := n.(path)
	if !ok || name == "" {
		return nil, fmt.Errorf("%q follows what has no fields", "."+name)
	}
	return append(base[:len(base):len(base)], name), nil
}

func (p *parser) items(end string) ([]node, error) {
	var out []node
	for !p.take(end) {
		if len(out) > 0 {
			if err := p.want(","); err != nil {
				return nil, err
			}
		}
		n, err := p.ternary()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (p *parser) primary() (node, error) {
	t := p.peek()
	p.at++
	switch {
	case t == "":
		return nil, errors.New("the expression ends too early")
	case t == "(":
		n, err := p.ternary()
		if err != nil {
			return nil, err
		}
		return n, p.want(")")
	case t == "[":
		items, err := p.items("]")
		return list(items), err
	case t == "true" || t == "false":
		return literal{t == "true"}, nil
	case t == "null":
		return literal{nil}, nil
	case t[0] == '\'' || t[0] == '"':
		return literal{unescape(t[1 : len(t)-1])}, nil
	case digit(rune(t[0])):
		return p.number(t)
	case t[0] == '_' || t[0] == '$' || unicode.IsLetter(rune(t[0])):
		return path{t}, nil
	}
	return nil, fmt.Errorf("%q is not expected here", t)
}

func (p *parser) number(t string) (node, error) {
	if n, err := strconv.ParseInt(t, 10, 64); err == nil {
		return literal{n}, nil
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no number", t)
	}
	return literal{f}, nil
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
				continue
			case 't':
				b.WriteByte('\t')
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
