package postgres

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tributary/internal/testdb"
)

// TestKeysThatDeletesDoNotTell: where message.key.columns has columns that the
// replica identity leaves out of deletes, check and the start say so, with the
// statement that mends it; nothing is said where it is mended.
func TestKeysThatDeletesDoNotTell(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, other int)", "CREATE UNIQUE INDEX by_code ON t (code)")
	for _, c := range []struct{ identity, autoset, keys, warned string }{
		{"DEFAULT", "", "id", ""},
		{"DEFAULT", "", "code,other", "code, other"},
		{"DEFAULT", "", "id,other", "other"},
		{"DEFAULT", "public.t:FULL", "code,other", ""},
		{"FULL", "", "code,other", ""},
		{"USING INDEX by_code", "", "code", ""},
		{"USING INDEX by_code", "", "id,code", "id"},
	} {
		db.MustExec(t, "ALTER TABLE t REPLICA IDENTITY "+c.identity)
		var log, plan strings.Builder
		s := liveSource(t, db, func(o *Options) {
			o.Keys = "public.t:" + c.keys
			if c.autoset != "" {
				o.Identities = []string{c.autoset}
			}
		})
		s.log = slog.New(slog.NewTextHandler(&log, nil))
		if err := s.Check(t.Context(), nil, &plan); err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db.MustExec(t, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", s.opts.Slot))
		for where, text := range map[string]string{"check": plan.String(), "log": log.String()} {
			mend := strings.ReplaceAll(text, `\"`, `"`)
			told := strings.Contains(text, c.warned) && strings.Contains(text, "message.key.columns") && strings.Contains(mend, `ALTER TABLE "public"."t" REPLICA IDENTITY FULL`)
			if told != (c.warned != "") {
				t.Errorf("%s %s, keys %s: %s says\n%s", c.identity, c.autoset, c.keys, where, text)
			}
		}
	}
}
