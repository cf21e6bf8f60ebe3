package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

func (c *compiler) joinSource(s *tsql.Join) (*relation, error) {
	l, err := c.source(s.L)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(s.Kind, "APPLY") {
		return c.apply(s, l)
	}
	r, err := c.source(s.R)
	if err != nil {
		return nil, err
	}
	return c.join(s.Kind, l, r, s.On)
}

// combine is the relation of both sides' columns.
func combine(l, r *relation, kind string) *relation {
	out := &relation{orders: l.orders, seek: l.seek}
	for _, s := range l.cols {
		s.index = len(out.cols)
		s.nullable = s.nullable || kind == "RIGHT" || kind == "FULL"
		out.cols = append(out.cols, s)
	}
	for _, s := range r.cols {
		s.index = len(out.cols)
		s.nullable = s.nullable || kind == "LEFT" || kind == "FULL" || kind == "OUTER APPLY"
		out.cols = append(out.cols, s)
	}
	if kind == "RIGHT" || kind == "FULL" {
		out.orders, out.seek = nil, -1
	}
	return out
}

// apply joins each row of the left with what the right gives for it.
func (c *compiler) apply(s *tsql.Join, l *relation) (*relation, error) {
	inner := *c
	inner.scope = &scope{cols: l.cols, outer: c.scope.outer}
	for i := range inner.scope.cols {
		inner.scope.cols[i].index = i
	}
	// The right is compiled one level further in.
	deeper := inner
	deeper.scope = &scope{outer: inner.scope}
	r, err := deeper.source(s.R)
	c.waited = c.waited || deeper.waited
	if err != nil {
		return nil, err
	}
	out := combine(l, r, s.Kind)
	width := len(out.cols)
	out.scan = func(e *env, from any, yield func([]any) bool) error {
		var bad error
		err := l.scan(e, from, func(lrow []any) bool {
			lenv := &env{row: lrow, up: e.up}
			more, matched := true, false
			bad = r.scan(&env{up: lenv}, nil, func(rrow []any) bool {
				matched = true
				row := make([]any, width)
				copy(row, lrow)
				copy(row[len(l.cols):], rrow)
				more = yield(row)
				return more
			})
			if bad == nil && !matched && s.Kind == "OUTER APPLY" {
				row := make([]any, width)
				copy(row, lrow)
				more = yield(row)
			}
			return bad == nil && more
		})
		if bad != nil {
			return bad
		}
		return err
	}
	return out, nil
}

// join joins two relations: by a hash of what ON equates, then by ON as a whole.
func (c *compiler) join(kind string, l, r *relation, on tsql.Expr) (*relation, error) {
	out := combine(l, r, kind)
	inner := *c
	inner.scope = &scope{cols: out.cols, outer: c.scope.outer}
	k := func(*env) (tri, error) { return yes, nil }
	var pairs [][2]value
	if on != nil {
		var err error
		if k, err = inner.cond(on); err != nil {
			return nil, err
		}
		pairs = inner.equated(on, len(l.cols))
	}
	c.waited = c.waited || inner.waited
	j := &joinRun{kind: kind, l: l, r: r, on: k, pairs: pairs, width: len(out.cols), left: len(l.cols)}
	out.scan = j.run
	return out, nil
}

// equated are the pairs of columns, left and right, that the condition equates.
func (c *compiler) equated(x tsql.Expr, left int) [][2]value {
	b, ok := x.(*tsql.Binary)
	if !ok {
		return nil
	}
	switch b.Op {
	case "AND":
		return append(c.equated(b.L, left), c.equated(b.R, left)...)
	case "=":
		p, q, err := c.pair(b.L, b.R)
		if err != nil {
			return nil
		}
		lc, lok := b.L.(*tsql.Col)
		rc, rok := b.R.(*tsql.Col)
		if !lok || !rok {
			return nil
		}
		ls, u1, err1 := c.resolve(lc.Name)
		rs, u2, err2 := c.resolve(rc.Name)
		if err1 != nil || err2 != nil || u1 != 0 || u2 != 0 {
			return nil
		}
		switch {
		case ls.index < left && rs.index >= left:
			return [][2]value{{p, q}}
		case rs.index < left && ls.index >= left:
			return [][2]value{{q, p}}
		}
	}
	return nil
}

type joinRun struct {
	kind        string
	l, r        *relation
	on          cond
	pairs       [][2]value
	width, left int
}

