package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// printed is what a command writes to the standard output.
func printed(t *testing.T, do func() error) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	err = do()
	os.Stdout = old
	if cerr := w.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return <-text, err
}

const outbox = "transforms: out\ntransforms.out.type: io.debezium.transforms.outbox.EventRouter\n"

// TestCheckAndRunAgree: what run would refuse check refuses too, and run does so
// before it makes anything in the database.
func TestCheckAndRunAgree(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		open func(testing.TB) *testdb.Database
		file func(s stack, t *testing.T, db *testdb.Database, more string) string
	}{"postgres": {testdb.PostgreSQL, stack.file}, "mysql": {testdb.MySQL, stack.mysqlFile}} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			schema := db.Name
			if name == "postgres" {
				schema = "public"
			}
			db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, secret varchar(20), long_text varchar(20), price int, left_out int)", "CREATE TABLE bare (code int NOT NULL)")
			s := newStack(t)
			for _, more := range []struct{ text, says string }{
				{"message.key.columns: (.*).item:nowhere\n", "column nowhere"},
				{outbox, "item"},
				{"transforms: cut\ntransforms.cut.type: org.apache.kafka.connect.transforms.ExtractField$Value\ntransforms.cut.field: id\n", "no record of fields"},
				{"transforms: r\ntransforms.r.type: org.apache.kafka.connect.transforms.RegexRouter\ntransforms.r.regex: .*\ntransforms.r.replacement: not legal\n", "not legal"},
			} {
				path := c.file(s, t, db, more.text)
				_, err := printed(t, func() error { return check(t.Context(), []string{"-c", path}, quiet) })
				wantError(t, err, more.says, true)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				err = run(ctx, []string{"-c", path}, quiet)
				cancel()
				wantError(t, err, more.says, true)
			}
			path := c.file(s, t, db, "message.key.columns: (.*).bare:code;other.thing:id\ncolumn.mask.with.3.chars: .*\\.secret,.*\\.price,.*\\.nothing\ncolumn.truncate.to.5.chars: .*\\.long_text\n"+
				"column.exclude.list: .*\\.left_out,.*\\.slip\ntransforms: r\ntransforms.r.type: org.apache.kafka.connect.transforms.RegexRouter\ntransforms.r.regex: test\\.(.*)\ntransforms.r.replacement: there.$1\n")
			text, err := printed(t, func() error { return check(t.Context(), []string{"-c", path}, quiet) })
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			for _, want := range []string{
				schema + ".item to topic there." + schema + ".item, 4 columns, key id; excluded: left_out; masked: secret; truncated: long_text; NOT masked, since they are no text: price",
				schema + ".bare to topic there." + schema + ".bare, 1 columns, key code",
				`column.mask.with.3.chars: .*\.nothing matches no column`, `column.exclude.list: .*\.slip matches no column`, "message.key.columns: other.thing:id matches no table",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("check does not say %q:\n%s", want, text)
				}
			}
			db.MustExec(t, map[string]string{"postgres": `ALTER TABLE item ADD COLUMN "Größe" int`, "mysql": "ALTER TABLE item ADD COLUMN `Größe` int"}[name])
			path = c.file(s, t, db, "")
			_, err = printed(t, func() error { return check(t.Context(), []string{"-c", path}, quiet) })
			wantError(t, err, "Größe", true)
			err = run(t.Context(), []string{"-c", path}, quiet)
			wantError(t, err, "Größe", true)
			if !fault.NeedsHuman(err) {
				t.Error(err)
			}
			if name == "postgres" {
				made, err := db.Query(t.Context(), "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() UNION ALL SELECT pubname FROM pg_publication")
				if err != nil || len(made) > 0 {
					t.Errorf("run has made %v before it refused, %v", made, err)
				}
			}
		})
	}
}

// TestTopicOfAnOutbox: check says where the records of an outbox go.
func TestTopicOfAnOutbox(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype varchar(255) NOT NULL, aggregateid varchar(255) NOT NULL, type varchar(255), payload text)")
	s := newStack(t)
	path := s.file(t, db, outbox)
	text, err := printed(t, func() error { return check(t.Context(), []string{"-c", path}, slog.New(slog.DiscardHandler)) })
	if err != nil || !strings.Contains(text, "public.outbox to topic outbox.event.{aggregatetype}") {
		t.Errorf("%v\n%s", err, text)
	}
}
