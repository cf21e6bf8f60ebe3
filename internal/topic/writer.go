package topic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tributary/internal/fault"
)

// Bounds of what a Writer buffers beyond the caller's own batch: WriteTx waits
// for the broker when a transaction exceeds them.
const (
	maxBufferedRecords = 64 << 10
	maxBufferedBytes   = 32 << 20
)

// abortTimeout bounds the attempt to abort a failed transaction. The broker does
// it anyway when the next Writer of the name starts.
const abortTimeout = 3 * time.Second

// Writer writes batches of records, each in one transaction. It is for one
// goroutine at a time.
type Writer struct {
	cl      *kgo.Client
	name    string
	timeout time.Duration // transaction.timeout.ms
	deliver time.Duration // delivery.timeout.ms
	log     *slog.Logger
	slab    []kgo.Record // reused: the client is done with it when WriteTx returns
	broken  error        // set once the outcome of a transaction is unknown
}

// NewWriter connects as the producer called name (Kafka's transactional.id).
// The broker aborts a transaction that a former instance of that name left
// open and fences that instance off: its next WriteTx fails for a human.
func NewWriter(ctx context.Context, o Options, name string, log *slog.Logger) (*Writer, error) {
	cl, err := o.connect(ctx, log,
		kgo.TransactionalID(name),
		kgo.TransactionTimeout(o.TransactionTimeout),
		o.compression(),
		kgo.ProducerBatchMaxBytes(int32(o.MaxRequest)),
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(max(maxBufferedBytes, 2*o.MaxRequest)),
		// Batches fill while WriteTx hands records over; its flush ends the
		// wait at once, so small batches are not delayed.
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(choosePartition)),
		kgo.StopProducerOnDataLossDetected(),
		kgo.ConcurrentTransactionsBackoff(5*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	w := &Writer{cl: cl, name: name, timeout: o.TransactionTimeout, deliver: o.DeliveryTimeout, log: log}
	start, cancel := context.WithTimeout(ctx, 6*connectTimeout)
	defer cancel()
	if _, _, err := cl.ProducerID(start); err != nil {
		cl.Close()
		return nil, classify(fmt.Errorf("start transactions as %q: %w", name, err))
	}
	return w, nil
}

// Close gives up the connection. An open transaction is aborted by the broker
// when the next Writer of the name starts, or after transaction.timeout.ms.
func (w *Writer) Close() { w.cl.Close() }

// WriteTx writes the records in one transaction and returns when the broker
// has committed it. Records of one partition keep their order. The records'
// memory must not change until WriteTx returns; it is not used afterwards.
//
// After an error that is ErrAborted nothing was written and the Writer is
// still good. After any other the outcome is unknown: close the Writer, make a
// new one, and resume from the position that Admin.Last gives.
func (w *Writer) WriteTx(ctx context.Context, records []Record) error {
	if w.broken != nil {
		return fmt.Errorf("write after a transaction of unknown outcome: %w", w.broken)
	}
	if len(records) == 0 {
		return nil
	}
	began := time.Now()
	if err := w.cl.BeginTransaction(); err != nil {
		return w.fail(began, fmt.Errorf("begin transaction as %q: %w", w.name, err))
	}
	if err := w.produce(ctx, records); err != nil {
		return w.abort(ctx, began, err)
	}
	// The commit is not to be cancelled half way: the outcome would be unknown.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.timeout)
	defer cancel()
	err := w.cl.EndTransaction(end, kgo.TryCommit)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.OperationNotAttempted), errors.Is(err, kerr.TransactionAbortable):
		return w.abort(ctx, began, fmt.Errorf("commit transaction as %q: %w", w.name, err))
	}
	return w.fail(began, fmt.Errorf("commit transaction as %q: %w", w.name, err))
}

// produce hands the records over and waits until all are acknowledged.
func (w *Writer) produce(ctx context.Context, records []Record) error {
	if cap(w.slab) < len(records) {
		w.slab = make([]kgo.Record, len(records))
	}
	slab := w.slab[:len(records)]
	// The client library's own delivery timeout counts from the records'
	// timestamps, which are those of the database.
	ctx, cancel := context.WithTimeoutCause(ctx, w.deliver, fmt.Errorf("not delivered within delivery.timeout.ms (%s)", w.deliver))
	defer cancel()
	var failure atomic.Pointer[error]
	promise := func(r *kgo.Record, err error) {
		if err == nil || failure.Load() != nil {
			return
		}
		err = fmt.Errorf("produce to %s (record of %d bytes): %w", r.Topic, len(r.Key)+len(r.Value), err)
		failure.CompareAndSwap(nil, &err)
	}
	for i := range records {
		r := &records[i]
		slab[i] = kgo.Record{
			Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value,
			Headers: r.Headers, Timestamp: r.Timestamp,
		}
		w.cl.Produce(ctx, &slab[i], promise)
		if failure.Load() != nil {
			break
		}
	}
	err := w.cl.Flush(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("produce as %q: %w", w.name, context.Cause(ctx))
	}
	if f := failure.Load(); f != nil {
		err = *f
	}
	return err
}

// abort ends the transaction without effect and returns cause, marked with
// ErrAborted when that worked.
func (w *Writer) abort(ctx context.Context, began time.Time, cause error) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := w.cl.AbortBufferedRecords(end); err != nil {
		return w.fail(began, fmt.Errorf("%w (and while dropping unsent records: %w)", cause, err))
	}
	err := w.cl.EndTransaction(end, kgo.TryAbort)
	if err != nil || fenced(cause) {
		return w.fail(began, cause)
	}
	clear(w.slab)
	return classify(fmt.Errorf("%w: %w", ErrAborted, cause))
}

// fail makes the Writer unusable and says why.
func (w *Writer) fail(began time.Time, err error) error {
	switch age := time.Since(began); {
	case !fenced(err):
		err = classify(err)
	case age >= w.timeout:
		// The broker fences the producer of a transaction that it timed out.
		err = fmt.Errorf("transaction was open for %s, longer than transaction.timeout.ms: %w", age.Round(time.Second), err)
	default:
		err = fault.Human(fmt.Errorf("another instance named %q took over: %w", w.name, err),
			"stop the other instance, or give this one another name; two instances of one name must not run at once")
	}
	w.broken = err
	// Let go of the caller's memory.
	w.cl.UnsafeAbortBufferedRecords()
	return err
}
