package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"tributary/internal/column"
	"tributary/lake/blob"
	"tributary/lake/merge"
)

// Upsert applies rows in one commit, whose extra metadata gets extra; the key
// "schema" is the table's own. It takes the lease first if Lock was not called.
// A row wins over the stored row with its key when its precombine value is not
// smaller; so giving the same rows again changes nothing, and cutting a
// sequence of rows into batches differently gives the same table. When no row,
// no value of extra and no column has changed, no commit is made and the
// instant returned is that of the newest commit.
//
// After an error the outcome is old or, if the error struck while the commit
// was being published, new: call Upsert again with the same rows, or open the
// table anew.
func (t *Table) Upsert(ctx context.Context, rows Rows, extra map[string]string) (Instant, error) {
	if err := t.ready(ctx); err != nil {
		return Instant{}, err
	}
	c, err := t.newChange(rows, opUpsert, nil)
	if err != nil {
		return Instant{}, err
	}
	if err := c.plan(ctx); err != nil {
		return Instant{}, err
	}
	return c.write(ctx, extra)
}

// write commits a planned change.
func (c *change) write(ctx context.Context, extra map[string]string) (Instant, error) {
	t := c.t
	plans, err := c.place()
	if err != nil {
		return Instant{}, err
	}
	if err := c.checkFrozen(plans); err != nil {
		return Instant{}, err
	}
	if len(plans) == 0 && c.replace == nil {
		same, err := t.sameExtra(ctx, extra)
		if err != nil || same {
			return t.w.head, err
		}
	}
	i, err := c.commit(ctx, plans, extra)
	if err != nil {
		t.w.stale = true
		return Instant{}, fmt.Errorf("commit to %s: %w", t.base, err)
	}
	if c.bundled == nil {
		t.serve(ctx)
	}
	return i, nil
}

// sameExtra reports whether a commit without rows would say nothing new.
func (t *Table) sameExtra(ctx context.Context, extra map[string]string) (bool, error) {
	if t.evolved {
		return false, nil
	}
	if t.w.head.IsZero() {
		return len(extra) == 0, nil
	}
	head, err := t.Commit(ctx, t.w.head)
	if err != nil {
		return false, err
	}
	for k, v := range extra {
		if have, ok := head.Extra[k]; k != extraSchema && (!ok || have != v) {
			return false, nil
		}
	}
	return true, nil
}

// commit writes the planned files and publishes them:
//
//  1. requested, then inflight: the timeline knows of the write
//  2. markers: every data file is announced before it is there
//  3. partition metadata, data files
//  4. the lease is made sure of, and the completed instant is put if absent:
//     this is the commit
//  5. markers are removed
//
// A crash before 4 leaves a pending instant that the next writer rolls back.
func (c *change) commit(ctx context.Context, plans []*filePlan, extra map[string]string) (Instant, error) {
	t := c.t
	began := time.Now()
	i := Instant{Time: t.newInstant(), Action: ActionCommit, State: StateRequested}
	profile, err := c.profile(plans).format()
	if err != nil {
		return Instant{}, err
	}
	done := &Commit{Stats: map[string][]WriteStat{}, Extra: map[string]string{}, Operation: c.operation}
	var requested []byte
	if c.replace != nil {
		i.Action = ActionReplaceCommit
		done.Replaced = c.replacedIDs()
		if requested, err = c.requested(); err != nil {
			return Instant{}, err
		}
	}
	beat := heartbeat{t: t, instant: i.Time}
	err = t.w.lease.during(ctx, func(ctx context.Context) error {
		if err := beat.keep(ctx); err != nil {
			return err
		}
		if err := t.putTimeline(ctx, i, requested); err != nil {
			return err
		}
		i.State = StateInflight
		if err := t.putTimeline(ctx, i, profile); err != nil {
			return err
		}
		return c.putMarkers(ctx, i.Time, plans)
	})
	if err != nil {
		return Instant{}, err
	}
	maps.Copy(done.Extra, extra)
	done.Extra[extraSchema] = c.schema.JSON()
	for n, p := range plans {
		var stat WriteStat
		err := t.w.lease.during(ctx, func(ctx context.Context) (err error) {
			if err := beat.keep(ctx); err != nil {
				return err
			}
			stat, err = c.putFile(ctx, p, i.Time, n)
			return err
		})
		if err != nil {
			return Instant{}, fmt.Errorf("write file group %s: %w", p.base.FileID, err)
		}
		done.Stats[p.base.Partition] = append(done.Stats[p.base.Partition], stat)
	}
	t.w.buf.release()
	i.State = StateCompleted
	err = t.w.lease.during(ctx, func(ctx context.Context) error { return c.publish(ctx, i, done) })
	if err == nil {
		err = t.stillOurs(ctx, i)
	}
	if err != nil {
		return Instant{}, err
	}
	c.adopt(ctx, plans, i, done)
	if err := errors.Join(t.deleteBelow(ctx, ".hoodie/.temp/"+i.Time+"/"), beat.end(ctx)); err != nil {
		// The commit stands, and the next one removes them.
		t.w.stale = true
		t.opt.Log.Warn("markers are left behind", "table", t.base, "instant", i.Time, "err", err)
	}
	t.opt.Log.Info("committed", "table", t.base, "instant", i.Time, "files", len(plans),
		"rows", c.batch.Len, "took", time.Since(began).Round(time.Millisecond))
	return i, nil
}

