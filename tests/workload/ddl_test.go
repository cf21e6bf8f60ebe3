package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// alterer is the connection that changes tables.
type alterer struct {
	*worker

	query func(ctx context.Context, q string) ([][]string, error) // in the database
}

// change is one change of a table.
type change struct {
	what  string
	ddl   string
	after *table
	done  string // a query for 1 once it is made
}

func (a *alterer) run(ctx context.Context, every time.Duration) error {
	defer a.c.closeAll()
	for ctx.Err() == nil {
		sleep(ctx, time.Duration(a.r.Int64N(int64(2*every))))
		if a.c.open(ctx) != nil {
			sleep(ctx, 50*time.Millisecond)
			continue
		}
		if err := a.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step makes a change. After an error it looks whether it was made all the same.
func (a *alterer) step(ctx context.Context) error {
	// The end of the test's time must not leave a change under way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if a.r.IntN(25) == 0 && len(a.m.list()) < 12 {
		return a.createTable(ctx)
	}
	t := a.m.pick(a.r)
	c, ok := a.choose(t)
	if !ok {
		return nil
	}
	made, err := a.apply(ctx, t, c)
	if err != nil {
		a.counts.fault(err)
		if a.c.lost(err) || a.c.exec(ctx, "ROLLBACK") != nil {
			a.c.close()
		}
		if made, err = a.made(ctx, c); err != nil {
			return err
		}
	}
	if made {
		a.m.put(t.name, c.after)
		a.counts.did(c.what)
	}
	return nil
}

// made asks the database, for as long as it takes until it answers.
func (a *alterer) made(ctx context.Context, c change) (bool, error) {
	if c.done == "" {
		return false, nil
	}
	for {
		// The change's own statement may still be in work on its old connection.
		sleep(ctx, 300*time.Millisecond)
		rows, err := a.query(ctx, c.done)
		if err == nil {
			return rows[0][0] == "1", nil
		}
		if ctx.Err() != nil {
			return false, fmt.Errorf("ask whether a table was changed: %w", err)
		}
		a.counts.fault(err)
	}
}

// apply makes the change by itself or, where DDL is transactional, amid changes
// of rows, now and then to no avail.
func (a *alterer) apply(ctx context.Context, t *table, c change) (made bool, err error) {
	if a.c.lang != postgres || a.r.IntN(2) == 0 {
		return true, a.c.exec(ctx, c.ddl)
	}
	_, before := a.statement(t)
	_, after := a.statement(c.after)
	list := []string{"BEGIN", before, c.ddl, after}
	end := "COMMIT"
	switch a.r.IntN(5) {
	case 0:
		end = "ROLLBACK"
	case 1: // the change goes with its savepoint, the rows before it stay
		list = []string{"BEGIN", before, "SAVEPOINT sp", c.ddl, after, "ROLLBACK TO SAVEPOINT sp", before}
		end = "COMMIT"
		for _, q := range append(list, end) {
			if err := a.c.exec(ctx, q); err != nil {
				return false, err
			}
		}
		a.counts.did("DDL rolled back")
		return false, nil
	}
	for _, q := range append(list, end) {
		if err := a.c.exec(ctx, q); err != nil {
			return false, err
		}
	}
	if end == "ROLLBACK" {
		a.counts.did("DDL rolled back")
		return false, nil
	}
	a.counts.did("DDL amid changes")
	return true, nil
}

func (a *alterer) choose(t *table) (change, bool) {
	after := t.clone()
	switch a.r.IntN(10) {
	case 0, 1, 2:
		return a.addColumn(t, after), true
	case 3, 4:
		if len(t.cols) < 4 {
			return change{}, false
		}
		i := a.r.IntN(len(t.cols))
		name := t.cols[i].name
		after.cols = slices.Delete(after.cols, i, i+1)
		return change{"dropped column", fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", t.name, name), after, a.column(t.name, name, 0)}, true
	case 5, 6:
		i := a.r.IntN(len(t.cols))
		was, name := t.cols[i].name, a.m.unique("c")
		after.cols[i].name = name
		after.cols[i].names = append(slices.Clone(t.cols[i].names), name)
		return change{"renamed column", fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", t.name, was, name), after, a.column(t.name, name, 1)}, true
	case 7, 8:
		return a.retype(t, after)
	default:
		base, _, _ := strings.Cut(t.name, "_")
		name := a.m.unique(base + "_")
		after.name, after.names = name, append(slices.Clone(t.names), name)
		return change{"renamed table", fmt.Sprintf("ALTER TABLE %s RENAME TO %s", t.name, name), after, a.exists(name)}, true
	}
}

func (a *alterer) addColumn(t, after *table) change {
	k := &kinds[a.r.IntN(len(kinds))]
	c := a.m.newCol(k.name)
	ddl := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", t.name, c.name, typeOf(k.name, a.c.lang))
	if k.withDefault && a.r.IntN(2) == 0 {
		value := k.value(a.r, a.c.lang)
		c.missing = strings.Trim(value, "'")
		ddl += " DEFAULT " + value
		if a.r.IntN(2) == 0 {
			ddl += " NOT NULL"
		}
	}
	if a.c.lang == mySQL {
		switch a.r.IntN(3) {
		case 0:
			ddl += " FIRST"
		case 1:
			ddl += " AFTER " + t.cols[a.r.IntN(len(t.cols))].name
		}
	}
	after.cols = append(after.cols, c)
	return change{"added column", ddl, after, a.column(t.name, c.name, 1)}
}

func (a *alterer) retype(t, after *table) (change, bool) {
	i := a.r.IntN(len(t.cols))
	c := t.cols[i]
	wider := kindOf(c.kind).wider
	if len(wider) == 0 {
		return change{}, false
	}
	to := wider[a.r.IntN(len(wider))]
	after.cols[i].kind = to
	ddl := fmt.Sprintf("ALTER TABLE %s MODIFY COLUMN %s %s", t.name, c.name, typeOf(to, mySQL))
	if a.c.lang == postgres {
		ddl = fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s", t.name, c.name, typeOf(to, postgres))
	}
	// Where it is not known whether it was made, the narrower kind fits both.
	return change{"retyped column", ddl, after, ""}, true
}

func (a *alterer) createTable(ctx context.Context) error {
	t := a.m.newTable(a.r, a.m.unique("t"), a.r.IntN(3) > 0, a.r.IntN(3) == 0)
	t.late = true
	for _, q := range t.create(a.c.lang) {
		if err := a.c.exec(ctx, q); err != nil {
			a.counts.fault(err)
			a.c.close()
			return nil // a table that nobody knows of is not changed
		}
	}
	a.m.put(t.name, t)
	a.counts.did("created table")
	return nil
}

func (a *alterer) column(table, name string, n int) string {
	return fmt.Sprintf("SELECT CASE WHEN count(*) = %d THEN 1 ELSE 0 END FROM information_schema.columns WHERE table_schema = '%s' AND table_name = '%s' AND column_name = '%s'",
		n, a.schema(), table, name)
}

func (a *alterer) exists(table string) string {
	return fmt.Sprintf("SELECT count(*) FROM information_schema.tables WHERE table_schema = '%s' AND table_name = '%s'", a.schema(), table)
}

func (a *alterer) schema() string { return a.c.lang.schema() }

func newRand(seed uint64, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
