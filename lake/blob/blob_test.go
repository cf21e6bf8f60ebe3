package blob_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/lake/blob"
	"tributary/lake/blob/blobtest"
)

func TestMem(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return new(blob.Mem) })
}

func TestFaultThatNeverStops(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewFault(new(blob.Mem)) })
}

func TestDir(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return newDir(t, t.TempDir()) })
}

func newDir(t *testing.T, root string) *blob.Dir {
	t.Helper()
	d, err := blob.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirKeepsItsOwnFolderToItself(t *testing.T) {
	d := newDir(t, t.TempDir())
	if _, err := d.Put(t.Context(), ".tributary/x", strings.NewReader(""), 0, blob.Always()); err == nil {
		t.Error("a key in the store's own folder was accepted")
	}
}

func TestDirRemovesWhatCrashedPutsLeft(t *testing.T) {
	root := t.TempDir()
	if _, err := newDir(t, root).Put(t.Context(), "a", strings.NewReader(""), 0, blob.Always()); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(root, ".tributary", "put-old")
	fresh := filepath.Join(root, ".tributary", "put-fresh")
	for _, p := range []string{old, fresh} {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	newDir(t, root)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error("an old unfinished file is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a fresh unfinished file, another process's, was removed")
	}
}

// TestDirIsReadWithoutWriting holds that a store that is only read is left as it
// is, be it one that is not there, and that the first write makes what it needs.
func TestDirIsReadWithoutWriting(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "there")
	d := newDir(t, root)
	if _, err := d.Open(t.Context(), "a"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	for info, err := range d.List(t.Context(), "", "") {
		t.Errorf("listed %v, %v", info, err)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("reading has made the directory: %v", err)
	}
	for _, cond := range []blob.Cond{blob.Always(), blob.IfAbsent()} {
		root := filepath.Join(t.TempDir(), "new")
		if _, err := newDir(t, root).Put(t.Context(), "a/b", strings.NewReader("x"), 1, cond); err != nil {
			t.Error(err)
		}
	}
}

func TestDirPath(t *testing.T) {
	d := newDir(t, t.TempDir())
	if _, err := d.Put(t.Context(), "a/b", strings.NewReader("x"), 1, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(d.Path("a/b")); err != nil || string(b) != "x" {
		t.Errorf("read %q, %v", b, err)
	}
}

// slowReader lets the deadline pass while the object is being written.
type slowReader struct{ at time.Time }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Until(r.at))
	return 0, io.EOF
}

func TestDirPutStopsAtTheDeadline(t *testing.T) {
	d := newDir(t, t.TempDir())
	at := time.Now().Add(20 * time.Millisecond)
	ctx, cancel := context.WithDeadline(t.Context(), at)
	defer cancel()
	_, err := d.Put(ctx, "k", slowReader{at}, 0, blob.IfAbsent())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("put after the deadline: %v", err)
	}
	if _, err := d.Open(t.Context(), "k"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("the object is there: %v", err)
	}
}

func TestFaultStops(t *testing.T) {
	for _, ambiguous := range []bool{false, true} {
		mem := new(blob.Mem)
		f := blob.NewFault(mem)
		f.StopAfter(1, ambiguous)
		put := func(k string) error {
			_, err := f.Put(t.Context(), k, strings.NewReader(""), 0, blob.Always())
			return err
		}
		if err := put("a"); err != nil {
			t.Fatal(err)
		}
		if err := put("b"); !errors.Is(err, blob.ErrStopped) {
			t.Errorf("second put: %v", err)
		}
		if err := put("c"); !errors.Is(err, blob.ErrStopped) {
			t.Errorf("third put: %v", err)
		}
		if _, err := f.Open(t.Context(), "a"); !errors.Is(err, blob.ErrStopped) {
			t.Errorf("open: %v", err)
		}
		_, err := mem.Open(t.Context(), "b")
		if done := err == nil; done != ambiguous {
			t.Errorf("ambiguous %v: the stopping put was done: %v", ambiguous, done)
		}
		if _, err := mem.Open(t.Context(), "c"); err == nil {
			t.Error("a put after the stop was done")
		}
	}
}
