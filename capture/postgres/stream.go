package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"tributary/capture"
)

// stream follows the slot. Its goroutine owns the connection; Ack alone comes
// from outside.
type stream struct {
	conn      *pgconn.PgConn
	pipe      *capture.Pipe
	dec       *decoder
	pos       position // template of the batches' End
	heartbeat time.Duration
	interval  time.Duration // of status updates

	acked    *atomic.Uint64 // what may be confirmed to the server
	hurry    *atomic.Bool   // tell positions as soon as the log moves
	recent   *recent
	sent     lsn // what was confirmed last
	sentAt   time.Time
	beatAt   time.Time // when the position last moved without changes
	wal      lsn       // the server has sent everything up to here
	batchEnd lsn       // End of the last batch that was made ready
	spools   spools    // transactions that are received before they commit
	until    lsn       // stop with errThere where all before it has come, 0 = never
	metrics  *metrics
}

// The least time between two status updates that only confirm progress.
const confirmInterval = 500 * time.Millisecond

// tick bounds how long a read waits, and with it how late a confirmation is.
const tick = 500 * time.Millisecond

// start begins the stream at the position. version is the server's.
func (s *stream) start(ctx context.Context, o *Options, version int) error {
	err := pglogrepl.StartReplication(ctx, s.conn, o.Slot, s.pos.LSN, pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication, PluginArgs: pluginArgs(o, version),
	})
	if err != nil {
		return explain(fmt.Errorf("start replication from slot %s at %s: %w", o.Slot, s.pos.LSN, err))
	}
	s.spools.dir = o.SpoolDir
	s.sent, s.batchEnd = s.pos.LSN, s.pos.LSN
	s.sentAt, s.beatAt = time.Now(), time.Now()
	return nil
}

// pluginArgs are the options of pgoutput.
func pluginArgs(o *Options, version int) []string {
	args := []string{"publication_names " + quoteLiteral(quoteIdent(o.Publication))}
	streams := version >= 140000 && o.Streaming
	if streams {
		args = append(args, "proto_version '2'", "streaming 'on'")
	} else {
		args = append(args, "proto_version '1'")
	}
	if version >= 140000 && o.messages() {
		args = append(args, "messages 'true'")
	}
	for _, p := range o.streamParams() {
		args = append(args, p[0]+" "+quoteLiteral(p[1]))
	}
	return args
}

// run reads until ctx ends or the connection fails.
func (s *stream) run(ctx context.Context) error {
	// The context of a read costs several allocations; a deadline on the
	// connection does not.
	raw := s.conn.Conn()
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = raw.SetReadDeadline(time.Unix(1, 0)) // a connection that is closed needs no waking
	})
	defer func() {
		if !stop() {
			<-woken // finish sets a deadline of its own
		}
	}()
	var deadline time.Time
	for {
		if now := time.Now(); deadline.Sub(now) < tick/2 {
			deadline = now.Add(tick)
			if err := raw.SetReadDeadline(deadline); err != nil {
				return fmt.Errorf("read from PostgreSQL: %w", err)
			}
			if err := s.confirm(ctx, now, false); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		msg, err := s.conn.ReceiveMessage(context.Background()) //nolint:forbidigo // a deadline ends it, see above
		if err != nil {
			if pgconn.Timeout(err) {
				continue
			}
			return explain(fmt.Errorf("read from PostgreSQL: %w", err))
		}
		if err := s.message(ctx, msg); err != nil {
			return err
		}
	}
}

func (s *stream) message(ctx context.Context, msg pgproto3.BackendMessage) error {
	switch m := msg.(type) {
	case *pgproto3.CopyData:
		if len(m.Data) == 0 {
			return errShort
		}
		switch m.Data[0] {
		case pglogrepl.XLogDataByteID:
			// 'w', int64 start, int64 end of WAL, int64 time, message
			if len(m.Data) < 26 {
				return errShort
			}
			return s.data(ctx, lsn(binary.BigEndian.Uint64(m.Data[1:])), m.Data[25:])
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			return s.keepalive(ctx, m.Data[1:])
		}
	case *pgproto3.ErrorResponse:
		return explain(fmt.Errorf("replication ended: %w", pgconn.ErrorResponseToPgError(m)))
	case *pgproto3.CopyDone:
		return errors.New("server ended the replication")
	}
	return nil
}

// data handles one message of pgoutput.
func (s *stream) data(ctx context.Context, at lsn, data []byte) error {
	if at > s.wal {
		s.wal = at
	}
	if len(data) == 0 {
		return errShort
	}
	if s.spools.open == nil && s.past(at, data) {
		return errThere
	}
	r := reader{rest: data[1:]}
	switch {
	case data[0] == msgStreamStart:
		return s.spools.start(at, &r)
	case data[0] == msgStreamStop:
		s.spools.stop()
		return nil
	case s.spools.open != nil:
		return s.spools.add(at, data)
	case data[0] == msgStreamAbort:
		return s.spools.abort(&r)
	case data[0] == msgStreamCommit:
		return s.streamed(ctx, at, &r)
	}
	return s.apply(ctx, at, data)
}

