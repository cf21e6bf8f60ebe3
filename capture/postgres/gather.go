package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The server flushes its log in pieces of 8 KiB, and whoever reads each at once
// spends its time in waking up, as does the server. Where pieces come one after
// another, a reader that waits for gatherPause finds some of them together.
const (
	gatherSize  = 256 << 10
	gatherPiece = 4 << 10 // a read of so much says that there is more to come
	gatherPause = time.Millisecond
)

// gathered is a connection that is read in large pieces while much comes, and at
// once otherwise. It belongs to one reader.
type gathered struct {
	net.Conn
	buf        []byte
	start, end int  // of what is read and not handed out
	busy       bool // the last read found much
}

func gather(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &gathered{Conn: conn, buf: make([]byte, gatherSize)}, nil
	}
}

func (g *gathered) Read(p []byte) (int, error) {
	if g.start == g.end {
		if g.busy {
			time.Sleep(gatherPause) //nolint:forbidigo // a read has no context, and this is shorter than any
		}
		n, err := g.Conn.Read(g.buf)
		g.start, g.end, g.busy = 0, n, n >= gatherPiece
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, g.buf[g.start:g.end])
	g.start += n
	return n, nil
}
