package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// writer is what a table has while it is locked: the lease, the newest slice of
// every file group, and the key index.
type writer struct {
	lease        *lease
	payload      Payload
	named        bool             // keys of one field have its name before them
	head         Instant          // newest instant that groups and index reflect
	seen         string           // newest instant of any action that is known
	groups       []BaseFile       // by number, which the index knows; without a key: replaced
	partitions   map[string][]int // group numbers, by partition
	index        keyIndex
	waiting      waiting         // what waits for other engines
	workers      []*columnWorker // they make columns side by side
	buf          spool           // the file that is being written
	stale        bool            // the table must be read anew before the next commit
	sinceClean   int             // commits since the last clean or the last look for one
	sinceCluster int             // the same of clusterings
}

// Lock takes the table's lease, undoes what a crashed writer has left behind,
// and loads the key index. It returns ErrLocked, as an error that needs a human,
// when another live writer has it. The lease of a process of this machine that
// is gone is taken over at once, any other when it has expired.
func (t *Table) Lock(ctx context.Context) error {
	if t.w != nil {
		return t.KeepLock(ctx)
	}
	if err := t.props.checkWritable(t.base); err != nil {
		return err
	}
	if err := t.checkVersions(ctx); err != nil {
		return err
	}
	payload, err := t.payload()
	if err != nil {
		return err
	}
	w := &writer{stale: true, payload: payload, lease: &lease{
		store: t.store, key: join(t.base, lockFile), base: t.base, owner: processOwner(),
		now: t.opt.Now, validity: t.opt.LockValidity,
	}}
	for range runtime.GOMAXPROCS(0) {
		e, err := basefile.NewEncoder(t.opt.Codec)
		if err != nil {
			return fault.Human(err, "correct the codec of base files")
		}
		w.workers = append(w.workers, &columnWorker{enc: e})
	}
	if err := w.lease.acquire(ctx); err != nil {
		return err
	}
	t.w = w
	if err := t.load(ctx); err != nil {
		t.w = nil
		w.index.close()
		return errors.Join(err, w.lease.release(context.WithoutCancel(ctx)))
	}
	w.sinceClean = t.Timeline().commitsSinceClean()
	return nil
}

// KeepLock renews the lease when it is due. Upsert does so too: only a writer
// that stays idle for longer than Options.LockValidity and wants to keep others
// out has to call it, more often than that.
func (t *Table) KeepLock(ctx context.Context) error {
	if t.w == nil {
		return t.Lock(ctx)
	}
	return t.w.lease.keep(ctx)
}

// Close gives the lease back, if this table has it.
func (t *Table) Close(ctx context.Context) error {
	if t.w == nil {
		return nil
	}
	w := t.w
	t.w = nil
	w.index.close()
	w.buf.close()
	return w.lease.release(ctx)
}

// Evolve changes the schema for rows of schema in, as Schema.Evolve does, and
// reports whether anything changed. The change becomes durable with the next
// Upsert, which makes a commit even if its rows change nothing.
func (t *Table) Evolve(in Schema) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, err := t.schema.Evolve(in, t.base)
	if err != nil {
		return false, err
	}
	if err := t.checkRoles(t.schema, next); err != nil {
		return false, err
	}
	for _, f := range next.Fields[len(t.schema.Fields):] {
		if err := f.check(); err != nil {
			return false, fmt.Errorf("table %s: %w", t.base, err)
		}
	}
	if next.Equal(t.schema) {
		return false, nil
	}
	t.schema, t.evolved = next, true
	return true, nil
}

// load heals the table and reads its groups and keys.
func (t *Table) load(ctx context.Context) error {
	if err := t.Refresh(ctx); err != nil {
		return err
	}
	if err := t.heal(ctx); err != nil {
		return err
	}
	if err := t.dropMetadata(ctx); err != nil {
		return err
	}
	s, err := t.AsOf(ctx, "")
	if err != nil {
		return err
	}
	if err := checkBuckets(t.base, s.files); err != nil {
		return err
	}
	if err := t.readNaming(ctx, s.files); err != nil {
		return err
	}
	if err := t.loadIndex(ctx, s.files); err != nil {
		t.w.index.clear()
		t.w.groups = nil
		return err
	}
	w := t.w
	w.head, w.seen, w.stale = t.Timeline().Newest(), t.Timeline().last(), false
	return nil
}

