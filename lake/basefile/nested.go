package basefile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"tributary/internal/column"
)

const (
	maxNesting     = 64      // depth of a column's groups
	maxNestedCells = 1 << 26 // values and nulls of one leaf in a row group
)

var errLevels = fmt.Errorf("%w: levels of a nested column do not fit together", errMalformed)

// form is what a node of a nested column is.
type form uint8

const (
	leafNode form = iota
	groupNode
	listNode // kids: the element
	mapNode  // kids: key, value
)

// node is a part of a nested column: a leaf, a record, a list in one of its
// three shapes, or a map.
type node struct {
	form     form
	col      Column // name; all of it for a leaf
	optional bool
	repeated bool // a repeated field without a list around it
	def, rep int  // definition level at which it is there, repetition level at which it goes on
	// For lists and maps: the same of the repeated part inside.
	itemDef, itemRep int
	kids             []*node
	leaf             int // leafNode: place among the column's leaves
	first            int // place of the first leaf below
	last             int // behind the last
}

// nodeParser turns schema elements into nodes.
type nodeParser struct {
	schema []format.SchemaElement
	at     int
	leaves int
}

// parse reads the element at p.at and all below it.
func (p *nodeParser) parse(def, rep, depth int) (*node, error) {
	if p.at >= len(p.schema) || depth > maxNesting {
		return nil, fmt.Errorf("%w: schema of a nested column", errMalformed)
	}
	e := &p.schema[p.at]
	p.at++
	n := &node{first: p.leaves}
	switch r, _ := e.RepetitionType.Get(); r {
	case format.Optional:
		n.optional = true
		def++
	case format.Repeated:
		n.repeated = true
		def++
		rep++
	}
	n.def, n.rep = def, rep
	count, _ := e.NumChildren.Get()
	if _, leaf := e.Type.Get(); leaf || count == 0 {
		shown := *e
		shown.RepetitionType.V = format.Required // what a value means, wherever it is
		var err error
		if n.col, err = columnOf(&shown); err != nil {
			return nil, err
		}
		n.leaf = p.leaves
		p.leaves++
		n.last = p.leaves
		return n, nil
	}
	n.form, n.col.Name = groupNode, e.Name
	for range count {
		kid, err := p.parse(def, rep, depth+1)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	n.last = p.leaves
	n.shape(e)
	return n, nil
}

// shape makes a list or map of a group that is one.
func (n *node) shape(e *format.SchemaElement) {
	conv, _ := e.ConvertedType.Get()
	_, hasConv := e.ConvertedType.Get()
	_, list := e.LogicalType.Value.(*format.ListType)
	_, isMap := e.LogicalType.Value.(*format.MapType)
	list = list || hasConv && conv == deprecated.List
	isMap = isMap || hasConv && (conv == deprecated.Map || conv == deprecated.MapKeyValue)
	if len(n.kids) != 1 || !n.kids[0].repeated {
		return
	}
	item := n.kids[0]
	switch {
	case isMap && item.form == groupNode && len(item.kids) == 2:
		n.form, n.kids = mapNode, item.kids
	case list:
		n.form = listNode
		// Three levels have a group around the element; in the old two-level form
		// the repeated field is the element itself.
		two := item.form != groupNode || len(item.kids) != 1 ||
			item.col.Name == "array" || item.col.Name == n.col.Name+"_tuple"
		if !two {
			n.kids = item.kids
		}
		item.repeated = false
	default:
		return
	}
	n.itemDef, n.itemRep = item.def, item.rep
}

// leafLevels is a leaf's values of one row group, with their levels.
type leafLevels struct {
	col      Column
	def, rep []byte // empty: all zero
	cells    int
	vals     column.Column
	at, val  int
}

// assembler puts the leaves of a nested column together again.
type assembler struct {
	leaves []leafLevels
	err    error
}

func (a *assembler) fail() {
	if a.err == nil {
		a.err = errLevels
	}
}

// levels returns the levels of a leaf's next cell; def is -1 at the end.
func (a *assembler) levels(leaf int) (def, rep int) {
	l := &a.leaves[leaf]
	if l.at >= l.cells {
		return -1, 0
	}
	if len(l.def) > 0 {
		def = int(l.def[l.at])
	}
	if len(l.rep) > 0 {
		rep = int(l.rep[l.at])
	}
	return def, rep
}

// skip passes over one cell of every leaf below n, which say that n is null or
// empty.
func (a *assembler) skip(n *node) {
	for i := n.first; i < n.last; i++ {
		if a.leaves[i].at >= a.leaves[i].cells {
			a.fail()
			return
		}
		a.leaves[i].at++
	}
}

// field appends the JSON of one occurrence of n, which may be null.
func (a *assembler) field(dst []byte, n *node) []byte {
	def, _ := a.levels(n.first)
	if def < 0 {
		a.fail()
	}
	if a.err != nil {
		return dst
	}
	if n.repeated {
		return a.items(dst, n, n.def, n.rep, func(dst []byte) []byte { return a.content(dst, n) })
	}
	if n.optional && def < n.def {
		a.skip(n)
		return append(dst, "null"...)
	}
	return a.content(dst, n)
}

// items appends a JSON array of what item appends, as long as the list goes on.
func (a *assembler) items(dst []byte, n *node, def, rep int, item func([]byte) []byte) []byte {
	if have, _ := a.levels(n.first); have < def {
		a.skip(n)
		return append(dst, "[]"...)
	}
	dst = append(dst, '[')
	for i := 0; ; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = item(dst)
		have, next := a.levels(n.first)
		if a.err != nil || have < 0 || next < rep {
			return append(dst, ']')
		}
	}
}

