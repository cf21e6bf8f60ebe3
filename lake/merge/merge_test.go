package merge

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/column"
)

// event is a row of a batch: a key, an order, and two cells that may be kept.
type event struct {
	key   string
	order int64
	del   bool
	cells [2]int64
	keep  [2]bool
}

// stored is a row of the table.
type stored struct {
	order int64
	cells [2]int64
}

// model applies events one at a time to a map: what the table must hold.
type model map[string]stored

func (m model) apply(e event) {
	old, exists := m[e.key]
	if exists && e.order < old.order {
		return
	}
	if e.del {
		delete(m, e.key)
		return
	}
	row := stored{order: e.order, cells: e.cells}
	for c := range row.cells {
		if e.keep[c] && exists {
			row.cells[c] = old.cells[c]
		}
	}
	m[e.key] = row
}

// apply applies a batch of events with Merge.
func apply(t *rapid.T, table model, events []event) (changed bool) {
	if len(events) == 0 {
		return false
	}
	keys, order := column.Column{Kind: column.Bytes}, column.Column{Kind: column.Int}
	cells := []column.Column{{Kind: column.Int}, {Kind: column.Int}}
	in := Input{Len: len(events), Keys: &keys, Order: &order, Keep: make([]column.Bitmap, 2)}
	for r, e := range events {
		keys.AppendString(e.key)
		order.AppendInt(e.order)
		for c := range cells {
			cells[c].AppendInt(e.cells[c])
			if e.keep[c] {
				in.Keep[c].Set(r)
			}
		}
		if e.del {
			in.Deletes.Set(r)
		}
	}
	m := New(in)

	// The table as columns, one row a key, in the order of the keys.
	names := slices.Sorted(maps.Keys(table))
	tkeys, torder := column.Column{Kind: column.Bytes}, column.Column{Kind: column.Int}
	tcells := []column.Column{{Kind: column.Int}, {Kind: column.Int}}
	for _, k := range names {
		tkeys.AppendString(k)
		torder.AppendInt(table[k].order)
		for c := range tcells {
			tcells[c].AppendInt(table[k].cells[c])
		}
	}
	var changes []Change
	matched := make([]bool, m.Groups())
	for r := range names {
		g := m.Find(tkeys.Value(r))
		if g < 0 {
			continue
		}
		matched[g] = true
		switch m.Decide(g, &torder, r) {
		case Replace:
			changes = append(changes, Change{Row: int32(r), Group: int32(g)})
		case Again:
			same := m.Newest(g) >= 0 && torder.Ints[r] == order.Ints[m.Newest(g)]
			for c := range tcells {
				same = same && m.Equal(g, c, &tcells[c], r, &cells[c])
			}
			if !same {
				changes = append(changes, Change{Row: int32(r), Group: int32(g)})
			}
		case Remove:
			changes = append(changes, Change{Row: int32(r), Group: int32(g), Remove: true})
		}
	}
	var inserts []int32
	for g := range m.Groups() {
		if !matched[g] && m.DecideNew(g) == Insert {
			inserts = append(inserts, int32(g))
		}
	}

	newOrder, newCells := column.Column{Kind: column.Int}, []column.Column{{Kind: column.Int}, {Kind: column.Int}}
	m.Splice(&newOrder, &torder, &order, len(cells), changes)
	m.Rows(&newOrder, &order, len(cells), inserts)
	for c := range cells {
		m.Splice(&newCells[c], &tcells[c], &cells[c], c, changes)
		m.Rows(&newCells[c], &cells[c], c, inserts)
	}
	clear(table)
	r := 0
	add := func(k string) {
		if _, ok := table[k]; ok {
			t.Fatalf("key %s is there twice", k)
		}
		table[k] = stored{order: newOrder.Ints[r], cells: [2]int64{newCells[0].Ints[r], newCells[1].Ints[r]}}
		r++
	}
	removed := map[int32]bool{}
	for _, ch := range changes {
		removed[ch.Row] = ch.Remove
	}
	for i, k := range names {
		if !removed[int32(i)] {
			add(k)
		}
	}
	for _, g := range inserts {
		add(string(m.Key(int(g))))
	}
	if r != newOrder.Len() {
		t.Fatalf("%d rows in the table, %d in its columns", r, newOrder.Len())
	}
	return len(changes)+len(inserts) > 0
}