func (t *Table) addGroup(f BaseFile) (int, error) {
	w := t.w
	if len(w.groups) >= maxGroups {
		return 0, fault.Humanf("make its files larger", "table %s has more than %d file groups", t.base, maxGroups)
	}
	w.groups = append(w.groups, f)
	n := len(w.groups) - 1
	w.partitions[f.Partition] = append(w.partitions[f.Partition], n)
	return n, nil
}

// openFile opens a base file; done closes it.
func (t *Table) openFile(ctx context.Context, key string) (f *openedFile, done func(), err error) {
	o, err := t.store.Open(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	w := &watched{Object: o}
	file, err := w.open()
	if err != nil {
		o.Close()
		return nil, nil, err
	}
	return &openedFile{file, w}, func() { o.Close() }, nil
}

// sync makes sure that the lease is ours and that nobody else has written the
// table since; if somebody has, or a commit of ours failed, it reads it anew.
func (t *Table) sync(ctx context.Context) error {
	if err := t.w.lease.keep(ctx); err != nil {
		return err
	}
	if !t.w.stale {
		newer, err := t.newerThan(ctx, t.w.seen)
		if err != nil {
			return err
		}
		if !newer {
			if newer, err = t.plansChanged(ctx); err != nil {
				return err
			}
		}
		t.w.stale = newer
	}
	if t.w.stale {
		return t.load(ctx)
	}
	return nil
}

// newerThan reports whether the timeline has an instant after time. It costs
// one listing of what is new, however long the timeline is.
func (t *Table) newerThan(ctx context.Context, time string) (bool, error) {
	prefix := join(t.base, ".hoodie/")
	after := prefix + or(time, "/") // '/' precedes the digits
	for info, err := range t.store.List(ctx, prefix, after) {
		if err != nil {
			return false, fmt.Errorf("list timeline of %s: %w", t.base, err)
		}
		name := strings.TrimPrefix(info.Key, prefix)
		if name > ":" {
			break
		}
		if i, ok := parseTimelineFile(name); ok && i.Time > time {
			return true, nil
		}
	}
	return false, nil
}

// newInstant returns a time after every instant of the timeline.
func (t *Table) newInstant() string {
	now := FormatInstant(t.opt.Now())
	last := t.Timeline().last()
	if now > last {
		return now
	}
	at, err := instantTime(last)
	if err != nil {
		return now
	}
	return FormatInstant(at.Add(time.Millisecond))
}

// putNew writes an object that must not exist yet.
func (t *Table) putNew(ctx context.Context, path string, body []byte) error {
	_, err := t.store.Put(ctx, join(t.base, path), bytes.NewReader(body), int64(len(body)), blob.IfAbsent())
	return err
}

// putTimeline writes a file of the timeline.
func (t *Table) putTimeline(ctx context.Context, i Instant, body []byte) error {
	if err := t.putNew(ctx, ".hoodie/"+timelineFile(i), body); err != nil {
		return fmt.Errorf("write timeline of %s: %w", t.base, err)
	}
	return nil
}

// remember adds an instant of ours to the timeline in memory, or its new state.
func (t *Table) remember(i Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w != nil {
		t.w.seen = max(t.w.seen, i.Time)
	}
	all := t.timeline.all
	at := sort.Search(len(all), func(n int) bool { return all[n].Time > i.Time })
	for n := at - 1; n >= 0 && all[n].Time == i.Time; n-- {
		if all[n].Action == i.Action {
			all = slices.Clone(all)
			all[n] = i
			at = -1
			break
		}
	}
	switch {
	case at < 0:
	case at < len(all):
		all = append(all[:at:at], append([]Instant{i}, all[at:]...)...)
	default:
		all = append(all, i) // what older timelines see of the array stays as it is
	}
	t.timeline = &Timeline{all: all, horizon: t.timeline.horizon}
}
