package avrotext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of a schema's JSON.
const MaxDepth = 500

// object is a JSON object that keeps the order of its keys: a schema's custom
// properties are to come out as they went in.
type object struct {
	keys   []string
	values []any
}

func (o *object) lookup(key string) (any, bool) {
	for i, k := range o.keys {
		if k == key {
			return o.values[i], true
		}
	}
	return nil, false
}

func (o *object) get(key string) any {
	v, _ := o.lookup(key)
	return v
}

func (o *object) add(key string, v any) {
	o.keys, o.values = append(o.keys, key), append(o.values, v)
}

func (o *object) text(key string) string {
	s, _ := o.get(key).(string)
	return s
}

func (o *object) set(key string, v any) {
	for i, k := range o.keys {
		if k == key {
			o.values[i] = v
			return
		}
	}
	o.add(key, v)
}

// parseJSON reads one JSON value into *object, []any, string, json.Number,
// bool and nil. It takes what encoding/json takes, and several times as fast
// as its tokens, which is what registering a schema costs most.
func parseJSON(text string) (any, error) {
	p := &parser{text: text}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, p.bad("more than one JSON value")
	}
	return v, nil
}

type parser struct {
	text string
	at   int // bytes read
}

func (p *parser) bad(what string) error {
	return fmt.Errorf("JSON at byte %d: %s", p.at, what)
}

// space skips white space and returns the byte after it, 0 at the end.
func (p *parser) space() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	switch c := p.space(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		return p.quoted()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for word, v := range words {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			return v, nil
		}
	}
	return nil, p.bad("a value is missing")
}

var words = map[string]any{"true": true, "false": false, "null": nil}

func (p *parser) object(depth int) (any, error) {
	o := &object{keys: make([]string, 0, 6), values: make([]any, 0, 6)}
	p.at++
	if p.space() == '}' {
		p.at++
		return o, nil
	}
	for {
		if p.space() != '"' {
			return nil, p.bad("a key is missing")
		}
		key, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if p.space() != ':' {
			return nil, p.bad("a colon is missing")
		}
		p.at++
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.add(key, v)
		switch p.space() {
		case ',':
			p.at++
		case '}':
			p.at++
			return o, nil
		default:
			return nil, p.bad("an object does not end")
		}
	}
}

func (p *parser) list(depth int) (any, error) {
	list := []any{}
	p.at++
	if p.space() == ']' {
		p.at++
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		switch p.space() {
		case ',':
			p.at++
		case ']':
			p.at++
			return list, nil
		default:
			return nil, p.bad("a list does not end")
		}
	}
}

// quoted reads a string. Those with escapes, or that are not UTF-8, are left
// to encoding/json.
func (p *parser) quoted() (string, error) {
	plain := true
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			raw := p.text[p.at : i+1]
			if plain && utf8.ValidString(raw) {
				p.at = i + 1
				return raw[1 : len(raw)-1], nil
			}
			var s string
			if err := json.Unmarshal([]byte(raw), &s); err != nil {
				return "", p.bad(err.Error())
			}
			p.at = i + 1
			return s, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return "", p.bad("a control character in a string")
		}
	}
	return "", p.bad("a string does not end")
}

func (p *parser) number() (any, error) {
	from := p.at
	for ; p.at < len(p.text) && strings.IndexByte("+-.eE0123456789", p.text[p.at]) >= 0; p.at++ {
	}
	if n := p.text[from:p.at]; json.Valid([]byte(n)) {
		return json.Number(n), nil
	}
	return nil, p.bad("a number that is none")
}

// appendJSON appends v as compact JSON.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case *object:
		dst = append(dst, '{')
		for i, k := range v.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, k), ':')
			dst = appendJSON(dst, v.values[i])
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, v[i])
		}
		return append(dst, ']')
	case string:
		return appendString(dst, v)
	case json.Number:
		return append(dst, v...)
	case bool:
		return fmt.Append(dst, v)
	}
	return append(dst, "null"...)
}

func appendString(dst []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return append(append(append(dst, '"'), s...), '"')
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string always encodes.
	_ = enc.Encode(s)
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// Depth returns how deeply a JSON text nests objects and arrays, whether or
// not it is well-formed otherwise.
func Depth[T string | []byte](text T) int {
	depth, deepest := 0, 0
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
