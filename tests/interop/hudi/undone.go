package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"tributary/lake"
)

// writeRestored was taken back to a savepoint, past a clustering and a clean, and
// was written on.
func writeRestored(ctx context.Context, dir string) error {
	m, err := newModel(ctx, dir, byDay("restored"), lake.Options{MaxFileRows: 6})
	if err != nil {
		return err
	}
	for n := range 3 {
		if err := m.commit(ctx, upserts(int64(20*n), int64(20*n+40), n+1)); err != nil {
			return err
		}
	}
	savepoint := m.table.Timeline().Newest().Time
	if err := m.table.Savepoint(ctx, savepoint, "interop", "all is well"); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	saved := maps.Clone(m.rows)
	if err := m.spoil(ctx); err != nil {
		return err
	}
	var undone []lake.Instant
	for _, i := range m.table.Timeline().Completed() {
		if i.Time > savepoint {
			undone = append(undone, i)
		}
	}
	restored, err := m.table.Restore(ctx, savepoint)
	if err != nil || restored.IsZero() || len(undone) < 3 {
		return fmt.Errorf("restore to %s, undoing %v: %v, %w", savepoint, undone, restored, err)
	}
	m.rows = saved
	for _, i := range undone {
		if err := os.Remove(filepath.Join(m.dir, "expected", i.Time+".jsonl")); err != nil {
			return err
		}
	}
	for n := range 2 {
		if err := m.commit(ctx, upserts(int64(70+10*n), int64(90+10*n), 10+n)); err != nil {
			return err
		}
	}
	return m.table.Close(ctx)
}

// spoil makes changes that are to be undone: rows that change, come and go, files
// that are merged, and a clean.
func (m *model) spoil(ctx context.Context) error {
	bad := append(upserts(0, 30, 7), upserts(200, 210, 7)...)
	for _, c := range [][]change{bad, {{lake.Delete, everyRow(45, 8)}, {lake.Delete, everyRow(46, 8)}}} {
		if err := m.commit(ctx, c); err != nil {
			return err
		}
	}
	if err := m.reopen(ctx); err != nil { // a writer that likes larger files goes on
		return err
	}
	clustered, err := m.table.Cluster(ctx, lake.Clustering{MinFiles: 2})
	if err != nil || clustered.IsZero() {
		return fmt.Errorf("cluster: %v, %w", clustered, err)
	}
	if err := m.expectAt(clustered); err != nil {
		return err
	}
	if _, err := m.table.Clean(ctx, lake.Retention{Commits: 1}); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	return nil
}
