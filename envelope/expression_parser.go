package envelope

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

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
