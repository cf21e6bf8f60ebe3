package ingest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
)

const saleTopic, saleBase = "t.s.sale", "silver/db/sale"

// later returns a clock that is past any lease given so far.
func later(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d) }
}

// However records are cut into objects and objects into commits, and whatever
// is sent again, the table is what the records fold to.
func TestAnyCutAndAnyReplayGiveTheSameTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
		src := newSales()
		var all []recorded
		w := newSink(t, bronzeStore, saleTopic, 0, 0)
		hard := rapid.Bool().Draw(rt, "hard delete")
		s := newService(t, bronzeStore, lakeStore)
		s.HardDelete = hard
		s.CommitBytes = int64(rapid.IntRange(1, 2000).Draw(rt, "commit bytes"))
		for range rapid.IntRange(1, 40).Draw(rt, "changes") {
			op := rapid.SampledFrom([]string{"c", "u", "u", "d"}).Draw(rt, "op")
			note := rapid.SampledFrom([]string{"a", "b", "__debezium_unavailable_value"}).Draw(rt, "note")
			all = append(all, src.record(op, rapid.IntRange(1, 5).Draw(rt, "id"), rapid.IntRange(-1, 3).Draw(rt, "qty"), note))
			w.put(all[len(all)-1])
			switch rapid.IntRange(0, 9).Draw(rt, "then") {
			case 0, 1:
				w.flush()
			case 2:
				w.flush()
				once(t, s)
			case 3: // a part of the log comes again, as after a restart of the source
				from := rapid.IntRange(0, len(all)-1).Draw(rt, "from")
				if hard {
					break // a hard delete leaves nothing to compare an old event with
				}
				for _, r := range all[from:] {
					r.offset = src.offset
					src.offset++
					w.put(r)
				}
			}
		}
		w.flush()
		once(t, s)
		compare(t, saleBase, readTable(t, lakeStore, saleBase, ""), fold(t, all, hard))
	})
}

// Whatever operation on the lake is the last one before a crash, whether it was
// done or not, the next streamer ends with the same table.
func TestCrashAfterAnyOperation(t *testing.T) {
	bronzeStore := new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	var all []recorded
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		op := []string{"c", "u", "d"}[rng.IntN(3)]
		all = append(all, src.record(op, rng.IntN(12), rng.IntN(100), fmt.Sprint(i)))
		w.put(all[i])
		if i%6 == 5 {
			w.flush()
		}
	}
	want := fold(t, all, false)
	for _, ambiguous := range []bool{false, true} {
		crashes := 0
		for n := 0; ; n++ {
			lakeStore := new(blob.Mem)
			faulty := blob.NewFault(lakeStore)
			faulty.StopAfter(n, ambiguous)
			s := newService(t, bronzeStore, faulty)
			s.CommitBytes = 1500
			err := runUntilError(t.Context(), s)
			if !faulty.Stopped() {
				must(t, err)
				break
			}
			crashes++
			// The next process comes when the lease of the first is over.
			next := newService(t, bronzeStore, lakeStore)
			next.CommitBytes = 4000
			next.Table.Now = later(time.Hour)
			once(t, next)
			compare(t, fmt.Sprintf("after operation %d, ambiguous %v", n, ambiguous), readTable(t, lakeStore, saleBase, ""), want)
			if t.Failed() {
				return
			}
		}
		if crashes < 20 {
			t.Errorf("only %d operations were the last one", crashes)
		}
	}
}

// runUntilError syncs the sale topic until it has all, without trying again after
// an error: a process that dies.
func runUntilError(ctx context.Context, s *Service) error {
	s.init()
	topic := NewTopic(&s.Settings, saleTopic)
	for {
		p, err := topic.Sync(ctx, func(int) (func(), error) { return func() {}, nil })
		if err != nil || p.Objects == 0 {
			return err
		}
	}
}

// hiding is a store whose next listing lacks some keys: one that passed by
// before they were put.
type hiding struct {
	blob.Store
	hidden string
}

