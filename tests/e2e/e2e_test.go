package e2e

import (
	"fmt"
	"testing"
	"time"
	"tributary/internal/tickit"
)

// Rows that were there before the snapshot, rows that came with the log, and
// every sort of change arrive equal, and a look back finds what was.
func TestLakeEqualsDatabases(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	data := tickit.New(tickit.Small(20000))
	p := start(t, data)
	w := newWorkload(p, data, seed)
	ctx := t.Context()
	if err := w.loadShare(ctx, 0.5); err != nil {
		t.Fatal(err)
	}
	if err := p.StartDaemons(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, p, 30*time.Second)

	before, err := p.Query(ctx, "SELECT max(_hoodie_commit_time) FROM sale", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.steps(ctx, 300); err != nil {
		t.Fatal(err)
	}
	if err := w.loadShare(ctx, 1); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, p, 30*time.Second)

	then, err := p.Query(ctx, "SELECT count(*) FROM sale", before[0][0])
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(data.Rows("sale") / 2); then[0][0] != want {
		t.Errorf("sales as of %s: %s, want %s", before[0][0], then[0][0], want)
	}
}
