package lake

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/lake/blob"
)

func TestIndexOutlivesTheProcess(t *testing.T) {
	dir, mem, clk := t.TempDir(), new(blob.Mem), newClock()
	opt := Options{Now: clk.now, MaxFileRows: 10, LockValidity: time.Hour, IndexDir: dir}
	first := create(t, mem, saleConfig(), opt)
	upsert(t, first, nil, manyRows(1, 2000, 0)...)
	must(t, first.Close(t.Context()))
	// Another engine deletes a row, moves nothing, and adds a file.
	other := openTable(t, mem, Options{Now: clk.now, MaxFileRows: 10})
	upsert(t, other, nil, append(manyRows(2001, 2015, 9000), row{id: 7, gone: true, seq: 9999})...)
	must(t, other.Close(t.Context()))

	read := func(what string, atMost int, change func(string)) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		for _, f := range files {
			if change != nil && !strings.HasSuffix(f, ".lock") {
				change(f)
			}
		}
		n := 0
		counted := countOpens{mem, &n}
		tab := openTable(t, counted, opt)
		must(t, tab.Lock(t.Context()))
		if n > atMost {
			t.Errorf("%s: %d base files were read", what, n)
		}
		if atMost > 100 && n < 100 {
			t.Errorf("%s: only %d base files were read", what, n)
		}
		want := dump(t, tab, "")
		upsert(t, tab, nil, row{id: 1500, qty: 1, price: 1, at: 1, note: "x", seq: 99999 + n}, row{id: 7, gone: true, seq: 99999})
		if got := dump(t, tab, ""); len(got) != len(want) {
			t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
		}
		must(t, tab.Close(t.Context()))
	}
	read("what another engine changed", 4, nil)
	read("nothing changed", 0, nil)
	cut := func(f string) { must(t, os.Truncate(f, 100)) }
	read("a damaged file", 1000, cut)
	read("after that", 0, nil)
	read("no file", 1000, func(f string) { must(t, os.Remove(f)) })
	read("a process that died in a change", 1000, func(f string) {
		if strings.HasSuffix(f, ".groups") {
			return
		}
		b, err := os.ReadFile(f)
		must(t, err)
		b[indexDirty] = 1
		must(t, os.WriteFile(f, b, 0o600))
	})
	read("another boot", 1000, func(f string) {
		if b, err := os.ReadFile(f); err == nil && !strings.HasSuffix(f, ".groups") {
			b[indexBoot] ^= 1
			must(t, os.WriteFile(f, b, 0o600))
		}
	})
	read("the end", 0, nil)
}

// countOpens counts the base files that are opened.
type countOpens struct {
	blob.Store
	n *int
}

func (c countOpens) Open(ctx context.Context, key string) (blob.Object, error) {
	if strings.HasSuffix(key, ".parquet") {
		*c.n++
	}
	return c.Store.Open(ctx, key)
}

func TestIndexAddsOnce(t *testing.T) {
	var x keyIndex
	for range 3 {
		for i := range 5000 {
			x.addOnce(uint64(i)*0x9e3779b97f4a7c15, i%7)
		}
	}
	if x.used != 5000 {
		t.Errorf("%d slots used", x.used)
	}
	for i := range 5000 {
		if got := x.find(nil, uint64(i)*0x9e3779b97f4a7c15); !slices.Equal(got, []int32{int32(i % 7)}) {
			t.Fatal(fmt.Sprint(i, got))
		}
	}
}
