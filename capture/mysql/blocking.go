package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	return pos.encode(), nil
}

// ofStatement reports whether the server refuses a statement for what it says or
// for the values that it meets: the errors of states 42, 22 and 3D, without those of
// limits for connections and work, and some that have no state of their own.
func ofStatement(err error) bool {
	e := serverError(err)
	if e == nil {
		return false
	}
	switch e.Code {
	case 1203, 1226: // too many connections of the user, too many statements in an hour
		return false
	case 1267, 1270, 1271, 1356, 1411: // mixes of collations, broken views, texts of times
		return true
	}
	return strings.HasPrefix(e.State, "42") || strings.HasPrefix(e.State, "22") || e.State == "3D000" || aboutValue(e)
}

// errThere is how a stream says that it has come to where it is to stop.
var errThere = errors.New("the stream is where it is to stop")

// past reports whether an offset of the file lies behind where the stream is to
// stop, and no transaction is in work.
func (s *stream) past(offset uint64) bool {
	if s.until == nil || s.tx.open {
		return false
	}
	s.there = !(&position{File: s.at.File, Pos: offset}).before(s.until)
	return s.there
}

// followTo reads the log up to the view of a blocking snapshot and moves p there.
func (n *session) followTo(ctx context.Context, p, view *position) (err error) {
	st, err := n.newStream(ctx, p)
	if err != nil {
		return err
	}
	st.until = view
	n.log.Info("blocking snapshot: following the log to its moment", "file", view.File, "pos", view.Pos, "tables", len(p.Snapshot.Only))
	// Where it is there already, the server would have nothing to send.
	if st.reached == nil && !p.moved && !p.before(view) {
		st.there, err = true, errThere
	} else {
		err = n.read(ctx, st)
	}
	if !st.there {
		return errors.Join(fmt.Errorf("follow the log to the moment of a blocking snapshot: %w", err), st.close())
	}
	progress := *p.Snapshot
	progress.Waits = false
	*p = *st.position(0, 0)
	p.Snapshot = &progress
	return errors.Join(st.close(), n.taken(ctx))
}

// taken waits until the reader has taken what is ready.
func (n *session) taken(ctx context.Context) error {
	for {
		if taken, err := n.pipe.Wait(ctx, time.Minute); err != nil || taken {
			return err
		}
	}
}