func (h *hiding) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	hidden := h.hidden
	h.hidden = ""
	return func(yield func(blob.Info, error) bool) {
		for info, err := range h.Store.List(ctx, prefix, after) {
			if hidden != "" && strings.Contains(info.Key, hidden) {
				continue
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// Two folders are flushed together, and a listing sees the object put last but
// not the one put before it: the latter must be taken by the next listing, be
// it of the same process or of the next.
func TestObjectPutWhileListingIsNotLost(t *testing.T) {
	for _, restart := range []bool{false, true} {
		mem := new(blob.Mem)
		store, lakeStore := &hiding{Store: mem}, new(blob.Mem)
		src := newSales()
		w := newSink(t, mem, saleTopic, 0, 0)
		var all []recorded
		put := func(day int64) {
			r := src.record("c", len(all), 1, "x")
			r.timestamp += day * 86_400_000
			all = append(all, r)
			w.put(r)
		}
		put(0) // folder of the 14th: put first
		put(1) // folder of the 15th: put last, with the durable offset
		w.flush()
		store.hidden = "day=14"
		s := newService(t, store, lakeStore)
		s.init()
		topic := NewTopic(&s.Settings, saleTopic)
		step := func() {
			t.Helper()
			_, err := topic.Sync(t.Context(), func(int) (func(), error) { return func() {}, nil })
			must(t, err)
		}
		step()
		if rows := readTable(t, lakeStore, saleBase, ""); len(rows) != 1 {
			t.Fatalf("%d rows after the first listing, want 1", len(rows))
		}
		if restart {
			topic.Close(t.Context())
			topic = NewTopic(&s.Settings, saleTopic)
		}
		step()
		compare(t, "after the second listing", readTable(t, lakeStore, saleBase, ""), fold(t, all, false))
		if c := topic.cp.Partitions[0]; !restart && (c.Floor != 2 || len(c.Next) != 0) {
			t.Errorf("all is taken, but the checkpoint is %s", topic.cp.JSON())
		}
		put(1)
		put(0)
		w.flush()
		store.hidden = "day=14"
		step()
		step()
		compare(t, "at the end", readTable(t, lakeStore, saleBase, ""), fold(t, all, false))
		if c := topic.cp.Partitions[0]; c.Floor != 4 || len(c.Next) != 0 {
			t.Errorf("all is taken, but the checkpoint is %s", topic.cp.JSON())
		}
		topic.Close(t.Context())
	}
}

func TestAddedAndWidenedColumns(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	all := []recorded{src.record("c", 1, 10, "a"), src.record("c", 2, 20, "b")}
	src.schema = saleSchema(`{"name":"id","type":"int"},{"name":"qty","type":["null","long"],"default":null},` +
		`{"name":"note","type":["null","string"],"default":null},{"name":"extra","type":["null","long"],"default":null}`)
	src.lsn += 8
	v := avro.AppendLong(avro.AppendLong(nil, 1), 1)
	v = avro.AppendLong(v, 1<<40)
	v = avro.AppendString(avro.AppendLong(v, 1), "c")
	v = src.meta(avro.AppendLong(avro.AppendLong(v, 1), 7), "u")
	wide := src.finish(v, fmt.Sprintf(`{"id":1,"qty":%d,"note":"c","extra":7,"__deleted":"false","__op":"u"}`, int64(1)<<40))
	wide.schemaID = 2
	all = append(all, wide)
	for _, r := range all {
		w.put(r)
	}
	w.flush()
	once(t, newService(t, bronzeStore, lakeStore))
	got := readTable(t, lakeStore, saleBase, "")
	compare(t, saleBase, got, fold(t, all, false))
	if got["2"]["extra"] != "null" {
		t.Errorf("a row from before the column was added has %s in it", got["2"]["extra"])
	}
}

// A table whose source drops a column stops, says what to do, and goes on when
// told so; another table is not touched by it.
func TestDroppedColumnStopsItsTableAlone(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	first := src.record("c", 1, 10, "a")
	w.put(first)
	src.schema = saleSchema(`{"name":"id","type":"int"},{"name":"qty","type":["null","int"],"default":null}`)
	src.lsn += 8
	v := src.meta(avro.AppendLong(avro.AppendLong(avro.AppendLong(nil, 2), 1), 5), "c")
	dropped := src.finish(v, `{"id":2,"qty":5,"__deleted":"false","__op":"c"}`)
	dropped.schemaID = 2
	w.put(dropped)
	w.flush()
	other := newSales()
	w = newSink(t, bronzeStore, "t.s.venue", 0, 0)
	venue := other.record("c", 9, 9, "v")
	w.put(venue)
	w.flush()

	s := newService(t, bronzeStore, lakeStore)
	err := s.Once(t.Context())
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "column note was dropped") || !strings.Contains(fault.Hint(err), "column.drop: true") {
		t.Fatalf("got %v, hint %q", err, fault.Hint(err))
	}
	compare(t, saleBase, readTable(t, lakeStore, saleBase, ""), fold(t, []recorded{first}, false))
	compare(t, "venue", readTable(t, lakeStore, "silver/db/venue", ""), fold(t, []recorded{venue}, false))

	s.DropColumns = true
	once(t, s)
	got := readTable(t, lakeStore, saleBase, "")
	if len(got) != 2 || got["2"]["note"] != "null" || got["1"]["note"] != `"a"` {
		t.Errorf("got %v", got)
	}
}

// Text that an update of MySQL is logged without (binlog_row_image NOBLOB or MINIMAL)
// stays as it is stored.
func TestUnavailableTextOfMySQLStays(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	schema := strings.Replace(saleSchema(saleColumns), `{"name":"__lsn","type":["null","long"],"default":null}`,
		`{"name":"__file","type":["null","string"],"default":null},{"name":"__pos","type":["null","long"],"default":null},{"name":"__row","type":["null","int"],"default":null}`, 1)
	src := sales{schema: schema}
	record := func(op string, id, qty int64, note string) recorded {
		v := avro.AppendLong(avro.AppendLong(avro.AppendLong(nil, id), 1), qty)
		for _, text := range []string{note, "false", op, "bin.000001"} {
			v = avro.AppendString(avro.AppendLong(v, 1), text)
		}
		for _, n := range []int64{1000 + src.offset, 0, 1_700_000_000_000} { // pos, row, ts_ms
			v = avro.AppendLong(avro.AppendLong(v, 1), n)
		}
		return src.finish(v, `{}`)
	}
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	w.put(record("c", 1, 10, "stored"))
	w.put(record("c", 2, 20, "stored"))
	w.put(record("u", 2, 21, "__debezium_unavailable_value"))
	w.flush()
	once(t, newService(t, bronzeStore, lakeStore))
	w.put(record("u", 1, 11, "__debezium_unavailable_value"))
	w.flush()
	once(t, newService(t, bronzeStore, lakeStore))
	got := readTable(t, lakeStore, saleBase, "")
	for key, want := range map[string]string{"1": "11", "2": "21"} {
		if got[key]["qty"] != want || got[key]["note"] != `"stored"` || !strings.Contains(got[key][colSeq], "00000001-") {
			t.Errorf("row %s: %v", key, got[key])
		}
	}
}

// A number becomes text, and records from before that, of another partition, come
// after it.
func TestNumbersBecomeText(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	w.put(src.record("c", 1, 10, "a"))
	w.put(src.record("c", 2, 20, "a"))
	w.flush()
	once(t, newService(t, bronzeStore, lakeStore))
	late := src.record("c", 3, 30, "a") // made before the change
	numbers := src.schema
	src.schema = saleSchema(`{"name":"id","type":"int"},{"name":"qty","type":["null","string"],"default":null},{"name":"note","type":["null","string"],"default":null}`)
	v := avro.AppendString(avro.AppendLong(avro.AppendLong(nil, 1), 1), "ten")
	v = src.meta(avro.AppendString(avro.AppendLong(v, 1), "b"), "u")
	r := src.finish(v, `{}`)
	r.schemaID = 2
	w.put(r)
	w.flush()
	once(t, newService(t, bronzeStore, lakeStore))
	other := newSink(t, bronzeStore, saleTopic, 1, 0)
	late.schema = numbers
	other.put(late)
	other.flush()
	once(t, newService(t, bronzeStore, lakeStore))
	got := readTable(t, lakeStore, saleBase, "")
	for key, want := range map[string]string{"1": `"ten"`, "2": `"20"`, "3": `"30"`} {
		if got[key]["qty"] != want {
			t.Errorf("row %s has %s, want %s", key, got[key]["qty"], want)
		}
	}
}

// A decimal gets more digits on both sides of the point; a record from before comes
// after that.
func TestDecimalsGetMoreDigits(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	schema := func(precision, scale int) string {
		return saleSchema(fmt.Sprintf(`{"name":"id","type":"int"},{"name":"qty","type":["null",{"type":"bytes","logicalType":"decimal","precision":%d,"scale":%d}],"default":null},{"name":"note","type":["null","string"],"default":null}`, precision, scale))
	}
	record := func(id int, unscaled []byte) recorded {
		src.lsn += 8
		v := avro.AppendLong(avro.AppendLong(nil, int64(id)), 1)
		v = append(avro.AppendLong(v, int64(len(unscaled))), unscaled...)
		return src.finish(src.meta(avro.AppendString(avro.AppendLong(v, 1), "n"), "c"), `{}`)
	}
	put := func(partition int32, r recorded) {
		w := newSink(t, bronzeStore, saleTopic, partition, 0)
		w.put(r)
		w.flush()
		once(t, newService(t, bronzeStore, lakeStore))
	}
	src.schema = schema(6, 2)
	put(0, record(1, []byte{0x04, 0xd2}))
	late := record(3, []byte{0xff, 0x85})
	src.schema = schema(12, 5)
	wide := record(2, []byte{0x01, 0x00, 0x00, 0x00, 0x00})
	wide.schemaID = 2
	put(1, wide)
	put(2, late)
	got := readTable(t, lakeStore, saleBase, "")
	for key, want := range map[string]string{"1": "12.34000", "2": "42949.67296", "3": "-1.23000"} {
		if strings.Trim(got[key]["qty"], `"`) != want {
			t.Errorf("row %s has %s, want %s", key, got[key]["qty"], want)
		}
	}
}

func TestChangedTypeStops(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	w.put(src.record("c", 1, 10, "a"))
	src.schema = saleSchema(`{"name":"id","type":"int"},{"name":"qty","type":["null","boolean"],"default":null},{"name":"note","type":["null","string"],"default":null}`)
	v := append(avro.AppendLong(avro.AppendLong(nil, 1), 1), 1)
	v = src.meta(avro.AppendString(avro.AppendLong(v, 1), "b"), "u")
	r := src.finish(v, `{}`)
	r.schemaID = 2
	w.put(r)
	w.flush()
	err := newService(t, bronzeStore, lakeStore).Once(t.Context())
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "column qty cannot change from int to boolean") || fault.Hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if got := readTable(t, lakeStore, saleBase, ""); len(got) != 1 || got["1"]["qty"] != "10" {
		t.Errorf("got %v", got)
	}
}

// damage rewrites an object.
func damage(t *testing.T, store blob.Store, key string, change func([]byte) []byte) (restore func()) {
	t.Helper()
	o, err := store.Open(t.Context(), key)
	must(t, err)
	old := make([]byte, o.Size())
	_, err = o.ReadAt(old, 0)
	must(t, err)
	write := func(b []byte) {
		_, err := store.Put(t.Context(), key, strings.NewReader(string(b)), int64(len(b)), blob.Always())
		must(t, err)
	}
	write(change(append([]byte(nil), old...)))
	return func() { write(old) }
}

// A damaged object stops its table with what is before it committed; nothing
// behind it is taken, until it is mended or listed under skip.objects.
func TestDamagedObject(t *testing.T) {
	kinds := map[string]func([]byte) []byte{
		"cut off":   func(b []byte) []byte { return b[:len(b)-10] },
		"empty":     func(b []byte) []byte { return nil },
		"a bit":     func(b []byte) []byte { b[len(b)-25] ^= 4; return b },
		"no header": func(b []byte) []byte { return append([]byte("nothing"), b[7:]...) },
		"too long":  func(b []byte) []byte { return append(b, b[len(b)-40:]...) },
	}
	for name, change := range kinds {
		t.Run(name, func(t *testing.T) {
			bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
			src := newSales()
			w := newSink(t, bronzeStore, saleTopic, 0, 0)
			var all []recorded
			for i := range 3 {
				all = append(all, src.record("c", i, i, "x"))
				w.put(all[i])
				w.flush()
			}
			key := "topics/t.s.sale/year=2023/month=11/day=14/t.s.sale+0+0000000001.avro"
			restore := damage(t, bronzeStore, key, change)
			s := newService(t, bronzeStore, lakeStore)
			err := s.Once(t.Context())
			if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), key) || !strings.Contains(fault.Hint(err), "skip.objects") {
				t.Fatalf("got %v, hint %q", err, fault.Hint(err))
			}
			compare(t, "before the damaged object", readTable(t, lakeStore, saleBase, ""), fold(t, all[:1], false))

			skipping := newService(t, bronzeStore, lakeStore)
			skipping.LakeRoot = "skipping"
			skipping.SkipObjects = []string{key}
			once(t, skipping)
			compare(t, "without the damaged object", readTable(t, lakeStore, "skipping/db/sale", ""), fold(t, []recorded{all[0], all[2]}, false))

			restore()
			once(t, s)
			compare(t, "mended", readTable(t, lakeStore, saleBase, ""), fold(t, all, false))
		})
	}
}

