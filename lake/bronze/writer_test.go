package bronze

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// countingStore counts the names that listings give.
type countingStore struct {
	blob.Store
	seen int
}

func (c *countingStore) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for o, err := range c.Store.List(ctx, prefix, after) {
			c.seen++
			if !yield(o, err) {
				return
			}
		}
	}
}

const longSchema = `{"type":"record","name":"R","fields":[{"name":"v","type":"long"}]}`

func record(offset int64) []byte { return avro.AppendLong(nil, offset) }

func options(store blob.Store) Options {
	return Options{Store: store, Root: DefaultRoot, Codec: avro.CodecNull, Spool: NewSpool("", 1<<20)}
}

// offsets reads the records of an object: each is its own offset.
func offsets(t testing.TB, store blob.Store, key string) ([]int64, Meta) {
	t.Helper()
	o, err := Open(t.Context(), store, key)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	s, err := avro.Parse(o.SchemaText())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := avro.Compile(s, []avro.Target{{Path: "v"}})
	if err != nil {
		t.Fatal(err)
	}
	b := plan.NewBatch()
	for {
		block, err := o.Next()
		if errors.Is(err, io.EOF) {
			return b.Cols[0].Ints, o.Meta
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.WalkAll(block.Data, block.Count, b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFlushPutsEachFolder(t *testing.T) {
	store := &blob.Mem{}
	w := NewPartitionWriter(options(store), "t", 2, 100)
	schema := &Schema{ID: 7, Text: longSchema, KeyFields: []string{"a", "b"}}
	for i, folder := range []string{"day=2", "day=1", "day=2", "day=3"} {
		if _, err := w.Append(t.Context(), 100+int64(i), folder, schema, record(100+int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	w.Skip(104)
	if n, bytes := w.Pending(); n != 4 || bytes != 8 || w.Folders() != 3 || !w.Dirty() {
		t.Errorf("pending %d, %d in %d folders", n, bytes, w.Folders())
	}
	if _, err := w.Append(t.Context(), 104, "day=1", schema, record(104)); err == nil {
		t.Error("an offset was taken twice")
	}
	put, err := w.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range put {
		rows, m := offsets(t, store, o.Key)
		got = append(got, fmt.Sprint(o.Key, rows, m.First, m.Last, m.Records, m.Durable, m.SchemaID, m.KeyFields))
		if m.Topic != "t" || m.Partition != 2 {
			t.Errorf("%+v", m)
		}
	}
	want := []string{
		"topics/t/day=2/t+2+0000000100.avro[100 102] 100 102 2 99 7 [a b]",
		"topics/t/day=1/t+2+0000000101.avro[101] 101 101 1 99 7 [a b]",
		"topics/t/day=3/t+2+0000000103.avro[103] 103 103 1 104 7 [a b]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if w.Next() != 105 || w.Dirty() || w.Folders() != 0 {
		t.Errorf("next %d, dirty %v", w.Next(), w.Dirty())
	}
	if used := w.opt.Spool.InMemory(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
}

func TestNeedsFlush(t *testing.T) {
	store := &blob.Mem{}
	opt := options(store)
	a, same, other := &Schema{ID: 1, Text: longSchema}, &Schema{ID: 1, Text: longSchema}, &Schema{ID: 2, Text: longSchema}
	w := NewPartitionWriter(opt, "t", 0, 0)
	if w.NeedsFlush("x", a) {
		t.Error("an empty writer needs a flush")
	}
	if _, err := w.Append(t.Context(), 0, "x", a, record(0)); err != nil {
		t.Fatal(err)
	}
	if w.NeedsFlush("x", same) || w.NeedsFlush("y", same) || !w.NeedsFlush("x", other) ||
		!w.NeedsFlush("x", &Schema{ID: 1, Text: longSchema, KeyFields: []string{"k"}}) {
		t.Error("a flush is needed for another schema, and for nothing else")
	}
	opt.Linear = true
	w = NewPartitionWriter(opt, "u", 0, 0)
	if _, err := w.Append(t.Context(), 0, "x", a, record(0)); err != nil {
		t.Fatal(err)
	}
	if !w.NeedsFlush("y", a) || w.NeedsFlush("x", a) {
		t.Error("a linear writer has one folder open")
	}
}

// TestSpill writes more than the budget and expects the same bytes as in memory,
// and no file left.
func TestSpill(t *testing.T) {
	var objects [2][]byte
	for i, budget := range []int64{1 << 30, 100_000} {
		store, dir := &blob.Mem{}, t.TempDir()
		opt := options(store)
		opt.Spool = NewSpool(dir, budget)
		w := NewPartitionWriter(opt, "t", 0, 0)
		schema := &Schema{Text: longSchema}
		big := bytes.Repeat([]byte{1}, 1000)
		for n := range int64(2000) {
			if _, err := w.Append(t.Context(), n, "d", schema, append(big, 0)); err != nil {
				t.Fatal(err)
			}
			if used := opt.Spool.InMemory(); used > budget {
				t.Fatalf("%d bytes in memory, the budget is %d", used, budget)
			}
		}
		put, err := w.Flush(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o, err := store.Open(t.Context(), put[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		objects[i], err = io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left in the temporary folder: %v", left)
		}
		if opt.Spool.InMemory() != 0 {
			t.Error("memory is still held")
		}
	}
	if len(objects[0]) < 2_000_000 || !bytes.Equal(objects[0], objects[1]) {
		t.Errorf("%d and %d bytes", len(objects[0]), len(objects[1]))
	}
}

func TestAnotherWriterIsNoticed(t *testing.T) {
	store := &blob.Mem{}
	schema := &Schema{Text: longSchema}
	one, two := NewPartitionWriter(options(store), "t", 0, 0), NewPartitionWriter(options(store), "t", 0, 0)
	for n := range int64(5) {
		if _, err := one.Append(t.Context(), n, "d", schema, record(n)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(9) {
		if _, err := two.Append(t.Context(), n, "d", schema, record(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Flush(t.Context()); !errors.Is(err, ErrTaken) {
		t.Errorf("the second writer was not told: %v", err)
	}
	three := NewPartitionWriter(options(store), "t", 0, 0)
	for n := range int64(9) {
		written, err := three.Append(t.Context(), n, "d", schema, record(n))
		if err != nil || written != (n >= 5) {
			t.Errorf("offset %d: written %v, %v", n, written, err)
		}
	}
}

func TestDamagedObjects(t *testing.T) {
	store := &blob.Mem{}
	w := NewPartitionWriter(options(store), "t", 0, 0)
	for n := range int64(50) {
		if _, err := w.Append(t.Context(), n, "d", &Schema{Text: longSchema}, record(n)); err != nil {
			t.Fatal(err)
		}
	}
	put, err := w.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o, err := store.Open(t.Context(), put[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, file []byte) error {
		if _, err := store.Put(t.Context(), name, bytes.NewReader(file), int64(len(file)), blob.Always()); err != nil {
			t.Fatal(err)
		}
		o, err := Open(t.Context(), store, name)
		if err != nil {
			return err
		}
		defer o.Close()
		for {
			if _, err := o.Next(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	if err := read("good", whole); err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(whole)
	changed[len(changed)-20] ^= 2 // in the last record
	// The end of the chain cannot be found out: for a person to heal.
	if _, err := store.Put(t.Context(), put[0].Key, bytes.NewReader(whole[:40]), 40, blob.Always()); err != nil {
		t.Fatal(err)
	}
	_, err = NewPartitionWriter(options(store), "t", 0, 0).Append(t.Context(), 0, "d", &Schema{Text: longSchema}, record(0))
	if !fault.NeedsHuman(err) || fault.Hint(err) == "" || !strings.Contains(err.Error(), put[0].Key) {
		t.Errorf("a damaged end of the chain: %v", err)
	}
	for name, file := range map[string][]byte{
		"a changed record": changed, "cut off": whole[:len(whole)-5], "empty": nil, "something else": []byte("hello, world, I am no Avro"),
		"without its block": whole[:bytes.LastIndex(whole[:len(whole)-16], whole[len(whole)-16:])+16],
	} {
		err := read(name, file)
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, avro.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var plain bytes.Buffer
	a, err := avro.NewWriter(&plain, longSchema, avro.CodecNull, nil)
	if err != nil || a.Flush() != nil {
		t.Fatal(err)
	}
	if err := read("another's", plain.Bytes()); err == nil || !strings.Contains(err.Error(), "no object of bronze") {
		t.Errorf("an Avro file of another's: %v", err)
	}
}

// reader follows bronze as doc.go says a reader may.
type reader struct {
	floor   int64
	next    map[string]int64
	durable int64 // greatest durable offset among the objects that were read
	got     []int64
}

// TestExactlyOnce lets writers crash between any two puts, also with the answer
// to the put lost, at random, and a reader read in between: in the end each
// record was written once and read once.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const records = 60
		store := &blob.Mem{}
		folderOf := make([]string, records) // "" = a tombstone
		schemaOf := make([]*Schema, records)
		schemas := []*Schema{{ID: 1, Text: longSchema}, {ID: 2, Text: longSchema}}
		which := 0
		for i := range folderOf {
			folderOf[i] = rapid.SampledFrom([]string{"day=1", "day=2", "day=2", "day=2", "day=3", ""}).Draw(rt, "folder")
			if rapid.IntRange(0, 9).Draw(rt, "change") == 0 {
				which = 1 - which
			}
			schemaOf[i] = schemas[which]
		}
		r := &reader{next: map[string]int64{}, durable: -1}
		committed := int64(0)
		for crash := 0; committed < records; crash++ {
			if crash > 40 {
				rt.Fatalf("no progress past %d", committed)
			}
			faulty := blob.NewFault(store)
			if crash < 20 {
				faulty.StopAfter(rapid.IntRange(0, 6).Draw(rt, "stop"), rapid.Bool().Draw(rt, "ambiguous"))
			}
			committed = runWriter(rt, faulty, committed, folderOf, schemaOf, func() { r.poll(t, store) })
			r.poll(t, store)
		}
		r.poll(t, store)
		r.poll(t, store)
		var want []int64
		for i, f := range folderOf {
			if f != "" {
				want = append(want, int64(i))
			}
		}
		slices.Sort(r.got)
		if !slices.Equal(r.got, want) {
			rt.Errorf("read %v, want %v", r.got, want)
		}
	})
}

// runWriter is a process: it writes from the committed offset on until the store
// stops, and returns what is committed then. A commit may be lost too.
func runWriter(rt *rapid.T, store *blob.Fault, committed int64, folderOf []string, schemaOf []*Schema, meanwhile func()) int64 {
	ctx := context.Background()
	w := NewPartitionWriter(options(store), "t", 0, committed)
	defer w.Close()
	for o := committed; o < int64(len(folderOf)); o++ {
		flush := rapid.IntRange(0, 7).Draw(rt, "flush") == 0
		if folderOf[o] == "" {
			w.Skip(o)
		} else {
			if flush || w.NeedsFlush(folderOf[o], schemaOf[o]) {
				if _, err := w.Flush(ctx); err != nil {
					return committed
				}
				meanwhile()
				if rapid.IntRange(0, 5).Draw(rt, "commit lost") > 0 {
					committed = w.Next()
				}
			}
			if _, err := w.Append(ctx, o, folderOf[o], schemaOf[o], record(o)); err != nil {
				return committed
			}
		}
	}
	if _, err := w.Flush(ctx); err != nil {
		return committed
	}
	return w.Next()
}

// poll lists what is new, reads it, and then raises the floor to what was
// durable before the listing began.
func (r *reader) poll(t testing.TB, store blob.Store) {
	floor := r.durable + 1
	next := func(_ int32, folder string) int64 {
		if n, ok := r.next[folder]; ok {
			return n
		}
		return r.floor
	}
	for o, err := range List(t.Context(), store, DefaultRoot, "t", next) {
		if err != nil {
			t.Fatal(err)
		}
		rows, m := offsets(t, store, o.Key)
		r.got = append(r.got, rows...)
		r.next[o.Folder] = m.Last + 1
		r.durable = max(r.durable, m.Durable)
	}
	r.floor = max(r.floor, floor)
	for f, n := range r.next {
		if n <= r.floor {
			delete(r.next, f)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	w := NewPartitionWriter(options(&blob.Mem{}), "t", 0, 0)
	schema := &Schema{Text: longSchema}
	row := bytes.Repeat([]byte{1}, 120)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		if _, err := w.Append(context.Background(), offset, "d", schema, row); err != nil {
			b.Fatal(err)
		}
		if offset++; offset%100_000 == 0 {
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestBrokenSpool takes the temporary folder away: no object may come of a file
// that could not be written.
func TestBrokenSpool(t *testing.T) {
	store := &blob.Mem{}
	opt := options(store)
	opt.Spool = NewSpool("/nowhere/at/all", 100)
	w := NewPartitionWriter(opt, "t", 0, 0)
	big := bytes.Repeat([]byte{1}, 200_000)
	_, err := w.Append(t.Context(), 0, "d", &Schema{Text: longSchema}, big)
	if !errors.Is(err, ErrBroken) {
		t.Errorf("append: %v", err)
	}
	if _, err := w.Append(t.Context(), 1, "d", &Schema{Text: longSchema}, record(1)); !errors.Is(err, ErrBroken) {
		t.Errorf("second append: %v", err)
	}
	if put, err := w.Flush(t.Context()); !errors.Is(err, ErrBroken) || len(put) > 0 {
		t.Errorf("flush: %v, %v", put, err)
	}
	if err := w.Close(); err != nil || opt.Spool.InMemory() != 0 {
		t.Errorf("close: %v, %d bytes held", err, opt.Spool.InMemory())
	}
}
