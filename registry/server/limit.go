package server

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// bodyPatience is how long a request's body, but for archives to import, may
// take to come.
const bodyPatience = 15 * time.Second

// readPatience is how long a whole request may take to come.
const readPatience = time.Minute

// isImport tells the calls whose bodies are archives.
func isImport(r *http.Request) bool {
	return r.URL.Path == v2Base+"/admin/import" || r.URL.Path == v3Base+"/admin/import"
}

// limit refuses requests when slots has no room for more to be served at once;
// probes always pass. A body is read before: who sends it slowly, or never,
// keeps nobody from being served.
func (h *handler) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.slots == nil || isProbe(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if !isImport(r) {
			received(w, r)
		}
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			h.metrics.refused.Inc()
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"error_code":429,"message":"too many requests at once"}`, http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// received reads a request's body, which it puts in the place of the body that
// was to be read. So it does with an error, which its reader is to tell.
func received(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	c := http.NewResponseController(w)
	// Of no avail where there is no connection, in tests.
	_ = c.SetReadDeadline(time.Now().Add(bodyPatience))
	text, err := io.ReadAll(r.Body)
	_ = c.SetReadDeadline(time.Now().Add(readPatience))
	r.Body = &replayed{bytes.NewReader(text), err}
}

// replayed gives what was read of a body, then the error that ended it.
type replayed struct {
	*bytes.Reader
	err error
}

func (b *replayed) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF && b.err != nil {
		err = b.err
	}
	return n, err
}

func (b *replayed) Close() error { return nil }
