package lake

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// tableModel is the table as a map, one row at a time.
type tableModel map[int64]row

func (m tableModel) apply(x row) {
	old, exists := m[x.id]
	if exists && x.seq < old.seq {
		return
	}
	if x.gone {
		delete(m, x.id)
		return
	}
	for _, c := range []struct{ to, from *any }{{&x.qty, &old.qty}, {&x.price, &old.price}, {&x.at, &old.at}, {&x.note, &old.note}} {
		if *c.to == nil { // kept
			*c.to = null{}
			if exists {
				*c.to = *c.from
			}
		}
	}
	m[x.id] = x
}

// lines is the model's table as dump shows it.
func (m tableModel) lines(added int) []string {
	var out []string
	for _, x := range m {
		cell := func(v any, decimal bool) string {
			switch v := v.(type) {
			case int:
				if decimal {
					return decimalText([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}, 2)
				}
				return fmt.Sprint(v)
			case string:
				return v
			default:
				return "-"
			}
		}
		out = append(out, strings.Join([]string{
			fmt.Sprint(x.id), cell(x.qty, false), cell(x.price, true), cell(x.at, false), cell(x.note, false),
			fmt.Sprint(x.del), fmt.Sprintf("%016x", x.seq),
		}, "|"))
		for n := range added {
			text := "|-"
			if v, ok := x.addedCell(n); ok {
				text = fmt.Sprint("|", v)
			}
			out[len(out)-1] += text
		}
	}
	sort.Strings(out)
	return out
}

// modelState is what the table held after a commit.
type modelState struct {
	instant string
	applied int
	model   tableModel
	lines   []string
}

// modelRun drives a table and its model side by side.
type modelRun struct {
	t       *testing.T
	clk     *clock
	mem     *blob.Mem
	fault   *blob.Fault
	opt     Options
	tab     *Table
	seq     int
	events  []row
	columns int // added by evolution
	states  []modelState
	horizon string
	pin     string // instant of the savepoint
	steps   *int
	fence   int  // events before it must not be given again: what they wrote was taken away
	folders bool // the table has partitions, by qty
}

func (r *modelRun) now() *modelState { return &r.states[len(r.states)-1] }

// open opens the table as another process: the one before has died.
func (r *modelRun) open(t *rapid.T) {
	if r.tab != nil && r.tab.w != nil {
		r.tab.w.index.close()
	}
	r.clk.at = r.clk.at.Add(r.opt.LockValidity * 2)
	var err error
	if r.tab, err = Open(r.t.Context(), r.fault, "silver/shop/sale", r.opt); err != nil {
		t.Fatal(err)
	}
}

// faulty does a step with the store stopped at some operation, or not. After a
// crash the table is opened anew and healed.
func (r *modelRun) faulty(t *rapid.T, step func() error) (crashed bool) {
	*r.steps++
	if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
		r.fault.StopAfter(rapid.IntRange(0, 14).Draw(t, "after"), rapid.Bool().Draw(t, "ambiguous"))
	}
	err := step()
	crashed = r.fault.Stopped()
	r.fault.StopAfter(-1, false)
	if err != nil && !crashed {
		t.Fatal(err)
	}
	if !crashed {
		return false
	}
	r.open(t)
	if rapid.Bool().Draw(t, "crash in healing") {
		r.fault.StopAfter(rapid.IntRange(0, 6).Draw(t, "after"), rapid.Bool().Draw(t, "ambiguous"))
		_ = r.tab.Lock(r.t.Context())
		r.fault.StopAfter(-1, false)
		r.open(t)
	}
	if err := r.tab.Lock(r.t.Context()); err != nil {
		t.Fatal(err)
	}
	return true
}

// draw makes new events.
func (r *modelRun) draw(t *rapid.T) {
	cell := func(name string, v any) any {
		switch rapid.IntRange(0, 5).Draw(t, name) {
		case 0:
			return nil
		case 1:
			return null{}
		default:
			return v
		}
	}
	for range rapid.IntRange(1, 12).Draw(t, "rows") {
		r.seq++
		x := row{
			id: int64(rapid.IntRange(1, 30).Draw(t, "id")), seq: r.seq,
			qty: cell("qty", r.seq%7), price: cell("price", r.seq*3), at: cell("at", r.seq), note: cell("note", fmt.Sprint("n", r.seq)),
		}
		switch rapid.IntRange(0, 9).Draw(t, "op") {
		case 0, 1:
			x.del, x.qty, x.price, x.at, x.note = true, nil, nil, nil, nil
		case 2:
			x.gone = true
		}
		r.events = append(r.events, x)
	}
}