// Two streamers on one table: the second is told, and harms nothing.
func TestSecondStreamerIsRefused(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	all := []recorded{src.record("c", 1, 1, "a")}
	w.put(all[0])
	w.flush()
	first := newService(t, bronzeStore, lakeStore)
	topic := NewTopic(&first.Settings, saleTopic)
	admit := func(int) (func(), error) { return func() {}, nil }
	_, err := topic.Sync(t.Context(), admit)
	must(t, err)
	all = append(all, src.record("u", 1, 2, "b"))
	w.put(all[1])
	w.flush()
	if err := newService(t, bronzeStore, lakeStore).Once(t.Context()); !errors.Is(err, lake.ErrLocked) {
		t.Fatalf("the second streamer got %v", err)
	}
	_, err = topic.Sync(t.Context(), admit)
	must(t, err)
	topic.Close(t.Context())
	compare(t, saleBase, readTable(t, lakeStore, saleBase, ""), fold(t, all, false))
	once(t, newService(t, bronzeStore, lakeStore)) // the lease was given back
}

// Two topics whose tables would be one: the first has it, the second is told.
func TestTwoTopicsOfOneTable(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	var all []recorded
	for i, topic := range []string{"t.a.sale", "t.b.sale"} {
		src := newSales()
		w := newSink(t, bronzeStore, topic, 0, 0)
		all = append(all, src.record("c", i, i, topic))
		w.put(all[i])
		w.flush()
	}
	err := newService(t, bronzeStore, lakeStore).Once(t.Context())
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "t.b.sale: its table silver/db/sale is that of topic t.a.sale") {
		t.Errorf("got %v", err)
	}
	compare(t, saleBase, readTable(t, lakeStore, saleBase, ""), fold(t, all[:1], false))
	// Another process, which knows of the second topic alone.
	other := newService(t, bronzeStore, lakeStore)
	other.Wants = func(topic string) bool { return topic == "t.b.sale" }
	if err := other.Once(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "checkpoint is of topic t.a.sale") {
		t.Errorf("got %v", err)
	}
}

