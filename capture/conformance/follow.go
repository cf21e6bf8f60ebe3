package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tributary/capture"
	"tributary/capture/changetext"
	"tributary/envelope"
)

// marker is the table whose rows tell that everything before them has come.
const marker = "zend"

// event is a change as it came, or the border between two transactions.
type event struct {
	line  string   // "" for a border
	op    string   // of a row
	table string   //
	names []string // the columns
	cells []string // of the row as it is, or was
}

// follower takes changes from sources that go on from each other's positions.
type follower struct {
	srv     Server
	options sourceOptions
	restart bool // a new source after every batch
	wait    time.Duration

	source capture.Source // nil unless open
	pos    capture.Position
	events []event
	faults []string // of order and of transactions
	order  string   // place of the last change
	skewed bool     // a fault of times was told
	inTx   bool
	count  int64 // events of the transaction in work
}

// open makes a new source and has it go on.
func (f *follower) open(ctx context.Context) error {
	s, err := f.srv.source(f.options)
	if err != nil {
		return err
	}
	f.options.recorder.open(&f.options, f.pos, f.restart)
	if err := s.Open(ctx, f.pos); err != nil {
		f.options.recorder.write(&Entry{Refused: err.Error()})
		return errors.Join(fmt.Errorf("open the source: %w", err), s.Close())
	}
	f.source = s
	return nil
}

// close ends the source, as a kill does: nothing is acknowledged.
func (f *follower) close() error {
	s := f.source
	f.source = nil
	if s == nil {
		return nil
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close the source: %w", err)
	}
	return nil
}

// until takes batches until a row of the marker comes: that of the snapshot for
// id 0. What came before it are the events that it returns.
func (f *follower) until(ctx context.Context, id int) ([]event, error) {
	limit, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	for {
		b, err := f.source.Next(limit)
		if err != nil && limit.Err() != nil && ctx.Err() == nil {
			return f.take(), fmt.Errorf("row %d of the marker did not come within %s", id, f.wait)
		}
		if err != nil {
			return f.take(), fmt.Errorf("take the next batch: %w", err)
		}
		done := false
		for i := range b.List {
			done = f.add(&b.List[i], id) || done
		}
		if len(b.End) > 0 {
			f.pos = slices.Clone(b.End)
		}
		if !f.restart || len(b.List) == 0 {
			if done {
				return f.take(), nil
			}
			continue
		}
		if err := errors.Join(f.close(), f.open(ctx)); err != nil {
			return f.take(), err
		}
		if done {
			return f.take(), nil
		}
	}
}

// take gives away the events without those borders that nothing precedes, follows
// or lies between.
func (f *follower) take() (out []event) {
	for _, e := range f.events {
		if e.line != "" || len(out) > 0 && out[len(out)-1].line != "" {
			out = append(out, e)
		}
	}
	if len(out) > 0 && out[len(out)-1].line == "" {
		out = out[:len(out)-1]
	}
	f.events = nil
	return out
}

// add takes a change; it reports whether that is the row of the marker.
func (f *follower) add(c *envelope.Change, id int) bool {
	switch {
	case c.Op == envelope.Begin:
		if f.inTx {
			f.fault("a transaction begins before the one before it has ended")
		}
		f.inTx, f.count = true, 0
		f.events = append(f.events, event{})
		return false
	case c.Op == envelope.End:
		if !f.inTx || c.Order != f.count {
			f.fault("a transaction ends with %d events, of which %d came", c.Order, f.count)
		}
		f.inTx = false
		f.events = append(f.events, event{})
		return false
	case c.Table == nil:
		return false
	}
	f.placed(c)
	if c.Table.ID.Name == marker {
		row := changetext.Cells(c.Table, c.After)
		return len(row) > 0 && row[0] == fmt.Sprint(id)
	}
	row := c.After
	if row == nil {
		row = c.Before
	}
	for _, line := range changetext.Lines(c) {
		e := event{line: line, op: c.Op.String(), table: c.Table.ID.Name}
		if row != nil {
			e.cells = changetext.Cells(c.Table, row)
		}
		for i := range c.Table.Columns {
			e.names = append(e.names, c.Table.Columns[i].Name)
		}
		f.events = append(f.events, e)
		f.options.recorder.event(line)
	}
	return false
}

// mostSkew is how far the clocks of server and client may be from each other.
const mostSkew = 10 * time.Minute

// placed checks when a change was, and where a change is, in the log and in its transaction.
func (f *follower) placed(c *envelope.Change) {
	if d := time.Since(time.Unix(0, c.Source.TsNs)); d.Abs() > mostSkew && !f.skewed {
		f.skewed = true
		f.fault("source.ts_ms of %s of %s is %s from this machine's time: a wrong clock, or time zone", c.Op, c.Table.ID.Name, d.Round(time.Second))
	}
	if c.Op == envelope.Read {
		return
	}
	at := f.srv.place(c)
	if at < f.order {
		f.fault("the place in the log goes back from %s to %s", f.order, at)
	}
	f.order = at
	if !f.inTx {
		f.fault("%s of %s is outside of a transaction", c.Op, c.Table.ID.Name)
	}
	if c.Order != f.count+1 {
		f.fault("%s of %s is event %d of its transaction, and is the %d. that came", c.Op, c.Table.ID.Name, c.Order, f.count+1)
	}
	f.count++
	if c.OldKey != nil {
		f.count++
	}
}

func (f *follower) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}
