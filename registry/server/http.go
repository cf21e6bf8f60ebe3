package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// handler serves the APIs from a store.
type handler struct {
	store              *store
	flavour            flavour
	log                *slog.Logger
	maxBody, maxImport int64 // bytes
	metrics            *metrics
	slots              chan struct{} // has one for each request that is served; nil is no limit
}

// api is one of the APIs; they differ in how they tell errors.
type api int

const (
	apiV2 api = iota
	apiV3
	apiConfluent
)

// answer is what a call gives: a value to be sent as JSON, or text.
type answer struct {
	json        any
	text        []byte // sent as it is when contentType is set
	contentType string
	status      int // 0 is 200
	header      map[string]string
}

func asJSON(v any) (answer, error) { return answer{json: v}, nil }

// done is an answer without content.
func done(err error) (answer, error) { return answer{status: http.StatusNoContent}, err }

// call serves one request. Its errors are *problem or internal ones.
type call func(r *http.Request) (answer, error)

// routes returns the handler of all APIs, which lets in whom a knows.
func (h *handler) routes(a *auth) http.Handler {
	mux := http.NewServeMux()
	h.health(mux)
	h.page(mux)
	h.v2(mux)
	h.v3(mux)
	h.ccompat(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { h.unrouted(mux, w, r) })
	return h.guard(a.guard(mux, h.limit(mux)))
}

// methods are those that a path may have, in the order of Apicurio's Allow.
var methods = []string{"HEAD", "GET", "POST", "PUT", "DELETE"}

