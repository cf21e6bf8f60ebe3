package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"tributary/internal/config"
)

// userKey is under which a request's context has its user's name.
type userKey struct{}

// auth knows who may do what. Without users and tokens everybody may do
// everything.
type auth struct {
	users     map[string][sha256.Size]byte // by name, the password's hash
	tokens    [][sha256.Size]byte
	anonymous bool // who is not known may read
}

func newAuth(c Config) *auth {
	a := &auth{users: make(map[string][sha256.Size]byte), anonymous: c.AnonymousRead}
	for _, entry := range lines(c.Users) {
		if name, password, ok := strings.Cut(entry, ":"); ok {
			a.users[name] = sha256.Sum256([]byte(password))
		}
	}
	for _, token := range lines(c.Tokens) {
		a.tokens = append(a.tokens, sha256.Sum256([]byte(token)))
	}
	return a
}

// lines splits a secret that holds several, by commas or lines.
func lines(s config.Secret) []string {
	var out []string
	for part := range strings.FieldsFuncSeq(s.Reveal(), func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// who returns the name of a request's user, and whether it is known.
func (a *auth) who(r *http.Request) (name string, ok bool) {
	if token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); bearer {
		hash := sha256.Sum256([]byte(token))
		for _, t := range a.tokens {
			if subtle.ConstantTimeCompare(t[:], hash[:]) == 1 {
				return "token", true
			}
		}
		return "", false
	}
	name, password, basic := r.BasicAuth()
	if !basic {
		return "", false
	}
	want, known := a.users[name]
	hash := sha256.Sum256([]byte(password))
	// Compared even if the user is not known, so that the time does not tell.
	same := subtle.ConstantTimeCompare(want[:], hash[:]) == 1
	return name, known && same
}

// readingPosts are the routes of POST that change nothing, below their API's
// base: searches, look-ups and checks.
var readingPosts = []string{
	"/search/artifacts", "/search/versions", "/content/canonicalize", "/groups/{group}/artifacts/{artifact}/meta",
	"/subjects/{subject}", "/compatibility/subjects/{subject}/versions", "/compatibility/subjects/{subject}/versions/{version}",
}

// reads reports whether requests of the route cannot change anything. The
// route's pattern is judged, not the request's path, into which a client can
// write what it likes.
func reads(pattern string) bool {
	method, route, _ := strings.Cut(pattern, " ")
	if strings.Contains(route, "/admin/") {
		return false // what it tells is not for everybody
	}
	if method == http.MethodGet {
		return true
	}
	for _, base := range append([]string{v2Base, v3Base}, ccompatBases...) {
		if below, ok := strings.CutPrefix(route, base); ok && method == http.MethodPost {
			return slices.Contains(readingPosts, below)
		}
	}
	return false
}

// reads reports whether a request cannot change anything. What no route takes
// is answered by a refusal, if it is no GET.
func (a *auth) reads(mux *http.ServeMux, r *http.Request) bool {
	_, pattern := mux.Handler(r)
	return reads(pattern) || pattern == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// guard lets through to next, whose routes are those of mux, whom it knows, to everything but the health probes, which
// are open.
func (a *auth) guard(mux *http.ServeMux, next http.Handler) http.Handler {
	if len(a.users) == 0 && len(a.tokens) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := a.who(r)
		switch {
		case ok:
			r = r.WithContext(context.WithValue(r.Context(), userKey{}, name))
		case isProbe(r.URL.Path):
		case a.anonymous && r.Header.Get("Authorization") == "" && a.reads(mux, r):
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error_code":40101,"message":"Unauthorized","status":401,"title":"Unauthorized","name":"UnauthorizedException"}`))
			return
		}
		next.ServeHTTP(w, r)
	})
}
