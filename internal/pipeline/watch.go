package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
	"tributary/internal/tickit"
	"tributary/internal/topic"
	"tributary/lake"
	"tributary/lake/blob"
)

// Watcher looks at how far the rows have got, from the outside: the ends of the
// topics and the tables' timelines.
type Watcher struct {
	admin  *topic.Admin
	store  *blob.Dir
	tables map[string]*lake.Table
}

// NewWatcher connects to the broker and the lake. The caller closes it.
func (p *Pipeline) NewWatcher(ctx context.Context) (*Watcher, error) {
	store, err := blob.NewDir(p.Lake())
	if err != nil {
		return nil, err
	}
	admin, err := topic.NewAdmin(ctx, p.kafkaOptions("demo-watcher"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return &Watcher{admin: admin, store: store, tables: map[string]*lake.Table{}}, nil
}

func (p *Pipeline) kafkaOptions(client string) topic.Options {
	return topic.Options{
		Brokers: []string{p.Kafka}, ClientID: client, Protocol: "PLAINTEXT", Compression: "none",
		MaxRequest: 1 << 20, TransactionTimeout: time.Minute, DeliveryTimeout: time.Minute,
	}
}

// Close disconnects.
func (w *Watcher) Close() { w.admin.Close() }

// Topic returns the topic of a table.
func Topic(t tickit.Table) string { return "tickit." + t.FullName() }

// Events returns how many records a table's topic holds, those that end
// transactions included; 0 if there is no such topic yet.
func (w *Watcher) Events(ctx context.Context, t tickit.Table) (int64, error) {
	ends, err := w.admin.End(ctx, Topic(t))
	if errors.Is(err, topic.ErrNoTopic) {
		return 0, nil
	}
	n := int64(0)
	for _, end := range ends {
		n += end
	}
	return n, err
}

// Table returns a table of the lake with its timeline as it is now, or nil if
// there is no such table yet.
func (w *Watcher) Table(ctx context.Context, name string) (*lake.Table, error) {
	if t := w.tables[name]; t != nil {
		return t, t.Refresh(ctx)
	}
	refs, err := lake.Tables(ctx, w.store, "silver")
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if ref.Name != name {
			continue
		}
		t, err := lake.Open(ctx, w.store, ref.Base, lake.Options{})
		if err != nil {
			return nil, err
		}
		w.tables[name] = t
		return t, nil
	}
	return nil, nil
}

// Rows returns how many rows a table of the lake has, deleted ones included.
func (w *Watcher) Rows(ctx context.Context, name string) (int64, error) {
	t, err := w.Table(ctx, name)
	if t == nil || err != nil {
		return 0, err
	}
	s, err := t.AsOf(ctx, "")
	if err != nil {
		return 0, err
	}
	return s.Rows(), nil
}

// Completed returns when a commit of a table was completed.
func (w *Watcher) Completed(t *lake.Table, instant string) (time.Time, error) {
	path := w.store.Path(t.Base() + "/.hoodie/" + instant + ".commit")
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Progress is how far the load has got.
type Progress struct {
	Events int64 // in Kafka
	Rows   int64 // in the lake
	Total  int64 // in the databases
}

// WaitLoaded waits until the lake has as many rows of each table as want says,
// and reports progress a few times a second.
func (p *Pipeline) WaitLoaded(ctx context.Context, w *Watcher, want map[string]int64, report func(Progress)) error {
	for {
		var now Progress
		done := true
		for _, t := range tickit.Tables() {
			events, err := w.Events(ctx, t)
			if err != nil {
				return err
			}
			rows, err := w.Rows(ctx, t.Name)
			if err != nil {
				return fmt.Errorf("look at table %s of the lake: %w", t.Name, err)
			}
			now.Events += min(events, want[t.Name])
			now.Rows += rows
			now.Total += want[t.Name]
			done = done && rows >= want[t.Name]
		}
		report(now)
		if done {
			return nil
		}
		if err := p.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(150 * time.Millisecond):
		}
	}
}

// FolderSize returns the number and the bytes of the files below a folder whose
// names match a pattern.
func FolderSize(dir, pattern string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone while we looked
		}
		if err != nil || d.IsDir() {
			return err
		}
		if ok, err := filepath.Match(pattern, d.Name()); !ok || err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	return files, bytes, err
}
