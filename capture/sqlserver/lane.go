package sqlserver

import "context"

// lane reads what a stream needs of a database, one thing after the other, while the
// stream delivers what was read before. While it runs, only it uses its connection.
type lane struct {
	conn  *conn // nil until the first thing is read
	own   bool  // the connection is the lane's
	queue chan func()
	done  chan struct{}
}

// startLane starts a lane on a connection that stays its owner's; nil = it makes one of
// its own when it needs it. Whoever starts it stops it.
func startLane(c *conn) *lane {
	const most = 64 // more than that are waited for
	l := &lane{conn: c, queue: make(chan func(), most), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for read := range l.queue {
			read()
		}
	}()
	return l
}

// stop waits until what was asked for has been read: it is cut short only by the end
// of the context that it was asked for with.
func (l *lane) stop() error {
	close(l.queue)
	<-l.done
	if l.own {
		return l.conn.close()
	}
	return nil
}

// connect makes the connection of a lane that has none.
func (l *lane) connect(ctx context.Context, o *Options, database string) (err error) {
	if l.conn == nil {
		l.conn, err = dial(ctx, o, database)
		l.own = err == nil
	}
	return err
}

// coming is what is being read.
type coming[T any] chan answer[T]

type answer[T any] struct {
	value T
	err   error
}

// expect is for what will be read.
func expect[T any]() coming[T] {
	return make(coming[T], 1) // an answer that nobody takes must not stop the next
}

// ask has a lane read something after what it was asked for before. It is not for those
// who run within read: they would wait for themselves.
func ask[T any](l *lane, read func() (T, error)) coming[T] {
	c := expect[T]()
	l.queue <- func() { c.give(read()) }
	return c
}

func (c coming[T]) give(value T, err error) { c <- answer[T]{value, err} }

// take waits for it. It is taken once.
func (c coming[T]) take(ctx context.Context) (value T, err error) {
	select {
	case x := <-c:
		return x.value, x.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}
