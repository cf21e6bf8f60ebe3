// Package blobtest is the suite that every blob.Store passes. A store's test
// calls Run with a function that returns an empty store.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tributary/lake/blob"
)

// Run checks the contract of blob.Store on fresh stores made by open.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s blob.Store)
	}{
		{"missing", testMissing},
		{"put and read", testPutRead},
		{"if absent", testIfAbsent},
		{"if match", testIfMatch},
		{"size mismatch", testSize},
		{"bad keys", testBadKeys},
		{"list", testList},
		{"delete", testDelete},
		{"open is a snapshot", testOpenSnapshot},
		{"absent race", testAbsentRace},
		{"match race", testMatchRace},
		{"cancelled", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func put(t *testing.T, s blob.Store, key, body string, cond blob.Cond) blob.ETag {
	t.Helper()
	tag, err := s.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), cond)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	if tag == "" {
		t.Fatalf("put %s: empty tag", key)
	}
	return tag
}

func read(t *testing.T, s blob.Store, key string) (string, blob.ETag) {
	t.Helper()
	o, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("open %s: %v", key, err)
	}
	defer o.Close()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return string(b), o.ETag()
}

func keys(t *testing.T, s blob.Store, prefix, after string) []string {
	t.Helper()
	var out []string
	for i, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		out = append(out, i.Key)
	}
	return out
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func testMissing(t *testing.T, s blob.Store) {
	_, err := s.Open(t.Context(), "a/b")
	wantErr(t, err, blob.ErrNotExist)
	if err := s.Delete(t.Context(), "a/b", "c"); err != nil {
		t.Errorf("delete of a missing key: %v", err)
	}
	if got := keys(t, s, "", ""); len(got) != 0 {
		t.Errorf("an empty store lists %q", got)
	}
}

func testPutRead(t *testing.T, s blob.Store) {
	big := strings.Repeat("0123456789abcdef", 20_000)
	for key, body := range map[string]string{
		"empty": "", "a/b/c=1/d.parquet": "x", "big": big, "sp ace/ü+%3D": "odd", ".hoodie/.temp/x": "hidden",
	} {
		tag := put(t, s, key, body, blob.Always())
		got, opened := read(t, s, key)
		if got != body {
			t.Errorf("%s: read %d bytes, wrote %d", key, len(got), len(body))
		}
		if opened != tag {
			t.Errorf("%s: put returned tag %q, open %q", key, tag, opened)
		}
	}
	o, err := s.Open(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	b := make([]byte, 5)
	if _, err := o.ReadAt(b, 160_001); err != nil || string(b) != big[160_001:160_006] {
		t.Errorf("read at: %q, %v", b, err)
	}
	if n, err := o.ReadAt(b, o.Size()-2); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("read at past the end: %d, %v", n, err)
	}
}

func testIfAbsent(t *testing.T, s blob.Store) {
	put(t, s, "k", "first", blob.IfAbsent())
	_, err := s.Put(t.Context(), "k", strings.NewReader("second"), 6, blob.IfAbsent())
	wantErr(t, err, blob.ErrExist)
	if got, _ := read(t, s, "k"); got != "first" {
		t.Errorf("a refused put changed the object to %q", got)
	}
}

func testIfMatch(t *testing.T, s blob.Store) {
	_, err := s.Put(t.Context(), "k", strings.NewReader("x"), 1, blob.IfMatch("nothing"))
	wantErr(t, err, blob.ErrNotExist)
	first := put(t, s, "k", "first", blob.Always())
	second := put(t, s, "k", "second", blob.IfMatch(first))
	if second == first {
		t.Error("two states have one tag")
	}
	_, err = s.Put(t.Context(), "k", strings.NewReader("third"), 5, blob.IfMatch(first))
	wantErr(t, err, blob.ErrConflict)
	if got, tag := read(t, s, "k"); got != "second" || tag != second {
		t.Errorf("a refused put left %q, %q", got, tag)
	}
}

func testSize(t *testing.T, s blob.Store) {
	for _, n := range []int64{1, 9} {
		if _, err := s.Put(t.Context(), "k", strings.NewReader("four"), n, blob.Always()); err == nil {
			t.Errorf("4 bytes were accepted as %d", n)
		}
	}
	if got := keys(t, s, "", ""); len(got) != 0 {
		t.Errorf("a failed put left %q", got)
	}
}

