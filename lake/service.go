package lake

import (
	"context"
	"time"
)

// Services is what a table does by itself after a commit. The zero value does
// nothing. A step that fails is logged and tried again after a later commit; the
// commit stands.
type Services struct {
	// Clean removes what Keep does not keep, when CleanEvery commits (default 10)
	// have been made since the last clean. Each time costs a listing of the table.
	Clean      bool
	Keep       Retention
	CleanEvery int
	// Archive moves instants off the active timeline, down to ArchiveLeast
	// completed commits (default 20) when there are more than ArchiveMost
	// (default 30) and cleaning has passed them.
	Archive      bool
	ArchiveLeast int
	ArchiveMost  int
	// Cluster merges small files, as Table.Cluster does with Clustering, every
	// ClusterEvery commits (default 4).
	Cluster      bool
	ClusterEvery int
	Clustering   Clustering
}

func (s Services) withDefaults() Services {
	positive := func(v *int, byDefault int) {
		if *v <= 0 {
			*v = byDefault
		}
	}
	positive(&s.CleanEvery, 10)
	positive(&s.ArchiveLeast, 20)
	positive(&s.ArchiveMost, max(30, s.ArchiveLeast+10))
	positive(&s.ClusterEvery, 4)
	return s
}

// serve does the steps that are due after a commit.
func (t *Table) serve(ctx context.Context) {
	s, w := &t.opt.Services, t.w
	due := func(name string, step func() error) {
		began := time.Now()
		if err := step(); err != nil {
			w.stale = true
			t.opt.Log.Warn("table service failed, to be tried again", "table", t.base, "service", name,
				"err", err, "took", time.Since(began).Round(time.Millisecond))
		}
	}
	if w.sinceCluster++; s.Cluster && w.sinceCluster >= s.ClusterEvery {
		w.sinceCluster = 0
		due("clustering", func() error {
			_, err := t.cluster(ctx, s.Clustering)
			return err
		})
		if w.stale {
			return
		}
	}
	if w.sinceClean++; s.Clean && w.sinceClean >= s.CleanEvery {
		w.sinceClean = 0
		due("clean", func() error {
			_, err := t.clean(ctx, s.Keep)
			return err
		})
		if s.Archive && !w.stale {
			due("archive", func() error {
				_, err := t.archive(ctx, s.ArchiveLeast, s.ArchiveMost)
				return err
			})
		}
	}
}

// commitsSinceClean counts the writes after the newest clean.
func (t *Timeline) commitsSinceClean() int {
	n := 0
	for i := len(t.all) - 1; i >= 0 && t.all[i].Action != ActionClean; i-- {
		if t.all[i].State == StateCompleted && t.all[i].Action.writesData() {
			n++
		}
	}
	return n
}
