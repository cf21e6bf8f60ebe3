package registry_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/registry"
	"tributary/registry/server"
)

// issuer is a token endpoint of OAuth 2's client credentials, and a registry
// in front of which its tokens are asked for.
type issuer struct {
	mu     sync.Mutex
	issued int
	valid  map[string]bool
	life   int    // seconds; 0 is told as nothing
	inBody bool   // takes id and secret in the body alone
	down   bool   // answers 503
	scope  string // of the last request

	endpoint, registry string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{valid: make(map[string]bool), life: 3600}
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		i.mu.Lock()
		ok := i.valid[token]
		i.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error_code":401,"message":"Unauthorized"}`)
			return
		}
		s.ServeHTTP(w, r)
	}))
	tokens := httptest.NewServer(http.HandlerFunc(i.token))
	t.Cleanup(func() {
		tokens.Close()
		front.Close()
		s.Close()
	})
	i.endpoint, i.registry = tokens.URL+"/realms/r/token", front.URL
	return i
}

// token answers as RFC 6749 has it.
func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"error_description":"no"}`, code)
	}
	if i.down {
		refuse(http.StatusServiceUnavailable, "temporarily_unavailable")
		return
	}
	_ = r.ParseForm()
	id, secret, basic := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if i.inBody {
		id, secret, basic = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), r.PostForm.Has("client_id")
	}
	switch {
	case r.Method != http.MethodPost || r.PostForm.Get("grant_type") != "client_credentials":
		refuse(http.StatusBadRequest, "unsupported_grant_type")
		return
	case !basic || id != "me:too" || secret != "s%cret":
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	i.issued++
	i.scope = r.PostForm.Get("scope")
	token := fmt.Sprint("token-", i.issued)
	i.valid[token] = true
	answer := map[string]any{"access_token": token, "token_type": "Bearer"}
	if i.life > 0 {
		answer["expires_in"] = i.life
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (i *issuer) revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.valid)
}

func (i *issuer) options() registry.Options {
	return registry.Options{
		OAuth:    &registry.OAuth{Endpoint: i.endpoint, ClientID: "me:too", Secret: "s%cret", Scope: "registry.write"},
		Patience: time.Second,
	}
}

func TestOAuthTokenIsKept(t *testing.T) {
	for name, path := range apis {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			c := client(t, i.registry+path, i.options())
			var wg sync.WaitGroup
			for n := range 20 { // at once: one token serves all
				wg.Go(func() {
					if _, err := c.Register(t.Context(), fmt.Sprint("a", n), sale); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if i.issued != 1 || i.scope != "registry.write" {
				t.Errorf("%d tokens were asked for, the last for %q", i.issued, i.scope)
			}
			// One that is revoked is replaced, and the call goes on.
			i.revoke()
			if _, err := c.Register(t.Context(), "b", sale); err != nil || i.issued != 2 {
				t.Errorf("after the revocation: %v, %d tokens", err, i.issued)
			}
		})
	}
}

func TestOAuthTokenIsRenewedBeforeItsEnd(t *testing.T) {
	i := newIssuer(t)
	i.life = 2
	var log strings.Builder
	o := i.options()
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c := client(t, i.registry+"/apis/ccompat/v7", o)
	// register asks the registry at most until the next call.
	next := 0
	register := func() error {
		next++
		_, err := c.Register(t.Context(), fmt.Sprint("a", next), sale)
		return err
	}
	if err := register(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1700 * time.Millisecond) // four fifths are over; the token is still good
	if err := register(); err != nil || i.issued != 2 {
		t.Fatalf("%v, %d tokens", err, i.issued)
	}
	// While the endpoint is down, the token that still lasts is used.
	i.mu.Lock()
	i.down = true
	i.mu.Unlock()
	time.Sleep(1700 * time.Millisecond)
	if err := register(); err != nil || i.issued != 2 || !strings.Contains(log.String(), "not renewed") {
		t.Errorf("%v, %d tokens, log %s", err, i.issued, log.String())
	}
	// When it ends, that is told, as what a retry may heal.
	i.revoke()
	time.Sleep(400 * time.Millisecond)
	err := register()
	if err == nil || fault.NeedsHuman(err) || !strings.Contains(err.Error(), "token endpoint") || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v", err)
	}
	i.mu.Lock()
	i.down = false
	i.mu.Unlock()
	if err := register(); err != nil || i.issued != 3 {
		t.Errorf("%v, %d tokens", err, i.issued)
	}
}

func TestOAuthInTheBodyAndRefused(t *testing.T) {
	i := newIssuer(t)
	i.inBody = true
	c := client(t, i.registry+"/apis/registry/v2", i.options())
	if _, err := c.Register(t.Context(), "a", sale); err != nil {
		t.Errorf("an endpoint that wants the secret in the body: %v", err)
	}
	o := i.options()
	o.OAuth.Secret = "wrong-secret"
	_, err := client(t, i.registry+"/apis/registry/v2", o).Register(t.Context(), "a", sale)
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "invalid_client") || !strings.Contains(fault.Hint(err), "secret") || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("wrong secret: %v, hint %s", err, fault.Hint(err))
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer html.Close()
	o = i.options()
	o.OAuth.Endpoint = html.URL
	if _, err := client(t, i.registry+"/apis/registry/v2", o).Register(t.Context(), "a", sale); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), html.URL) {
		t.Errorf("not a token endpoint: %v", err)
	}
}

// TestLoginsByOptions logs in by every name that an option for it has.
func TestLoginsByOptions(t *testing.T) {
	i := newIssuer(t)
	var header atomic.Value
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header.Store(r.Header.Clone())
		fmt.Fprint(w, `{"id":7}`)
	}))
	defer plain.Close()
	oauth := func(endpoint, id, secret, scope string) string {
		return fmt.Sprintf("%s: %s\n%s: 'me:too'\n%s: s%%cret\n%s: registry.read\n", endpoint, i.endpoint, id, secret, scope)
	}
	for name, c := range map[string]struct{ text, header, want string }{
		"user":            {"schema.registry.user: u\nschema.registry.password: p\n", "Authorization", "Basic dTpw"},
		"user info":       {"basic.auth.credentials.source: USER_INFO\nbasic.auth.user.info: 'u:p'\n", "Authorization", "Basic dTpw"},
		"apicurio 2 user": {"apicurio.auth.username: u\napicurio.auth.password: p\n", "Authorization", "Basic dTpw"},
		"apicurio 3 user": {"apicurio.registry.auth.username: u\napicurio.registry.auth.password: p\n", "Authorization", "Basic dTpw"},
		"bearer":          {"bearer.auth.token: tok\nbearer.auth.logical.cluster: lsrc-1\n", "Authorization", "Bearer tok"},
		"logical cluster": {"bearer.auth.token: tok\nbearer.auth.logical.cluster: lsrc-1\n", "Target-Sr-Cluster", "lsrc-1"},
		"confluent oauth": {"bearer.auth.credentials.source: OAUTHBEARER\n" + oauth("bearer.auth.issuer.endpoint.url", "bearer.auth.client.id", "bearer.auth.client.secret", "bearer.auth.scope"), "Authorization", "Bearer token-"},
		"apicurio 2":      {oauth("apicurio.auth.service.token.endpoint", "apicurio.auth.client.id", "apicurio.auth.client.secret", "apicurio.auth.client.scope"), "Authorization", "Bearer token-"},
		"apicurio 3": {oauth("apicurio.registry.auth.service.token.endpoint", "apicurio.registry.auth.client.id",
			"apicurio.registry.auth.client.secret", "apicurio.registry.auth.client.scope"), "Authorization", "Bearer token-"},
	} {
		t.Run(name, func(t *testing.T) {
			var s registry.Settings
			if err := config.Parse("x.yaml", []byte("schema.registry.url: "+plain.URL+"\n"+c.text), &s); err != nil {
				t.Fatal(err)
			}
			if p := s.Check(); len(p) > 0 {
				t.Fatal(p)
			}
			cl, err := s.Client(time.Second, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cl.Register(t.Context(), "a", sale); err != nil {
				t.Fatal(err)
			}
			if got := header.Load().(http.Header).Get(c.header); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: %q, want %q", c.header, got, c.want)
			}
		})
	}
	for text, want := range map[string]string{
		"bearer.auth.client.id: x\n":                                      "bearer.auth.issuer.endpoint.url",
		"apicurio.auth.service.token.endpoint: http://x/\n":               "apicurio.auth.client.id",
		"schema.registry.user: u\nbearer.auth.token: t\n":                 "bearer.auth.token",
		"bearer.auth.credentials.source: OAUTHBEARER\n":                   "bearer.auth.issuer.endpoint.url",
		"basic.auth.credentials.source: USER_INFO\n":                      "basic.auth.user.info",
		"apicurio.registry.auth.username: a\napicurio.auth.username: b\n": "apicurio.registry.auth.username",
	} {
		var s registry.Settings
		if err := config.Parse("x.yaml", []byte("schema.registry.url: http://x\n"+text), &s); err != nil {
			t.Fatal(err)
		}
		if p := s.Check(); len(p) == 0 || p[0].Key != want {
			t.Errorf("%q: problems %v, want one of %s", text, p, want)
		}
	}
}
