package binlog

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// Operations of a difference between two JSON documents
// (binlog_row_value_options=PARTIAL_JSON).
const (
	diffReplace = 0
	diffInsert  = 1
	diffRemove  = 2
)

// jsonNode is a part of a document that can be changed. Bytes are those of the
// document that it was read from.
type jsonNode struct {
	typ    byte // jsonSmallObject, jsonSmallArray, or that of a scalar
	scalar []byte
	keys   [][]byte // of an object, in the order of the binary form
	kids   []*jsonNode
}

func (n *jsonNode) container() bool { return n.typ == jsonSmallObject || n.typ == jsonSmallArray }

// parseJSON reads a value; budget bounds how many parts there are.
func parseJSON(typ byte, v []byte, depth int, budget *int) (*jsonNode, bool) {
	if *budget--; depth > maxJSONDepth || *budget < 0 {
		return nil, false
	}
	if typ > jsonLargeArray {
		return &jsonNode{typ: typ, scalar: v}, true
	}
	c, ok := openJSON(typ, v)
	if !ok {
		return nil, false
	}
	n := &jsonNode{typ: typ &^ 1}
	for i := range c.count {
		key, typ, value, ok := c.element(i)
		if !ok {
			return nil, false
		}
		kid, ok := parseJSON(typ, value, depth+1, budget)
		if !ok {
			return nil, false
		}
		if c.object {
			n.keys = append(n.keys, key)
		}
		n.kids = append(n.kids, kid)
	}
	return n, true
}

func parseJSONDocument(doc []byte) (*jsonNode, bool) {
	if len(doc) == 0 {
		return &jsonNode{typ: jsonLiteral, scalar: []byte{0}}, true
	}
	budget := len(doc) + 1 // each part takes more than a byte
	return parseJSON(doc[0], doc[1:], 0, &budget)
}

func (n *jsonNode) append(dst []byte, budget int) ([]byte, bool) {
	if !n.container() {
		return appendJSON(dst, n.typ, n.scalar, 0, budget)
	}
	opening, closing := byte('{'), byte('}')
	if n.typ == jsonSmallArray {
		opening, closing = '[', ']'
	}
	dst = append(dst, opening)
	for i, kid := range n.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		if n.typ == jsonSmallObject {
			dst = append(AppendJSONString(dst, n.keys[i]), ':')
		}
		var ok bool
		if dst, ok = kid.append(dst, budget); !ok {
			return dst, false
		}
	}
	return append(dst, closing), true
}

// leg is a step of a path: a member of an object, or a place in an array.
type leg struct {
	key   []byte
	index int // -1 = a member
}

// AppendJSONDiffs appends the text of the document doc with the differences in
// diffs applied. ok is false when they do not fit, or something is malformed.
func AppendJSONDiffs(dst, doc, diffs []byte) (out []byte, ok bool) {
	root, ok := parseJSONDocument(doc)
	if !ok {
		return dst, false
	}
	budget := jsonBudget(len(doc) + len(diffs))
	for len(diffs) > 0 {
		op := diffs[0]
		path, n := lenencBytes(diffs[1:])
		if n == 0 {
			return dst, false
		}
		diffs = diffs[1+n:]
		legs, ok := parsePath(path)
		if !ok {
			return dst, false
		}
		var value *jsonNode
		if op != diffRemove {
			v, n := lenencBytes(diffs)
			if n == 0 {
				return dst, false
			}
			diffs = diffs[n:]
			if value, ok = parseJSONDocument(v); !ok {
				return dst, false
			}
		}
		if !root.change(op, legs, value) {
			return dst, false
		}
	}
	return root.append(dst, budget)
}

// change applies one difference below n.
func (n *jsonNode) change(op byte, legs []leg, value *jsonNode) bool {
	if len(legs) == 0 {
		if op != diffReplace {
			return false
		}
		*n = *value
		return true
	}
	last := legs[len(legs)-1]
	for _, l := range legs[:len(legs)-1] {
		at := n.find(l)
		switch {
		case at >= 0:
			n = n.kids[at]
		case l.index != 0 || n.typ == jsonSmallArray: // a value is its own element 0
			return false
		}
	}
	at := n.find(last)
	switch op {
	case diffReplace:
		switch {
		case at >= 0:
			n.kids[at] = value
		case last.index == 0 && n.typ != jsonSmallArray:
			*n = *value
		default:
			return false
		}
	case diffInsert:
		return n.insert(last, at, value)
	case diffRemove:
		if at < 0 {
			return false
		}
		n.kids = slices.Delete(n.kids, at, at+1)
		if n.typ == jsonSmallObject {
			n.keys = slices.Delete(n.keys, at, at+1)
		}
	default:
		return false
	}
	return true
}

// find returns the element that a leg leads to, negative when there is none.
func (n *jsonNode) find(l leg) int {
	switch {
	case l.index >= 0 && n.typ == jsonSmallArray && l.index < len(n.kids):
		return l.index
	case l.index < 0 && n.typ == jsonSmallObject:
		return slices.IndexFunc(n.keys, func(k []byte) bool { return bytes.Equal(k, l.key) })
	}
	return -1
}

func (n *jsonNode) insert(l leg, at int, value *jsonNode) bool {
	switch {
	case n.typ == jsonSmallArray && l.index >= 0:
		n.kids = slices.Insert(n.kids, min(l.index, len(n.kids)), value)
	case n.typ == jsonSmallObject && l.index < 0 && at < 0:
		// The binary form has keys by length, then by bytes.
		at, _ = slices.BinarySearchFunc(n.keys, l.key, func(a, b []byte) int {
			if d := len(a) - len(b); d != 0 {
				return d
			}
			return bytes.Compare(a, b)
		})
		n.keys = slices.Insert(n.keys, at, l.key)
		n.kids = slices.Insert(n.kids, at, value)
	default:
		return false
	}
	return true
}

// parsePath reads a path such as $.a[3]."b c".
func parsePath(p []byte) ([]leg, bool) {
	if len(p) == 0 || p[0] != '$' {
		return nil, false
	}
	var legs []leg
	for p = p[1:]; len(p) > 0; {
		if p[0] == '[' {
			end := bytes.IndexByte(p, ']')
			if end < 0 {
				return nil, false
			}
			i, err := strconv.ParseUint(string(p[1:end]), 10, 31)
			if err != nil {
				return nil, false
			}
			legs, p = append(legs, leg{index: int(i)}), p[end+1:] //nolint:gosec // 31 bits
			continue
		}
		if p[0] != '.' || len(p) < 2 {
			return nil, false
		}
		key, rest, ok := pathKey(p[1:])
		if !ok {
			return nil, false
		}
		legs, p = append(legs, leg{key: key, index: -1}), rest
	}
	return legs, true
}

func pathKey(p []byte) (key, rest []byte, ok bool) {
	if p[0] != '"' {
		end := bytes.IndexAny(p, ".[")
		if end < 0 {
			end = len(p)
		}
		return p[:end], p[end:], end > 0
	}
	end := 1
	for end < len(p) && p[end] != '"' {
		if p[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p) {
		return nil, nil, false
	}
	var text string
	if json.Unmarshal(p[:end+1], &text) != nil {
		return nil, nil, false
	}
	return []byte(text), p[end+1:], true
}
