package mssqltest

import (
	"slices"
)

// specRun runs a SELECT.
type specRun struct {
	c        *compiler
	rel      *relation
	where    cond
	windows  []*window
	group    *grouping
	having   cond
	vals     []value
	keys     []sortKey
	distinct bool
	limit    limits
	low      *value // of the seek column; nil = none
	high     *value // the same, where the rows come in its order
	noSort   bool
}

// filtered yields the rows of FROM for which WHERE holds.
func (x *specRun) filtered(up *env, yield func(*env) bool) error {
	var ends [2]any
	for i, b := range []*value{x.low, x.high} {
		if b == nil {
			continue
		}
		v, err := b.eval(&env{up: up})
		if err != nil || v == nil {
			return err // no comparison with NULL holds
		}
		ends[i] = v
	}
	from, to := ends[0], ends[1]
	e := &env{up: up}
	var bad error
	n := 0
	err := x.rel.scan(e, from, func(row []any) bool {
		if n++; n%256 == 0 {
			if bad = x.c.s.interrupted(); bad != nil {
				return false
			}
		}
		if to != nil && row[x.rel.seek] != nil && compare(row[x.rel.seek], to) > 0 {
			return false
		}
		e.row = row
		if x.where != nil {
			t, err := x.where(e)
			if err != nil {
				bad = err
				return false
			}
			if t != yes {
				return true
			}
		}
		return yield(e)
	})
	if bad != nil {
		return bad
	}
	return err
}

func (x *specRun) project(e *env, out []any) error {
	for i := range x.vals {
		v, err := x.vals[i].eval(e)
		if err != nil {
			return err
		}
		out[i] = v
	}
	return nil
}

// each yields the rows after windows and grouping, before projection.
func (x *specRun) each(up *env, yield func(*env) bool) error {
	switch {
	case x.group != nil:
		return x.group.run(x, up, yield)
	case len(x.windows) > 0:
		return runWindows(x, up, yield)
	}
	return x.filtered(up, yield)
}

func (x *specRun) stream(up *env, top, skip int64, yield func([]any) bool) error {
	seen := map[string]bool{}
	var bad error
	n := int64(0)
	out := make([]any, len(x.vals))
	err := x.each(up, func(e *env) bool {
		if !x.distinct && n < skip {
			n++
			return true
		}
		if bad = x.project(e, out); bad != nil {
			return false
		}
		if x.distinct {
			k := keyString(out)
			if seen[k] {
				return true
			}
			seen[k] = true
		}
		n++
		if n <= skip {
			return true
		}
		return yield(out) && (top < 0 || n-skip < top)
	})
	if bad != nil {
		return bad
	}
	return err
}

func (x *specRun) sorted(up *env, top, skip int64, yield func([]any) bool) error {
	type entry struct{ keys, out []any }
	var rows []entry
	seen := map[string]bool{}
	var bad error
	err := x.each(up, func(e *env) bool {
		r := entry{make([]any, len(x.keys)), make([]any, len(x.vals))}
		if bad = x.project(e, r.out); bad != nil {
			return false
		}
		if x.distinct {
			k := keyString(r.out)
			if seen[k] {
				return true
			}
			seen[k] = true
		}
		for i := range x.keys {
			if r.keys[i], bad = x.keys[i].eval(e); bad != nil {
				return false
			}
		}
		rows = append(rows, r)
		return true
	})
	if bad != nil {
		return bad
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(rows, func(a, b entry) int {
		for i, k := range x.keys {
			if d := compare(a.keys[i], b.keys[i]); d != 0 {
				if k.desc {
					return -d
				}
				return d
			}
		}
		return 0
	})
	for i, r := range rows {
		if int64(i) < skip {
			continue
		}
		if top >= 0 && int64(i)-skip >= top || !yield(r.out) {
			break
		}
	}
	return nil
}
