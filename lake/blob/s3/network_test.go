package s3_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"tributary/lake/blob"
	"tributary/tests/s3server"
)

// between returns the URL of a proxy to the server that does to each answer
// what change says.
func between(t *testing.T, server *s3server.Server, change func(r *http.Response) error) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host },
		ModifyResponse: change,
		// The connection breaks without an answer.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p := httptest.NewServer(proxy)
	t.Cleanup(p.Close)
	return p.URL
}

var errLost = errors.New("answer lost on purpose")

// TestAnswerLost loses the answer to a conditional put that has succeeded: the
// client repeats it, is refused because of its own success, and must know that.
func TestAnswerLost(t *testing.T) {
	server := s3server.Start(t)
	var left atomic.Int32
	proxy := between(t, server, func(r *http.Response) error {
		q := r.Request.URL.Query()
		put := r.Request.Method == http.MethodPut && !q.Has("partNumber")
		complete := r.Request.Method == http.MethodPost && q.Has("uploadId")
		if (put || complete) && r.StatusCode == http.StatusOK && left.Add(-1) >= 0 {
			return errLost
		}
		return nil
	})
	o := server.Bucket(t, "lossy")
	o.Endpoint, o.PartSize = proxy, 5<<20
	s := open(t, o)
	small := bytes.Repeat([]byte("x"), 1000)

	left.Store(1)
	tag, err := s.Put(t.Context(), "small", bytes.NewReader(small), int64(len(small)), blob.IfAbsent())
	if err != nil || left.Load() >= 0 && tag == "" {
		t.Fatalf("put if absent: %q, %v", tag, err)
	}
	if left.Load() > 0 {
		t.Fatal("no answer was lost: the test tests nothing")
	}
	left.Store(1)
	if _, err = s.Put(t.Context(), "small", bytes.NewReader(small[1:]), int64(len(small)-1), blob.IfMatch(tag)); err != nil {
		t.Errorf("put if match: %v", err)
	}
	left.Store(1)
	if _, err = s.Put(t.Context(), "small", bytes.NewReader(small), int64(len(small)), blob.IfAbsent()); !errors.Is(err, blob.ErrExist) {
		t.Errorf("put over another's object: %v", err)
	}
}

// TestBodyBreaksOff cuts the answers to reads in the middle.
func TestBodyBreaksOff(t *testing.T) {
	server := s3server.Start(t)
	var cuts atomic.Int32
	proxy := between(t, server, func(r *http.Response) error {
		// The first request of Open is cut by the server's side of the client.
		if r.Request.Method == http.MethodGet && r.ContentLength > 100_000 && cuts.Add(-1) >= 0 {
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.LimitReader(r.Body, r.ContentLength/2), r.Body}
		}
		return nil
	})
	o := server.Bucket(t, "cutting")
	o.Endpoint = proxy
	s := open(t, o)
	text := strings.Repeat("0123456789", 100_000)
	put(t, s, "k", text, blob.Always())
	cuts.Store(2)
	obj, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	got := make([]byte, obj.Size())
	if _, err := obj.ReadAt(got, 0); err != nil || string(got) != text {
		t.Errorf("read: %v", err)
	}
	if cuts.Load() > 0 {
		t.Error("no answer was cut: the test tests nothing")
	}
}
