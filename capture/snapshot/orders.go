package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"tributary/capture"
	"tributary/envelope"
)

// take does what the signals say that have come.
func (x *Incremental) take(ctx context.Context) error {
	x.mu.Lock()
	orders := x.queue
	x.queue = nil
	x.mu.Unlock()
	if len(orders) == 0 {
		return nil
	}
	// The deadline of ctx is that of the next heartbeat, which is no reason to give a
	// signal up.
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})()
	for i, s := range orders {
		if err := x.obey(whole, s); err != nil {
			x.mu.Lock()
			x.queue = append(orders[i:len(orders):len(orders)], x.queue...)
			x.mu.Unlock()
			return err
		}
		if s.Done != nil {
			x.obeyed = append(x.obeyed, s.Done)
		}
	}
	return nil
}

func (x *Incremental) obey(ctx context.Context, s Signal) error {
	log := x.opts.Log.With("signal", s.Type, "id", s.ID)
	if err := s.Check(); err != nil {
		log.Warn("signal not understood", "error", err)
		return nil
	}
	if s.Type == Log {
		log.Info(strings.ReplaceAll(s.Data.Message, "{}", string(x.last)))
		return nil
	}
	x.dirty = true
	switch s.Type {
	case Pause, Resume:
		x.at.Paused = s.Type == Pause && len(x.at.Tables) > 0
		x.tell(map[bool]string{true: "PAUSED", false: "RESUMED"}[s.Type == Pause], s.ID, "data_collections", x.names())
		log.Info("incremental snapshots", "paused", x.at.Paused, "tables", len(x.at.Tables))
	case Stop:
		x.tell("STOPPED", s.ID, "data_collections", x.names())
		x.stop(&s)
		log.Info("incremental snapshots stopped", "left", len(x.at.Tables))
	case Execute:
		tables, err := x.chunks.Captured(ctx)
		if err != nil {
			return fmt.Errorf("signal %s: %w", s.Type, err)
		}
		tables = slices.DeleteFunc(tables, func(id envelope.TableID) bool { return !s.matches(id) })
		x.execute(&s, tables, log)
	}
	return nil
}

// execute takes tables into work.
func (x *Incremental) execute(s *Signal, tables []envelope.TableID, log *slog.Logger) {
	if s.blocking() {
		var parts []Part
		for _, id := range tables {
			parts = append(parts, s.part(id))
		}
		if len(parts) == 0 {
			log.Warn("no captured table is named", "data_collections", s.Data.Collections)
			return
		}
		x.at.Blocks = append(x.at.Blocks, parts)
		log.Info("blocking snapshot: the log waits until it is read", "tables", len(parts))
		return
	}
	added := 0
	for _, id := range tables {
		name := id.String()
		if !slices.ContainsFunc(x.at.Tables, func(w work) bool { return w.Table == name }) {
			x.at.Tables = append(x.at.Tables, work{Table: name, Filter: s.filter(id), Signal: s.ID, By: s.Data.Surrogate})
			added++
		}
	}
	if added == 0 {
		log.Warn("no captured table is named that is not in work already", "data_collections", s.Data.Collections)
		return
	}
	x.tell("STARTED", s.ID, "data_collections", x.names())
	log.Info("incremental snapshot begins", "tables", added, "in_work", len(x.at.Tables))
}

// tell makes a notification that goes with the next batch.
func (x *Incremental) tell(typ, id string, data ...string) {
	x.opts.Notifier.Add(&x.notes, capture.IncrementalSnapshot, typ, id, data...)
}

// names are the tables in work, with commas between.
func (x *Incremental) names() string {
	var out []string
	for _, t := range x.at.Tables {
		out = append(out, t.Table)
	}
	return strings.Join(out, ",")
}

// told adds the notifications to a batch.
func (x *Incremental) told(b *capture.Batch) {
	b.List = append(b.List, x.notes.List...)
	x.notes.Reset()
}

// stop takes tables out: those that the signal names, or all.
func (x *Incremental) stop(s *Signal) {
	first := ""
	if len(x.at.Tables) > 0 {
		first = x.at.Tables[0].Table
	}
	x.at.Tables = slices.DeleteFunc(x.at.Tables, func(w work) bool {
		return len(s.Data.Collections) == 0 || s.matches(envelope.TableID{Name: w.Table})
	})
	x.at.done()
	if w := x.window; w != nil && (len(x.at.Tables) == 0 || x.at.Tables[0].Table != first) {
		x.window, x.table, x.limit = nil, envelope.TableID{}, 0 // what it reads is of no use; its goroutine ends by itself
	}
}

// block begins a blocking snapshot: it returns a batch of nothing but the
// position at which the source is then opened anew. The chunk that is being read
// is read again afterwards.
func (x *Incremental) block() (*capture.Batch, error) {
	at, err := x.chunks.Block(x.last, Progress{Only: x.at.Blocks[0], Waits: true})
	if err != nil {
		return nil, fmt.Errorf("begin a blocking snapshot: %w", err)
	}
	x.last, x.at.Blocks = at, x.at.Blocks[1:]
	x.reopen = true
	x.own.Reset()
	x.told(&x.own)
	x.dirty = false
	x.own.End, err = x.wrap(x.own.End, x.last)
	return &x.own, err
}

// tableSignal takes a row that was inserted into the signal table: its columns
// are id, type and data, in this order.
func (x *Incremental) tableSignal(c *envelope.Change) {
	cells := c.Table.Texts(c.After)
	if len(cells) < 3 {
		x.opts.Log.Warn("the signal table needs three columns: id, type and data", "table", x.opts.Table)
		return
	}
	s, err := ParseSignal(cells[0], cells[1], []byte(cells[2]))
	if err != nil {
		x.opts.Log.Warn("signal not understood", "id", cells[0], "error", err)
		return
	}
	x.Signal(s)
}
