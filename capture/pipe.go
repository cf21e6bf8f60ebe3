package capture

import (
	"context"
	"sync"
	"time"
)

// Pipe hands batches from the one goroutine that decodes (the writer) to the
// one that calls Next (the reader), so that decoding and emitting overlap.
// Three batches go around: one being filled, one waiting, one with the reader.
//
// A writer works in one of two ways, and may change between them while
// nothing is waiting:
//
//   - Put hands over a batch that it has filled on its own.
//   - Acquire and Release append to the waiting batch itself, so that a change
//     joins the batch until the very moment at which the reader takes it.
type Pipe struct {
	limits Limits

	mu      sync.Mutex
	waiting *Batch // never nil; owned by whoever holds mu
	ready   bool   // waiting may be taken
	free    []*Batch
	most    int   // bytes of the largest batch so far, within the limits
	err     error // the writer's end

	taken chan struct{} // cap 1: the waiting batch has been taken
	avail chan struct{} // cap 1: ready or err was set

	out *Batch // with the reader
}

// NewPipe returns an empty Pipe.
func NewPipe(l Limits) *Pipe {
	return &Pipe{
		limits:  l,
		waiting: &Batch{},
		free:    []*Batch{{}, {}},
		taken:   make(chan struct{}, 1),
		avail:   make(chan struct{}, 1),
	}
}

// Limits returns what bounds a batch.
func (p *Pipe) Limits() Limits { return p.limits }

// Batch returns an empty batch for the writer to fill and Put. There is one;
// Put gives the next.
func (p *Pipe) Batch() *Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spare()
}

func (p *Pipe) spare() *Batch {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		if cap(b.Buf) < p.most && len(b.List) == 0 {
			b.Buf = make([]byte, 0, p.most+p.most/16)
		}
		return b
	}
	return &Batch{}
}

// reuse empties a batch for the writer. Rows keep each array that they have grown
// out of, so that a batch is to have room for what others had from its beginning;
// but what a large row took is not kept.
func (p *Pipe) reuse(b *Batch) {
	most := min(len(b.Buf), p.limits.Bytes)
	b.Reset()
	b.End, b.Snapshot = b.End[:0], false
	if cap(b.Buf) > 2*max(p.limits.Bytes, 64<<10) {
		b.Buf = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = max(p.most, most)
	p.free = append(p.free, b)
}

// Put waits until nothing is waiting, then hands b over and returns an empty
// batch to go on with.
func (p *Pipe) Put(ctx context.Context, b *Batch) (*Batch, error) {
	for {
		p.mu.Lock()
		if !p.ready {
			p.free = append(p.free, p.waiting)
			p.waiting, p.ready = b, true
			next := p.spare()
			p.mu.Unlock()
			signal(p.avail)
			return next, nil
		}
		p.mu.Unlock()
		select {
		case <-p.taken:
		case <-ctx.Done():
			return b, context.Cause(ctx)
		}
	}
}

// Acquire locks the waiting batch for appending. Release must follow, without
// blocking in between.
func (p *Pipe) Acquire() *Batch {
	p.mu.Lock()
	return p.waiting
}

// Release unlocks the batch. With ready, the reader may take it from now on
// (the writer has set End); once ready, it stays so until it is taken. It
// returns whether the batch is full: then it has been made ready, and the
// writer must Wait for it to be taken.
func (p *Pipe) Release(ready bool) (full bool) {
	full = p.limits.Full(p.waiting)
	if ready || full {
		p.ready = true
	} else if p.ready {
		// A further transaction has begun to join a batch that was ready:
		// hold it back until that one ends, or the batch is full.
		p.ready = false
	}
	ok := p.ready
	p.mu.Unlock()
	if ok {
		signal(p.avail)
	}
	return full
}

// Wait returns true when the waiting batch has been taken, false after d.
func (p *Pipe) Wait(ctx context.Context, d time.Duration) (bool, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		p.mu.Lock()
		held := p.ready
		p.mu.Unlock()
		if !held {
			return true, nil
		}
		select {
		case <-p.taken:
		case <-t.C:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// Fail ends the writer's side: when what is ready has been taken, Next returns
// err. The first error stays.
func (p *Pipe) Fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	signal(p.avail)
}

// Next takes the waiting batch; it blocks until it is ready. The batch that
// the previous call returned goes back to the writer.
func (p *Pipe) Next(ctx context.Context) (*Batch, error) {
	if p.out != nil {
		p.reuse(p.out)
		p.out = nil
	}
	for {
		p.mu.Lock()
		if p.ready {
			p.out, p.ready = p.waiting, false
			p.waiting = p.spare()
			p.mu.Unlock()
			signal(p.taken)
			return p.out, nil
		}
		err := p.err
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-p.avail:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
