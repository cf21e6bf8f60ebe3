package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// bin is where TestMain puts the binaries that the tests run.
var bin string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run builds what is tested, so that no stale binary ever is.
func run(m *testing.M) (int, error) {
	build, err := testdb.BuildDir()
	if err != nil {
		return 0, err
	}
	bin = filepath.Join(build, "e2e", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return 0, err
	}
	for name, cgo := range map[string]string{"cdc-source": "0", "s3-sink": "0", "deltastreamer": "0", "demo": "0", "lakeq": "1"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(bin, name), "tributary/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return m.Run(), nil
}

// neverCached keeps go test from repeating this result: it cannot see that the
// daemons have changed. It does not when a file that the test looked at is new.
func neverCached(file string) error {
	if err := os.WriteFile(file, []byte(time.Now().String()), 0o644); err != nil {
		return err
	}
	_, err := os.ReadFile(file)
	return err
}

// start runs databases, broker and registry for a test, with empty tables.
func start(t *testing.T, data *tickit.Data) *pipeline.Pipeline {
	t.Helper()
	build, err := testdb.BuildDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(build, "e2e", strings.ReplaceAll(t.Name(), "/", "-"))
	p, err := pipeline.Start(t.Context(), pipeline.Options{Root: filepath.Dir(build), Bin: bin, Dir: dir, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := neverCached(filepath.Join(build, "e2e", "ran")); err != nil {
			t.Error(err)
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("logs and lake are left in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := p.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// waitEqual waits until the lake equals the databases, which nobody changes
// any more.
func waitEqual(t *testing.T, p *pipeline.Pipeline, limit time.Duration) {
	t.Helper()
	var checks []pipeline.TableCheck
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		// A table that is not there yet is an error of lakeq.
		checks, err = p.Check(t.Context())
		if err == nil && pipeline.Equal(checks) {
			return
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !c.Equal() {
			t.Errorf("%s: %d rows, %s in the database; %d rows, %s in the lake",
				c.Table.FullName(), c.Source.Rows, c.Source, c.Lake.Rows, c.Lake)
		}
	}
}

// workload changes the databases at random, as applications do.
type workload struct {
	p      *pipeline.Pipeline
	data   *tickit.Data
	rand   *rand.Rand
	loaded map[string]int // rows of a table that were inserted so far
	newKey int
}

func newWorkload(p *pipeline.Pipeline, data *tickit.Data, seed uint64) *workload {
	return &workload{p: p, data: data, rand: rand.New(rand.NewPCG(seed, 1)), loaded: map[string]int{}, newKey: 1_000_000}
}

// load inserts the next rows of a table, at most n.
func (w *workload) load(ctx context.Context, table tickit.Table, n int) error {
	from := w.loaded[table.Name]
	to := min(from+n, w.data.Rows(table.Name))
	if from == to {
		return nil
	}
	if _, err := w.p.LoadRange(ctx, table, from, to); err != nil {
		return err
	}
	w.loaded[table.Name] = to
	return nil
}

// loadShare inserts a share of every table.
func (w *workload) loadShare(ctx context.Context, share float64) error {
	for _, table := range tickit.Tables() {
		if err := w.load(ctx, table, int(float64(w.data.Rows(table.Name))*share)); err != nil {
			return err
		}
	}
	return nil
}

// step makes one random change, of one or of many rows.
func (w *workload) step(ctx context.Context) error {
	tables := tickit.Tables()
	table := tables[w.rand.IntN(len(tables))]
	server, _ := w.p.Server(table)
	key, low := table.Key(), 1+w.rand.IntN(max(1, w.loaded[table.Name]))
	few := fmt.Sprintf(" WHERE %s BETWEEN %d AND %d", key, low, low+w.rand.IntN(20))
	switch w.rand.IntN(6) {
	case 0, 1:
		return w.load(ctx, table, 1+w.rand.IntN(400))
	case 2:
		// The first row stays: a table that was empty before it was captured has
		// no topic and no table in the lake to compare with.
		return w.p.Exec(ctx, server, "DELETE FROM "+table.Quoted()+few+" AND "+key+" > 1")
	case 3: // a new key for an old row: to the lake a delete and an insert
		w.newKey++
		if table.Columns[0].Type == "SMALLINT" {
			return nil
		}
		return w.p.Exec(ctx, server, fmt.Sprintf("UPDATE %s SET %s = %d WHERE %s = %d", table.Quoted(), key, w.newKey, key, low))
	default:
		return w.p.Exec(ctx, server, "UPDATE "+table.Quoted()+" SET "+w.assignment(table)+few)
	}
}

// assignment sets a column that is not the key to another value, or to NULL.
func (w *workload) assignment(table tickit.Table) string {
	c := table.Columns[1+w.rand.IntN(len(table.Columns)-1)]
	if w.rand.IntN(4) == 0 {
		return c.Name + " = NULL"
	}
	n := w.rand.IntN(10000)
	switch {
	case strings.HasPrefix(c.Type, "VARCHAR") && table.InSQLServer():
		return fmt.Sprintf("%s = N'ü%d'", c.Name, n)
	case strings.HasPrefix(c.Type, "VARCHAR"):
		return fmt.Sprintf("%s = 'ü%d'", c.Name, n)
	case strings.HasPrefix(c.Type, "CHAR"):
		return c.Name + " = " + c.Name // a change that changes nothing
	case c.Type == tickit.Boolean && table.InSQLServer():
		return fmt.Sprintf("%s = %d", c.Name, n%2)
	case c.Type == tickit.Boolean:
		return fmt.Sprintf("%s = %t", c.Name, n%2 == 0)
	case c.Type == "DATE":
		return fmt.Sprintf("%s = '20%02d-02-28'", c.Name, n%100)
	case c.Type == tickit.Timestamp, c.Type == tickit.Zoned:
		return fmt.Sprintf("%s = '20%02d-02-28 23:59:%02d'", c.Name, n%30, n%60)
	case strings.HasPrefix(c.Type, "DECIMAL"):
		return fmt.Sprintf("%s = -%d.%02d", c.Name, n, n%100)
	default:
		return fmt.Sprintf("%s = %d", c.Name, n)
	}
}

// steps makes n random changes.
func (w *workload) steps(ctx context.Context, n int) error {
	for range n {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	return nil
}
