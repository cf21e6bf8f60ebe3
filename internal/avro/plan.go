package avro

import (
	"errors"
	"fmt"
	"strings"

	"tributary/internal/column"
)

// Want says what a target asks of the field it names.
type Want uint8

const (
	// Value asks for the value: null where the field, or a record around it, is
	// null or where the schema has no such field.
	Value Want = iota
	// Presence asks for 1 where the field is there and not null, else 0.
	Presence
	// Branch asks for the index of the branch that a union field took: 0 for a
	// field that is no union, null where the field is not there.
	Branch
)

// Target asks for one column of a row.
type Target struct {
	// Path names a field, or one inside records: names joined by dots
	// ("salesid", "after.salesid", "source.lsn").
	Path string
	Want Want
	// Kind of the column that the value goes to. An int or boolean goes to an
	// Int or a Float column; a float or double to a Float column; all else to a
	// Bytes column: bytes, strings, fixed and decimals as they are, an enum as
	// its symbol, an array, a map, a record or a union of several branches as
	// its encoded bytes. Presence and Branch go to Int columns.
	Kind column.Kind
}

// Plan is a compiled way through the records of one writer schema. It is
// immutable and may be used by many goroutines, each with a batch of its own.
type Plan struct {
	schema  *Schema
	targets []Target
	code    []instr
	unions  []jumps
	skips   []*Schema
	enums   [][]string
	fields  []string // paths, for errors
}

type opcode uint8

const (
	opVarint32     opcode = iota // int -> column, by kind
	opVarint64                   // long -> column
	opFloat                      // 4 bytes -> column
	opDouble                     // 8 bytes -> column
	opBool                       // -> column
	opBytes                      // length and bytes -> column
	opFixed                      // n bytes -> column
	opEnum                       // symbol of enums[n] -> column
	opRaw                        // encoded bytes of skips[n] -> column
	opSkipVarint                 // a number of at most n bits
	opSkipBytes                  // a length and bytes
	opSkipFixed                  // n bytes
	opSkipBool                   // 1 byte that is 0 or 1
	opSkip                       // skips[n]
	opUnion                      // branch index; jump by unions[n]
	opJump                       // to n
	opNull                       // null -> column
	opConst                      // n -> column (Int)
	opCopy                       // last value of column n -> column
	opIntToFloat32               // int -> Float column
	opIntToFloat64               // long -> Float column
	opBoolToFloat                // boolean -> Float column
)

// noNull is instr.null of a field that is not nullable.
const noNull = uint8(0xff)

// instr is one step. A nullable leaf is one instruction: when null is not
// noNull, the branch index is read first, and equal to null it makes a null of
// the column (skipping makes nothing).
type instr struct {
	op   opcode
	null uint8 // noNull, or the index of the null branch: 0 or 1
	col  int32
	n    int32
	path int32 // index into Plan.fields
}

// jumps leads from a branch index to the code of that branch.
type jumps struct {
	to []int32
}

// maxCode bounds a plan: targets inside unions of records are compiled once for
// each branch that they can be reached by.
const maxCode = 1 << 18

// ErrTarget is in the chain of an error of Compile that comes from a target
// that the schema cannot serve.
var ErrTarget = errors.New("target does not fit the schema")

// Compile makes the plan that walks records of schema s into columns: target i
// into column i of the batch.
func Compile(s *Schema, targets []Target) (*Plan, error) {
	if s.Type != Record {
		return nil, fmt.Errorf("%w: it is of type %s, not record", ErrTarget, s.Type)
	}
	c := compiler{plan: &Plan{schema: s, targets: append([]Target(nil), targets...)}, skipOf: map[*Schema]int32{}}
	root := &node{}
	for i, t := range targets {
		if t.Want != Value && t.Kind != column.Int {
			return nil, fmt.Errorf("%w: %s: presence and branch go to an int column, not %s", ErrTarget, t.Path, t.Kind)
		}
		if t.Path == "" {
			return nil, fmt.Errorf("%w: column %d has no path", ErrTarget, i)
		}
		n := root
		for name := range strings.SplitSeq(t.Path, ".") {
			n = n.child(name)
		}
		n.targets = append(n.targets, int32(i))
	}
	c.record(s, root, "")
	if c.err != nil {
		return nil, c.err
	}
	return c.plan, nil
}

// Targets returns the targets; the slice must not be changed.
func (p *Plan) Targets() []Target { return p.targets }

// NewBatch returns an empty batch with the columns that the plan fills.
func (p *Plan) NewBatch() *column.Batch {
	kinds := make([]column.Kind, len(p.targets))
	for i, t := range p.targets {
		kinds[i] = t.Kind
	}
	return column.NewBatch(kinds...)
}

// node is a field that targets name, or a record around one.
type node struct {
	name     string
	targets  []int32
	children []*node
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	c := &node{name: name}
	n.children = append(n.children, c)
	return c
}