// content appends the JSON of n, which is not null.
func (a *assembler) content(dst []byte, n *node) []byte {
	switch n.form {
	case leafNode:
		l := &a.leaves[n.leaf]
		if def, _ := a.levels(n.leaf); def != n.def || l.val >= l.vals.Len() {
			a.fail()
			return dst
		}
		dst = AppendJSON(dst, l.col, &l.vals, l.val)
		l.at++
		l.val++
		return dst
	case listNode:
		elem := n.kids[0]
		return a.items(dst, n, n.itemDef, n.itemRep, func(dst []byte) []byte { return a.field(dst, elem) })
	case mapNode:
		return a.entries(dst, n)
	}
	dst = append(dst, '{')
	for i, k := range n.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, k.col.Name), ':')
		dst = a.field(dst, k)
	}
	return append(dst, '}')
}

// entries appends a map as a JSON object.
func (a *assembler) entries(dst []byte, n *node) []byte {
	if def, _ := a.levels(n.first); def < n.itemDef {
		a.skip(n)
		return append(dst, "{}"...)
	}
	dst = append(dst, '{')
	for i := 0; ; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		at := len(dst)
		dst = a.field(dst, n.kids[0])
		if len(dst) > at && dst[at] != '"' { // a key that is no text
			dst = append(append(dst[:at:at], '"'), append(dst[at:len(dst):len(dst)], '"')...)
		}
		dst = a.field(append(dst, ':'), n.kids[1])
		have, next := a.levels(n.first)
		if a.err != nil || have < 0 || next < n.itemRep {
			return append(dst, '}')
		}
	}
}

// readNested appends the values of nested column i of row group g as JSON text.
func (f *File) readNested(g, i int, dst *column.Column) error {
	name := f.columns[i].Name
	p := nodeParser{schema: f.pq.Metadata().Schema, at: f.element[i]}
	root, err := p.parse(0, 0, 0)
	if err != nil {
		return fmt.Errorf("column %s: %w", name, err)
	}
	a := assembler{leaves: make([]leafLevels, p.leaves)}
	if err := f.readLeaves(g, f.firstLeaf[i], root, &a); err != nil {
		return fmt.Errorf("read column %s: %w", name, err)
	}
	var text []byte
	for range f.GroupRows(g) {
		def, _ := a.levels(root.first)
		if root.optional && def < root.def && def >= 0 {
			a.skip(root)
			dst.AppendNull()
			continue
		}
		text = a.field(text[:0], root)
		if a.err != nil {
			return fmt.Errorf("read column %s: %w", name, a.err)
		}
		dst.AppendBytes(text)
	}
	for n := range a.leaves {
		if a.leaves[n].at != a.leaves[n].cells {
			a.fail()
		}
	}
	if a.err != nil {
		return fmt.Errorf("read column %s: %w", name, a.err)
	}
	return nil
}

// readLeaves reads the leaves below n, the first of which is leaf number first
// of the file.
func (f *File) readLeaves(g, first int, n *node, a *assembler) error {
	if n.form != leafNode {
		for _, k := range n.kids {
			if err := f.readLeaves(g, first, k, a); err != nil {
				return err
			}
		}
		return nil
	}
	l := &a.leaves[n.leaf]
	l.col = n.col
	chunk, err := f.leafChunk(g, first+n.leaf, n.col)
	if err != nil {
		return err
	}
	cells := chunk.meta.NumValues
	if cells < 0 || cells > maxNestedCells {
		return fmt.Errorf("%w: %d values", errMalformed, cells)
	}
	if err := chunk.checkPages(int(cells), f.leaves[first+n.leaf]); err != nil {
		return err
	}
	conv := &conversion{from: n.col, to: kindOfColumn(n.col), scale: 1, divide: 1, julian: n.col.Physical == Int96}
	l.vals.Kind = conv.to
	pages := f.pq.RowGroups()[g].ColumnChunks()[first+n.leaf].(*parquet.FileColumnChunk).PagesFrom(chunk)
	defer func() { _ = pages.Close() }()
	for {
		p, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		l.def = append(l.def, p.DefinitionLevels()...)
		l.rep = append(l.rep, p.RepetitionLevels()...)
		l.cells += int(p.NumValues())
		err = conv.values(&l.vals, p)
		parquet.Release(p)
		if err != nil {
			return err
		}
	}
	if int64(l.cells) != cells || len(l.def) > 0 && len(l.def) != l.cells || len(l.rep) > 0 && len(l.rep) != l.cells {
		return errLevels
	}
	return nil
}

// kindOfColumn returns the kind in which a leaf's values are kept.
func kindOfColumn(c Column) column.Kind {
	switch c.Physical {
	case Float, Double:
		return column.Float
	case ByteArray, FixedLen:
		return column.Bytes
	default:
		return column.Int
	}
}