// Run follows what comes, finds new topics, keeps going past a table that
// stopped, and gives the leases back at the end.
func TestRunFollows(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	s := newService(t, bronzeStore, lakeStore)
	s.Parallel = 2
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()

	src, bad := newSales(), newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	keyless := bad.record("c", 1, 1, "x")
	keyless.key = nil
	wb := newSink(t, bronzeStore, "t.s.nokey", 0, 0)
	wb.put(keyless)
	wb.flush()
	var all []recorded
	wait := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	for i := range 5 {
		all = append(all, src.record("c", i, i, "x"))
		w.put(all[i])
		w.flush()
		wait("a row", func() bool {
			table, err := lake.Open(t.Context(), lakeStore, saleBase, lake.Options{})
			if errors.Is(err, lake.ErrNoTable) {
				return false
			}
			must(t, err)
			snap, err := table.AsOf(t.Context(), "")
			must(t, err)
			return snap.Rows() == int64(i+1)
		})
	}
	wait("the stopped table to be told", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "t.s.nokey")
	})
	cancel()
	must(t, <-done)
	compare(t, saleBase, readTable(t, lakeStore, saleBase, ""), fold(t, all, false))
	other := newService(t, bronzeStore, lakeStore)
	other.Wants = func(topic string) bool { return topic == saleTopic }
	once(t, other)
}
