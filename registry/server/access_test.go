package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"html"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/internal/config"
)

func secret(t *testing.T, text string) config.Secret {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("auth.users: \""+text+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c struct {
		S config.Secret `opt:"auth.users"`
	}
	if err := config.Load(file, &c); err != nil {
		t.Fatal(err)
	}
	return c.S
}

func TestLogin(t *testing.T) {
	s := opened(t, Config{Users: secret(t, "ann:secret,bob:x:y"), Tokens: secret(t, "tok1,tok2")})
	read := opened(t, Config{Users: secret(t, "ann:secret"), AnonymousRead: true})
	const create = "/apis/ccompat/v7/subjects/a/versions"
	basic := func(user, password string) string {
		r, _ := http.NewRequest(http.MethodGet, "http://x", nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for name, c := range map[string]struct {
		server                      *Server
		method, path, authorization string
		status                      int
	}{
		"nobody":                  {s, "GET", "/apis/ccompat/v7/subjects", "", 401},
		"nobody writes":           {s, "POST", create, "", 401},
		"ann":                     {s, "POST", create, basic("ann", "secret"), 200},
		"password with colon":     {s, "GET", "/apis/registry/v3/users/me", basic("bob", "x:y"), 200},
		"wrong password":          {s, "GET", "/apis/ccompat/v7/subjects", basic("ann", "Secret"), 401},
		"unknown user":            {s, "GET", "/apis/ccompat/v7/subjects", basic("eve", ""), 401},
		"token":                   {s, "GET", "/apis/registry/v2/groups", "Bearer tok2", 200},
		"wrong token":             {s, "GET", "/apis/registry/v2/groups", "Bearer tok", 401},
		"empty token":             {s, "GET", "/apis/registry/v2/groups", "Bearer ", 401},
		"page":                    {s, "GET", "/", "", 401},
		"metrics":                 {s, "GET", "/metrics", "", 401},
		"health":                  {s, "GET", "/healthz", "", 200},
		"anonymous reads":         {read, "GET", "/apis/ccompat/v7/subjects", "", 200},
		"anonymous searches":      {read, "POST", "/apis/registry/v3/search/versions", "", 200},
		"anonymous writes":        {read, "POST", create, "", 401},
		"anonymous exports":       {read, "GET", "/apis/registry/v3/admin/export", "", 401},
		"anonymous sets rules":    {read, "POST", "/apis/registry/v3/admin/rules", "", 401},
		"anonymous, wrong ticket": {read, "GET", "/apis/ccompat/v7/subjects", "Bearer x", 401},
	} {
		w := ask(t, c.server, c.method, c.path, `{"schema":"\"int\""}`, "Authorization", c.authorization)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the answer has a password: %s", name, w.Body)
		}
	}
	if got := must(t, s, "GET", "/apis/registry/v3/users/me", "", "Authorization", basic("ann", "secret")); !strings.Contains(got, `"username":"ann"`) {
		t.Errorf("users/me = %s", got)
	}
}

// Who may only read cannot write, however the path is spelt; and can do what
// POST only reads.
func TestAnonymousReads(t *testing.T) {
	s := opened(t, Config{Users: secret(t, "ann:secret"), AnonymousRead: true})
	const schema = `{"schema":"\"int\""}`
	login := func() string {
		r, _ := http.NewRequest(http.MethodGet, "http://x", nil)
		r.SetBasicAuth("ann", "secret")
		return r.Header.Get("Authorization")
	}()
	must(t, s, "POST", "/apis/ccompat/v7/subjects/s/versions", schema, "Authorization", login)
	for _, c := range [][2]string{
		{"POST", "/apis/ccompat/v7/subjects/s/versions/"},
		{"POST", "/apis/ccompat/v7/subjects/a%2Fcompatibility%2Fb/versions"},
		{"POST", "/apis/ccompat/v7/subjects/a%2Fversions%2F/versions"},
		{"POST", "/apis/registry/v3/groups/search/artifacts"},
		{"POST", "/apis/registry/v3/groups/search/artifacts/a/versions"},
		{"POST", "/apis/registry/v2/groups/x%2Fsearch%2Fy/artifacts"},
		{"POST", "/apis/registry/v2/groups/g/artifacts/meta/versions"},
		{"POST", "/apis/registry/v2/groups/meta/artifacts"},
		{"POST", "/apis/registry/v3/groups/g/artifacts/x%2Fcontent%2Fcanonicalize/rules"},
		{"POST", "/apis/registry/v3//groups/search/artifacts"},
		{"PUT", "/apis/ccompat/v7/mode/compatibility"},
		{"PUT", "/apis/ccompat/v7/config"},
		{"DELETE", "/apis/ccompat/v7/subjects/s"},
		{"GET", "/apis/registry/v3/admin/export/"},
		{"HEAD", "/apis/registry/v2/admin/export"},
		{"POST", "/apis/registry/v3/none"},
	} {
		if w := ask(t, s, c[0], c[1], schema); w.Code != http.StatusUnauthorized && w.Code != http.StatusTemporaryRedirect {
			t.Errorf("%s %s by nobody: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	for _, path := range []string{
		"/apis/registry/v3/search/artifacts", "/apis/registry/v3/search/versions", "/apis/registry/v2/search/artifacts", "/apis/ccompat/v7/subjects/s/",
		"/apis/registry/v2/groups/default/artifacts/s/meta", "/apis/ccompat/v7/compatibility/subjects/s/versions", "/apis/ccompat/v6/compatibility/subjects/s/versions/latest",
	} {
		if w := ask(t, s, "POST", path, schema); w.Code == http.StatusUnauthorized || w.Code == http.StatusMethodNotAllowed {
			t.Errorf("POST %s by nobody: %d %s", path, w.Code, w.Body)
		}
	}
	must(t, s, "GET", "/apis/registry/v3/groups/admin/artifacts", "")
	if w := ask(t, s, "GET", "/none", ""); w.Code != http.StatusNotFound {
		t.Errorf("GET of nothing: %d", w.Code)
	}
	if got := must(t, s, "GET", "/apis/ccompat/v7/subjects", ""); got != `["s"]` {
		t.Errorf("subjects = %s", got)
	}
}

// certificate makes one of its own for 127.0.0.1 and returns its files.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(cert, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return cert, key, pool
}

func freeAddress(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

func TestTLSAndManagement(t *testing.T) {
	cert, key, pool := certificate(t)
	c := Config{Listen: freeAddress(t), Management: freeAddress(t), File: filepath.Join(t.TempDir(), "r.db"), Certificate: cert, Key: key}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c, quiet) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	get := func(url string) (string, error) {
		resp, err := client.Get(url)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
	var text string
	var err error
	for range 100 {
		if text, err = get("https://" + c.Listen + "/apis/registry/v3/system/info"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil || !strings.Contains(text, "3.3.3") {
		t.Fatalf("over TLS: %s, %v", text, err)
	}
	if text, err := get("http://" + c.Management + "/health/ready"); err != nil || !strings.Contains(text, `"UP"`) {
		t.Errorf("health: %s, %v", text, err)
	}
	if text, err := get("http://" + c.Management + "/metrics"); err != nil || !strings.Contains(text, `registry_requests_total{api="v3",method="GET",status="200"} 1`) {
		t.Errorf("metrics: %s, %v", text, err)
	}
	cancel()
	client.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.db")
	s, err := Open(Config{File: file}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	must(t, s, "POST", "/apis/ccompat/v7/subjects/a/versions", `{"schema":"\"int\""}`)
	const property = "/apis/registry/v3/admin/config/properties/apicurio.storage.read-only.enabled"
	must(t, s, "PUT", property, `{"value":"true"}`)
	s.Close()
	s = opened(t, Config{File: file}) // which it survives
	for _, c := range [][3]string{
		{"POST", "/apis/ccompat/v7/subjects/a/versions", `{"schema":"\"long\""}`},
		{"POST", "/apis/registry/v3/groups", `{"groupId":"g"}`},
		{"POST", "/apis/registry/v2/admin/rules", `{"type":"VALIDITY","config":"FULL"}`},
		{"DELETE", "/apis/registry/v3/groups/default/artifacts/a", ""},
		{"PUT", "/apis/ccompat/v7/mode", `{"mode":"IMPORT"}`},
	} {
		if w := ask(t, s, c[0], c[1], c[2]); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "read-only") {
			t.Errorf("%s %s in read-only mode: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	must(t, s, "POST", "/apis/ccompat/v7/subjects/a/versions", `{"schema":"\"int\""}`) // found, not made
	must(t, s, "PUT", property, `{"value":"false"}`)
	must(t, s, "POST", "/apis/ccompat/v7/subjects/a/versions", `{"schema":"\"long\""}`)

	s.Close()
	s = opened(t, Config{File: file, ReadOnly: true})
	for _, method := range []string{"PUT", "DELETE"} {
		if w := ask(t, s, method, property, `{"value":"false"}`); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "read.only") {
			t.Errorf("%s of the property with read.only: %d %s", method, w.Code, w.Body)
		}
	}
	if w := ask(t, s, "POST", "/apis/registry/v3/groups", `{"groupId":"g"}`); w.Code != http.StatusConflict {
		t.Errorf("with read.only: %d %s", w.Code, w.Body)
	}
}

// Mode READONLY covers a subject's versions and levels, for the Confluent API.
func TestModeReadOnly(t *testing.T) {
	s := opened(t, Config{})
	const base = "/apis/ccompat/v7"
	must(t, s, "POST", base+"/subjects/a/versions", `{"schema":"\"int\""}`)
	must(t, s, "PUT", base+"/config/a", `{"compatibility":"NONE"}`)
	must(t, s, "PUT", base+"/mode", `{"mode":"READONLY"}`)
	for _, c := range [][3]string{
		{"POST", "/subjects/a/versions", `{"schema":"\"long\""}`}, {"DELETE", "/subjects/a", ""}, {"DELETE", "/subjects/a/versions/1", ""},
		{"PUT", "/config", `{"compatibility":"NONE"}`}, {"PUT", "/config/a", `{"compatibility":"FULL"}`}, {"DELETE", "/config/a", ""}, {"DELETE", "/config", ""},
	} {
		if w := ask(t, s, c[0], base+c[1], c[2]); w.Code != 422 || !strings.Contains(w.Body.String(), "42205") {
			t.Errorf("%s %s in mode READONLY: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	must(t, s, "PUT", base+"/mode", `{"mode":"READWRITE"}`)
	must(t, s, "PUT", base+"/config/a", `{"compatibility":"FULL"}`)
}

func TestTooManyRequestsAtOnce(t *testing.T) {
	s := opened(t, Config{MaxRequests: 1})
	s.slots <- struct{}{}
	if w := ask(t, s, "GET", "/apis/registry/v3/groups", ""); w.Code != http.StatusTooManyRequests {
		t.Errorf("second request at once: %d", w.Code)
	}
	if w := ask(t, s, "GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("health while busy: %d", w.Code)
	}
	<-s.slots
	must(t, s, "GET", "/apis/registry/v3/groups", "")
}

// Who is slow to send a request keeps nobody from being served.
func TestStalledUpload(t *testing.T) {
	s := opened(t, Config{MaxRequests: 1})
	body := &heldBody{started: make(chan bool), release: make(chan bool)}
	w, done := httptest.NewRecorder(), make(chan bool)
	go func() {
		defer close(done)
		r, _ := http.NewRequest(http.MethodPost, "/apis/registry/v3/groups", body)
		r.ContentLength = 10
		s.ServeHTTP(w, r)
	}()
	<-body.started
	must(t, s, "GET", "/apis/registry/v3/groups", "")
	must(t, s, "POST", "/apis/registry/v3/groups", `{"groupId":"g"}`)
	close(body.release)
	<-done
	if w.Code != http.StatusBadRequest {
		t.Errorf("upload that stalled: %d %s", w.Code, w.Body)
	}
}

// heldBody is a request body that does not come until it is released.
type heldBody struct{ started, release chan bool }

func (b *heldBody) Read([]byte) (int, error) {
	close(b.started)
	<-b.release
	return 0, io.ErrUnexpectedEOF
}

// The page shows artifacts, versions and rules, and a diff that marks lines.
func TestPage(t *testing.T) {
	s := opened(t, Config{})
	const base = "/apis/registry/v3"
	post := func(text string) {
		must(t, s, "POST", "/apis/registry/v2/groups/g%20x/artifacts?ifExists=UPDATE", text, "X-Registry-ArtifactId", "a/<b>")
	}
	post(`{"type":"record","name":"R","fields":[{"name":"old","type":"int"}]}`)
	post(`{"type":"record","name":"R","fields":[{"name":"new","type":"int"}]}`)
	must(t, s, "POST", base+"/groups/g%20x/artifacts/a%2F%3Cb%3E/rules", `{"ruleType":"COMPATIBILITY","config":"FULL"}`)
	for path, want := range map[string][]string{
		"/":                              {`href="/ui/g%20x/a%2F%3Cb%3E"`, "a/&lt;b&gt;", "1 artifacts"},
		"/?q=nothing":                    {"0 artifacts"},
		"/ui/g%20x/a%2F%3Cb%3E":          {"COMPATIBILITY FULL", "diff to 1", `href="/ui/g%20x/a%2F%3Cb%3E/2"`},
		"/ui/g%20x/a%2F%3Cb%3E/2":        {"&#34;new&#34;", "global id 2"},
		"/ui/g%20x/a%2F%3Cb%3E/1/diff/2": {`class="del">-       &#34;name&#34;: &#34;old&#34;`, `class="add">+       &#34;name&#34;: &#34;new&#34;`, "/fields/0: new", "<td>new</td><td>was added without a default</td>", "breaks readers with 2 of older data", "<td>old</td><td>was removed</td>", "keep the field"},
		"/apis/ccompat/v7":               {"/apis/ccompat/v7/subjects"},
	} {
		got := must(t, s, "GET", path, "")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q:\n%s", path, w, got)
			}
		}
		if strings.Contains(got, "<b>") {
			t.Errorf("%s does not escape", path)
		}
	}
	if w := ask(t, s, "GET", "/ui/g/none", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Header().Get("Content-Type"), "html") {
		t.Errorf("page of nothing: %d %s", w.Code, w.Body)
	}
}

// The links of the page lead to what they name, whatever it is called, as a
// browser follows them.
func TestPageLinks(t *testing.T) {
	s := opened(t, Config{})
	for _, name := range []string{"..", ".", "~x", "~~", "a/../b", "%2e%2e"} {
		for _, group := range []string{"g", ".."} {
			must(t, s, "POST", "/apis/registry/v3/groups", `{"groupId":`+string(mustJSON(group+name))+`}`)
			must(t, s, "POST", "/apis/registry/v2/groups/"+url.PathEscape(group+name)+"/artifacts", `"int"`, "X-Registry-ArtifactId", name, "X-Registry-ArtifactType", "AVRO")
		}
	}
	base, _ := url.Parse("http://registry/")
	links := regexp.MustCompile(`href="(/ui/[^"]+)"`).FindAllStringSubmatch(must(t, s, "GET", "/", ""), -1)
	if len(links) < 12 {
		t.Fatalf("%d links", len(links))
	}
	for _, l := range links {
		to, err := base.Parse(html.UnescapeString(l[1]))
		if err != nil || strings.Contains(l[1], "/../") || strings.HasSuffix(l[1], "/..") {
			t.Fatal(l[1], err)
		}
		if page := must(t, s, "GET", to.RequestURI(), ""); !strings.Contains(page, `<a href="`+l[1]+`/1">`) {
			t.Errorf("%s: %s", l[1], page)
		}
	}
}

// What would leave a registry open that its file means to be closed is told.
func TestConfigThatWouldLeaveTheRegistryOpen(t *testing.T) {
	for text, want := range map[string]string{
		"auth.users: ann":                            "auth.users",
		"auth.users: ':secret'":                      "auth.users",
		"auth.users: 'ann:secret, bob'":              "entry 2",
		"auth.users: ' , '":                          "auth.users",
		"auth.tokens: ','":                           "auth.tokens",
		"auth.anonymous.read: true":                  "auth.anonymous.read",
		"tls.key.file: k":                            "tls.certificate.file",
		"auth.users: 'ann:a b, bob:c'":               "",
		"auth.tokens: t1\nauth.anonymous.read: true": "",
	} {
		var c Config
		err := config.Parse("registry.yaml", []byte("data.file: x\n"+text+"\n"), &c)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	s := opened(t, Config{Users: "ann:a b, bob:c"})
	for header, want := range map[string]int{"Basic YW5uOmEgYg==": http.StatusOK, "Basic Ym9iOmM=": http.StatusOK, "Basic YW5uOmE=": http.StatusUnauthorized} {
		if w := ask(t, s, "GET", "/apis/registry/v3/groups", "", "Authorization", header); w.Code != want {
			t.Errorf("%s: %d, want %d", header, w.Code, want)
		}
	}
}
