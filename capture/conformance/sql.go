package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/capture/changetext"
)

// patience is how long a statement in work is given once the run is to end: one
// that goes on in the server while the scratch place is dropped could bring a part
// of it back.
const patience = 10 * time.Second

// patient is a session whose statements end a while after their context has.
type patient struct{ session }

func wait(ctx context.Context) (longer context.Context, release func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(patience, cancel)
		context.AfterFunc(longer, func() { t.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// Exec implements session.
func (p patient) Exec(ctx context.Context, query string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	longer, release := wait(ctx)
	defer release()
	return p.session.Exec(longer, query)
}

// Query implements session.
func (p patient) Query(ctx context.Context, query string) ([][]string, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	longer, release := wait(ctx)
	defer release()
	return p.session.Query(longer, query)
}

// value is the first value of a query's only row.
func value(ctx context.Context, s session, query string) (string, error) {
	rows, err := s.Query(ctx, query)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 || len(rows[0]) == 0 {
		return "", errors.New("no row came")
	}
	return rows[0][0], nil
}

// list is the first column of a query.
func list(ctx context.Context, s session, query string) (out []string, err error) {
	rows, err := s.Query(ctx, query)
	for _, r := range rows {
		out = append(out, r[0])
	}
	return out, err
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writer executes the statements of scenarios.
type writer struct {
	srv   Server
	s     session
	names *strings.Replacer // of tables
}

// place gives the writer the names of the tables of a scenario.
func (w *writer) place(tables []string) {
	pairs := []string{"{schema}", Scratch}
	for _, t := range tables {
		pairs = append(pairs, "{"+t+"}", w.srv.table(t))
	}
	w.names = strings.NewReplacer(pairs...)
}

func (w *writer) exec(ctx context.Context, queries ...string) error {
	for _, q := range queries {
		q = w.names.Replace(q)
		if err := w.s.Exec(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", changetext.Short(q), err)
		}
	}
	return nil
}

// run executes a section of transactions.
func (w *writer) run(ctx context.Context, text string) error {
	for _, p := range paragraphs(text) {
		end := "COMMIT"
		if head, ok := strings.CutSuffix(p, "\nROLLBACK"); ok {
			p, end = head, "ROLLBACK"
		}
		list := statements(p)
		if len(list) > 1 || end != "COMMIT" {
			list = append(append([]string{w.srv.transaction()}, list...), end)
		}
		if err := w.exec(ctx, list...); err != nil {
			return err
		}
	}
	return nil
}

// mark inserts a row into the marker.
func (w *writer) mark(ctx context.Context, id int) error {
	return w.exec(ctx, fmt.Sprintf("INSERT INTO {%s} VALUES (%d)", marker, id))
}
