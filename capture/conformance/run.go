package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"tributary/internal/fault"
)

// Options are those of a run.
type Options struct {
	Server   Server
	Version  string        // of this program
	Only     []string      // scenarios to run; all when empty
	Keep     bool          // leave the scratch place as the last scenario left it
	Wait     time.Duration // how long a change may take to come
	Recorder *Recorder     // nil = none
	Progress func(format string, args ...any)
	Log      *slog.Logger // of the sources
}

// cleanTimeout bounds cleaning up.
const cleanTimeout = 2 * time.Minute

// ErrStopped is what a run returns whose context has ended.
var ErrStopped = errors.New("stopped before its end")

// Run runs the scenarios. What a check finds is in the report; an error is about
// what keeps the run from being done, and the report then has what was done until
// then. The scratch place is dropped in any case, after ctx has ended too, unless
// it is to be kept.
func Run(ctx context.Context, o Options) (rep *Report, err error) {
	rep = &Report{Version: o.Version}
	r := &run{Options: o, report: rep}
	o.Recorder.begin(o.Server, o.Version)
	defer func() {
		if err != nil && ctx.Err() != nil && !errors.Is(err, ErrStopped) {
			err = ErrStopped // before anything was made
		}
	}()
	list, err := r.chosen()
	if err != nil {
		return rep, err
	}
	c, err := o.Server.connect(ctx, o.Recorder)
	if err != nil {
		return rep, err
	}
	s := patient{c}
	closed := false
	leave := func() {
		if !closed { // a broken connection is no news once ctx has ended
			closed = true
			if cerr := s.Close(); ctx.Err() == nil {
				err = errors.Join(err, cerr)
			}
		}
	}
	defer leave()
	if rep.Server, err = o.Server.version(ctx, s); err != nil {
		return rep, fmt.Errorf("ask the server for its version: %w", err)
	}
	rep.About = facts(ctx, s, o.Server.questions())
	if err := o.Server.ready(ctx, s); err != nil {
		return rep, err
	}
	r.Progress("%s: making %s", rep.Server, Scratch)
	if err := vacant(ctx, o.Server, s); err != nil {
		return rep, err
	}
	defer func() {
		if ctx.Err() == nil {
			r.askAgain(ctx, s)
		}
		leave() // with what it locks
		err = r.end(ctx, err)
	}()
	if err := prepare(ctx, o.Server, s); err != nil {
		return rep, err
	}
	for i := range list {
		if err := r.scenario(ctx, s, &list[i]); err != nil {
			return rep, err
		}
	}
	if g, ok := o.Server.(guarded); ok && r.wants(rightsName) {
		if err := r.rights(ctx, s, g); err != nil {
			return rep, err
		}
	}
	if r.wants(typesName) {
		return rep, r.types(ctx, s)
	}
	return rep, nil
}

// askAgain asks for what was empty before anything was made: SQL Server makes the jobs
// of a database with its first capture instance.
func (r *run) askAgain(ctx context.Context, s session) {
	empty := func(f Fact) bool { return f.Value == "" }
	if !slices.ContainsFunc(r.report.About, empty) {
		return
	}
	for i, f := range facts(ctx, s, r.Server.questions()) {
		if empty(r.report.About[i]) {
			r.report.About[i] = f
		}
	}
}

// end drops the scratch place.
func (r *run) end(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		err = ErrStopped
	}
	if r.Keep {
		r.Progress("%s is kept", Scratch)
		return err
	}
	r.Progress("dropping %s", Scratch)
	if cerr := Clean(context.WithoutCancel(ctx), r.Server, func(string, ...any) {}); cerr != nil {
		return errors.Join(err, fault.Human(cerr, "drop it with: cdc-source conformance -c FILE -clean"))
	}
	return err
}

