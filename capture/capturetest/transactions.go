package capturetest

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/envelope"
)

// Transactions compares the records of the transaction topic.
type Transactions struct {
	Format *envelope.Format
	// LeftOut reports the tables that are not compared: transactions that have
	// events of one are not either.
	LeftOut func(table string) bool
	// Fill has the ids and times taken from the wanted record: it is another
	// run.
	Fill bool

	want  []Record
	next  int
	begin *envelope.Change
}

// Expect takes the wanted records of a variant.
func (x *Transactions) Expect(v *Variant) {
	var begin *Record
	for i := range v.Records {
		r := &v.Records[i]
		if r.Topic != v.Config["topic.prefix"]+".transaction" {
			continue
		}
		if Text(r.Payload, "status") == "BEGIN" {
			begin = r
			continue
		}
		tables := string(r.Payload["data_collections"])
		out := strings.Contains(tables, "io.debezium") // a logical message has a name of Java's
		for _, part := range strings.Split(tables, `"`) {
			out = out || strings.Contains(part, ".") && x.LeftOut(part)
		}
		if !out && begin != nil {
			x.want = append(x.want, *begin, *r)
		}
	}
}

// Change takes the beginning or end of a transaction; it returns false for
// other changes.
func (x *Transactions) Change(t *testing.T, c *envelope.Change) bool {
	t.Helper()
	switch c.Op {
	case envelope.Begin:
		if x.begin != nil {
			t.Error("a transaction begins before the one before it ends")
		}
		each := *c
		x.begin = &each
	case envelope.End:
		if x.begin == nil {
			t.Fatal("a transaction ends that did not begin")
		}
		if !slices.ContainsFunc(c.Event.Tables, func(n envelope.TableCount) bool { return x.LeftOut(n.Table.String()) }) {
			x.compare(t, x.begin)
			x.compare(t, c)
		}
		x.begin = nil
	default:
		return c.Table == nil
	}
	return true
}

func (x *Transactions) compare(t *testing.T, c *envelope.Change) {
	t.Helper()
	if x.next >= len(x.want) {
		t.Errorf("%s of a transaction: Debezium has no more", c.Op)
		return
	}
	want := &x.want[x.next]
	x.next++
	each := *c
	if c.Op == envelope.Begin || x.Fill { // MariaDB's has the time of the transaction before
		ms, _ := Int(want.Payload, "ts_ms")
		each.Source.TsNs = ms * 1e6
	}
	if x.Fill {
		id := Text(want.Payload, "id")
		each.Source.GTID = id
		if tx, lsn, ok := strings.Cut(id, ":"); ok {
			each.Source.TxID, _ = strconv.ParseInt(tx, 10, 64)
			each.Source.LSN, _ = strconv.ParseInt(lsn, 10, 64)
		}
	}
	var m envelope.Messages
	f := x.Format.Event(c.Op)
	f.Append(&m, envelope.Wire{}, &each)
	if f.Topic != want.Topic || string(m.List[0].Key) != string(want.Key) || string(m.List[0].Value) != string(want.Value) {
		t.Errorf("transaction record %d to %s\n got %x = %q\nwant %x = %q", x.next, want.Topic, m.List[0].Key, m.List[0].Value, want.Key, want.Value)
	}
}

// Done reports wanted records that never came.
func (x *Transactions) Done(t *testing.T) {
	t.Helper()
	if n := len(x.want) - x.next; n > 0 {
		t.Errorf("%d records to the transaction topic are missing", n)
	}
}