// unrouted answers what no route takes: 405 if another method would do, else
// 404.
func (h *handler) unrouted(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	a := apiV3
	switch {
	case strings.HasPrefix(r.URL.Path, "/apis/ccompat/"):
		a = apiConfluent
	case strings.HasPrefix(r.URL.Path, v2Base), h.flavour == v26:
		a = apiV2
	}
	var allowed []string
	for _, m := range methods {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 && r.Method == http.MethodOptions {
		h.send(w, answer{text: []byte(options(allowed)), contentType: "text/plain;charset=UTF-8", header: map[string]string{"Allow": options(allowed)}})
		return
	}
	if len(allowed) > 0 {
		h.fail(w, a, &problem{status: 405, name: "NotAllowedException", allow: strings.Join(append(allowed, "OPTIONS"), ", "), silent: a == apiConfluent && h.flavour == v33,
			message: fmt.Sprintf("RESTEASY003650: No resource method found for %s, return 405 with Allow header", r.Method)})
		return
	}
	h.fail(w, a, &problem{status: 404, name: "NotFoundException", silent: a == apiConfluent && h.flavour == v33,
		message: fmt.Sprintf("RESTEASY003210: Could not find resource for full path: http://%s%s", r.Host, r.URL.RequestURI())})
}

// accepts reports whether who asks takes JSON.
func accepts(header string) bool {
	if header == "" {
		return true
	}
	for part := range strings.SplitSeq(header, ",") {
		mediaType, _, _ := strings.Cut(part, ";")
		switch mediaType = strings.ToLower(strings.TrimSpace(mediaType)); mediaType {
		case "*/*", "*", "application/*", "application/json", "":
			return true
		}
	}
	return false
}

// options lists methods as Apicurio answers OPTIONS.
func options(allowed []string) string {
	var out []string
	for _, m := range []string{"HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT"} {
		if m == http.MethodOptions || slices.Contains(allowed, m) {
			out = append(out, m)
		}
	}
	return strings.Join(out, ", ")
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
		w.Header().Set("Server", "tributary-registry")
		if path := r.URL.EscapedPath(); len(path) > 1 && strings.HasSuffix(path, "/") {
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
			r.URL.RawPath = strings.TrimSuffix(r.URL.RawPath, "/")
		}
		limit := h.maxBody
		if isImport(r) {
			limit = h.maxImport
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

// on serves pattern, below base, with f.
func (h *handler) on(mux *http.ServeMux, a api, base, pattern string, f call) {
	method, path, _ := strings.Cut(pattern, " ")
	mux.HandleFunc(method+" "+base+path, func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err == nil && out.contentType == "" && method == http.MethodGet && a != apiConfluent && !accepts(r.Header.Get("Accept")) {
			err = &problem{status: 406, name: "NotAcceptableException", message: "RESTEASY003635: No match for accept header"}
		}
		if err == nil {
			h.send(w, out)
			return
		}
		var tooLarge *http.MaxBytesError
		var p *problem
		switch {
		case errors.Is(err, errNotJSON):
			h.send(w, answer{text: []byte(undecodable), contentType: "application/json", status: 400})
			return
		case errors.As(err, &tooLarge):
			p = &problem{status: 413, name: "RequestTooLargeException", message: fmt.Sprintf("The request's body exceeds %d bytes.", tooLarge.Limit), code: 413}
		case errors.As(err, &p):
			if p.name == mistyped {
				if h.flavour == v26 {
					h.send(w, answer{text: []byte(undecodable), contentType: "application/json", status: 400})
					return
				}
				a := apiV3
				h.fail(w, a, badRequest("BadRequestException", undecodable))
				return
			}
		case r.Context().Err() != nil:
			return // nobody waits for the answer
		default:
			h.log.Error("registry request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			p = &problem{status: 500, name: "StorageException", message: "The registry's store failed; its log says how.", code: 50001}
		}
		h.fail(w, a, p)
	})
}

func (h *handler) send(w http.ResponseWriter, a answer) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.status == http.StatusNoContent {
		w.WriteHeader(a.status)
		return
	}
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

// fail tells a problem as the API and the flavour do.
func (h *handler) fail(w http.ResponseWriter, a api, p *problem) {
	p = p.as(h.flavour)
	if p.silent {
		if p.allow != "" {
			w.Header().Set("Allow", p.allow)
		}
		w.WriteHeader(p.status)
		return
	}
	out := answer{status: p.status}
	if p.allow != "" {
		out.header = map[string]string{"Allow": p.allow}
	}
	switch a {
	case apiV3:
		out.json = p.v3(&out.status)
	case apiV2:
		out.json = p.v2(h.flavour, &out.status)
	case apiConfluent:
		out.json = p.confluent(h.flavour)
	}
	h.send(w, out)
}

// v3 is the problem's body in v3. A rule's refusal is a bad request there.
func (p *problem) v3(status *int) any {
	type body struct {
		Causes *[]violation `json:"causes,omitempty"`
		Detail string       `json:"detail"`
		Title  string       `json:"title"`
		Status int          `json:"status"`
		Name   string       `json:"name"`
	}
	if !p.rule {
		return body{nil, p.details(), p.message, p.status, p.name}
	}
	*status = http.StatusBadRequest
	return body{&p.causes, p.withCauses(), p.message, *status, p.name}
}

func (p *problem) v2(f flavour, status *int) any {
	type body struct {
		Causes  *[]violation `json:"causes,omitempty"`
		Message string       `json:"message"`
		Code    int          `json:"error_code"`
		Detail  string       `json:"detail"`
		Name    string       `json:"name"`
	}
	if !p.rule {
		return body{nil, p.message, p.status, p.details(), p.name}
	}
	message := p.withCauses()
	if f == v33 {
		*status, message = http.StatusBadRequest, p.message
	}
	detail := p.detail
	if detail == "" {
		detail = p.name + ": " + message
	}
	return body{&p.causes, message, *status, detail, p.name}
}

func (p *problem) confluent(f flavour) any {
	message := p.ccompatMessage()
	if p.rule {
		message = "io.apicurio.registry.rules.violation.RuleViolationException: " + p.message
		if f == v26 {
			message = "io.apicurio.registry.rules.RuleViolationException: " + p.withCauses()
		}
	}
	return struct {
		Message string `json:"message"`
		Code    int    `json:"error_code"`
	}{message, p.code}
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

// undecodable is Apicurio's word on a body that it cannot read.
const undecodable = "Not able to deserialize data provided."

// errNotJSON is the answer to a body that is no JSON. All APIs say it in plain
// text.
var errNotJSON = errors.New("body is not JSON")

// mistyped names the problem of a body that is other JSON than expected, which
// 3.3 tells in the form of v3, whatever the API.
const mistyped = "mistyped"

func errMistyped() *problem { return &problem{status: 400, name: mistyped, message: undecodable} }

// bodyJSON reads a request body into v. Fields that v lacks are ignored, as
// clients send more than any server knows.
func bodyJSON(r *http.Request, v any) error {
	text, err := body(r)
	if err != nil {
		return err
	}
	if trimmed := bytes.TrimSpace(text); strings.HasPrefix(r.URL.Path, v3Base) && (len(trimmed) == 0 || string(trimmed) == "null") {
		return missing("body")
	}
	if !json.Valid(text) {
		return errNotJSON
	}
	for range maxCoerced {
		err := json.Unmarshal(text, v)
		if err == nil {
			return nil
		}
		if text = coerced(text, err); text == nil {
			break
		}
	}
	return errMistyped()
}

// maxCoerced bounds the numbers that are taken for texts in one body.
const maxCoerced = 20

// coerced puts the text of a number or of a truth value where the error says
// that a text belongs, as Java's JSON library does, or returns nil.
func coerced(text []byte, err error) []byte {
	var mistyped *json.UnmarshalTypeError
	if !errors.As(err, &mistyped) || mistyped.Type.Kind() != reflect.String || mistyped.Field == "" {
		return nil
	}
	var root any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&root) != nil {
		return nil
	}
	at, found := root, false
	path := strings.Split(mistyped.Field, ".")
	for i, name := range path {
		o, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		for k, v := range o {
			if !strings.EqualFold(k, name) {
				continue
			}
			at = v
			switch v.(type) {
			case json.Number, bool:
				if i == len(path)-1 {
					o[k], found = fmt.Sprint(v), true
				}
			}
		}
	}
	if !found {
		return nil
	}
	text, _ = json.Marshal(root) // what was decoded encodes
	return text
}

// pathNumber reads an id from the path.
func pathNumber(r *http.Request, name string) (int64, error) {
	text := r.PathValue(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, badParameter("PathParam", name, strings.ReplaceAll(text, " ", "+"), fmt.Sprintf("NumberFormatException: For input string: \"%s\"", text))
	}
	return n, nil
}

func artifactKey(r *http.Request) key {
	return key{r.PathValue("group"), r.PathValue("artifact")}
}

// pathRule reads a rule's type from the path.
func pathRule(r *http.Request) (string, error) {
	kind := r.PathValue("rule")
	if !slices.Contains(ruleTypes, kind) {
		return "", noConstant("PathParam", "rule", kind, "types.RuleType")
	}
	return kind, nil
}
