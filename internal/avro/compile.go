package avro

import (
	"fmt"

	"tributary/internal/column"
)

// compiler emits code by one rule: the code for a node appends to each column of
// the node's subtree exactly once, whichever way a record takes through it.
type compiler struct {
	plan   *Plan
	skipOf map[*Schema]int32
	err    error
}

func (c *compiler) emit(in instr) int {
	if len(c.plan.code) >= maxCode {
		c.fail("the plan grows past %d steps", maxCode)
		return 0
	}
	c.plan.code = append(c.plan.code, in)
	return len(c.plan.code) - 1
}

func (c *compiler) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrTarget, fmt.Sprintf(format, args...))
	}
}

func (c *compiler) here() int32 { return int32(len(c.plan.code)) }

func (c *compiler) pathID(path string) int32 {
	if n := len(c.plan.fields); n > 0 && c.plan.fields[n-1] == path {
		return int32(n - 1)
	}
	c.plan.fields = append(c.plan.fields, path)
	return int32(len(c.plan.fields) - 1)
}

// record emits the fields of s, and nulls for the children that it lacks.
func (c *compiler) record(s *Schema, n *node, path string) {
	seen := make(map[*node]bool, len(n.children))
	for i := range s.Fields {
		if c.err != nil {
			return
		}
		f := &s.Fields[i]
		sub := f.Name
		if path != "" {
			sub = path + "." + f.Name
		}
		var child *node
		for _, ch := range n.children {
			if ch.name == f.Name {
				child = ch
			}
		}
		if child == nil {
			c.skip(f.Schema, sub)
			continue
		}
		seen[child] = true
		c.field(f.Schema, child, sub)
	}
	for _, ch := range n.children {
		if !seen[ch] {
			c.absent(ch)
		}
	}
}

// absent emits what a subtree gets that is not there.
func (c *compiler) absent(n *node) {
	for _, t := range n.targets {
		if c.plan.targets[t].Want == Presence {
			c.emit(instr{op: opConst, col: t, n: 0, null: noNull})
		} else {
			c.emit(instr{op: opNull, col: t, null: noNull})
		}
	}
	for _, ch := range n.children {
		c.absent(ch)
	}
}

// values returns the first column that takes the node's value, or -1, having
// emitted the copies to the others through the returned func, to be called once
// the value is there.
func (c *compiler) values(n *node) (first int32, copies func()) {
	first = -1
	var rest []int32
	for _, t := range n.targets {
		if c.plan.targets[t].Want != Value {
			continue
		}
		switch {
		case first < 0:
			first = t
		case c.plan.targets[t].Kind != c.plan.targets[first].Kind:
			c.fail("%s is asked for as %s and as %s", c.plan.targets[t].Path, c.plan.targets[first].Kind, c.plan.targets[t].Kind)
		default:
			rest = append(rest, t)
		}
	}
	return first, func() {
		for _, t := range rest {
			c.emit(instr{op: opCopy, col: t, n: first, null: noNull})
		}
	}
}

// about emits the columns that ask about a field rather than for its value.
func (c *compiler) about(n *node, present, branch int32) {
	for _, t := range n.targets {
		switch c.plan.targets[t].Want {
		case Presence:
			c.emit(instr{op: opConst, col: t, n: present, null: noNull})
		case Branch:
			c.emit(instr{op: opConst, col: t, n: branch, null: noNull})
		}
	}
}

func (n *node) asksAbout(targets []Target) bool {
	for _, t := range n.targets {
		if targets[t].Want != Value {
			return true
		}
	}
	return false
}

// field emits a field that targets name.
func (c *compiler) field(s *Schema, n *node, path string) {
	if s.Type != Union {
		if s.Type == Null {
			c.about(n, 0, 0)
		} else {
			c.about(n, 1, 0)
		}
		c.body(s, n, path, noNull)
		return
	}
	if null, other, ok := s.nullable(); ok && !n.asksAbout(c.plan.targets) && len(n.children) == 0 {
		c.body(other, n, path, uint8(null))
		return
	}
	if first, copies := c.values(n); first >= 0 && s.NonNull() == s && !c.uniform(s, first) {
		c.rawUnion(s, n, path, first, copies)
		return
	}
	c.union(s, n, path)
}

// nullable reports whether s is a union of null and one other branch.
func (s *Schema) nullable() (null int, other *Schema, ok bool) {
	if len(s.Branches) != 2 {
		return 0, nil, false
	}
	switch {
	case s.Branches[0].Type == Null && s.Branches[1].Type != Null:
		return 0, s.Branches[1], true
	case s.Branches[1].Type == Null && s.Branches[0].Type != Null:
		return 1, s.Branches[0], true
	}
	return 0, nil, false
}

// uniform reports whether each branch of the union s can be put, by its value,
// into column t.
func (c *compiler) uniform(s *Schema, t int32) bool {
	for _, b := range s.Branches {
		switch b.Type {
		case Null:
		case Array, Map, Record:
			return false
		default:
			if k, _ := b.Kind(); k != c.plan.targets[t].Kind {
				return false
			}
		}
	}
	return true
}