// Clean drops the scratch place that a run has left, if there is one.
func Clean(ctx context.Context, srv Server, progress func(format string, args ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	s, err := srv.connect(ctx, nil)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	was, err := clean(ctx, srv, s)
	switch {
	case err != nil:
	case was:
		progress("%s was dropped", Scratch)
	default:
		progress("there is no %s", Scratch)
	}
	return errors.Join(err, s.Close())
}

// run is a run in work.
type run struct {
	Options
	report *Report
}

// Names lists the scenarios that there are for a server.
func Names(srv Server) ([]string, error) {
	list, err := scenarios(srv.kind())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range list {
		out = append(out, s.name)
	}
	if _, ok := srv.(guarded); ok {
		out = append(out, rightsName)
	}
	return append(out, typesName), nil
}

func (r *run) wants(name string) bool { return len(r.Only) == 0 || slices.Contains(r.Only, name) }

func (r *run) chosen() (out []scenario, err error) {
	names, err := Names(r.Server)
	if err != nil {
		return nil, err
	}
	for _, name := range r.Only {
		if !slices.Contains(names, name) {
			return nil, fault.Humanf("choose of "+strings.Join(names, ", "), "there is no scenario %q", name)
		}
	}
	all, err := scenarios(r.Server.kind())
	for _, s := range all {
		if r.wants(s.name) {
			out = append(out, s)
		}
	}
	return out, err
}

// attempt is a scenario in work.
type attempt struct {
	*run
	name   string
	w      *writer
	f      *follower
	tables []string
	marks  int
}

func (r *run) attempt(name string, s session) *attempt {
	a := &attempt{run: r, name: name, w: &writer{srv: r.Server, s: s}}
	a.f = &follower{srv: r.Server, wait: r.Wait, options: sourceOptions{recorder: r.Recorder, log: r.Log}}
	r.Recorder.scenario(name)
	return a
}

// scenario runs one. Errors of its steps are failed checks; the error that it
// returns ends the run.
func (r *run) scenario(ctx context.Context, s session, sc *scenario) error {
	r.Progress("%s: %s", sc.name, sc.title)
	a := r.attempt(sc.name, s)
	a.f.restart, a.f.options.batch = sc.restart, sc.batch
	r.report.purpose(sc.name, sc.title)
	var err error
	did := ""
	for i, st := range sc.steps {
		if st.kind == "do" || st.kind == "rows" || st.kind == "tables" {
			did = brief(st.text)
		}
		if err = a.step(ctx, &st, fmt.Sprintf("%s after: %s (section %d)", st.kind, did, i+1)); err != nil {
			break
		}
	}
	return a.end(ctx, err)
}

// brief is the beginning of statements, in a line.
func brief(text string) string {
	const most = 100
	text = strings.NewReplacer("{", "", "}", "").Replace(strings.Join(strings.Fields(text), " "))
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

func (a *attempt) step(ctx context.Context, st *step, title string) error {
	switch st.kind {
	case "tables":
		return a.create(ctx, tables(st.text), statements(st.text))
	case "rows":
		return a.w.exec(ctx, statements(st.text)...)
	case "snapshot":
		if err := a.start(ctx); err != nil {
			return err
		}
		return a.expect(ctx, title, 0, st.text)
	case "do":
		return a.w.run(ctx, st.text)
	case "stream":
		a.marks++
		if err := a.w.mark(ctx, a.marks); err != nil {
			return err
		}
		return a.expect(ctx, title, a.marks, st.text)
	case "settle":
		a.marks++
		if err := a.w.mark(ctx, a.marks); err != nil {
			return err
		}
		return a.Server.settle(ctx, a.w.s, a.marks)
	case "refused":
		return a.refused(ctx, title, st.text)
	case "stop":
		return a.f.close()
	default: // start
		return a.f.open(ctx)
	}
}

// create makes tables and has them captured, the marker too.
func (a *attempt) create(ctx context.Context, names, statements []string) error {
	a.tables = append(names, marker)
	a.w.place(a.tables)
	a.f.options.tables = a.tables
	statements = append(statements, "CREATE TABLE {"+marker+"} (id int NOT NULL PRIMARY KEY)")
	for _, t := range a.tables {
		statements = append(statements, a.Server.track(t)...)
	}
	taps, err := a.taps(ctx)
	if err != nil {
		return err
	}
	return a.w.exec(ctx, append(statements, taps...)...)
}

// taps has the log of the tables that are about to be made be recorded, if anything is:
// what is to be executed once they are made.
func (a *attempt) taps(ctx context.Context) ([]string, error) {
	if a.Recorder == nil {
		return nil, nil
	}
	if l, ok := a.Server.(logged); ok {
		if err := l.mark(ctx); err != nil {
			return nil, err
		}
	}
	return a.Server.tap(a.tables), nil
}

// start has the source begin, with the row of the marker that ends the snapshot.
func (a *attempt) start(ctx context.Context) error {
	if err := a.w.mark(ctx, 0); err != nil {
		return err
	}
	if err := a.Server.settle(ctx, a.w.s, 0); err != nil {
		return err
	}
	return a.f.open(ctx)
}

// expect takes what comes up to a row of the marker, and compares it.
func (a *attempt) expect(ctx context.Context, title string, id int, want string) error {
	events, err := a.f.until(ctx, id)
	var got []string
	for _, e := range events {
		got = append(got, e.line)
	}
	if ctx.Err() == nil {
		a.report.compare(a.name, title, got, strings.Split(want, "\n"))
	}
	return err
}

// refused has a source not be able to go on.
func (a *attempt) refused(ctx context.Context, title, want string) error {
	err := a.f.open(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := Check{Scenario: a.name, Name: title, Result: Passed}
	if err == nil || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), want) {
		c.Result, c.Detail = Failed, []string{"- an error for a human: " + want, fmt.Sprintf("+ %v", err)}
	}
	a.report.add(c)
	return nil
}

// end closes a scenario: what went wrong is a failed check, unless it is about the
// whole run.
func (a *attempt) end(ctx context.Context, err error) error {
	err = errors.Join(err, a.f.close())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if fault.NeedsHuman(err) {
		return fmt.Errorf("scenario %s: %w", a.name, err)
	}
	if err != nil {
		a.report.add(Check{Scenario: a.name, Name: "runs to its end", Result: Failed, Detail: []string{err.Error()}})
	}
	order := Check{Scenario: a.name, Name: "places in the log, counts of transactions", Result: Passed}
	if len(a.f.faults) > 0 {
		order.Result, order.Detail = Failed, a.f.faults
	}
	a.report.add(order)
	if q := a.Server.tapped(); q != "" && a.Recorder != nil && len(a.tables) > 0 {
		if _, err := a.w.s.Query(ctx, q); err != nil { // it is recorded; the changes are not ours to judge by
			a.Progress("the log could not be recorded: %v", err)
		}
	}
	if l, ok := a.Server.(logged); ok && a.Recorder != nil && len(a.tables) > 0 {
		if err := l.log(ctx, a.Recorder); err != nil { // as above
			a.Progress("the log could not be recorded: %v", err)
		}
	}
	return a.forget(ctx)
}

// forget drops what the next scenario makes anew; with Keep, the rest stays.
func (a *attempt) forget(ctx context.Context) error {
	drop := a.tables
	if a.Keep {
		drop = []string{marker}
	}
	if err := a.Server.untrack(ctx, a.w.s, drop); err != nil {
		return err
	}
	for _, t := range drop {
		if err := a.w.s.Exec(ctx, "DROP TABLE IF EXISTS "+a.Server.table(t)); err != nil {
			return fmt.Errorf("drop table %s: %w", t, err)
		}
	}
	return nil
}
