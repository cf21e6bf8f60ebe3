package postgres

import (
	"errors"
	"strings"
	"testing"

	"tributary/envelope"
	"tributary/internal/testdb"
)

// TestTablesWithoutForm: a table whose records have no form is refused at the start
// before anything is made, and left alone with the reason when it is new.
func TestTablesWithoutForm(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s := liveSource(t, db, func(o *Options) {
		o.SnapshotMode = "no_data"
		o.Plan = func(t *envelope.Table) (envelope.Plan, error) {
			if t.ID.Name == "bad" {
				return envelope.Plan{}, errors.New("bad has no form")
			}
			return envelope.Plan{Topic: "t"}, nil
		}
	})
	if err := errors.Join(s.Open(t.Context(), nil), s.Close()); err != nil {
		t.Fatal(err)
	}
	db.MustExec(t, "CREATE TABLE bad (id int PRIMARY KEY)")
	c := s.newCatalog()
	found, err := s.unpublished(t.Context(), c, make(map[string]bool))
	if err = errors.Join(err, c.close(t.Context())); err != nil || found {
		t.Errorf("a new table without form is to be captured: %t, %v", found, err)
	}
	if err := errors.Join(s.Open(t.Context(), nil), s.Close()); err == nil || !strings.Contains(err.Error(), "bad has no form") {
		t.Errorf("started: %v", err)
	}
}