// rawUnion emits a union of several branches as its encoded bytes.
func (c *compiler) rawUnion(s *Schema, n *node, path string, col int32, copies func()) {
	if c.plan.targets[col].Kind != column.Bytes {
		c.fail("%s is a union of several types: its bytes do not go to a column of kind %s", path, c.plan.targets[col].Kind)
		return
	}
	if len(n.children) > 0 || n.asksAbout(c.plan.targets) {
		c.fail("%s is a union of several types: ask either for it or for what is inside", path)
		return
	}
	c.emit(instr{op: opRaw, col: col, n: c.skipID(s), null: noNull, path: c.pathID(path)})
	copies()
}

// union emits a jump table and the code of every branch.
func (c *compiler) union(s *Schema, n *node, path string) {
	table := len(c.plan.unions)
	c.plan.unions = append(c.plan.unions, jumps{to: make([]int32, len(s.Branches))})
	c.emit(instr{op: opUnion, n: int32(table), null: noNull, path: c.pathID(path)})
	var ends []int
	for i, b := range s.Branches {
		if c.err != nil {
			return
		}
		c.plan.unions[table].to[i] = c.here()
		present := int32(1)
		if b.Type == Null {
			present = 0
		}
		c.about(n, present, int32(i))
		c.body(b, n, path, noNull)
		if i < len(s.Branches)-1 {
			ends = append(ends, c.emit(instr{op: opJump, null: noNull}))
		}
	}
	for _, e := range ends {
		c.plan.code[e].n = c.here()
	}
}

// body emits the value and the children of a node whose schema is not a union.
// null is the index of the null branch when s is a nullable leaf.
func (c *compiler) body(s *Schema, n *node, path string, null uint8) {
	first, copies := c.values(n)
	switch {
	case s.Type == Null && null == noNull:
		for _, t := range n.targets {
			if c.plan.targets[t].Want == Value {
				c.emit(instr{op: opNull, col: t, null: noNull})
			}
		}
		for _, ch := range n.children {
			c.absent(ch)
		}
		return
	case s.Type == Record && len(n.children) > 0:
		if first >= 0 {
			c.fail("%s is asked for whole and in parts", path)
			return
		}
		c.record(s, n, path)
		return
	}
	if first < 0 {
		c.skipNullable(s, path, null)
	} else {
		c.leaf(s, first, path, null)
		copies()
	}
	for _, ch := range n.children {
		c.absent(ch)
	}
}

// leaf emits the value of s into a column.
func (c *compiler) leaf(s *Schema, col int32, path string, null uint8) {
	in := instr{col: col, null: null, path: c.pathID(path)}
	kind := c.plan.targets[col].Kind
	need := column.Bytes
	switch s.Type {
	case Boolean:
		in.op, need = opBool, column.Int
		if kind == column.Float {
			in.op, need = opBoolToFloat, kind
		}
	case Int:
		in.op, need = opVarint32, column.Int
		if kind == column.Float {
			in.op, need = opIntToFloat32, kind
		}
	case Long:
		in.op, need = opVarint64, column.Int
		if kind == column.Float {
			in.op, need = opIntToFloat64, kind
		}
	case Float:
		in.op, need = opFloat, column.Float
	case Double:
		in.op, need = opDouble, column.Float
	case Bytes, String:
		in.op = opBytes
	case Fixed:
		in.op, in.n = opFixed, int32(s.Size)
	case Enum:
		in.op, in.n = opEnum, int32(len(c.plan.enums))
		c.plan.enums = append(c.plan.enums, s.Symbols)
	default:
		in.op, in.n = opRaw, c.skipID(s)
	}
	if need != kind {
		c.fail("%s is of type %s, which does not go to a column of kind %s", path, s.Type, kind)
		return
	}
	c.emit(in)
}

func (c *compiler) skipID(s *Schema) int32 {
	if id, ok := c.skipOf[s]; ok {
		return id
	}
	id := int32(len(c.plan.skips))
	c.plan.skips = append(c.plan.skips, s)
	c.skipOf[s] = id
	return id
}

// skip emits the passing over of a field that nothing asks for.
func (c *compiler) skip(s *Schema, path string) {
	if null, other, ok := s.nullable(); ok {
		c.skipNullable(other, path, uint8(null))
		return
	}
	c.skipNullable(s, path, noNull)
}

func (c *compiler) skipNullable(s *Schema, path string, null uint8) {
	if s.minSize == 0 && null == noNull {
		return
	}
	in := instr{null: null, col: -1, path: c.pathID(path)}
	switch s.Type {
	case Boolean:
		in.op = opSkipBool
	case Int:
		in.op, in.n = opSkipVarint, 32
	case Long:
		in.op, in.n = opSkipVarint, 64
	case Float:
		in.op, in.n = opSkipFixed, 4
	case Double:
		in.op, in.n = opSkipFixed, 8
	case Fixed:
		in.op, in.n = opSkipFixed, int32(s.Size)
	case Bytes, String:
		in.op = opSkipBytes
	default:
		in.op, in.n = opSkip, c.skipID(s)
	}
	c.emit(in)
}
