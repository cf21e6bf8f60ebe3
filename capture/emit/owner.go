package emit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"tributary/capture"
	"tributary/internal/fault"
	"tributary/internal/topic"
)

// ownerHeader is the header of a position that tells which process wrote it.
const ownerHeader = "tributary.instance"

// owner tells apart the processes that run under one name. Brokers do not always
// say that another one took over: some answer a producer that was fenced off within
// its transaction as one that is confused. It would start again, fence the other
// one off, and so on for ever.
type owner struct {
	id     string // of this process
	header []topic.Header
	known  bool         // seen is of a former Resume
	seen   topic.Record // the newest position then
}

func newOwner() owner {
	id := rand.Text()
	return owner{id: id, header: []topic.Header{{Key: ownerHeader, Value: []byte(id)}}}
}

// of is the process that wrote a position, "" if it did not say.
func of(r *topic.Record) string {
	for _, h := range r.Headers {
		if h.Key == ownerHeader {
			return string(h.Value)
		}
	}
	return ""
}

// newest returns the record of the connector's position, a zero one if there is none.
func (e *Emitter) newest(ctx context.Context) (topic.Record, error) {
	all, err := e.admin.ReadCompacted(ctx, e.opts.OffsetTopic)
	if err != nil && !errors.Is(err, topic.ErrNoTopic) {
		return topic.Record{}, fmt.Errorf("read the position of %s: %w", e.name, err)
	}
	return all[e.name], nil
}

// alone fails for a human if another process has stored a position since this one
// began.
func (e *Emitter) alone(ctx context.Context) error {
	if !e.owner.known {
		return nil
	}
	r, err := e.newest(ctx)
	if err != nil {
		return err
	}
	who := of(&r)
	if who == "" || who == e.owner.id || e.owner.seen.Value != nil && r.Partition == e.owner.seen.Partition && r.Offset == e.owner.seen.Offset {
		return nil
	}
	return fault.Human(fmt.Errorf("another instance named %q runs: it stored a position at %s", e.name, r.Timestamp.UTC().Format(time.RFC3339)),
		"stop one of the two, or give each a name (and a slot.name or database.server.id) of its own; two instances of one name must not run at once")
}

// resume reads the position from which to go on.
func (e *Emitter) resume(ctx context.Context) (capture.Position, error) {
	r, err := e.newest(ctx)
	if err != nil {
		return nil, err
	}
	e.owner.known, e.owner.seen = true, r
	return r.Value, nil
}