// rows makes rows of events, with their values of the columns that evolution has
// added; those of before have none.
func (r *modelRun) rows(events []row) Rows {
	rows := rowsOf(events...)
	for n := range r.columns {
		c := column.Column{Kind: column.Int}
		for _, x := range events {
			if v, ok := x.addedCell(n); ok {
				c.AppendInt(v)
			} else {
				c.AppendNull()
			}
		}
		rows.Batch.Cols = append(rows.Batch.Cols, c)
	}
	return rows
}

// write gives the table the events from the cursor on, in one batch, and some
// that it has already; sometimes with a column more, or a wider one.
func (r *modelRun) write(t *rapid.T) {
	was := r.now()
	from := was.applied
	// What was removed for good must not come again: a cursor keeps it away. So
	// only events after the newest removal are given twice.
	for back := rapid.IntRange(0, 4).Draw(t, "again"); back > 0 && from > r.fence && !r.events[from-1].gone; back-- {
		from--
	}
	to := was.applied
	if was.applied < len(r.events) {
		to = rapid.IntRange(was.applied, len(r.events)).Draw(t, "to")
	}
	r.evolve(t)
	next := maps.Clone(was.model)
	for n := range r.events[was.applied:to] {
		x := &r.events[was.applied+n]
		x.added = r.columns
		next.apply(*x)
	}
	r.commit(t, to, next, func() (Instant, error) {
		return r.tab.Upsert(r.t.Context(), r.rows(r.events[from:to]), map[string]string{"cursor": fmt.Sprint(to)})
	})
}

// commit does a write, which leads to the state next, or, when it is stopped, to
// that or none. It reports whether it does.
func (r *modelRun) commit(t *rapid.T, applied int, next tableModel, do func() (Instant, error)) bool {
	was := r.now()
	var i Instant
	crashed := r.faulty(t, func() (err error) {
		i, err = do()
		return err
	})
	if crashed {
		r.columns = len(r.tab.Schema().Fields) - len(saleSchema.Fields)
		i = r.tab.Timeline().Newest()
	}
	if i.Time == was.instant || i.IsZero() {
		return false // the old state, which check makes sure of
	}
	r.states = append(r.states, modelState{i.Time, applied, next, next.lines(r.columns)})
	return true
}

// whole draws rows without cells that are to be kept.
func (r *modelRun) whole(t *rapid.T) []row {
	var out []row
	for range rapid.IntRange(1, 6).Draw(t, "rows") {
		r.seq++
		x := row{
			id: int64(rapid.IntRange(1, 40).Draw(t, "id")), seq: r.seq,
			qty: r.seq % 7, price: r.seq * 3, at: r.seq, note: fmt.Sprint("w", r.seq),
		}
		if rapid.IntRange(0, 5).Draw(t, "null") == 0 {
			x.qty, x.note = null{}, null{}
		}
		out = append(out, x)
	}
	return out
}

// folder is the partition of a row.
func (r *modelRun) folder(x row) string {
	switch v := x.qty.(type) {
	case int:
		if r.folders {
			return fmt.Sprint("qty=", v)
		}
	default:
		if r.folders {
			return "qty=" + defaultPartition
		}
	}
	return ""
}

// overwrite replaces partitions, or the whole table.
func (r *modelRun) overwrite(t *rapid.T) {
	rows, all := r.whole(t), rapid.Bool().Draw(t, "whole table")
	in := tableModel{}
	for _, x := range rows {
		in.apply(x)
	}
	next := maps.Clone(r.now().model)
	for _, x := range in {
		maps.DeleteFunc(next, func(_ int64, old row) bool { return all || r.folder(old) == r.folder(x) })
	}
	maps.Copy(next, in)
	if r.commit(t, r.now().applied, next, func() (Instant, error) {
		return r.tab.InsertOverwrite(r.t.Context(), r.rows(rows), all, map[string]string{"cursor": fmt.Sprint(r.now().applied)})
	}) {
		r.fence = len(r.events)
	}
}

// deletePartition empties a partition, which may not be there.
func (r *modelRun) deletePartition(t *rapid.T) {
	gone := r.folder(row{qty: rapid.IntRange(0, 7).Draw(t, "qty")})
	if rapid.IntRange(0, 7).Draw(t, "null") == 0 {
		gone = r.folder(row{qty: null{}})
	}
	next := maps.Clone(r.now().model)
	maps.DeleteFunc(next, func(_ int64, old row) bool { return r.folder(old) == gone })
	if r.commit(t, r.now().applied, next, func() (Instant, error) {
		return r.tab.DeletePartitions(r.t.Context(), []string{gone}, map[string]string{"cursor": fmt.Sprint(r.now().applied)})
	}) {
		r.fence = len(r.events)
	}
}

