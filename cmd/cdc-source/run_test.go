package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/broker"
	"tributary/internal/fault"
	"tributary/internal/testdb"
	"tributary/internal/topic"
	"tributary/registry"
	"tributary/registry/server"
)

// stack is a broker and a registry for one test.
type stack struct {
	kafka, registry string
}

func newStack(t *testing.T) stack {
	t.Helper()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return stack{kafka: b.Addr(), registry: web.URL + "/apis/registry/v2"}
}

// file writes a configuration for the database and returns its path.
func (s stack) file(t *testing.T, db *testdb.Database, more string) string {
	t.Helper()
	text := fmt.Sprintf(`
name: %[5]s
connector.class: postgres
topic.prefix: test
database: {hostname: %[1]s, port: %[2]d, user: %[3]s, password: %[4]s, dbname: %[5]s}
slot.name: %[5]s
publication.name: %[5]s
bootstrap.servers: %[6]s
schema.registry.url: %[7]s
%[8]s`, db.Host, db.Port, db.User, db.Password, db.Name, s.kafka, s.registry, more)
	path := filepath.Join(t.TempDir(), "connector.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs the daemon until the function that it returns is called.
func start(t *testing.T, path string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-c", path}, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil && ctx.Err() == nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("run does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// read returns the n committed records that a topic has.
func (s stack) read(t *testing.T, name string, n int) []topic.Record {
	t.Helper()
	out := s.atLeast(t, name, n)
	if len(out) != n {
		t.Fatalf("%s has %d records, want %d", name, len(out), n)
	}
	return out
}

// atLeast returns the committed records of a topic, once it has n.
func (s stack) atLeast(t *testing.T, name string, n int) []topic.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	o := topic.Options{Brokers: []string{s.kafka}, ClientID: "test", Protocol: "PLAINTEXT", Compression: "none", MaxRequest: 1 << 20}
	var out []topic.Record
	r, err := topic.NewReader(ctx, o, topic.ReaderOptions{
		Group: fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()), Regex: strings.ReplaceAll(name, ".", `\.`), Reset: "earliest",
		SessionTimeout: 10 * time.Second, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 2 << 20,
	}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var extra time.Time // once all are there: until when to wait for too many
	for extra.IsZero() || time.Now().Before(extra) {
		batches, err := r.Poll(ctx, 100*time.Millisecond, 0)
		if err != nil {
			t.Fatalf("read %s: %v, %d of %d records", name, err, len(out), n)
		}
		for i := range batches {
			for j := range batches[i].Len() {
				out = append(out, batches[i].Record(j))
			}
		}
		if len(out) >= n && extra.IsZero() {
			extra = time.Now().Add(300 * time.Millisecond)
		}
	}
	return out
}

func TestRunSnapshotsStreamsAndResumes(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(8,2))",
		"INSERT INTO item SELECT g, 'item ' || g, g * 1.5 FROM generate_series(1, 1000) g")
	s := newStack(t)
	path := s.file(t, db, "transforms: unwrap\ntransforms.unwrap.add.fields: op,lsn\ntransforms.unwrap.delete.tombstone.handling.mode: rewrite\n")
	stop := start(t, path)
	s.read(t, "test.public.item", 1000)
	db.MustExec(t, "UPDATE item SET price = 2 WHERE id = 7", "DELETE FROM item WHERE id = 8")
	s.read(t, "test.public.item", 1002)
	stop()

	db.MustExec(t, "INSERT INTO item VALUES (2000, 'while it was away', NULL)")
	stop = start(t, path)
	got := s.read(t, "test.public.item", 1003)
	stop()

	// Keys and values name schemas that the registry has.
	client, err := registry.New(s.registry, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	last := got[len(got)-1]
	for data, isKey := range map[string]bool{string(last.Key): true, string(last.Value): false} {
		id, _, err := registry.ParseHeader([]byte(data), isKey, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := client.Schema(t.Context(), id)
		if err != nil || !strings.Contains(text, "test.public.item") {
			t.Errorf("schema %s: %v, %s", id, err, text)
		}
	}
}

func TestRunTellsWhatIsWrong(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE item (id int PRIMARY KEY)")
	s := newStack(t)
	for name, c := range map[string]struct {
		edit  func(text string) string
		want  string
		human bool
	}{
		"unknown option":       {replace("slot.name:", "slot.nam:"), "slot.name", true},
		"wrong password":       {replace("password: "+db.Password, "password: wrong"), "password authentication failed", true},
		"missing database":     {replace("dbname: "+db.Name, "dbname: nowhere"), "nowhere", true},
		"missing table":        {replace("topic.prefix:", "table.include.list: public.itm\ntopic.prefix:"), "public.itm", true},
		"unreachable database": {replace(fmt.Sprintf("port: %d", db.Port), "port: 1"), "connect to PostgreSQL", false},
		"unreachable broker":   {replace(s.kafka, "127.0.0.1:1"), "127.0.0.1:1", false},
		"unreachable registry": {replace(s.registry, "http://127.0.0.1:1/apis/registry/v2"), "127.0.0.1:1", false},
		"unknown class":        {replace("class: postgres", "class: oracle"), "oracle", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := s.file(t, db, "errors.retry.timeout: 0\n")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			edited := c.edit(string(text))
			if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			err = run(ctx, []string{"-c", path}, slog.New(slog.DiscardHandler))
			wantError(t, err, c.want, c.human)
		})
	}
}

func replace(old, by string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, by, 1) }
}

func wantError(t *testing.T, err error, text string, human bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want one with %q", err, text)
	}
	if fault.NeedsHuman(err) != human {
		t.Errorf("error %v: needs a human %v, want %v", err, fault.NeedsHuman(err), human)
	}
	if fault.Hint(err) == "" {
		t.Errorf("error %v has no hint", err)
	}
}
