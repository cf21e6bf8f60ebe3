package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"tributary/internal/pipeline"
	"tributary/internal/testdb"
	"tributary/internal/tickit"
)

// fault is a daemon started wrongly.
type fault struct {
	daemon string
	config string            // in configs/, without .yaml
	edit   map[string]string // replaces text of the file; "" adds lines
	env    map[string]string
	code   int
	says   []string
}

const (
	retry = 1
	human = 2
)

// What is wrong is said in one clear error, with the exit code that tells
// whether to try again. (cdc-source itself tries again for errors.retry.timeout.)
func TestFaultsAreToldClearly(t *testing.T) {
	data := tickit.New(tickit.Small(0))
	p := start(t, data)
	noLogical, err := testdb.StartPostgreSQL(t.Context(), testdb.Options{Settings: map[string]string{"wal_level": "replica"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = noLogical.Stop() })
	if err := noLogical.Exec(t.Context(), "CREATE DATABASE tickit"); err != nil {
		t.Fatal(err)
	}
	statement, err := testdb.StartMySQL(t.Context(), testdb.Options{Settings: map[string]string{"binlog-format": "STATEMENT"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = statement.Stop() })
	mysql := "mysql-tickit"
	for name, f := range map[string]fault{
		"unknown key": {
			daemon: "s3-sink", config: "s3-sink", edit: map[string]string{"flush.size:": "flush.sise:"},
			code: human, says: []string{"s3-sink.yaml:", "flush.sise", `did you mean "flush.size"`},
		},
		"no table of the list": {
			daemon: "cdc-source", config: "postgres-tickit", edit: map[string]string{"ems.category,ems.event,ems.venue": "ems.nowhere"},
			code: human, says: []string{"ems.nowhere", "what to do"},
		},
		"no table of the list in MySQL": {
			daemon: "cdc-source", config: mysql, edit: map[string]string{"ecomm.date,ecomm.listing,ecomm.sale\n": "ecomm.sail\n"},
			code: human, says: []string{"ecomm.sail", "what to do"},
		},
		"wrong password": {
			daemon: "cdc-source", config: "postgres-tickit", env: map[string]string{"POSTGRES_PASSWORD": "wrong"},
			code: human, says: []string{"password", "what to do"},
		},
		"wrong password in MySQL": {
			daemon: "cdc-source", config: mysql, env: map[string]string{"MYSQL_PASSWORD": "wrong"},
			code: human, says: []string{"denied", "what to do"},
		},
		"wrong password in SQL Server": {
			daemon: "cdc-source", config: "sqlserver-tickit", env: map[string]string{"SQLSERVER_PASSWORD": "wrong"},
			code: human, says: []string{"Login failed", "what to do"},
		},
		"changes not captured by SQL Server": {
			daemon: "cdc-source", config: "sqlserver-tickit",
			code: human, says: []string{"EXEC sys.sp_cdc_enable_db", "what to do"},
		},
		"no logical decoding": {
			daemon: "cdc-source", config: "postgres-tickit", env: serverEnv("POSTGRES", noLogical),
			code: human, says: []string{"wal_level", "what to do"},
		},
		"statements in the binlog": {
			daemon: "cdc-source", config: mysql, env: serverEnv("MYSQL", statement),
			code: human, says: []string{"binlog_format", "ROW", "what to do"},
		},
		"no broker": {
			daemon: "cdc-source", config: "postgres-tickit", env: map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"},
			edit: map[string]string{"": "errors.retry.timeout: 0\n"}, code: retry, says: []string{"127.0.0.1:1"},
		},
		"no broker for the sink": {
			daemon: "s3-sink", config: "s3-sink", env: map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"},
			code: retry, says: []string{"127.0.0.1:1"},
		},
		"no registry": {
			daemon: "cdc-source", config: "postgres-tickit", env: map[string]string{"REGISTRY_URL": "http://127.0.0.1:1/apis/registry/v2"},
			edit: map[string]string{"": "errors.retry.timeout: 0\n"}, code: retry, says: []string{"127.0.0.1:1"},
		},
		"no registry for the sink": {
			daemon: "s3-sink", config: "s3-sink", env: map[string]string{"REGISTRY_URL": "http://127.0.0.1:1/apis/registry/v2"},
			code: retry, says: []string{"127.0.0.1:1"},
		},
		"no store": {
			daemon: "s3-sink", config: "s3-sink", env: map[string]string{"LAKE_URL": "http://127.0.0.1:1"},
			edit: map[string]string{"": "s3.bucket.name: lake\ns3.region: us-east-1\naws.access.key.id: a\naws.secret.access.key: b\n"},
			code: retry, says: []string{"127.0.0.1:1"},
		},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); f.test(t, p) })
	}
}

