package capture

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"time"

	"tributary/envelope"
)

// The kinds of snapshots that notifications are about.
const (
	InitialSnapshot     = "Initial Snapshot"
	IncrementalSnapshot = "Incremental Snapshot"
)

// Notifier tells how snapshots go on, in the log and in a topic. nil tells
// nobody.
type Notifier struct {
	name string // connector_name
	log  *slog.Logger
	sink bool
}

// Notifier returns what the options ask for, nil for nothing.
func (o *Options) Notifier(log *slog.Logger) *Notifier {
	if len(o.Notifications) == 0 {
		return nil
	}
	n := &Notifier{name: o.Prefix, sink: slices.Contains(o.Notifications, "sink")}
	if slices.Contains(o.Notifications, "log") {
		n.log = log
	}
	return n
}

// Add tells something: it is logged, and added to the changes that are to be
// emitted. data are pairs of keys and values; id "" makes one up. No value of
// a row may be in data.
func (n *Notifier) Add(out *envelope.Changes, aggregate, typ, id string, data ...string) {
	if n == nil {
		return
	}
	if id == "" {
		id = rand.Text()
	}
	if n.log != nil {
		args := []any{"aggregate_type", aggregate, "type", typ, "id", id}
		for i := 0; i+1 < len(data); i += 2 {
			args = append(args, data[i], data[i+1])
		}
		n.log.Info("notification", args...)
	}
	if !n.sink || out == nil {
		return
	}
	c := out.Next()
	c.Op, c.TsNs = envelope.Notify, time.Now().UnixNano()
	note := &envelope.Notification{ID: id, Aggregate: aggregate, Type: typ, Data: []envelope.Param{{Key: "connector_name", Value: n.name}}}
	for i := 0; i+1 < len(data); i += 2 {
		note.Data = append(note.Data, envelope.Param{Key: data[i], Value: data[i+1]})
	}
	c.Event = &envelope.Event{Note: note}
}
