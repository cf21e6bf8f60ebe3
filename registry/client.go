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
	"tributary/registry/glue"
)

// MaxCached bounds each of a Client's two caches, in entries.
const MaxCached = 10_000

// ID names a schema in a registry. Either number may be 0: the registry's API
// or the wire format at hand does not carry it.
type ID struct {
	Content int64 // of the text; the Confluent API's id
	Global  int64 // of the artifact's version; Apicurio alone
	UUID    UUID  // of the schema's version; AWS Glue alone
}

// String is for messages: "contentId 3, globalId 7".
func (id ID) String() string {
	switch {
	case id.UUID != UUID{}:
		return "version " + id.UUID.String()
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
	OAuth          *OAuth        // how to get bearer tokens, when set
	Header         http.Header   // sent with every request besides
	TLS            *tls.Config   // for https; nil is Go's default
	Timeout        time.Duration // of one request; default 10 s
	Patience       time.Duration // how long to retry what a retry may heal; default 30 s
	Mode           Mode          // what Register may do; default AutoRegister
	Naming         Naming        // of schemas by topics; default TopicName
	UseID          UseID         // what the numbers before records are; default UseDefault
	Glue           glue.Options  // of glue:// addresses, which come before it
	Log            *slog.Logger  // told of the first failure and of the recovery; nil discards
}

// Mode says what Register does.
type Mode string

const (
	// AutoRegister registers what the registry does not have.
	AutoRegister Mode = "auto-register"
	// FindOnly takes what was registered before, and registers nothing.
	FindOnly Mode = "find"
	// FindLatest takes the artifact's latest version, which must lay records
	// out as the schema at hand does, and registers nothing.
	FindLatest Mode = "find-latest"
)

// Client talks to one registry.
type Client struct {
	api    api
	mode   Mode
	naming Naming
	useID  UseID
	group  string

	flight     singleflight.Group
	mu         sync.Mutex
	registered map[registration]ID
	texts      map[ID]string
}

// Artifact names what has versions: Confluent's subject, Glue's schema.
type Artifact struct {
	Group string // Apicurio alone; "" is the client's own
	ID    string
}

// registration is a key of what was registered.
type registration struct {
	Artifact
	text string
}

// api is one registry API. Where it does not have what is asked for, the error
// is errAbsent.
type api interface {
	// register stores schema as a version of the artifact unless it is one. A
	// refusal for incompatibility is errIncompatible.
	register(ctx context.Context, a Artifact, schema string) (ID, error)
	// find returns the version of the artifact with the schema.
	find(ctx context.Context, a Artifact, schema string) (ID, error)
	// latest returns the newest version of the artifact.
	latest(ctx context.Context, a Artifact) (ID, schema, error)
	// level returns the compatibility level that judges the artifact's
	// versions, "NONE" where none does.
	level(ctx context.Context, a Artifact) (string, error)
	// byID returns a schema's text as stored, and what it refers to.
	byID(ctx context.Context, id ID) (schema, error)
	// byReference returns the schema that another refers to.
	byReference(ctx context.Context, r reference) (schema, error)
	// relax is how a person turns the artifact's compatibility rule off.
	relax(a Artifact) string
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

// New makes a client of the registry at address: a URL of Apicurio's or
// Confluent's API, or glue://REGISTRY?region=REGION. It does not connect.
func New(address string, o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "glue" {
		return nil, fault.Humanf("give it as http://host:port/apis/registry/v2, …/apis/registry/v3, …/apis/ccompat/v7, a Confluent registry's own, or as glue://registry?region=…",
			"%q is not a registry's URL", address)
	}
	if u.User != nil {
		if o.User == "" {
			o.User = u.User.Username()
			o.Password, _ = u.User.Password()
		}
		u.User = nil // it would show up in messages
	}
	o = o.withDefaults()
	c := &Client{mode: o.Mode, naming: o.Naming, useID: o.UseID, group: o.Group, registered: make(map[registration]ID), texts: make(map[ID]string)}
	if u.Scheme == "glue" {
		c.api, err = newGlue(u, o)
		return c, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = o.TLS
	transport.MaxIdleConnsPerHost = 4
	r := &remote{base: u.String(), opts: o, client: &http.Client{Transport: transport, Timeout: o.Timeout}}
	if r.login, err = newLogin(o, r.client); err != nil {
		return nil, err
	}
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

func (o Options) withDefaults() Options {
	if o.Group == "" {
		o.Group = "default"
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Mode == "" {
		o.Mode = AutoRegister
	}
	if o.Naming == "" {
		o.Naming = TopicName
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Check asks the registry for a sign of life, and for the right to read.
func (c *Client) Check(ctx context.Context) error { return c.api.check(ctx) }

// RegisterTopic is Register for the keys or values of a topic, whose artifact
// the naming of the options tells.
func (c *Client) RegisterTopic(ctx context.Context, topic string, isKey bool, schemaText string) (ID, error) {
	a, err := c.naming.artifact(topic, isKey, schemaText)
	if err != nil {
		return ID{}, err
	}
	return c.register(ctx, a, schemaText)
}

// Register makes schemaText, one self-contained Avro schema, a version of the
// artifact (Confluent: subject) unless it already is, and returns its id. With
// a mode other than AutoRegister it looks for the id alone, and what there is
// not is ErrNotRegistered. A refusal by the registry's rules is for a human, and
// tells which fields broke them.
func (c *Client) Register(ctx context.Context, artifactID, schemaText string) (ID, error) {
	return c.register(ctx, Artifact{ID: artifactID}, schemaText)
}

func (c *Client) register(ctx context.Context, a Artifact, schemaText string) (ID, error) {
	if a.Group == "" {
		a.Group = c.group
	}
	key := registration{a, schemaText}
	c.mu.Lock()
	id, ok := c.registered[key]
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	v, err := c.once(ctx, "register\x00"+a.Group+"\x00"+a.ID+"\x00"+schemaText, func(ctx context.Context) (any, error) {
		id, err := c.obtain(ctx, a, schemaText)
		if err != nil {
			return nil, err
		}
		if id.Content < 0 || id.Content > 1<<31-1 || id == (ID{}) {
			return nil, fmt.Errorf("register a schema for %s: registry gave it the impossible id %d", a.ID, id.Content)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		put(c.registered, key, id)
		if c.mode == FindLatest {
			return id, nil // whose text is another
		}
		put(c.texts, id, schemaText)
		if id.Content != 0 {
			put(c.texts, ID{Content: id.Content}, schemaText)
		}
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
	id = c.useID.id(id)
	c.mu.Lock()
	text, ok := c.texts[id]
	c.mu.Unlock()
	if ok {
		return text, nil
	}
	v, err := c.once(ctx, fmt.Sprint("schema ", id.Content, id.Global, id.UUID), func(ctx context.Context) (any, error) {
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