func serverEnv(prefix string, s *testdb.Server) map[string]string {
	_, port, _ := strings.Cut(s.Addr(), ":")
	return map[string]string{
		prefix + "_HOST": s.Host, prefix + "_PORT": port, prefix + "_USER": s.User, prefix + "_PASSWORD": s.Password,
	}
}

func (f fault) test(t *testing.T, p *pipeline.Pipeline) {
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", f.config+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for old, replacement := range f.edit {
		if old == "" {
			text = append(text, replacement...)
			continue
		}
		if !bytes.Contains(text, []byte(old)) {
			t.Fatalf("%s.yaml has no %q", f.config, old)
		}
		text = bytes.ReplaceAll(text, []byte(old), []byte(replacement))
	}
	file := filepath.Join(t.TempDir(), f.config+".yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, f.daemon), "run", "-c", file)
	cmd.Env = append(os.Environ(), p.Env()...)
	for name, value := range f.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	err = cmd.Run()
	t.Logf("after %.1f s:\n%s", time.Since(start).Seconds(), lastLines(stderr.String()))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != f.code {
		t.Fatalf("%v, want exit status %d", err, f.code)
	}
	for _, word := range f.says {
		if !strings.Contains(lastLines(stderr.String()), word) {
			t.Errorf("the error does not say %q", word)
		}
	}
}

// lastLines returns what a person reads last: the error, not the log.
func lastLines(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// A damaged bronze object stops its table, is named, and stops no other table;
// once it is whole again nothing is missing.
func TestDamagedBronzeStopsItsTableAlone(t *testing.T) {
	data := tickit.New(tickit.Small(0))
	p := start(t, data)
	w := newWorkload(p, data, 1)
	if err := w.loadShare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := p.StartDaemons(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, p, 30*time.Second)
	if err := p.Streamer.Stop(); err != nil {
		t.Fatal(err)
	}
	sales, events := bronzeFiles(t, p, "tickit.ecomm.sale"), bronzeFiles(t, p, "tickit.ems.event")
	change(t, p, "UPDATE sale SET qtysold = 99 WHERE salesid = 200", "UPDATE ems.event SET eventname = 'Moved' WHERE eventid = 1")
	damaged := nextFile(t, p, "tickit.ecomm.sale", sales)
	nextFile(t, p, "tickit.ems.event", events)
	whole, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(whole)
	broken[len(broken)-30] ^= 0xff
	if err := os.WriteFile(damaged, broken, 0o644); err != nil {
		t.Fatal(err)
	}
	fault{
		daemon: "deltastreamer", config: "deltastreamer", edit: map[string]string{"name: tickit-deltastreamer\n": "name: tickit-deltastreamer\nmode: once\n"},
		code: human, says: []string{filepath.Base(damaged), "what to do"},
	}.test(t, p)
	rows, err := p.Query(t.Context(), "SELECT (SELECT count(*) FROM event WHERE eventname = 'Moved'), (SELECT count(*) FROM sale WHERE qtysold = 99)", "")
	if err != nil {
		t.Fatal(err)
	}
	if rows[0][0] != "1" || rows[0][1] != "0" {
		t.Errorf("changed events and sales in the lake: %v, want 1 and 0", rows[0])
	}
	if err := os.WriteFile(damaged, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Streamer.Start(); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, p, 30*time.Second)
}

// change runs a statement in MySQL and one in PostgreSQL.
func change(t *testing.T, p *pipeline.Pipeline, inMySQL, inPostgreSQL string) {
	t.Helper()
	err := errors.Join(p.Exec(t.Context(), p.PostgreSQL, inPostgreSQL), p.Exec(t.Context(), p.MySQL, inMySQL))
	if err != nil {
		t.Fatal(err)
	}
}

func bronzeFiles(t *testing.T, p *pipeline.Pipeline, topic string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Lake(), "bronze", "topics", topic, "*", "*", "*", "*.avro"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// nextFile waits for a bronze object of a topic beside those of before.
func nextFile(t *testing.T, p *pipeline.Pipeline, topic string, before []string) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if files := bronzeFiles(t, p, topic); len(files) > len(before) {
			return files[len(files)-1]
		}
	}
	t.Fatalf("no new bronze object of %s", topic)
	return ""
}