// insert adds the rows whose keys the table does not have.
func (r *modelRun) insert(t *rapid.T) {
	rows := r.whole(t)
	next := maps.Clone(r.now().model)
	in := tableModel{}
	for _, x := range rows {
		in.apply(x)
	}
	for id, x := range in {
		if _, ok := next[id]; !ok {
			next[id] = x
		}
	}
	how := Insertion{Bulk: rapid.Bool().Draw(t, "bulk"), DropDuplicates: true}
	r.commit(t, r.now().applied, next, func() (Instant, error) {
		return r.tab.Insert(r.t.Context(), r.rows(rows), how, map[string]string{"cursor": fmt.Sprint(r.now().applied)})
	})
}

// incremental compares what changed between two instants: rows of the later one,
// and every one of them that the earlier had not.
func (r *modelRun) incremental(t *rapid.T) {
	if len(r.states) < 2 {
		return
	}
	n := rapid.IntRange(1, len(r.states)-1).Draw(t, "to")
	to, from := r.states[n], r.states[rapid.IntRange(0, n-1).Draw(t, "from")]
	reader, err := Open(r.t.Context(), r.mem, "silver/shop/sale", Options{})
	if err != nil {
		t.Fatal(err)
	}
	after := from.instant
	if after == "" {
		after = "000"
	}
	s, err := reader.Between(r.t.Context(), after, to.instant)
	if errors.Is(err, ErrHorizon) && to.instant < reader.Timeline().Horizon() && to.instant != r.pin {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := dumpSnapshot(r.t, s, nil)
	for _, l := range got {
		if _, found := slices.BinarySearch(to.lines, l); !found {
			t.Fatalf("between %s and %s: %s is no row of\n%s", after, to.instant, l, strings.Join(to.lines, "\n"))
		}
	}
	for id, x := range to.model {
		old, had := from.model[id]
		if had && old == x {
			continue
		}
		line := tableModel{id: x}.lines(strings.Count(to.lines[0], "|") - len(saleSchema.Fields) + 1)[0]
		if !slices.Contains(got, line) {
			t.Fatalf("between %s and %s there is no\n%s\namong\n%s", after, to.instant, line, strings.Join(got, "\n"))
		}
	}
}

func (r *modelRun) evolve(t *rapid.T) {
	var in Schema
	switch rapid.IntRange(0, 15).Draw(t, "evolve") {
	case 0:
		if r.columns < 3 {
			in.Fields = []Field{{fmt.Sprint("added", r.columns), Simple(Long), true}}
			r.columns++
		}
	case 1:
		in.Fields = []Field{{"qty", Simple(Long), true}}
	}
	if _, err := r.tab.Evolve(in); err != nil {
		t.Fatal(err)
	}
}

// service runs a table service, which changes no state that stays readable.
func (r *modelRun) service(t *rapid.T) {
	r.faulty(t, func() error {
		var err error
		switch rapid.IntRange(0, 3).Draw(t, "service") {
		case 0:
			keep := Retention{Commits: rapid.IntRange(1, 5).Draw(t, "keep")}
			_, err = r.tab.Clean(r.t.Context(), keep)
		case 1:
			least := rapid.IntRange(1, 3).Draw(t, "least")
			_, err = r.tab.Archive(r.t.Context(), least, least+1)
		default:
			_, err = r.tab.Cluster(r.t.Context(), Clustering{MinFiles: 2})
		}
		return err
	})
	// A clustering is a commit that changes nothing.
	if at := r.tab.Timeline().Newest().Time; at > r.now().instant {
		r.states = append(r.states, modelState{at, r.now().applied, r.now().model, r.now().lines})
	}
}

// rollback takes the newest commit back.
func (r *modelRun) rollback(t *rapid.T) {
	if len(r.states) < 3 || r.states[len(r.states)-2].instant < r.tab.Timeline().Oldest().Time {
		return
	}
	newest := r.now().instant
	if newest <= r.tab.Timeline().Horizon() || newest == r.pin {
		if err := r.tab.Rollback(r.t.Context(), newest); !fault.NeedsHuman(err) {
			t.Fatalf("rolled back to what is cleaned: %v", err)
		}
		return
	}
	r.faulty(t, func() error { return r.tab.Rollback(r.t.Context(), newest) })
	if r.tab.Timeline().Newest().Time < newest {
		r.states = r.states[:len(r.states)-1]
		r.columns = len(r.tab.Schema().Fields) - len(saleSchema.Fields)
	}
}

// savepoint pins an instant, or ends that.
func (r *modelRun) savepoint(t *rapid.T) {
	at := r.states[rapid.IntRange(0, len(r.states)-1).Draw(t, "state")].instant
	tl := r.tab.Timeline()
	if r.pin == "" && (at < max(tl.Horizon(), tl.Oldest().Time) || at == "") {
		return
	}
	r.faulty(t, func() error {
		if r.pin != "" {
			return r.tab.DropSavepoint(r.t.Context(), r.pin)
		}
		return r.tab.Savepoint(r.t.Context(), at, "model", "")
	})
	r.pin = strings.Join(r.tab.Timeline().Savepoints(), " ")
}

// restore takes the table back to the savepoint.
func (r *modelRun) restore(t *rapid.T) {
	if r.pin == "" || r.now().instant == r.pin {
		return
	}
	r.faulty(t, func() error {
		_, err := r.tab.Restore(r.t.Context(), r.pin)
		return err
	})
	newest := r.tab.Timeline().Newest().Time
	if newest != r.now().instant && newest != r.pin {
		t.Fatalf("restored to %s instead of %s", newest, r.pin)
	}
	for r.now().instant > newest {
		r.states = r.states[:len(r.states)-1]
	}
	r.columns = len(r.tab.Schema().Fields) - len(saleSchema.Fields)
}

// check compares the newest state.
func (r *modelRun) check(t *rapid.T) { r.compare(t, false) }

// compare compares the newest state, and every earlier one if past is set.
func (r *modelRun) compare(t *rapid.T, past bool) {
	if r.fault.Stopped() {
		t.Fatal("the store is stopped")
	}
	reader, err := Open(r.t.Context(), r.mem, "silver/shop/sale", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if h := reader.Timeline().Horizon(); h < r.horizon {
		t.Fatalf("the horizon went back from %s to %s", r.horizon, h)
	} else {
		r.horizon = h
	}
	if got := dump(r.t, reader, ""); !slices.Equal(got, r.now().lines) {
		t.Fatalf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(r.now().lines, "\n"))
	}
	for _, s := range r.states[1:] {
		if !past {
			break
		}
		if s.instant < r.horizon && s.instant != r.pin {
			if _, err := reader.AsOf(r.t.Context(), s.instant); !errors.Is(err, ErrHorizon) {
				t.Fatalf("as of %s, before %s: %v", s.instant, r.horizon, err)
			}
			continue
		}
		if got := dump(r.t, reader, s.instant); !slices.Equal(got, s.lines) {
			t.Fatalf("as of %s the table is\n%s\nwant\n%s", s.instant, strings.Join(got, "\n"), strings.Join(s.lines, "\n"))
		}
	}
}

// modelSteps is how many steps the test takes at the least: each a commit or a
// table service, one in four stopped at a random operation.
const modelSteps = 10_000

// TestTableAgainstModel does random writes and table services, with crashes at
// random operations, to a table and to a map, and compares every instant.
func TestTableAgainstModel(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"plain":       func(*Config) {},
		"partitioned": partitioned,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := 0
			check := func(rt *rapid.T) {
				index := t.TempDir()
				r := &modelRun{
					t: t, clk: newClock(), mem: new(blob.Mem), steps: &steps,
					states: []modelState{{model: tableModel{}}}, folders: name == "partitioned",
				}
				r.fault = blob.NewFault(r.mem)
				r.opt = Options{Now: r.clk.now, MaxFileRows: 8, LockValidity: crashOptions.LockValidity, IndexDir: index}
				cfg := saleConfig()
				change(&cfg)
				if _, err := Create(t.Context(), r.mem, "silver/shop/sale", cfg, r.opt); err != nil {
					rt.Fatal(err)
				}
				r.open(rt)
				rt.Repeat(map[string]func(*rapid.T){
					"draw":      r.draw,
					"write":     r.write,
					"overwrite": r.overwrite,
					"empty":     r.deletePartition,
					"insert":    r.insert,
					"between":   r.incremental,
					"open":      r.open,
					"service":   r.service,
					"rollback":  r.rollback,
					"savepoint": r.savepoint,
					"restore":   r.restore,
					"":          r.check,
				})
				r.compare(rt, true)
				if r.tab.w != nil {
					r.tab.w.index.close()
				}
			}
			for steps < modelSteps/2 {
				rapid.Check(t, check)
				if t.Failed() || testing.Short() {
					break
				}
			}
			t.Logf("%d steps", steps)
		})
	}
}
