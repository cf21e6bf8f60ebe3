package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// handler serves the APIs from a store.
type handler struct {
	store   *store
	log     *slog.Logger
	maxBody int64
}

// errorBody writes a problem as one API does.
type errorBody func(p *problem) any

// answer is what a call gives: a value to be sent as JSON, or text.
type answer struct {
	json        any
	text        []byte // sent as it is when contentType is set
	contentType string
	status      int // 0 is 200
}

func asJSON(v any) (answer, error) { return answer{json: v}, nil }

// call serves one request. Its errors are *problem or internal ones.
type call func(r *http.Request) (answer, error)

// routes returns the handler of all APIs.
func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	h.health(mux)
	h.v2(mux)
	h.v3(mux)
	h.ccompat(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body := v2Error
		switch {
		case strings.HasPrefix(r.URL.Path, "/apis/ccompat/"):
			body = ccompatError
		case strings.HasPrefix(r.URL.Path, "/apis/registry/v3"):
			body = v3Error
		}
		h.fail(w, body, &problem{404, "NotFoundException",
			fmt.Sprintf("RESTEASY003210: Could not find resource for full path: http://%s%s", r.Host, r.URL.RequestURI()), 404, "", ""})
	})
	return h.guard(mux)
}

// guard bounds bodies, takes a trailing slash for none, and turns a panic into
// an answer.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				h.log.Error("registry request panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		if len(r.URL.Path) > 1 && strings.HasSuffix(r.URL.Path, "/") {
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
			r.URL.RawPath = strings.TrimSuffix(r.URL.RawPath, "/")
		}
		r.Body = http.MaxBytesReader(w, r.Body, h.maxBody)
		next.ServeHTTP(w, r)
	})
}

// on serves pattern with f.
func (h *handler) on(mux *http.ServeMux, pattern string, body errorBody, f call) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a, err := f(r)
		var tooLarge *http.MaxBytesError
		var p *problem
		switch {
		case errors.Is(err, errUndecodable):
			h.send(w, answer{text: []byte(err.Error()), contentType: "application/json", status: 400})
			return
		case errors.As(err, &tooLarge):
			p = &problem{413, "RequestTooLargeException", fmt.Sprintf("The request's body exceeds %d bytes.", tooLarge.Limit), 413, "", ""}
		case err != nil && !errors.As(err, &p):
			h.log.Error("registry request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			p = &problem{500, "StorageException", "The registry's store failed; its log says how.", 50001, "", ""}
		}
		if p != nil {
			h.fail(w, body, p)
			return
		}
		h.send(w, a)
	})
}

func (h *handler) send(w http.ResponseWriter, a answer) {
	if a.contentType == "" {
		a.contentType = "application/json"
		text, err := json.Marshal(a.json)
		if err != nil {
			h.log.Error("registry answer does not encode", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		a.text = text
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.text)))
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	// The client may be gone; that is its own affair.
	_, _ = w.Write(a.text)
}

func (h *handler) fail(w http.ResponseWriter, body errorBody, p *problem) {
	h.send(w, answer{json: body(p), status: p.status})
}

// body reads a whole request body.
func body(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, badRequest("BadRequestException", "The request's body ended early.")
	}
	return text, err
}

// errUndecodable is the answer to a body that is not the JSON expected. All
// APIs say it in plain text.
var errUndecodable = errors.New("Not able to deserialize data provided.") //nolint:staticcheck // Apicurio's words

// bodyJSON reads a request body into v. Fields that v lacks are ignored, as
// clients send more than any server knows.
func bodyJSON(r *http.Request, v any) error {
	text, err := body(r)
	if err != nil {
		return err
	}
	if json.Unmarshal(text, v) != nil {
		return errUndecodable
	}
	return nil
}

// pathNumber reads an id from the path.
func pathNumber(r *http.Request, name string) (int64, error) {
	text := r.PathValue(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, badParameter("PathParam", name, text, fmt.Sprintf("NumberFormatException: For input string: \"%s\"", text))
	}
	return n, nil
}

func artifactKey(r *http.Request) key {
	return key{r.PathValue("group"), r.PathValue("artifact")}
}

// page reads limit and offset; the default limit is Apicurio's 20.
func page(r *http.Request) (offset, limit int, err error) {
	limit = 20
	for name, into := range map[string]*int{"offset": &offset, "limit": &limit} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return 0, 0, badRequest("BadRequestException", "%s is not a number of 0 or more.", name)
		}
		*into = n
	}
	return offset, limit, nil
}

func paged[T any](all []T, offset, limit int) []T {
	all = all[min(offset, len(all)):]
	return all[:min(limit, len(all))]
}

// stamp is a time as Apicurio writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// health serves the probes of Apicurio 2 and of Kubernetes.
func (h *handler) health(mux *http.ServeMux) {
	up := func(r *http.Request) (answer, error) {
		// A read proves that the store is there.
		if err := h.store.view(func(tx) error { return nil }); err != nil {
			return answer{json: map[string]any{"status": "DOWN", "checks": []any{}}, status: 503}, nil
		}
		return asJSON(map[string]any{"status": "UP", "checks": []any{}})
	}
	for _, path := range []string{"/health", "/health/ready", "/health/live", "/healthz"} {
		h.on(mux, "GET "+path, v2Error, up)
	}
}
