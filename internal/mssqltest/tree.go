package mssqltest

import "math/rand/v2"

// A node of a tree of rows by key. Trees are immutable: every change gives a new
// root that shares what it did not touch, so that holding a root is holding a
// snapshot. The tree is a treap.
type node struct {
	key         []any
	row         []any
	prio        uint32
	left, right *node
}

func compareKeys(a, b []any) int {
	for i := range min(len(a), len(b)) {
		if c := compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

func (n *node) get(key []any) []any {
	for n != nil {
		switch c := compareKeys(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n.row
		}
	}
	return nil
}

// put gives the tree with the row in it, in place of one of the same key.
func (n *node) put(key, row []any) *node {
	if n == nil {
		return &node{key: key, row: row, prio: rand.Uint32()}
	}
	c := *n
	switch d := compareKeys(key, n.key); {
	case d < 0:
		c.left = n.left.put(key, row)
		if c.left.prio > c.prio { // c.left is ours: put made it
			l := c.left
			c.left, l.right = l.right, &c
			return l
		}
	case d > 0:
		c.right = n.right.put(key, row)
		if c.right.prio > c.prio {
			r := c.right
			c.right, r.left = r.left, &c
			return r
		}
	default:
		c.key, c.row = key, row
	}
	return &c
}

// remove gives the tree without the key.
func (n *node) remove(key []any) *node {
	if n == nil {
		return nil
	}
	switch d := compareKeys(key, n.key); {
	case d < 0:
		c := *n
		c.left = n.left.remove(key)
		return &c
	case d > 0:
		c := *n
		c.right = n.right.remove(key)
		return &c
	}
	return merge(n.left, n.right)
}

func merge(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.prio > b.prio:
		c := *a
		c.right = merge(a.right, b)
		return &c
	}
	c := *b
	c.left = merge(a, b.left)
	return &c
}

// ascend calls yield for the rows in order, from the first whose key's first
// part is at least from (all of them if from is nil). It ends when yield does.
func (n *node) ascend(from any, yield func(key, row []any) bool) bool {
	if n == nil {
		return true
	}
	if from == nil || compare(n.key[0], from) >= 0 {
		if !n.left.ascend(from, yield) || !yield(n.key, n.row) {
			return false
		}
	}
	return n.right.ascend(from, yield)
}