func (j *joinRun) hash(row []any, up *env, side int) (string, bool, error) {
	e := &env{row: row, up: up}
	var b []byte
	for _, p := range j.pairs {
		v, err := p[side].eval(e)
		if err != nil || v == nil {
			return "", false, err
		}
		b = appendKey(b, v)
	}
	return string(b), true, nil
}

// rightFrom is from, where the right is sought by what equals the left's column: no
// row below it can match.
func (j *joinRun) rightFrom(from any) any {
	if j.kind != "INNER" && j.kind != "LEFT" {
		return nil
	}
	for _, p := range j.pairs {
		l, r := p[0].col, p[1].col
		if l != nil && r != nil && l.index == j.l.seek && r.index == j.left+j.r.seek {
			return from
		}
	}
	return nil
}

// sought is the left's value by which the rows of the right are found in their
// order, one after another; nil where they are not.
func (j *joinRun) sought() *value {
	if j.kind != "INNER" && j.kind != "LEFT" || !j.r.indexed {
		return nil
	}
	for _, p := range j.pairs {
		l, r := p[0].col, p[1].col
		if l != nil && r != nil && r.index == j.left+j.r.seek && l.typ.Kind == tds.Binary && r.typ.Kind == tds.Binary {
			return &p[0]
		}
	}
	return nil
}

// nested looks the rows of the right up for each of the left.
func (j *joinRun) nested(e *env, from any, by *value, yield func([]any) bool) error {
	var bad error
	var last any
	var candidates [][]any
	row := make([]any, j.width)
	in := &env{row: row, up: e.up}
	look := func(v any) error {
		last, candidates = v, candidates[:0]
		if v == nil {
			return nil
		}
		return j.r.scan(&env{up: e.up}, v, func(r []any) bool {
			if compare(r[j.r.seek], v) != 0 {
				return false
			}
			candidates = append(candidates, slices.Clone(r))
			return true
		})
	}
	err := j.l.scan(&env{up: e.up}, from, func(lrow []any) bool {
		copy(row, lrow)
		v, err := by.eval(in)
		if err == nil && (v == nil || last == nil || compare(v, last) != 0) {
			err = look(v)
		}
		if err != nil {
			bad = err
			return false
		}
		matched, more := false, true
		for _, r := range candidates {
			copy(row[j.left:], r)
			t, err := j.on(in)
			if err != nil {
				bad = err
				return false
			}
			if t != yes {
				continue
			}
			matched = true
			if more = yield(row); !more {
				return false
			}
		}
		if !matched && j.kind == "LEFT" {
			clear(row[j.left:])
			more = yield(row)
		}
		return more
	})
	return firstOf(bad, err)
}

func (j *joinRun) run(e *env, from any, yield func([]any) bool) error {
	if by := j.sought(); by != nil {
		return j.nested(e, from, by, yield)
	}
	type right struct {
		row  []any // as wide as the result
		used bool
	}
	var rights []*right
	table := map[string][]*right{}
	var bad error
	err := j.r.scan(&env{up: e.up}, j.rightFrom(from), func(row []any) bool {
		w := make([]any, j.width)
		copy(w[j.left:], row)
		r := &right{row: w}
		rights = append(rights, r)
		if len(j.pairs) > 0 {
			k, ok, err := j.hash(w, e.up, 1)
			if err != nil {
				bad = err
				return false
			}
			if ok {
				table[k] = append(table[k], r)
			}
		}
		return true
	})
	if err = firstOf(bad, err); err != nil {
		return err
	}
	more := true
	row := make([]any, j.width)
	in := &env{row: row, up: e.up}
	err = j.l.scan(&env{up: e.up}, from, func(lrow []any) bool {
		copy(row, lrow)
		candidates := rights
		if len(j.pairs) > 0 {
			k, ok, err := j.hash(row, e.up, 0)
			if err != nil {
				bad = err
				return false
			}
			candidates = nil
			if ok {
				candidates = table[k]
			}
		}
		matched := false
		for _, r := range candidates {
			copy(row[j.left:], r.row[j.left:])
			t, err := j.on(in)
			if err != nil {
				bad = err
				return false
			}
			if t != yes {
				continue
			}
			matched, r.used = true, true
			if more = yield(row); !more {
				return false
			}
		}
		if !matched && (j.kind == "LEFT" || j.kind == "FULL") {
			clear(row[j.left:])
			more = yield(row)
		}
		return more
	})
	if err = firstOf(bad, err); err != nil || !more || j.kind != "RIGHT" && j.kind != "FULL" {
		return err
	}
	for _, r := range rights {
		if !r.used && !yield(r.row) {
			return nil
		}
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}
