package mssqltest

import (
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// defaults makes a row of the columns' defaults.
func (w *writer) defaults(c *compiler) ([]any, error) {
	row := make([]any, len(w.tb.columns))
	for i, col := range w.tb.columns {
		if col.identity != nil {
			continue // the number is taken when it is known that it is needed
		}
		if col.def == nil {
			continue
		}
		v, err := c.expr(col.def)
		if err != nil {
			return nil, err
		}
		x, err := v.eval(&env{})
		if err != nil {
			return nil, err
		}
		if row[i], err = convert(x, v.typ, col.typ, 0, true); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// slots are the columns that an INSERT names.
func (s *session) slots(st *tsql.Insert, tb *table) ([]int, error) {
	var out []int
	explicit := strings.EqualFold(s.identityIns, tb.name)
	if st.Columns == nil && !st.Defaults {
		for i, c := range tb.columns {
			if c.typ.Kind != tds.RowVersion && c.computed == nil && (c.identity == nil || explicit) {
				out = append(out, i)
			}
		}
		return out, nil
	}
	for _, n := range st.Columns {
		i := tb.column(n)
		if i < 0 {
			return nil, invalidColumn(n)
		}
		c := tb.columns[i]
		switch {
		case c.typ.Kind == tds.RowVersion:
			return nil, sqlError(273, "Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the timestamp column, or insert a DEFAULT into the timestamp column.")
		case c.computed != nil:
			return nil, sqlError(271, "The column \"%s\" cannot be modified because it is either a computed column or is the result of a UNION operator.", c.name)
		case c.identity != nil && !explicit:
			return nil, sqlError(544, "Cannot insert explicit value for identity column in table '%s' when IDENTITY_INSERT is set to OFF.", tb.name)
		}
		out = append(out, i)
	}
	return out, nil
}

// inserted calls put for the rows that an INSERT gives.
func (s *session) inserted(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	switch {
	case st.Defaults:
		return put(nil, nil, nil)
	case st.Query != nil:
		return s.insertQuery(st, slots, put)
	case st.Exec != nil:
		return s.insertExec(st, slots, put)
	}
	return s.insertRows(st, slots, put)
}

// insertExec inserts the rows that a procedure gives.
func (s *session) insertExec(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	client := s.out
	m := &memoryOutput{}
	s.out = m
	err := s.execute(st.Exec)
	s.out = client
	if err != nil {
		return err
	}
	if m.err != nil {
		return m.err
	}
	if m.cols != nil && len(m.cols) != len(slots) {
		return sqlError(213, "Column name or number of supplied values does not match table definition.")
	}
	types := make([]tds.Type, len(m.cols))
	for i, c := range m.cols {
		types[i] = c.Type
	}
	for _, row := range m.rows {
		if err := put(types, row, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) insertVariable(st *tsql.Insert) error {
	v, err := s.tableVariable(st.Table[0])
	if err != nil {
		return err
	}
	slots, err := s.slots(st, v.tb)
	if err != nil {
		return err
	}
	n := int64(0)
	err = s.inserted(st, slots, func(types []tds.Type, vals []any, given []bool) error {
		row := make([]any, len(v.tb.columns))
		for k, i := range slots {
			if given != nil && !given[k] {
				continue
			}
			var err error
			if row[i], err = s.store(vals[k], types[k], v.tb.columns[i].typ); err != nil {
				return err
			}
		}
		v.rows = append(v.rows, row)
		n++
		return nil
	})
	if err != nil {
		return err
	}
	s.rowCount = n
	return s.out.done(0xC3, s.counted(n))
}

// store converts a value to a column's type.
func (s *session) store(v any, from, to tds.Type) (any, error) {
	if v == nil {
		return nil, nil
	}
	if from != to && !implicit(from, to) {
		return nil, sqlError(257, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", from.Kind, to.Kind)
	}
	return convert(v, from, to, 0, true)
}

func (s *session) insertRows(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	for _, row := range st.Rows {
		if len(row) != len(slots) {
			return sqlError(213, "Column name or number of supplied values does not match table definition.")
		}
		types, vals, given := make([]tds.Type, len(row)), make([]any, len(row)), make([]bool, len(row))
		for i, x := range row {
			if x == nil {
				continue
			}
			v, a, err := s.value(x)
			if err != nil {
				return err
			}
			types[i], vals[i], given[i] = v.typ, a, true
		}
		if err := put(types, vals, given); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) insertQuery(st *tsql.Insert, slots []int, put func([]tds.Type, []any, []bool) error) error {
	var p *plan
	if err := s.compile(func(c *compiler) (err error) { c.top = true; p, err = c.query(st.Query); return }); err != nil {
		return err
	}
	if len(p.cols) != len(slots) {
		return sqlError(213, "Column name or number of supplied values does not match table definition.")
	}
	types := make([]tds.Type, len(p.cols))
	for i, c := range p.cols {
		types[i] = c.Type
	}
	var bad error
	err := p.run(nil, func(row []any) bool {
		bad = put(types, row, nil)
		return bad == nil
	})
	return firstOf(bad, err)
}