// drawEvents draws events in the order of a source: ascending, with ties.
func drawEvents(t *rapid.T, deletes bool) []event {
	n := rapid.IntRange(0, 60).Draw(t, "events")
	out := make([]event, n)
	order := int64(0)
	for i := range out {
		order += int64(rapid.IntRange(0, 2).Draw(t, "step"))
		out[i] = event{
			key:   fmt.Sprint("k", rapid.IntRange(0, 7).Draw(t, "key")),
			order: order,
			del:   deletes && rapid.IntRange(0, 4).Draw(t, "del") == 0,
			cells: [2]int64{int64(rapid.IntRange(0, 3).Draw(t, "a")), int64(rapid.IntRange(0, 3).Draw(t, "b"))},
			keep:  [2]bool{rapid.Bool().Draw(t, "keep a"), rapid.IntRange(0, 3).Draw(t, "keep b") == 0},
		}
	}
	return out
}

func TestMergeEqualsApplyingOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t, true)
		want := model{}
		for _, e := range events {
			want.apply(e)
		}
		// However the events are cut into batches.
		got := model{}
		for at := 0; at < len(events); {
			n := rapid.IntRange(1, len(events)-at).Draw(t, "batch")
			apply(t, got, events[at:at+n])
			at += n
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestMergeAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A removed row leaves nothing to compare with, so that events before the
		// removal would bring it back: the caller's cursor keeps them away.
		events := drawEvents(t, false)
		for i := range events {
			events[i].order = int64(i) // a source gives each event its own place
		}
		table := model{}
		apply(t, table, events)
		want := maps.Clone(table)
		from := rapid.IntRange(0, len(events)).Draw(t, "from")
		to := rapid.IntRange(from, len(events)).Draw(t, "to")
		if apply(t, table, events[from:to]) {
			t.Fatalf("events %d to %d again changed %v to %v", from, to, want, table)
		}
	})
}

func TestLateEventsInOneBatchAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t, true)
		want := model{}
		for i := range events {
			events[i].order = int64(i) // with ties the sequence would matter
			want.apply(events[i])
		}
		got := model{}
		apply(t, got, rapid.Permutation(events).Draw(t, "shuffled"))
		if !maps.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestNullOrderComesFirst(t *testing.T) {
	order := column.Column{Kind: column.Bytes}
	order.AppendNull()
	order.AppendString("")
	order.AppendString("a")
	for i := range 3 {
		for j := range 3 {
			got := (&Merge{in: Input{Order: &order}}).compare(i, &order, j)
			if want := max(-1, min(1, i-j)); got != want {
				t.Errorf("compare %d with %d: %d, want %d", i, j, got, want)
			}
		}
	}
}

func TestAppendRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, kind := range []column.Kind{column.Int, column.Float, column.Bytes} {
			src, dst, want := column.Column{Kind: kind}, column.Column{Kind: kind}, column.Column{Kind: kind}
			n := rapid.IntRange(0, 300).Draw(t, "n")
			nulls := rapid.IntRange(0, 2).Draw(t, "nulls")
			for i := range n {
				switch {
				case nulls > 0 && i%(61*nulls) == 3:
					src.AppendNull()
				case kind == column.Int:
					src.AppendInt(int64(i))
				case kind == column.Float:
					src.AppendFloat(float64(i))
				default:
					src.AppendString(fmt.Sprint(i))
				}
			}
			for range 2 {
				from := rapid.IntRange(0, n).Draw(t, "from")
				to := rapid.IntRange(from, n).Draw(t, "to")
				AppendRange(&dst, &src, from, to)
				for i := from; i < to; i++ {
					want.Append(&src, i)
				}
			}
			if dst.Len() != want.Len() {
				t.Fatalf("%d values, want %d", dst.Len(), want.Len())
			}
			for i := range want.Len() {
				if dst.IsNull(i) != want.IsNull(i) || kind == column.Bytes && string(dst.Value(i)) != string(want.Value(i)) ||
					kind == column.Int && dst.Ints[i] != want.Ints[i] || kind == column.Float && dst.Floats[i] != want.Floats[i] {
					t.Fatalf("value %d differs", i)
				}
			}
		}
	})
}

