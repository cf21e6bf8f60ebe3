package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"tributary/internal/fault"
)

// rightsName names the scenario of a user with few rights, for servers that are guarded.
const rightsName = "rights"

// reader is the login that a run makes, with a user of the same name.
const reader = Scratch + "_reader"

const rightsPurpose = "A login without any right: what it lacks is named, given as it was named, and then it captures; each right is needed, and there is none too many"

// guarded is a server on which a run makes a login of its own, to find out whether what
// the source says of missing rights is complete. A row of the table that tells of a run
// (made) tells that the run made it.
type guarded interface {
	// newcomer makes a login that may do nothing, and is the server as that login
	// sees it. left is why there is none: the run goes on without the scenario.
	newcomer(ctx context.Context, s session, r *Recorder) (low Server, left string, err error)
	// gate has a table captured so that every right is needed.
	gate(table string) []string
	// advice finds the statements that give the login rights in what a source says:
	// its error, and what is to be done.
	advice(text string, tables []string) []string
	// rights are the statements that give it what docs/capture.md says.
	rights(tables []string) []string
	// undo takes back what a statement gives, "" if a source that goes on does not
	// need it, or it cannot be taken back.
	undo(statement string) string
}

// rights runs the scenario.
func (r *run) rights(ctx context.Context, s session, g guarded) error {
	r.Progress("%s: a login with few rights", rightsName)
	r.report.purpose(rightsName, rightsPurpose)
	a := r.attempt(rightsName, s)
	low, left, err := g.newcomer(ctx, s, r.Recorder)
	if left != "" {
		r.report.add(Check{Scenario: a.name, Name: "a login with few rights", Result: LeftOut, Detail: []string{left}})
		return err
	}
	if err == nil {
		err = a.few(ctx, g, low)
	}
	if fault.NeedsHuman(err) { // who is the login's: that is what this is about
		err = fmt.Errorf("%s (%s)", err, fault.Hint(err)) //nolint:errorlint // it is a finding, not a reason to end the run
	}
	return a.end(ctx, err)
}

// rounds bounds how often a source may find something missing.
const rounds = 12

// few is the scenario with the server as the login sees it.
func (a *attempt) few(ctx context.Context, g guarded, low Server) error {
	a.tables = []string{"item", marker}
	a.w.place(a.tables)
	list := []string{"CREATE TABLE {item} (id int NOT NULL PRIMARY KEY, v varchar(20) NULL)", "CREATE TABLE {" + marker + "} (id int NOT NULL PRIMARY KEY)"}
	taps, err := a.taps(ctx)
	if err != nil {
		return err
	}
	list = slices.Concat(list, g.gate("item"), a.Server.track(marker), taps)
	if err := a.w.exec(ctx, append(list, "INSERT INTO {item} VALUES (1, 'one')")...); err != nil {
		return err
	}
	if err := errors.Join(a.w.mark(ctx, 0), a.Server.settle(ctx, a.w.s, 0)); err != nil {
		return err
	}
	said := &advice{a.Log.Handler(), &kept{}}
	a.f.srv, a.f.options.tables, a.f.options.log, a.f.options.login = low, a.tables, slog.New(said), reader
	given, events, err := a.granted(ctx, g, said)
	if err != nil {
		return err
	}
	want := g.rights(a.tables)
	slices.Sort(want)
	slices.Sort(given)
	a.report.compare(a.name, "what is named is what is needed, and nothing else", given, want)
	a.report.compare(a.name, "snapshot", lines(events), []string{"r item id=1 v=one"})
	if err := a.w.run(ctx, "INSERT INTO {item} VALUES (2, 'two')\n\nUPDATE {item} SET v = 'three' WHERE id = 2"); err != nil {
		return err
	}
	a.marks++
	if err := errors.Join(a.w.mark(ctx, a.marks), a.expect(ctx, "stream", a.marks, "c item id=2 v=two\n\nu item id=2 v=three | id=2 v=two")); err != nil {
		return err
	}
	if err := a.harmless(ctx, low); err != nil {
		return err
	}
	for _, q := range given {
		if err := a.without(ctx, g, said, q); err != nil {
			return err
		}
	}
	if err := errors.Join(a.f.close(), a.f.open(ctx)); err != nil {
		return err
	}
	a.marks++
	return errors.Join(a.w.exec(ctx, "DELETE FROM {item} WHERE id = 1"), a.w.mark(ctx, a.marks), a.expect(ctx, "stream once all is given again", a.marks, "d item id=1 v=one"))
}

func lines(events []event) (out []string) {
	for _, e := range events {
		out = append(out, e.line)
	}
	return out
}

