package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"tributary/internal/fault"
)

// MaxCached bounds each of a Client's two caches, in entries.
const MaxCached = 10_000

// ID names a schema in a registry. Either number may be 0: the registry's API
// or the wire format at hand does not carry it.
type ID struct {
	Content int64 // of the text; the Confluent API's id
	Global  int64 // of the artifact's version; Apicurio alone
}

// String is for messages: "contentId 3, globalId 7".
func (id ID) String() string {
	switch {
	case id.Global == 0:
		return fmt.Sprintf("id %d", id.Content)
	case id.Content == 0:
		return fmt.Sprintf("globalId %d", id.Global)
	}
	return fmt.Sprintf("contentId %d, globalId %d", id.Content, id.Global)
}

// Options configures a Client. The zero value is ready for use.
type Options struct {
	Group          string        // Apicurio's group; default "default"
	User, Password string        // basic authentication when User is set
	Token          string        // bearer token when set
	TLS            *tls.Config   // for https; nil is Go's default
	Timeout        time.Duration // of one request; default 10 s
	Patience       time.Duration // how long to retry what a retry may heal; default 30 s
	Log            *slog.Logger  // told of the first failure and of the recovery; nil discards
}

// Client talks to one registry.
type Client struct {
	api api

	flight     singleflight.Group
	mu         sync.Mutex
	registered map[[2]string]ID // by artifact and text
	texts      map[ID]string
}

// api is one registry API.
type api interface {
	// register stores schema as a version of artifact unless it is one.
	register(ctx context.Context, artifact, schema string) (ID, error)
	// byID returns a schema's text as stored, and what it refers to.
	byID(ctx context.Context, id ID) (schema, error)
	// byReference returns the schema that another refers to.
	byReference(ctx context.Context, r reference) (schema, error)
	// check asks for anything that shows that the registry is one.
	check(ctx context.Context) error
}

// schema is a schema's text and what it refers to.
type schema struct {
	text string
	refs []reference
}

// reference names a schema that another uses without containing it.
type reference struct {
	Name     string // the type's full name as used in the referring text
	Group    string // Apicurio alone
	Artifact string // Apicurio's artifactId, Confluent's subject
	Version  string
}

// New makes a client of the registry at address. It does not connect.
func New(address string, o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault.Humanf("give it as http://host:port/apis/registry/v2, …/apis/registry/v3, …/apis/ccompat/v7, or a Confluent registry's own",
			"%q is not a registry's URL", address)
	}
	if u.User != nil {
		if o.User == "" {
			o.User = u.User.Username()
			o.Password, _ = u.User.Password()
		}
		u.User = nil // it would show up in messages
	}
	if o.Group == "" {
		o.Group = "default"
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = o.TLS
	transport.MaxIdleConnsPerHost = 4
	r := &remote{base: u.String(), opts: o, client: &http.Client{Transport: transport, Timeout: o.Timeout}}
	c := &Client{registered: make(map[[2]string]ID), texts: make(map[ID]string)}
	switch {
	case strings.HasSuffix(u.Path, "/apis/registry/v2"):
		c.api = &apicurio2{r}
	case strings.HasSuffix(u.Path, "/apis/registry/v3"):
		c.api = &apicurio3{r}
	default:
		c.api = &confluent{r}
	}
	return c, nil
}

// Check asks the registry for a sign of life, and for the right to read.
func (c *Client) Check(ctx context.Context) error { return c.api.check(ctx) }

// Register makes schemaText, one self-contained Avro schema, a version of the
// artifact (Confluent: subject) unless it already is, and returns its id. A
// refusal by the registry's rules is for a human.
func (c *Client) Register(ctx context.Context, artifactID, schemaText string) (ID, error) {
	key := [2]string{artifactID, schemaText}
	c.mu.Lock()
	id, ok := c.registered[key]
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	v, err := c.once(ctx, "register\x00"+artifactID+"\x00"+schemaText, func(ctx context.Context) (any, error) {
		id, err := c.api.register(ctx, artifactID, schemaText)
		if err != nil {
			return nil, fmt.Errorf("register a schema for %s: %w", artifactID, err)
		}
		if id.Content < 0 || id.Content > 1<<31-1 || id.Content == 0 && id.Global == 0 {
			return nil, fmt.Errorf("register a schema for %s: registry gave it the impossible id %d", artifactID, id.Content)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		put(c.registered, key, id)
		put(c.texts, id, schemaText)
		put(c.texts, ID{Content: id.Content}, schemaText)
		return id, nil
	})
	if err != nil {
		return ID{}, err
	}
	return v.(ID), nil
}

// Schema returns the self-contained text of a schema: where the stored text
// refers to others, they are put in its place. An id that the registry does
// not know is ErrUnknownID, and for a human.
func (c *Client) Schema(ctx context.Context, id ID) (string, error) {
	c.mu.Lock()
	text, ok := c.texts[id]
	c.mu.Unlock()
	if ok {
		return text, nil
	}
	v, err := c.once(ctx, fmt.Sprint("schema ", id.Content, id.Global), func(ctx context.Context) (any, error) {
		s, err := c.api.byID(ctx, id)
		if err == nil {
			s.text, err = resolve(ctx, c.api, s)
		}
		if err != nil {
			return nil, fmt.Errorf("look up schema %s: %w", id, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		put(c.texts, id, s.text)
		return s.text, nil
	})
	if err != nil {
		return "", err
	}
	return v.(string), nil
}

// once runs f unless a call for the same key is already under way, whose
// result it then shares. f goes on when the caller gives up, for the others.
func (c *Client) once(ctx context.Context, key string, f func(context.Context) (any, error)) (any, error) {
	done := c.flight.DoChan(key, func() (any, error) { return f(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-done:
		return r.Val, r.Err
	}
}

// put adds to a cache, first making room by dropping an arbitrary entry.
func put[K comparable, V any](m map[K]V, key K, value V) {
	if _, ok := m[key]; !ok && len(m) >= MaxCached {
		for k := range m {
			delete(m, k)
			break
		}
	}
	m[key] = value
}