func testBadKeys(t *testing.T, s blob.Store) {
	for _, k := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "./a"} {
		if _, err := s.Put(t.Context(), k, strings.NewReader(""), 0, blob.Always()); err == nil {
			t.Errorf("key %q was accepted", k)
		}
	}
}

func testList(t *testing.T, s blob.Store) {
	all := []string{"a", "b-1/x", "b/x", "b/x.y/z", "b/x/1", "b/x/2", "b/y", "b0", "c/d/e/f", "ü/1"}
	for _, k := range slices.Backward(all) {
		if k == "b/x" {
			continue // it would be the folder of b/x/1
		}
		put(t, s, k, k, blob.Always())
	}
	all = slices.DeleteFunc(all, func(k string) bool { return k == "b/x" })
	slices.Sort(all)
	for _, c := range []struct{ prefix, after string }{
		{"", ""}, {"b", ""}, {"b/", ""}, {"b/x", ""}, {"b/x/", ""}, {"b/x/", "b/x/1"}, {"", "b/x.y/z"},
		{"", "b/x"}, {"", "b0"}, {"b/", "b/x0"}, {"nothing", ""}, {"c/d/e/f", ""}, {"", "zzzz"}, {"b/", "a"}, {"b/", "c"},
	} {
		var want []string
		for _, k := range all {
			if strings.HasPrefix(k, c.prefix) && k > c.after {
				want = append(want, k)
			}
		}
		if got := keys(t, s, c.prefix, c.after); !slices.Equal(got, want) {
			t.Errorf("list %q after %q: %q, want %q", c.prefix, c.after, got, want)
		}
	}
	for i, err := range s.List(t.Context(), "c/", "") {
		if err != nil || i.Size != int64(len("c/d/e/f")) || i.Modified.IsZero() {
			t.Errorf("info %+v, %v", i, err)
		}
		break
	}
}

func testDelete(t *testing.T, s blob.Store) {
	for _, k := range []string{"a/1", "a/2", "b"} {
		put(t, s, k, k, blob.Always())
	}
	if err := s.Delete(t.Context(), "a/1", "a/2", "none"); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, "", ""); !slices.Equal(got, []string{"b"}) {
		t.Errorf("left: %q", got)
	}
	put(t, s, "a/1", "again", blob.IfAbsent())
}

func testOpenSnapshot(t *testing.T, s blob.Store) {
	body := strings.Repeat("a", 100_000)
	put(t, s, "k", body, blob.Always())
	o, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	put(t, s, "k", strings.Repeat("b", 100_000), blob.Always())
	b := make([]byte, o.Size())
	if _, err := io.ReadFull(io.NewSectionReader(o, 0, o.Size()), b); err == nil && string(b) != body {
		t.Errorf("an open object shows a later state")
	}
}

func testAbsentRace(t *testing.T, s blob.Store) {
	var wins atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte(i)}, 1000)
			_, err := s.Put(t.Context(), "race/k", bytes.NewReader(body), 1000, blob.IfAbsent())
			if err == nil {
				wins.Add(1)
			} else if !errors.Is(err, blob.ErrExist) {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d of 16 puts if absent succeeded", wins.Load())
	}
}

func testMatchRace(t *testing.T, s blob.Store) {
	// Each of 8 goroutines adds 1 five times by compare and swap.
	put(t, s, "counter", "0", blob.Always())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for done := 0; done < 5; {
				v, tag := read(t, s, "counter")
				n, err := strconv.Atoi(v)
				if err != nil {
					t.Errorf("the counter: %v", err)
					return
				}
				next := fmt.Sprint(n + 1)
				_, err = s.Put(t.Context(), "counter", strings.NewReader(next), int64(len(next)), blob.IfMatch(tag))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, blob.ErrConflict):
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if v, _ := read(t, s, "counter"); v != "40" {
		t.Errorf("the counter is %s, want 40", v)
	}
}

func testCancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "k", strings.NewReader("x"), 1, blob.Always()); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Open(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if got := keys(t, s, "", ""); len(got) != 0 {
		t.Errorf("a cancelled put left %q", got)
	}
}