// streamed applies a transaction that was received before it committed, as if
// it came now and as a whole.
func (s *stream) streamed(ctx context.Context, at lsn, r *reader) error {
	xid := r.uint32()
	commit := append([]byte{msgCommit}, r.rest...) // flags, commit LSN, end LSN, commit time
	if r.bad || len(commit) < 26 {
		return errShort
	}
	p := s.spools.take(xid)
	if p == nil {
		return fmt.Errorf("transaction %d commits that was not streamed", xid)
	}
	s.metrics.streamed.Inc()
	s.metrics.spooled.Add(float64(p.bytes))
	begin := append([]byte{msgBegin}, commit[2:10]...)
	begin = binary.BigEndian.AppendUint32(append(begin, commit[18:26]...), xid)
	if err := s.apply(ctx, p.begin, begin); err != nil {
		return err
	}
	n := 0
	err := p.replay(func(at lsn, data []byte) error {
		if n++; n%1024 == 0 { // the server hears from us, and we of the end
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := s.confirm(ctx, time.Now(), false); err != nil {
				return err
			}
		}
		return s.apply(ctx, at, data)
	})
	if err != nil {
		return err
	}
	if err := s.apply(ctx, at, commit); err != nil {
		return err
	}
	return s.spools.drop(p)
}

// apply handles one message of a transaction that has committed.
func (s *stream) apply(ctx context.Context, at lsn, data []byte) error {
	if !reads(data) {
		s.dec.at = at
		end, err := s.dec.control(ctx, data)
		if err != nil || !end {
			return err
		}
		return s.committed()
	}
	b := s.pipe.Acquire()
	err := s.dec.rows(at, data, &b.Changes)
	full := err == nil && s.pipe.Limits().Full(b)
	ready := full || err == nil && !s.dec.inTx && (len(b.List) > 0 || s.hurry.Load())
	if ready {
		err = s.end(b)
	}
	s.pipe.Release(ready && err == nil)
	if err != nil || !full {
		return err
	}
	return s.wait(ctx)
}

// committed makes the batch ready at the end of a transaction.
func (s *stream) committed() error {
	b := s.pipe.Acquire()
	s.dec.ended(&b.Changes)
	s.recent.add(s.dec.xid)
	ready := len(b.List) > 0 || s.hurry.Load()
	var err error
	if ready {
		err = s.end(b)
	}
	s.pipe.Release(ready && err == nil)
	return err
}

func (s *stream) end(b *capture.Batch) error {
	s.dec.position(&s.pos)
	s.batchEnd, s.beatAt = s.pos.LSN, time.Now()
	var err error
	b.End, err = s.pos.append(b.End[:0])
	return err
}

// wait lets the reader take a full batch, and meanwhile keeps the server from
// taking us for dead.
func (s *stream) wait(ctx context.Context) error {
	for {
		taken, err := s.pipe.Wait(ctx, tick)
		if err != nil || taken {
			return err
		}
		if err := s.confirm(ctx, time.Now(), false); err != nil {
			return err
		}
	}
}

// keepalive: int64 end of WAL, int64 time, int8 reply wanted. The server has
// decoded everything before that end; outside of a transaction the position
// may move there, although nothing was for us.
func (s *stream) keepalive(ctx context.Context, data []byte) error {
	if len(data) < 17 {
		return errShort
	}
	if end := lsn(binary.BigEndian.Uint64(data)); end > s.wal {
		s.wal = end
	}
	if !s.dec.inTx && s.wal > s.dec.end {
		s.dec.end = s.wal
		if s.until != 0 && s.wal >= s.until {
			return errThere
		}
	}
	return s.confirm(ctx, time.Now(), data[16] != 0)
}

// confirm sends a status update if there is reason to, and lets the position
// move while nothing is captured.
func (s *stream) confirm(ctx context.Context, now time.Time, reply bool) error {
	if s.heartbeat > 0 && (now.Sub(s.beatAt) >= s.heartbeat || s.hurry.Load()) && !s.dec.inTx && s.dec.end > s.batchEnd {
		if err := s.beat(); err != nil {
			return err
		}
	}
	acked := lsn(s.acked.Load())
	due := now.Sub(s.sentAt)
	hurry := s.hurry.Load() || s.until != 0
	if !reply && !hurry && due < s.interval && (acked == s.sent || due < confirmInterval) {
		return nil
	}
	err := pglogrepl.SendStandbyStatusUpdate(ctx, s.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: max(acked, s.wal), WALFlushPosition: acked, WALApplyPosition: acked, ReplyRequested: hurry && due >= tick,
	})
	if err != nil {
		return fmt.Errorf("report position to PostgreSQL: %w", err)
	}
	s.sent, s.sentAt = acked, now
	return nil
}

// finish reports the position a last time and ends the replication in good order,
// so that the slot is free when it returns. It is called after run.
func (s *stream) finish(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	if err := s.conn.Conn().SetReadDeadline(deadline); err != nil {
		return err
	}
	if err := s.confirm(ctx, time.Now(), true); err != nil {
		return err
	}
	s.conn.Frontend().Send(&pgproto3.CopyDone{})
	if err := s.conn.Frontend().Flush(); err != nil {
		return err
	}
	for {
		msg, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		if _, ok := msg.(*pgproto3.ReadyForQuery); ok {
			return nil
		}
	}
}

// beat makes a batch of nothing but a position.
func (s *stream) beat() error {
	b := s.pipe.Acquire()
	if len(b.List) > 0 { // it moves with the changes
		s.pipe.Release(true)
		return nil
	}
	err := s.end(b)
	s.pipe.Release(err == nil)
	return err
}
