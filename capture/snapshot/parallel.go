package snapshot

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"tributary/envelope"
)

// Splitter finds the ends of chunks without reading them.
type Splitter interface {
	// Split returns the key of the last row of c as After and Limit tell it,
	// in the form that After has; nil if the table ends before.
	Split(ctx context.Context, c Chunk) ([][]byte, error)
}

// What readers are ahead of the delivery is bounded in bytes, for all of them
// together (see budget): neither their number nor the size of rows changes it by
// more than the part that each has in work.
const (
	partRows  = 1000
	partBytes = 256 << 10
	aheadMost = 8 << 20 // bytes of parts that wait to be delivered
)

// job is a chunk that one of the readers reads.
type job struct {
	chunk       Chunk
	first, last bool       // of what is left of its table
	parts       chan *part // closed when the chunk is complete
	held        int        // bytes of parts; budget's
}

// partsMost is more parts of a chunk than the budget lets wait.
const partsMost = aheadMost/partLeast + 2

// parallel has each of the readers read chunks, and delivers them in the order
// of the tables and their keys.
func (s *run) parallel(ctx context.Context, readers []Reader, left []*envelope.Codec) error {
	g, ctx := errgroup.WithContext(ctx)
	ahead := newBudget(aheadMost)
	order, jobs := make(chan *job, len(readers)), make(chan *job)
	plan := s.Plan // what is delivered moves the progress on
	g.Go(func() error {
		defer close(order)
		defer close(jobs)
		for _, c := range left {
			if err := plan.split(ctx, c, order, jobs); err != nil {
				return fmt.Errorf("snapshot of %s: %w", c.Table.ID, err)
			}
		}
		return nil
	})
	for _, r := range readers {
		g.Go(func() error {
			for j := range jobs {
				if err := plan.read(ctx, r, j, ahead); err != nil {
					return fmt.Errorf("snapshot of %s: %w", j.chunk.Codec.Table.ID, err)
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for j := range order {
			if err := s.deliver(ctx, j, ahead); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return g.Wait()
}

// split makes the jobs of a table. One without a key or places is a single job.
func (p *Plan) split(ctx context.Context, c *envelope.Codec, order, jobs chan<- *job) error {
	chunk := p.begin(c)
	for first := true; ; first = false {
		j := &job{chunk: chunk, first: first, last: true, parts: make(chan *part, partsMost)}
		if chunk.Limit = 0; p.places(c) > 0 {
			chunk.Limit = p.ChunkRows
			upto, err := p.Splitter.Split(ctx, chunk)
			if err != nil {
				return err
			}
			j.chunk.Upto, j.chunk.Limit, j.last = upto, 0, upto == nil
		}
		for _, to := range []chan<- *job{order, jobs} {
			select {
			case to <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if j.last {
			return nil
		}
		chunk.After = j.chunk.Upto
	}
}

// read reads a chunk into parts.
func (p *Plan) read(ctx context.Context, r Reader, j *job, ahead *budget) error {
	codec, now := j.chunk.Codec, p.Now().UnixNano()
	places := p.places(codec)
	var x *part
	send := func() error {
		if err := ahead.take(ctx, j, x); err != nil {
			return err
		}
		select {
		case j.parts <- x:
			x = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := r.Read(ctx, j.chunk, func(cells [][]byte) error {
		if x == nil {
			x = ahead.part()
		}
		if err := p.appendRow(&x.changes, codec, cells, now); err != nil {
			return err
		}
		x.note()
		for i := range places {
			x.cells = append(x.cells, place(codec, cells, i)...)
			x.ends = append(x.ends, len(x.cells))
		}
		if len(x.rows) >= partRows || len(x.changes.Buf) >= partBytes {
			return send()
		}
		return nil
	})
	if err == nil && x != nil {
		err = send()
	}
	if err == nil {
		close(j.parts)
	}
	return err
}

// deliver adds the rows of a chunk to the list.
func (s *run) deliver(ctx context.Context, j *job, ahead *budget) error {
	ahead.serve(j)
	if j.first {
		s.open(&j.chunk)
	}
	for {
		select {
		case x, ok := <-j.parts:
			if !ok {
				if j.last {
					s.finish(j.chunk.Codec.Table.ID.String())
				}
				return nil
			}
			if err := s.part(ctx, x); err != nil {
				return err
			}
			ahead.give(j, x)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *run) part(ctx context.Context, x *part) error {
	keys, begin, at := s.cells, 0, 0
	for i := range x.rows {
		r := &x.rows[i]
		if err := s.room(ctx, r.after+r.key); err != nil {
			return err
		}
		l := s.list
		c := l.Next()
		c.Op, c.Source, c.TsNs, c.Event = r.op, s.Source, x.tsNs, r.event
		c.Source.Snapshot = s.mark()
		if r.event == nil {
			c.Table = s.codec.Table
			c.After, at = copyRow(l, x.changes.Buf[at:at+r.after]), at+r.after
		}
		if r.key > 0 {
			c.Key, at = copyRow(l, x.changes.Buf[at:at+r.key]), at+r.key
		}
		s.last, s.ends = s.last[:0], s.ends[:0]
		for _, end := range x.ends[i*keys : (i+1)*keys] {
			s.last = append(s.last, x.cells[begin:end]...)
			s.ends = append(s.ends, len(s.last))
			begin = end
		}
		s.first = false
		s.Progress.Rows++
	}
	return nil
}

func copyRow(l *envelope.Changes, row []byte) envelope.Row {
	start := len(l.Buf)
	l.Buf = append(l.Buf, row...)
	return l.Buf[start:len(l.Buf):len(l.Buf)]
}
