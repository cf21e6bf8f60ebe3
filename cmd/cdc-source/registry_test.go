package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// An ALTER that breaks the registry's rule stops the connector with an error
// that shows the column, the rule and what can be done; once that is done, it
// goes on where it stopped, without loss.
func TestAlterAgainstACompatibilityRule(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, name text)", "INSERT INTO item VALUES (1, 'one')")
	for _, api := range []string{"/apis/registry/v2", "/apis/registry/v3", "/apis/ccompat/v7"} {
		t.Run(api, func(t *testing.T) {
			s := newStack(t)
			base := strings.TrimSuffix(s.registry, "/apis/registry/v2")
			s.registry = base + api
			rule := func(method, path, body string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil || resp.StatusCode/100 != 2 {
					t.Fatal(resp, err)
				}
				resp.Body.Close()
			}
			rule(http.MethodPut, "/apis/ccompat/v7/config", `{"compatibility":"BACKWARD"}`)
			db.MustExec(t, "TRUNCATE item", "ALTER TABLE item DROP COLUMN IF EXISTS price", "INSERT INTO item VALUES (1, 'one')")
			path := s.file(t, db, "")
			stop := start(t, path)
			s.read(t, "test.public.item", 1)
			stop()

			path = s.file(t, db, "snapshot.mode: no_data\n")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- run(ctx, []string{"-c", path}, slog.New(slog.DiscardHandler)) }()
			db.MustExec(t, "INSERT INTO item VALUES (2, 'two')")
			s.atLeast(t, "test.public.item", 2)
			db.MustExec(t, "ALTER TABLE item ADD COLUMN price numeric(8,2) NOT NULL DEFAULT 0", "ALTER TABLE item ALTER COLUMN price DROP DEFAULT", "INSERT INTO item VALUES (3, 'three', 3)")
			err := <-done
			if !fault.NeedsHuman(err) || ctx.Err() != nil {
				t.Fatalf("error %v, want one that needs a human", err)
			}
			for _, want := range []string{"test.public.item-value", "before.price was added without a default"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			for _, want := range []string{"BACKWARD", "before.price: give it a default, or let it be null", "start again"} {
				if !strings.Contains(fault.Hint(err), want) {
					t.Errorf("hint lacks %q: %s", want, fault.Hint(err))
				}
			}
			t.Logf("error: %v\nhint: %s", err, fault.Hint(err))
			rule(http.MethodPut, "/apis/ccompat/v7/config/test.public.item-value", `{"compatibility":"NONE"}`)
			stop = start(t, path)
			got := s.read(t, "test.public.item", 3)
			stop()
			if len(got[2].Value) == 0 {
				t.Error("the third row has no value")
			}
			if err := db.Server.Exec(t.Context(), "SELECT pg_drop_replication_slot('"+db.Name+"')"); err != nil {
				t.Logf("drop the slot: %v", err)
			}
		})
	}
}
