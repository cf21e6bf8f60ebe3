package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

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
// for the values that it meets: severities 11 to 16, without those of deadlocks and
// of waiting for locks.
func ofStatement(err error) bool {
	var e mssql.Error
	return errors.As(err, &e) && e.Class >= 11 && e.Class <= 16 && e.Number != 1205 && e.Number != 1222
}

// catchUp has the changes that are captured by now come before the rows of a
// blocking snapshot. What is captured later, though it was committed before, comes
// after rows that have it already.
func (n *session) catchUp(ctx context.Context) error {
	ends := make(map[*database]lsn)
	for _, d := range n.databases {
		v, err := d.conn.one(ctx, "SELECT sys.fn_cdc_get_max_lsn()")
		if err != nil {
			return fmt.Errorf("read the end of the log of database %s: %w", d.name, err)
		}
		ends[d] = asLSN(v)
	}
	err := n.streaming(ctx, func(ctx context.Context, s *stream) error {
		for _, c := range s.courses {
			p := n.at.Databases[c.name]
			for more := true; more; more = p.partial() || compareLSN(lsn(p.Commit), ends[c.database]) < 0 {
				if _, err := s.poll(ctx, c); err != nil {
					return err
				}
			}
		}
		progress := *n.at.Snapshot
		progress.Waits = false
		n.at.Snapshot = &progress
		return s.put(ctx)
	})
	if err != nil {
		return err
	}
	return n.taken(ctx)
}

// taken waits until the reader has taken what is ready.
func (n *session) taken(ctx context.Context) error {
	for {
		if taken, err := n.pipe.Wait(ctx, time.Minute); err != nil || taken {
			return err
		}
	}
}
