package sqlserver

import "context"

// ahead reads what the stream needs next of a database while it delivers what was
// read before, so that neither the server nor the stream waits for the other. While
// the stream runs, only ahead uses the database's connection.
type ahead struct {
	queue chan func()
	done  chan struct{}
}

// startAhead starts it. Whoever does stops it.
func startAhead() *ahead {
	const most = 64 // more than that are waited for
	a := &ahead{queue: make(chan func(), most), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for read := range a.queue {
			read()
		}
	}()
	return a
}

// stop waits until what was asked for has been read: it is cut short only by the end
// of the context that it was asked for with.
func (a *ahead) stop() {
	close(a.queue)
	<-a.done
}

// coming is what is being read.
type coming[T any] chan answer[T]

type answer[T any] struct {
	value T
	err   error
}

// ask has something read after what was asked for before. It is not for those who
// run within read: they would wait for themselves.
func ask[T any](a *ahead, read func() (T, error)) coming[T] {
	c := make(coming[T], 1) // an answer that nobody takes must not stop the next
	a.queue <- func() {
		value, err := read()
		c <- answer[T]{value, err}
	}
	return c
}

// take waits for it. It is taken once.
func (c coming[T]) take(ctx context.Context) (value T, err error) {
	select {
	case x := <-c:
		return x.value, x.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}