// TestHashIsStable holds values that must never change: they may be stored.
func TestHashIsStable(t *testing.T) {
	for key, want := range map[string]uint64{
		"":                          0xae0d744568e8e175,
		"1":                         0x5d71a48a9a6f4889,
		"12345678":                  0x7ba1992cf20126d9,
		"id:1,name:Zürich and more": 0x6227ee9e6b1cee67,
	} {
		if got := Hash([]byte(key)); got != want {
			t.Errorf("hash of %q: %#x, want %#x", key, got, want)
		}
	}
	seen := map[uint64]bool{}
	for i := range 200_000 {
		seen[Hash(fmt.Append(nil, i))>>20] = true
	}
	if len(seen) < 199_990 {
		t.Errorf("%d different hashes of 200,000 keys", len(seen))
	}
}

func BenchmarkNew(b *testing.B) {
	keys, order := column.Column{Kind: column.Bytes}, column.Column{Kind: column.Int}
	const n = 100_000
	for i := range n {
		keys.AppendString(fmt.Sprint(i * 7 % n))
		order.AppendInt(int64(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		New(Input{Len: n, Keys: &keys, Order: &order})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}

// Decimals order as the numbers that they are, negative ones and such of another
// width included.
func TestDecimalsOrderAsNumbers(t *testing.T) {
	ordered := []*big.Int{}
	for _, n := range []int64{-1 << 40, -70000, -257, -256, -129, -128, -1, 0, 1, 127, 128, 255, 256, 70000, 1 << 40} {
		ordered = append(ordered, big.NewInt(n))
	}
	for i, a := range ordered {
		for j, b := range ordered {
			for _, width := range []int{6, 8} {
				if got, want := compareSigned(twosComplement(a, 6), twosComplement(b, width)), cmp.Compare(i, j); got != want {
					t.Errorf("%v against %v in %d bytes: %d, want %d", a, b, width, got, want)
				}
			}
		}
	}
	if compareSigned(nil, []byte{0}) != 0 || compareSigned(nil, []byte{0xff}) != 1 {
		t.Error("no bytes are not 0")
	}
}

func twosComplement(n *big.Int, width int) []byte {
	m := new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*width)))
	b := m.FillBytes(make([]byte, width+1))
	return b[1:]
}

func TestAppendRows(t *testing.T) {
	for _, kind := range []column.Kind{column.Int, column.Float, column.Bytes} {
		for _, nulls := range []bool{false, true} {
			src := column.Column{Kind: kind}
			for i := range 100 {
				switch {
				case nulls && i%7 == 0:
					src.AppendNull()
				case kind == column.Int:
					src.AppendInt(int64(i))
				case kind == column.Float:
					src.AppendFloat(float64(i))
				default:
					src.AppendString(strings.Repeat("x", i%5) + strconv.Itoa(i))
				}
			}
			dst, want := column.Column{Kind: kind}, column.Column{Kind: kind}
			for _, rows := range [][]int32{{}, {5}, {99, 0, 7, 7, 50}} {
				AppendRows(&dst, &src, rows)
				for _, r := range rows {
					want.Append(&src, int(r))
				}
				if dst.Len() != want.Len() {
					t.Fatalf("%s: %d values, want %d", kind, dst.Len(), want.Len())
				}
			}
			for r := range want.Len() {
				if dst.IsNull(r) != want.IsNull(r) || kind == column.Int && dst.Ints[r] != want.Ints[r] ||
					kind == column.Float && dst.Floats[r] != want.Floats[r] || kind == column.Bytes && string(dst.Value(r)) != string(want.Value(r)) {
					t.Errorf("%s: value %d differs", kind, r)
				}
			}
		}
	}
}
