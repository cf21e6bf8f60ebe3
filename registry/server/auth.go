package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
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

// reads reports whether a request cannot change anything.
func reads(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost: // searches and checks
		p := r.URL.Path
		return strings.HasPrefix(p, v2Base) && strings.HasSuffix(p, "/meta") || strings.HasPrefix(p, "/apis/ccompat/") && strings.Contains(p, "/compatibility/") ||
			strings.Contains(p, "/search/") || strings.HasSuffix(p, "/content/canonicalize") ||
			strings.HasPrefix(p, "/apis/ccompat/") && !strings.HasSuffix(p, "/versions") && !strings.Contains(p, "/mode")
	}
	return false
}

// guard lets through whom it knows, to everything but the health probes, which
// are open.
func (a *auth) guard(next http.Handler) http.Handler {
	if len(a.users) == 0 && len(a.tokens) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := a.who(r)
		switch {
		case ok:
			r = r.WithContext(context.WithValue(r.Context(), userKey{}, name))
		case isProbe(r.URL.Path):
		case a.anonymous && r.Header.Get("Authorization") == "" && reads(r) && !strings.Contains(r.URL.Path, "/admin/"):
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
