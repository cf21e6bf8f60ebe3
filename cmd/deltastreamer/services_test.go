package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
)

// service calls a table service as a person does, and returns what it prints.
func service(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	for _, c := range serviceCommands() {
		if c.Name != name {
			continue
		}
		r, w, err := os.Pipe()
		must(t, err)
		stdout := os.Stdout
		os.Stdout = w
		err = c.Run(t.Context(), args, quiet)
		os.Stdout = stdout
		w.Close()
		b := make([]byte, 1<<16)
		n, _ := r.Read(b)
		r.Close()
		return string(b[:n]), err
	}
	t.Fatalf("there is no command %s", name)
	return "", nil
}

// servedTable makes a table of several commits, and returns its configuration.
func servedTable(t *testing.T, commits int) (file string, table *lake.Table) {
	t.Helper()
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	must(t, err)
	file = configFile(t, fmt.Sprintf("store.url: file://%s\ntopics.dir: bronze/topics\nindex.dir: memory\nhoodie.parquet.small.file.limit: 0\n"+
		"hoodie.clean.automatic: false\nhoodie.archive.automatic: false\nhoodie.keep.min.commits: 2\nhoodie.keep.max.commits: 3\nhoodie.cleaner.commits.retained: 1\n", dir))
	for n := range commits {
		putRows(t, store, "tickit.ecomm.sale", int64(n*10), 10)
		must(t, run(t.Context(), []string{"-c", file, "--once"}, quiet))
	}
	table, err = lake.Open(t.Context(), store, "default/sale", lake.Options{})
	must(t, err)
	return file, table
}

func TestServicesTellWhatTheyDo(t *testing.T) {
	file, table := servedTable(t, 6)
	rows := func() int64 {
		t.Helper()
		must(t, table.Refresh(t.Context()))
		s, err := table.AsOf(t.Context(), "")
		must(t, err)
		return s.Rows()
	}
	done := table.Timeline().Completed()
	at := func(n int) string { return done[n].Time }
	step := func(name, want string, args ...string) string {
		t.Helper()
		args = append([]string{"-c", file}, args...)
		before := fmt.Sprint(table.Timeline().All())
		dry, err := service(t, name, append(args, "--dry-run")...)
		must(t, err)
		must(t, table.Refresh(t.Context()))
		if after := fmt.Sprint(table.Timeline().All()); after != before || !strings.Contains(dry, "nothing was done") {
			t.Errorf("%s: the dry run printed\n%s\nand made the timeline %s of %s", name, dry, after, before)
		}
		out, err := service(t, name, args...)
		must(t, err)
		must(t, table.Refresh(t.Context()))
		if !strings.Contains(out, want) || !strings.Contains(out, "done: ") || fmt.Sprint(table.Timeline().All()) == before {
			t.Errorf("%s printed\n%s", name, out)
		}
		return out
	}
	step("savepoint", "create savepoint "+at(2), "create", "sale", at(2), "--comment", "before the sale")
	if out, err := service(t, "savepoint", "-c", file, "list", "sale"); err != nil || !strings.Contains(out, at(2)+"\n1 savepoint\n") {
		t.Errorf("list: %s, %v", out, err)
	}
	if _, err := service(t, "rollback", "-c", file, "sale", at(3)); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), at(5)) {
		t.Errorf("rollback of an older commit: %v", err)
	}
	step("rollback", "1 base file is removed", "sale", at(5))
	if n := rows(); n != 50 {
		t.Errorf("%d rows after the rollback", n)
	}
	step("restore", "2 instants, "+at(4)+" to "+at(3), "sale", at(2))
	if n := rows(); n != 30 {
		t.Errorf("%d rows after the restore", n)
	}
	step("savepoint", "delete savepoint", "delete", "sale", at(2))
	step("cluster", "3 small files become 1", "--min-files", "2", "sale")
	if n := rows(); n != 30 {
		t.Errorf("%d rows after the clustering", n)
	}
	must(t, run(t.Context(), []string{"-c", file, "--once"}, quiet)) // bronze is read again from the restored checkpoint
	if n := rows(); n != 60 {
		t.Errorf("%d rows after going on", n)
	}
	out := step("clean", "the oldest instant that can be read is then", "--commits", "1", "--list", "sale")
	if !strings.Contains(out, ".parquet") {
		t.Errorf("clean names no file:\n%s", out)
	}
	step("archive", "instants, "+at(0), "sale")
	if out, err := service(t, "clean", "-c", file, "--commits", "1", "sale"); err != nil || !strings.Contains(out, "nothing to do") {
		t.Errorf("a second clean: %s, %v", out, err)
	}
	if n := rows(); n != 60 {
		t.Errorf("%d rows in the end", n)
	}
}

func TestServicesRefuse(t *testing.T) {
	file, table := servedTable(t, 1)
	for _, c := range []struct {
		args string
		want string
	}{
		{"clean -c FILE", "takes a table"},
		{"clean sale", "configuration file is needed"},
		{"clean -c FILE --hours -1 sale", "--hours -1: must be 1 or more"},
		{"clean -c FILE --hours 0 sale", "--hours 0: must be 1 or more"},
		{"clean -c FILE sale --commits 0", "--commits 0: must be 1 or more"},
		{"clean -c FILE --hours 3 sale --commits 2", "exclude each other"},
		{"clean -c FILE nope", "no hudi table"},
		{"rollback -c FILE sale", "an instant"},
		{"restore -c FILE sale 20260101000000000", "no savepoint 20260101000000000"},
		{"savepoint -c FILE", "create, delete or list"},
		{"savepoint -c FILE make sale", "none of create"},
		{"savepoint -c FILE delete sale 20260101000000000", "no savepoint 20260101000000000"},
		{"savepoint -c FILE create sale 20260101000000000", "no completed commit"},
		{"savepoint -c FILE create sale 20260101000000000 --dry-run", "no completed commit"},
		{"archive -c FILE --hours 3 sale", "not defined"},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "FILE", file))
		if _, err := service(t, args[0], args[1:]...); !fault.NeedsHuman(err) || fault.Hint(err) == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%s)", c.args, err, fault.Hint(err))
		}
	}
	must(t, table.Lock(t.Context()))
	defer table.Close(t.Context())
	if _, err := service(t, "savepoint", "-c", file, "create", "sale"); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("beside a writer: %v", err)
	}
}

// TestNoFoldersAreMadeForAMistypedPath asks about a lake that is not there.
func TestNoFoldersAreMadeForAMistypedPath(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{
		"store.url: file://" + dir + "/nope\n",
		"store.url: file://" + dir + "\nhoodie.streamer.ingestion.targetBasePath: file://" + dir + "/nope\n",
	} {
		file := configFile(t, text)
		err := check(t.Context(), []string{"-c", file}, quiet)
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), dir+"/nope") {
			t.Errorf("check: %v", err)
		}
		if _, err := service(t, "clean", "-c", file, "sale"); !fault.NeedsHuman(err) {
			t.Errorf("clean: %v", err)
		}
		if found, _ := filepath.Glob(dir + "/nope*"); len(found) > 0 {
			t.Errorf("made %v", found)
		}
	}
}
