package mssqltest

import (
	"slices"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// Dynamic data masking: whoever has not UNMASK gets other values of a column.

// setMask adds a mask to a column, or takes it away.
func (t *table) setMask(m tsql.ColumnMask) error {
	i := t.column(m.Column)
	if i < 0 {
		return sqlError(4924, "ALTER TABLE ALTER COLUMN failed because column '%s' does not exist in table '%s'.", m.Column, t.name)
	}
	n := *t.columns[i]
	if m.Function != "" {
		if !strings.EqualFold(strings.ReplaceAll(m.Function, " ", ""), "default()") {
			return notInModel("the masking function %s", m.Function)
		}
		if n.computed != nil {
			return notInModel("masks of computed columns")
		}
		if _, err := hidden(n.typ); err != nil {
			return err
		}
	}
	n.mask = m.Function
	t.columns = slices.Clone(t.columns)
	t.columns[i] = &n
	return nil
}

// hidden is what default() puts in the place of a value: XXXX or fewer for texts, zero
// for numbers, the beginning of 1900 for times, a byte with the character 0 for bytes.
func hidden(t tds.Type) (any, error) {
	switch {
	case t.Character() && t.Kind != tds.XML:
		n := 4
		if size, _, _ := facets(t); size > 0 && !isOldLOB(t) {
			if t.Unicode() {
				size /= 2
			}
			n = min(n, int(size))
		}
		return convert(strings.Repeat("X", n), nvarchar(4), t, 0, false)
	case t.Kind == tds.Bit:
		return false, nil
	case t.Integer(), t.Exact(), t.Kind == tds.Real, t.Kind == tds.Float:
		return convert(int64(0), bigType, t, 0, false)
	case t.Kind == tds.Time:
		return tds.Clock(0), nil
	case t.Temporal():
		return convert(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), dt2Type, t, 0, false)
	case t.Bytes() && t.Kind != tds.RowVersion:
		return convert([]byte("0"), varbinary(1), t, 0, false)
	}
	return nil, notInModel("a mask of a %s", t.Kind)
}

// hide has the values of masked columns be others. What is made of them within a query
// is not in the model.
func (c *compiler) hide(vals []value, masked []bool) error {
	for i := range vals {
		if !masked[i] {
			continue
		}
		if !c.top || c.scope.group != nil {
			return notInModel("masked columns in subqueries and aggregates")
		}
		instead, err := hidden(vals[i].typ)
		if err != nil {
			return err
		}
		eval := vals[i].eval
		vals[i].eval = func(e *env) (any, error) {
			v, err := eval(e)
			if err != nil || v == nil {
				return nil, err
			}
			return instead, nil
		}
	}
	return nil
}
