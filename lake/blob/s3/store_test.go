package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/fault"
	"tributary/lake/blob"
	"tributary/lake/blob/blobtest"
	"tributary/lake/blob/s3"
	"tributary/tests/s3server"
)

func open(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	server := s3server.Start(t)
	n := 0
	blobtest.Run(t, func(t *testing.T) blob.Store {
		n++
		return open(t, server.Bucket(t, fmt.Sprintf("bucket-%d", n)))
	})
	t.Run("with a prefix", func(t *testing.T) {
		m := 0
		o := server.Bucket(t, "prefixed")
		outside := open(t, o)
		put(t, outside, "a", "not ours", blob.Always())
		blobtest.Run(t, func(t *testing.T) blob.Store {
			m++
			o.Prefix = fmt.Sprintf("/deep/folder-%d/", m)
			return open(t, o)
		})
	})
}

func put(t testing.TB, s blob.Store, key, body string, c blob.Cond) blob.ETag {
	t.Helper()
	tag, err := s.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), c)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

// stream hides all but Read.
type stream struct{ io.Reader }

func TestParts(t *testing.T) {
	server := s3server.Start(t)
	o := server.Bucket(t, "parts")
	o.PartSize = 5 << 20
	s := open(t, o)
	body := make([]byte, 12<<20+17)
	random := rand.NewChaCha8([32]byte{})
	if _, err := random.Read(body); err != nil {
		t.Fatal(err)
	}
	size := int64(len(body))
	for name, r := range map[string]func() io.Reader{
		"seekable":             func() io.Reader { return bytes.NewReader(body) },
		"stream":               func() io.Reader { return stream{bytes.NewReader(body)} },
		"section of something": func() io.Reader { return io.NewSectionReader(bytes.NewReader(body), 0, size) },
	} {
		t.Run(name, func(t *testing.T) {
			key := "big/" + strings.ReplaceAll(name, " ", "-")
			tag, err := s.Put(t.Context(), key, r(), size, blob.IfAbsent())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), key, r(), size, blob.IfAbsent()); !errors.Is(err, blob.ErrExist) {
				t.Errorf("second put if absent: %v", err)
			}
			next, err := s.Put(t.Context(), key, r(), size, blob.IfMatch(tag))
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, key, "small", blob.IfMatch(next))
			if _, err := s.Put(t.Context(), key, r(), size, blob.IfMatch(tag)); !errors.Is(err, blob.ErrConflict) {
				t.Errorf("put over a changed object: %v", err)
			}
			if _, err := s.Put(t.Context(), key, r(), size, blob.Always()); err != nil {
				t.Fatal(err)
			}
			obj, err := s.Open(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			defer obj.Close()
			got, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestPartsRace(t *testing.T) {
	server := s3server.Start(t)
	o := server.Bucket(t, "race")
	o.PartSize = 5 << 20
	s := open(t, o)
	body := make([]byte, 6<<20)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := s.Put(context.Background(), "k", bytes.NewReader(body), int64(len(body)), blob.IfAbsent())
			if err == nil {
				wins.Add(1)
			} else if !errors.Is(err, blob.ErrExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d puts in parts succeeded", wins.Load())
	}
}

func TestListPages(t *testing.T) {
	server := s3server.Start(t)
	s := open(t, server.Bucket(t, "pages"))
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < 1203; i += 8 {
				if _, err := s.Put(context.Background(), fmt.Sprintf("p/%05d", i), strings.NewReader("x"), 1, blob.Always()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var keys []string
	next := 10
	for o, err := range s.List(t.Context(), "p/", "p/00009") {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("p/%05d", next); o.Key != want {
			t.Fatalf("got %s, want %s", o.Key, want)
		}
		next++
		keys = append(keys, o.Key)
	}
	if next != 1203 {
		t.Errorf("the listing ended before %d", next)
	}
	if err := s.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	for o, err := range s.List(t.Context(), "p/", "p/00009") {
		t.Fatalf("left: %v, %v", o.Key, err)
	}
}

func TestFaultsForPeople(t *testing.T) {
	server := s3server.Start(t)
	good := server.Bucket(t, "there")
	for name, change := range map[string]func(o *s3.Options){
		"no such bucket":  func(o *s3.Options) { o.Bucket = "missing" },
		"wrong secret":    func(o *s3.Options) { o.SecretKey = "wrong" },
		"unknown key":     func(o *s3.Options) { o.AccessKey = "nobody" },
		"no bucket named": func(o *s3.Options) { o.Bucket = "" },
		"no url":          func(o *s3.Options) { o.Endpoint = "here" },
		"small parts":     func(o *s3.Options) { o.PartSize = 1 },
		"no such host":    func(o *s3.Options) { o.Endpoint = "http://nowhere.invalid" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			s, err := s3.New(t.Context(), o)
			if err == nil {
				err = s.Check(t.Context(), "topics")
			}
			if !fault.NeedsHuman(err) || fault.Hint(err) == "" {
				t.Errorf("not for a person: %v", err)
			}
		})
	}
	s := open(t, good)
	if err := s.Check(t.Context(), "topics"); err != nil {
		t.Errorf("a good store fails: %v", err)
	}
	for o := range s.List(t.Context(), "", "") {
		t.Errorf("Check left %s", o.Key)
	}
}

func TestUnreachable(t *testing.T) {
	s := open(t, s3.Options{
		Bucket: "b", Endpoint: "http://127.0.0.1:1", Region: "us-east-1", PathStyle: true,
		AccessKey: "a", SecretKey: "b", Retries: 1,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Check(ctx, "")
	if err == nil || fault.NeedsHuman(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("unreachable: %v", err)
	}
}
