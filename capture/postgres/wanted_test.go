package postgres

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tributary/internal/testdb"
)

// TestTablesThatAreWanted: an entry of table.include.list that matches nothing stops
// the first start only if nothing else matches, and no later one. Of an unlogged
// table it is told that it is one.
func TestTablesThatAreWanted(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE UNLOGGED TABLE ul (id int PRIMARY KEY)", "CREATE TABLE zend (id int PRIMARY KEY)")
	include := func(tables ...string) *Source {
		return liveSource(t, db, func(o *Options) { o.IncludeTables, o.SnapshotMode = tables, "no_data" })
	}
	try := func(s *Source, at []byte) error { return errors.Join(s.Open(t.Context(), at), s.Close()) }
	wantHuman(t, try(include("public.nowhere"), nil), "no table matches public.nowhere")
	wantHuman(t, try(include("public.ul"), nil), "public.ul cannot be captured: unlogged")

	s := include("public.nowhere", "public.ul", "public.a", "public.zend")
	var plan, log strings.Builder
	if err := s.Check(t.Context(), nil, &plan); err != nil || !strings.Contains(plan.String(), "no table matches public.nowhere") || !strings.Contains(plan.String(), "unlogged") {
		t.Errorf("%v\n%s", err, plan.String())
	}
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	at := begin(t, db, s)
	if !strings.Contains(log.String(), "public.nowhere") || !strings.Contains(log.String(), "unlogged") {
		t.Errorf("nothing is said of a table that is not there: %s", log.String())
	}
	db.MustExec(t, "DROP TABLE a")
	if err := try(include("public.nowhere", "public.a", "public.zend"), at); err != nil {
		t.Errorf("after a table was dropped: %v", err)
	}
	db.MustExec(t, "DROP TABLE zend")
	if err := try(include("public.a", "public.zend"), at); err != nil {
		t.Errorf("after all were dropped: %v", err)
	}
}
