package postgres

import (
	"bytes"
	"context"
	"slices"

	"tributary/capture/snapshot"
)

// added returns the captured tables that are not in our publication yet,
// though there is a position already: they were added to the connector's
// tables, or made, since. Their rows are to be read before their changes are
// followed. Where the publication is not ours to change, or no rows are to be
// read, there are none.
func (s *Source) added(ctx context.Context, c *catalog, pos *position, tables []*tableInfo) ([]*tableInfo, error) {
	if pos == nil || pos.Snapshot != nil || s.opts.PublicationMode != "filtered" {
		return nil, nil
	}
	p, err := c.publication(ctx, s.opts.Publication, tables)
	if err != nil || !p.exists || p.viaRoot != s.opts.ViaRoot {
		return nil, err
	}
	var out []*tableInfo
	for _, t := range tables {
		if !t.published {
			out = append(out, t)
		}
	}
	if len(out) > 0 && !s.opts.readsRows() {
		for _, t := range out {
			s.log.Warn("a table was added; its rows of before are not captured", "table", t.id.String(), "snapshot_mode", s.opts.SnapshotMode)
		}
		return nil, nil
	}
	return out, nil
}

// catchUp reads the rows of tables that were added, then follows the log.
//
// A change reaches us only if the publication had the table when it was made.
// So the publication comes first, then the snapshot, which sees everything from
// before. What is left to read must be durable even before the publication:
// after a crash in between nothing else would tell.
func (s *Source) catchUp(ctx context.Context, l *life, pos position, tables, added []*tableInfo) error {
	pos.Snapshot = &snapshot.Progress{}
	for _, t := range tables {
		if !slices.Contains(added, t) {
			pos.Snapshot.Done = append(pos.Snapshot.Done, t.id.String())
		}
	}
	for _, t := range added {
		s.log.Info("a table was added; its rows are read first", "table", t.id.String())
	}
	if err := l.settle(ctx, &pos); err != nil {
		return err
	}
	if err := s.publish(ctx, l.cat, tables); err != nil {
		return err
	}
	work, err := s.resumeSnapshot(ctx, l, pos, tables)
	if err != nil {
		return err
	}
	return work(ctx)
}

// settle hands a position to the reader and waits until it is acknowledged.
func (l *life) settle(ctx context.Context, pos *position) error {
	b := l.pipe.Batch()
	var err error
	if b.End, err = pos.append(b.End[:0]); err != nil {
		return err
	}
	want := bytes.Clone(b.End)
	l.awaited.Store(&want)
	if _, err := l.pipe.Put(ctx, b); err != nil {
		return err
	}
	select {
	case <-l.arrived:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