// profile is the body of the inflight instant: what is about to be done.
func (c *change) profile(plans []*filePlan) *Commit {
	out := &Commit{Stats: map[string][]WriteStat{}, Extra: map[string]string{}, Operation: c.operation}
	for _, p := range plans {
		s := WriteStat{PrevCommit: "null", NumInserts: int64(len(p.inserts)), NumUpdates: int64(p.updates)}
		if p.group >= 0 {
			s.FileID, s.PrevCommit = p.base.FileID, p.base.Instant
		}
		out.Stats[p.base.Partition] = append(out.Stats[p.base.Partition], s)
	}
	return out
}

// putMarkers announces every file, in the form of Hudi's timeline server, which
// takes two objects however many files there are.
func (c *change) putMarkers(ctx context.Context, instant string, plans []*filePlan) error {
	if len(plans) == 0 {
		return nil
	}
	var list strings.Builder
	for n, p := range plans {
		kind := "MERGE"
		if p.group < 0 {
			kind = "CREATE"
		}
		list.WriteString(join(p.base.Partition, p.fileName(instant, n)) + ".marker." + kind + "\n")
	}
	folder := ".hoodie/.temp/" + instant + "/"
	if err := c.t.putNew(ctx, folder+"MARKERS.type", []byte("TIMELINE_SERVER_BASED")); err != nil {
		return fmt.Errorf("write markers: %w", err)
	}
	if err := c.t.putNew(ctx, folder+"MARKERS0", []byte(list.String())); err != nil {
		return fmt.Errorf("write markers: %w", err)
	}
	return nil
}

// putFile writes the file of a plan.
func (c *change) putFile(ctx context.Context, p *filePlan, instant string, task int) (WriteStat, error) {
	t := c.t
	buf := &t.w.buf
	if err := t.putPartition(ctx, p.base.Partition, instant); err != nil {
		return WriteStat{}, err
	}
	s := WriteStat{FileID: p.base.FileID, PrevCommit: "null", Partition: p.base.Partition}
	if p.group >= 0 {
		s.PrevCommit = p.base.Instant
	}
	size := p.base.Size
	if len(p.inserts) > 0 {
		size += int64(t.rowBytes() * float64(len(p.inserts)))
	}
	buf.reset(size + size/16)
	if err := c.writeFile(ctx, p, instant, task, buf); err != nil {
		return WriteStat{}, err
	}
	s.Path = join(p.base.Partition, p.fileName(instant, task))
	if _, err := t.store.Put(ctx, join(t.base, s.Path), buf.reader(), buf.size, blob.IfAbsent()); err != nil {
		return WriteStat{}, err
	}
	p.base.Key, p.base.Instant, p.base.Size = join(t.base, s.Path), instant, buf.size
	s.NumWrites, s.NumInserts = p.base.Rows, int64(len(p.inserts))
	if p.sources != nil {
		s.NumInserts = s.NumWrites
	}
	s.NumUpdates, s.NumDeletes, s.FileSize = int64(p.updates), int64(p.deletes), p.base.Size
	return s, nil
}

// putPartition writes a partition's metadata before its first file.
func (t *Table) putPartition(ctx context.Context, partition, instant string) error {
	if len(t.w.partitions[partition]) > 0 {
		return nil
	}
	depth := 0
	if partition != "" {
		depth = strings.Count(partition, "/") + 1
	}
	now := t.opt.Now().UTC().Format("Mon Jan 02 15:04:05 UTC 2006")
	body := "#partition metadata\n#" + now + "\ncommitTime=" + instant + "\npartitionDepth=" + strconv.Itoa(depth) + "\n"
	err := t.putNew(ctx, join(partition, ".hoodie_partition_metadata"), []byte(body))
	if err != nil && !errors.Is(err, blob.ErrExist) {
		return fmt.Errorf("write partition metadata: %w", err)
	}
	return nil
}

// publish puts the completed instant.
func (c *change) publish(ctx context.Context, i Instant, done *Commit) error {
	t := c.t
	body, err := done.format()
	if err != nil {
		return err
	}
	err = t.putTimeline(ctx, i, body)
	if errors.Is(err, blob.ErrExist) {
		// A store client that tried twice may meet its own first try.
		have, readErr := readObject(ctx, t.store, join(t.base, ".hoodie/"+timelineFile(i)))
		if readErr == nil && bytes.Equal(have, body) {
			return nil
		}
	}
	return err
}

// adopt makes the commit part of the writer's picture of the table.
func (c *change) adopt(ctx context.Context, plans []*filePlan, i Instant, done *Commit) {
	t := c.t
	t.w.index.begin()
	var hashes []uint64
	if c.replace != nil {
		t.adoptReplaced(c.replace)
	}
	for _, p := range plans {
		n := p.group
		if n < 0 {
			var err error
			if n, err = t.addGroup(p.base); err != nil {
				t.w.stale = true
				return
			}
		}
		t.w.groups[n] = p.base
		for _, k := range p.removed {
			t.w.index.remove(merge.Hash(c.merge.Key(int(k))), n)
		}
		hashes = hashes[:0]
		for _, k := range p.inserts {
			hashes = append(hashes, merge.Hash(c.keyOf(k)))
		}
		t.w.index.addAll(hashes, n)
		if p.sources != nil {
			if err := t.indexKeys(ctx, n, new(column.Column), false); err != nil {
				// Not in the picture, so that it is read with the next commit.
				t.w.groups[n], t.w.stale = BaseFile{}, true
				t.opt.Log.Warn("keys of a merged file not read, to be tried again", "table", t.base, "err", err)
			}
		}
	}
	t.saveIndex()
	t.mu.Lock()
	delete(t.commits, t.w.head.Time) // a long-running writer needs the newest alone
	t.commits[i.Time] = done
	t.evolved = false
	t.mu.Unlock()
	t.remember(i)
	t.w.head = i
}
