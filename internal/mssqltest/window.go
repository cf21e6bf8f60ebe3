package mssqltest

import (
	"slices"
	"strings"

	"tributary/internal/mssqltest/tsql"
)

// window is ROW_NUMBER() OVER (…), a column after those of FROM.
type window struct {
	part []value
	keys []sortKey
}

func (c *compiler) window(x *tsql.Call) (value, error) {
	if len(x.Name) != 1 || !strings.EqualFold(x.Name[0], "ROW_NUMBER") || len(x.Args) > 0 {
		return value{}, notInModel("the window function %s", x.Name.Last())
	}
	if c.windows == nil || c.scope.group != nil {
		return value{}, sqlError(4108, "Windowed functions can only appear in the SELECT or ORDER BY clauses.")
	}
	if len(x.Over.Order) == 0 {
		return value{}, sqlError(4112, "The function 'ROW_NUMBER' must have an OVER clause with ORDER BY.")
	}
	w := &window{}
	for _, p := range x.Over.Partition {
		v, err := c.expr(p)
		if err != nil {
			return v, err
		}
		w.part = append(w.part, v)
	}
	for _, o := range x.Over.Order {
		v, err := c.expr(o.X)
		if err != nil {
			return v, err
		}
		w.keys = append(w.keys, sortKey{v, o.Desc, -1})
	}
	slot := len(c.scope.cols) + len(*c.windows)
	*c.windows = append(*c.windows, w)
	return value{typ: bigType, nullable: true, eval: func(e *env) (any, error) { return e.row[slot], nil }}, nil
}

func runWindows(x *specRun, up *env, yield func(*env) bool) error {
	width := len(x.rel.cols)
	var rows [][]any
	err := x.filtered(up, func(e *env) bool {
		row := make([]any, width+len(x.windows))
		copy(row, e.row)
		rows = append(rows, row)
		return true
	})
	if err != nil {
		return err
	}
	for i, w := range x.windows {
		if err := w.number(rows, width+i, up); err != nil {
			return err
		}
	}
	e := &env{up: up}
	for _, row := range rows {
		e.row = row
		if !yield(e) {
			return nil
		}
	}
	return nil
}

func (w *window) number(rows [][]any, slot int, up *env) error {
	type entry struct {
		row  []any
		keys []any
	}
	parts := map[string][]entry{}
	e := &env{up: up}
	for _, row := range rows {
		e.row = row
		var part []any
		for _, p := range w.part {
			v, err := p.eval(e)
			if err != nil {
				return err
			}
			part = append(part, v)
		}
		en := entry{row: row}
		for _, k := range w.keys {
			v, err := k.eval(e)
			if err != nil {
				return err
			}
			en.keys = append(en.keys, v)
		}
		k := keyString(part)
		parts[k] = append(parts[k], en)
	}
	for _, p := range parts {
		slices.SortStableFunc(p, func(a, b entry) int {
			for i, k := range w.keys {
				if d := compare(a.keys[i], b.keys[i]); d != 0 {
					if k.desc {
						return -d
					}
					return d
				}
			}
			return 0
		})
		for i, en := range p {
			en.row[slot] = int64(i + 1)
		}
	}
	return nil
}
