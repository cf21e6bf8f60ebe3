package conformance

import (
	"context"
	"fmt"

	"tributary/capture/changetext"
	"tributary/envelope"
)

// typesName names the scenario of types, which is not made of sections.
const typesName = "types"

// later is added to the key of a row of the snapshot for the row that the stream
// has with the same values.
const later = 100

// types has every value of every type come from the snapshot, from the stream
// and after an update of another column.
func (r *run) types(ctx context.Context, s session) error {
	cases, before, err := typeCases(r.Server.kind())
	if err != nil {
		return err
	}
	r.Progress("%s: each value from the snapshot and from the stream", typesName)
	a := r.attempt(typesName, s)
	a.w.place([]string{"types", "probe", marker})
	return a.end(ctx, a.typeRun(ctx, cases, before))
}

func (a *attempt) typeRun(ctx context.Context, cases []typeCase, before []string) error {
	if err := a.w.exec(ctx, before...); err != nil {
		return err
	}
	cases, err := a.probe(ctx, cases)
	if err != nil {
		return err
	}
	if err := a.create(ctx, []string{"types"}, []string{typeTable(cases)}); err != nil {
		return err
	}
	rows := 0
	for ; ; rows++ {
		q, more := typeRow(cases, rows, rows)
		if !more {
			break
		}
		if err := a.w.exec(ctx, q); err != nil {
			return err
		}
	}
	if err := a.start(ctx); err != nil {
		return err
	}
	old, err := a.f.until(ctx, 0)
	if err != nil {
		return err
	}
	for n := range rows {
		q, _ := typeRow(cases, n, n+later)
		if err := a.w.exec(ctx, q, fmt.Sprintf("UPDATE {types} SET touched = 1 WHERE id = %d", n+later)); err != nil {
			return err
		}
	}
	if err := a.w.mark(ctx, 1); err != nil {
		return err
	}
	fresh, err := a.f.until(ctx, 1)
	if err != nil {
		return err
	}
	got := values(append(old, fresh...))
	for i, c := range cases {
		a.judge(&c, column(i), got)
	}
	return nil
}

// probe leaves out the types that this server does not have, of those that it
// need not have.
func (a *attempt) probe(ctx context.Context, cases []typeCase) (out []typeCase, err error) {
	for _, c := range cases {
		if c.maybe {
			if err := a.w.exec(ctx, "CREATE TABLE {probe} (c "+c.name+")"); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				a.report.add(Check{Scenario: a.name, Name: c.name, Result: LeftOut, Detail: []string{"the server does not have it: " + err.Error()}})
				continue
			}
			if err := a.w.exec(ctx, "DROP TABLE {probe}"); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// values finds the cells of events: by operation, key and column.
func values(events []event) map[string]string {
	out := make(map[string]string)
	for _, e := range events {
		id := ""
		for i, name := range e.names {
			if name == "id" {
				id = e.cells[i]
			}
			out[e.op+" "+id+" "+name] = e.cells[i]
		}
	}
	return out
}

// judge adds the check of a type.
func (a *attempt) judge(c *typeCase, column string, got map[string]string) {
	check := Check{Scenario: a.name, Name: fmt.Sprintf("%s (%d values)", c.name, len(c.values)), Result: Passed}
	for n, v := range c.values {
		want := changetext.Short(v.want)
		var wrong []string
		for _, at := range []struct{ op, name string }{{"r", "snapshot"}, {"c", "stream"}, {"u", "after an update of another column"}} {
			id := n
			if at.op != "r" {
				id += later
			}
			g, ok := got[fmt.Sprintf("%s %d %s", at.op, id, column)]
			switch {
			case !ok:
				g = "nothing"
			case g == want, at.op == "u" && g == envelope.Unavailable && a.Server.kind() == kindSQLServer: // its log leaves out (max) and old types
				continue
			}
			wrong = append(wrong, fmt.Sprintf("+ %s: %s", at.name, g))
		}
		if wrong != nil {
			check.Result = Failed
			check.Detail = append(append(check.Detail, fmt.Sprintf("- %s must be %s", changetext.Short(v.literal), want)), wrong...)
		}
	}
	a.report.add(check)
}
