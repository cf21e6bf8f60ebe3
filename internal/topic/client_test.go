package topic_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// openTransaction returns a function that writes one record to topic in a
// transaction that stays open, and one that aborts it.
func openTransaction(t *testing.T, addr, id, topic string) (open func() error, abort func()) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	open = func() error {
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		return cl.ProduceSync(t.Context(), kgo.StringRecord("open")).FirstErr()
	}
	return open, func() { cl.EndTransaction(t.Context(), kgo.TryAbort) }
}

// deleteRecords removes the records of partition 0 before offset.
func deleteRecords(t *testing.T, addr, topic string, offset int64) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var o kadm.Offsets
	o.AddOffset(topic, 0, offset, -1)
	if _, err := kadm.NewClient(cl).DeleteRecords(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}