// granted gives the login what a source says is missing, until a source reads its
// snapshot. It returns what was given, and the snapshot's events.
func (a *attempt) granted(ctx context.Context, g guarded, said *advice) (given []string, events []event, err error) {
	for range rounds {
		said.take()
		if err = a.f.open(ctx); err == nil {
			events, err = a.f.until(ctx, 0)
		}
		if err == nil || ctx.Err() != nil {
			return given, events, errors.Join(err, ctx.Err())
		}
		if cerr := a.f.close(); cerr != nil {
			return given, nil, cerr
		}
		text := err.Error() + "\n" + fault.Hint(err) + "\n" + said.take()
		c := Check{Scenario: a.name, Name: "what is missing is named: " + brief(err.Error()), Result: Passed}
		fresh := slices.DeleteFunc(g.advice(text, a.tables), func(q string) bool { return slices.Contains(given, q) })
		if !fault.NeedsHuman(err) || len(fresh) == 0 {
			c.Result, c.Detail = Failed, []string{"- a statement that mends it", "+ " + strings.TrimSpace(text)}
			a.report.add(c)
			return given, nil, fmt.Errorf("the login lacks a right that is not named: %s", err) //nolint:errorlint // it is a finding, not a reason to end the run
		}
		c.Detail = fresh
		a.report.add(c)
		if err := a.w.exec(ctx, fresh...); err != nil {
			return given, nil, err
		}
		given = append(given, fresh...)
	}
	return given, nil, fmt.Errorf("the login lacks rights still, after %d rounds: %s", rounds, err) //nolint:errorlint // as above
}

// newPassword is one that servers' policies take.
func newPassword() string { return "aA1!" + rand.Text() }

// noted tells in the scratch place that the login is made by the run.
func noted(ctx context.Context, srv Server, s session) error {
	return s.Exec(ctx, "INSERT INTO "+srv.table(made)+" VALUES ('"+reader+"')")
}

// unmade takes that back, where the login could not be made.
func unmade(ctx context.Context, srv Server, s session) error {
	return s.Exec(ctx, "DELETE FROM "+srv.table(made)+" WHERE what = '"+reader+"'")
}

// isNoted reports whether the run has made the login.
func isNoted(ctx context.Context, srv Server, s session) (bool, error) {
	n, err := value(ctx, s, "SELECT COUNT(*) FROM "+srv.table(made)+" WHERE what = '"+reader+"'")
	return n != "0", err
}

// unrecorded executes statements that have a password, over a connection of its own.
// shown is what the recording has instead.
func unrecorded(ctx context.Context, srv Server, r *Recorder, statement, shown string) error {
	s, err := srv.connect(ctx, nil)
	if err != nil {
		return err
	}
	err = errors.Join(s.Exec(ctx, statement), s.Close())
	r.statement(&Entry{Query: shown}, err)
	return err
}

// harmless has the login not be able to write.
func (a *attempt) harmless(ctx context.Context, low Server) error {
	s, err := low.connect(ctx, nil)
	if err != nil {
		return err
	}
	c := Check{Scenario: a.name, Name: "the login may not write", Result: Passed}
	if err := s.Exec(ctx, "INSERT INTO "+low.table("item")+" VALUES (3, 'no')"); err == nil {
		c.Result, c.Detail = Failed, []string{"- an error", "+ a row"}
	}
	a.report.add(c)
	return s.Close()
}

// without takes a right away: a source that goes on must say so, and name the
// statement that gives it. It is given again.
func (a *attempt) without(ctx context.Context, g guarded, said *advice, statement string) error {
	undo := g.undo(statement)
	if undo == "" {
		return nil
	}
	if err := errors.Join(a.f.close(), a.w.exec(ctx, undo)); err != nil {
		return err
	}
	said.take()
	err := a.f.open(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := Check{Scenario: a.name, Name: "without it a source that goes on says so: " + statement, Result: Passed}
	if text := fmt.Sprintf("%v\n%s\n%s", err, fault.Hint(err), said.take()); !fault.NeedsHuman(err) || !slices.Contains(g.advice(text, a.tables), statement) {
		c.Result, c.Detail = Failed, []string{"- an error for a human, with the statement", "+ " + strings.TrimSpace(text)}
	}
	a.report.add(c)
	return errors.Join(a.f.close(), a.w.exec(ctx, statement))
}

// advice keeps what a source's log says is to be done.
type advice struct {
	slog.Handler
	kept *kept
}

type kept struct {
	mu   sync.Mutex
	text strings.Builder
}

// Enabled implements slog.Handler: warnings are kept, whatever is logged.
func (h *advice) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || h.Handler.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *advice) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "to_do" {
			h.kept.mu.Lock()
			h.kept.text.WriteString(a.Value.String() + "\n")
			h.kept.mu.Unlock()
		}
		return true
	})
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *advice) WithAttrs(list []slog.Attr) slog.Handler {
	return &advice{h.Handler.WithAttrs(list), h.kept}
}

// WithGroup implements slog.Handler.
func (h *advice) WithGroup(name string) slog.Handler {
	return &advice{h.Handler.WithGroup(name), h.kept}
}

// take gives away what was kept.
func (h *advice) take() string {
	h.kept.mu.Lock()
	defer h.kept.mu.Unlock()
	text := h.kept.text.String()
	h.kept.text.Reset()
	return text
}
