package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/capture"
	"tributary/capture/snapshot"
)

// Block implements snapshot.Blocking.
func (s *Source) Block(at capture.Position, p snapshot.Progress) (capture.Position, error) {
	pos, err := parsePosition(at)
	if err != nil {
		return nil, err
	}
	pos.Snapshot = &p
	return pos.append(nil)
}

// ofStatement reports whether the server refuses a statement for what it says or
// for the values that it meets.
func ofStatement(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && len(e.Code) > 2 && slices.Contains([]string{"22", "42", "P0", "2F", "38", "39"}, e.Code[:2])
}

// blocking opens the view of a blocking snapshot and returns the work: the stream
// up to the moment of the view, the snapshot, and the stream from there.
//
// The view is that of a temporary slot. It sees exactly the transactions that
// committed before the slot's consistent point, as the first snapshot does.
func (s *Source) blocking(ctx context.Context, l *life, pos position, tables []*tableInfo) (func(context.Context) error, error) {
	name := temporaryName(s.opts.Slot)
	consistent, exported, err := createSlot(ctx, l.repl, name, true, false)
	if err != nil {
		return nil, err
	}
	progress := *pos.Snapshot
	progress.Waits = false
	begun := pos
	begun.Snapshot = &progress
	rest, err := s.snapshot(ctx, l, &begun, name, exported, tables)
	if err != nil {
		return nil, err
	}
	st := s.newStream(l, pos)
	st.until = consistent
	s.log.Info("blocking snapshot: following the log to its moment", "from", pos.LSN.String(), "to", consistent.String(), "tables", len(progress.Only))
	return func(ctx context.Context) error {
		if err := s.streamUntil(ctx, l, st); err != nil {
			return err
		}
		st.dec.position(&begun)
		begun.LSN = max(begun.LSN, consistent)
		return rest(ctx)
	}, nil
}

// streamUntil streams up to what st is to stop at, on a connection of its own: that
// of the slot keeps the view.
func (s *Source) streamUntil(ctx context.Context, l *life, st *stream) error {
	conn, err := l.cat.server.replication(ctx)
	if err != nil {
		return err
	}
	// The server tells that there is nothing more only when its log moves on.
	err = l.cat.query(ctx, func(c *pgx.Conn) error {
		_, err := mark(ctx, c)
		return err
	})
	if err == nil {
		if err = s.stream(ctx, st, conn); errors.Is(err, errThere) {
			err = nil
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = conn.Close(end) // says nothing that anyone could act on
	if err != nil {
		return fmt.Errorf("follow the log to the moment of a blocking snapshot: %w", err)
	}
	return nil
}

// errThere is how a stream says that it has come to where it is to stop.
var errThere = errors.New("the stream is where it is to stop")

// past reports whether a message is of what comes after the place where the stream
// is to stop: a transaction is where its commit is.
func (s *stream) past(at lsn, data []byte) bool {
	if s.until == 0 || s.dec.inTx {
		return false
	}
	switch {
	case s.dec.end >= s.until:
		return true
	case data[0] == msgBegin && len(data) >= 9:
		return lsn(binary.BigEndian.Uint64(data[1:])) >= s.until
	case data[0] == msgStreamCommit && len(data) >= 14:
		return lsn(binary.BigEndian.Uint64(data[6:])) >= s.until
	case data[0] == msgMessage:
		return at >= s.until
	}
	return false
}
