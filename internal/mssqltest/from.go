package mssqltest

import (
	"slices"

	"tributary/internal/mssqltest/tsql"
)

// relation is a source of rows. scan yields them in order; from, if not nil, lets
// it leave out rows whose column seek is less.
type relation struct {
	cols   []scol
	scan   func(e *env, from any, yield func([]any) bool) error
	orders [][]int // the columns that the rows are ordered by, in each of several ways
	seek   int     // -1: none
	// indexed: scan finds the first row for from, and gives them in the order of
	// the column seek.
	indexed bool
}

// ordered says whether the rows come in the order of the keys.
func (r *relation) ordered(keys []sortKey) bool {
	return slices.ContainsFunc(r.orders, func(order []int) bool {
		for i, k := range keys {
			if k.desc || k.col == nil {
				return false
			}
			if i >= len(order) || order[i] != k.col.index {
				return false
			}
		}
		return true
	})
}

func (c *compiler) from(sources []tsql.Source) (*relation, error) {
	if len(sources) == 0 {
		return &relation{seek: -1, scan: func(_ *env, _ any, yield func([]any) bool) error { yield(nil); return nil }}, nil
	}
	r, err := c.source(sources[0])
	for _, s := range sources[1:] {
		if err != nil {
			return nil, err
		}
		var right *relation
		if right, err = c.source(s); err == nil {
			r, err = c.join("CROSS", r, right, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range r.cols {
		r.cols[i].index = i
	}
	return r, nil
}

func (c *compiler) source(s tsql.Source) (*relation, error) {
	switch s := s.(type) {
	case *tsql.Table:
		r, err := c.table(s)
		if err != nil {
			return nil, err
		}
		if s.Alias != "" {
			r.alias(s.Alias)
		}
		return r, nil
	case *tsql.Derived:
		p, err := c.nested(s.Query)
		if err != nil {
			return nil, err
		}
		return derived(p, s.Alias, s.Columns)
	case *tsql.Values:
		return c.values(s)
	case *tsql.Join:
		return c.joinSource(s)
	}
	return nil, notInModel("such a source")
}

func (r *relation) alias(a string) {
	for i := range r.cols {
		r.cols[i].table = []string{a}
	}
}
