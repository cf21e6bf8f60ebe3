package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/registry/glue"
)

// Settings are a Client's options as files give them. They are to be embedded
// in a daemon's options. Names are those of the serializers of Confluent,
// Apicurio and AWS; where these have several names for one thing, each may be
// used, but not with different values.
type Settings struct {
	RegistryURL      string        `opt:"schema.registry.url" required:"true" doc:"registry of the records' schemas: Apicurio's …/apis/registry/v2 or v3, a Confluent API, or glue://REGISTRY?region=REGION for AWS Glue"`
	RegistryUser     string        `opt:"schema.registry.user" doc:"user for the registry"`
	RegistryPassword config.Secret `opt:"schema.registry.password" doc:"the user's password"`
	RegistryToken    config.Secret `opt:"bearer.auth.token" doc:"bearer token for the registry"`
	RegistryUseID    string        `opt:"apicurio.registry.use-id" enum:"contentId,globalId" doc:"which of Apicurio's ids is before records: contentId in 4 bytes and globalId in 8 when empty; globalId is what Apicurio's 2.x converter writes with as-confluent"`
	RegistryTrust    string        `opt:"schema.registry.ssl.truststore.location" doc:"PEM file with the certificates to trust of the registry and its token endpoint; the system's own when empty"`
	RegistryKey      string        `opt:"schema.registry.ssl.keystore.location" doc:"PEM file with the certificate chain and unencrypted private key to show the registry"`

	Basic struct {
		Source string        `opt:"basic.auth.credentials.source" default:"URL" enum:"URL,USER_INFO" doc:"where user and password for the registry are: in its URL, or in basic.auth.user.info; schema.registry.user comes before both"`
		Info   config.Secret `opt:"basic.auth.user.info" doc:"user:password for the registry, as Confluent's serializers have it"`
	}
	Bearer struct {
		Source   string        `opt:"bearer.auth.credentials.source" default:"STATIC_TOKEN" enum:"STATIC_TOKEN,OAUTHBEARER" doc:"where the bearer token is from: bearer.auth.token, or OAuth client credentials"`
		Endpoint string        `opt:"bearer.auth.issuer.endpoint.url" doc:"token endpoint of OAuth 2 client credentials, as Confluent's serializers have it"`
		ID       string        `opt:"bearer.auth.client.id" doc:"the client's id at that endpoint"`
		Secret   config.Secret `opt:"bearer.auth.client.secret" doc:"the client's secret"`
		Scope    string        `opt:"bearer.auth.scope" doc:"scope to ask for"`
		Cluster  string        `opt:"bearer.auth.logical.cluster" doc:"sent as target-sr-cluster, which Confluent Cloud asks for"`
		Pool     string        `opt:"bearer.auth.identity.pool.id" doc:"sent as Confluent-Identity-Pool-Id, which Confluent Cloud asks for"`
	}
	Apicurio2 struct {
		Endpoint string        `opt:"apicurio.auth.service.token.endpoint" doc:"token endpoint of OAuth 2 client credentials, as Apicurio's 2.x serializers have it"`
		ID       string        `opt:"apicurio.auth.client.id" doc:"the client's id at that endpoint"`
		Secret   config.Secret `opt:"apicurio.auth.client.secret" doc:"the client's secret"`
		Scope    string        `opt:"apicurio.auth.client.scope" doc:"scope to ask for"`
		User     string        `opt:"apicurio.auth.username" doc:"user for the registry, as Apicurio's 2.x serializers have it"`
		Password config.Secret `opt:"apicurio.auth.password" doc:"the user's password"`
	}
	Apicurio3 struct {
		Endpoint string        `opt:"apicurio.registry.auth.service.token.endpoint" doc:"token endpoint of OAuth 2 client credentials, as Apicurio's 3.x serializers have it"`
		ID       string        `opt:"apicurio.registry.auth.client.id" doc:"the client's id at that endpoint"`
		Secret   config.Secret `opt:"apicurio.registry.auth.client.secret" doc:"the client's secret"`
		Scope    string        `opt:"apicurio.registry.auth.client.scope" doc:"scope to ask for"`
		User     string        `opt:"apicurio.registry.auth.username" doc:"user for the registry, as Apicurio's 3.x serializers have it"`
		Password config.Secret `opt:"apicurio.registry.auth.password" doc:"the user's password"`
	}
}

// WriterSettings are those of who registers schemas.
type WriterSettings struct {
	Auto         bool   `opt:"auto.register.schemas" default:"true" doc:"register schemas that the registry does not have; false finds those that were registered before"`
	AutoApicurio bool   `opt:"apicurio.registry.auto-register" default:"true" doc:"Apicurio's name for auto.register.schemas; false in either counts"`
	AutoGlue     bool   `opt:"value.converter.schemaAutoRegistrationEnabled" default:"true" doc:"AWS's name for auto.register.schemas; false in either counts"`
	Latest       bool   `opt:"use.latest.version" doc:"without registration: write with the latest version of the artifact, whose layout must be that of the records"`
	FindLatest   bool   `opt:"apicurio.registry.find-latest" doc:"Apicurio's name for use.latest.version; true in either counts"`
	Group        string `opt:"apicurio.registry.artifact.group-id" default:"default" doc:"group of the artifacts"`
	Naming       string `opt:"value.subject.name.strategy" default:"TopicNameStrategy" doc:"how artifacts are named: TopicNameStrategy, RecordNameStrategy, TopicRecordNameStrategy, or one of Apicurio's: SimpleTopicIdStrategy, RecordIdStrategy, QualifiedRecordIdStrategy, TopicRecordIdStrategy"`
	NamingOther  string `opt:"apicurio.registry.artifact-resolver-strategy" doc:"Apicurio's name for value.subject.name.strategy"`

	Region        string `opt:"value.converter.region" doc:"AWS region of the Glue registry; found as the AWS tools find it when empty"`
	Endpoint      string `opt:"value.converter.endpoint" doc:"URL of AWS Glue; Amazon's own when empty"`
	Registry      string `opt:"value.converter.registry.name" doc:"AWS Glue registry; the one in schema.registry.url when empty"`
	Compatibility string `opt:"value.converter.compatibility" default:"BACKWARD" enum:"NONE,DISABLED,BACKWARD,BACKWARD_ALL,FORWARD,FORWARD_ALL,FULL,FULL_ALL" doc:"compatibility of schemas that are made in AWS Glue"`
	Description   string `opt:"value.converter.description" doc:"description of schemas that are made in AWS Glue"`
	Compression   string `opt:"value.converter.compression" default:"NONE" enum:"NONE,ZLIB" doc:"compression of records of wire.format glue"`
}

// group is one family of names for OAuth and basic authentication.
type group struct {
	prefix, endpoint     string
	oauth                OAuth
	user, password, name string
}

func (s *Settings) groups() []group {
	user, password, _ := strings.Cut(s.Basic.Info.Reveal(), ":")
	return []group{
		{prefix: "bearer.auth.", endpoint: "bearer.auth.issuer.endpoint.url",
			oauth: OAuth{s.Bearer.Endpoint, s.Bearer.ID, s.Bearer.Secret.Reveal(), s.Bearer.Scope},
			user:  user, password: password, name: "basic.auth.user.info"},
		{prefix: "apicurio.auth.", endpoint: "apicurio.auth.service.token.endpoint",
			oauth: OAuth{s.Apicurio2.Endpoint, s.Apicurio2.ID, s.Apicurio2.Secret.Reveal(), s.Apicurio2.Scope},
			user:  s.Apicurio2.User, password: s.Apicurio2.Password.Reveal(), name: "apicurio.auth.username"},
		{prefix: "apicurio.registry.auth.", endpoint: "apicurio.registry.auth.service.token.endpoint",
			oauth: OAuth{s.Apicurio3.Endpoint, s.Apicurio3.ID, s.Apicurio3.Secret.Reveal(), s.Apicurio3.Scope},
			user:  s.Apicurio3.User, password: s.Apicurio3.Password.Reveal(), name: "apicurio.registry.auth.username"},
		{user: s.RegistryUser, password: s.RegistryPassword.Reveal(), name: "schema.registry.user"},
	}
}

// Check returns what the tags cannot express.
func (s *Settings) Check() []config.Problem {
	var out []config.Problem
	add := func(key, format string, args ...any) {
		out = append(out, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	var ways []string
	for _, g := range s.groups() {
		switch {
		case g.oauth == OAuth{}:
		case g.oauth.Endpoint == "":
			add(g.endpoint, "must be set for %sclient.id and the like to matter", g.prefix)
		case g.oauth.ClientID == "":
			add(g.prefix+"client.id", "must be set for %s to be asked for a token", g.endpoint)
		default:
			ways = append(ways, g.endpoint)
		}
		if g.user != "" {
			ways = append(ways, g.name)
		}
	}
	if s.RegistryToken != "" {
		ways = append(ways, "bearer.auth.token")
	}
	if len(ways) > 1 {
		add(ways[1], "is another way to log in than %s: keep one", ways[0])
	}
	if s.Bearer.Source == "OAUTHBEARER" && s.Bearer.Endpoint == "" {
		add("bearer.auth.issuer.endpoint.url", "must be set for bearer.auth.credentials.source OAUTHBEARER")
	}
	if s.Basic.Source == "USER_INFO" && s.Basic.Info == "" {
		add("basic.auth.user.info", "must be set for basic.auth.credentials.source USER_INFO")
	}
	return out
}

// Check returns what the tags cannot express. wireFormat is what records are
// to be written in.
func (w *WriterSettings) Check(registryURL, wireFormat string) []config.Problem {
	var out []config.Problem
	if _, err := w.naming(); err != nil {
		key := "value.subject.name.strategy"
		if w.NamingOther != "" {
			key = "apicurio.registry.artifact-resolver-strategy"
		}
		out = append(out, config.Problem{Key: key, Message: err.Error()})
	}
	isGlue := strings.HasPrefix(registryURL, "glue:")
	if isGlue != (wireFormat == string(Glue)) && registryURL != "" {
		out = append(out, config.Problem{Key: "wire.format", Message: "AWS Glue's registry goes with wire.format glue, and wire.format glue with no other"})
	}
	return out
}

func (w *WriterSettings) naming() (Naming, error) {
	if w.NamingOther != "" {
		return ParseNaming(w.NamingOther)
	}
	if w.Naming == "" {
		return TopicName, nil
	}
	return ParseNaming(w.Naming)
}

func (w *WriterSettings) mode() Mode {
	switch {
	case w.Auto && w.AutoApicurio && w.AutoGlue:
		return AutoRegister // which comes before find-latest, as with both makers' serializers
	case w.Latest || w.FindLatest:
		return FindLatest
	}
	return FindOnly
}

// Format returns the wire format, with the id and the compression that are
// asked for.
func (w *WriterSettings) Format(s *Settings, wireFormat string) (Format, error) {
	f, err := ParseFormat(wireFormat)
	f = f.With(UseID(s.RegistryUseID))
	if f == Glue && w.Compression == "ZLIB" {
		f = GlueZlib
	}
	return f, err
}

// Client makes a client that looks schemas up. It tries again for as long as
// patience what a retry may heal.
func (s *Settings) Client(patience time.Duration, log *slog.Logger) (*Client, error) {
	o, err := s.options(patience, log)
	if err != nil {
		return nil, err
	}
	return New(s.RegistryURL, o)
}

// Writer makes a client that registers schemas, too.
func (w *WriterSettings) Writer(s *Settings, patience time.Duration, log *slog.Logger) (*Client, error) {
	o, err := s.options(patience, log)
	if err != nil {
		return nil, err
	}
	if o.Naming, err = w.naming(); err != nil {
		return nil, fault.Human(err, "correct value.subject.name.strategy")
	}
	o.Mode, o.Group = w.mode(), w.Group
	o.Glue = glue.Options{Registry: w.Registry, Region: w.Region, Endpoint: w.Endpoint, Compatibility: w.Compatibility, Description: w.Description}
	return New(s.RegistryURL, o)
}

func (s *Settings) options(patience time.Duration, log *slog.Logger) (Options, error) {
	o := Options{Token: s.RegistryToken.Reveal(), UseID: UseID(s.RegistryUseID), Patience: patience, Log: log, Header: make(http.Header)}
	for _, g := range slices.Backward(s.groups()) {
		if g.oauth.Endpoint != "" && o.OAuth == nil {
			oauth := g.oauth
			o.OAuth = &oauth
		}
		if g.user != "" && o.User == "" {
			o.User, o.Password = g.user, g.password
		}
	}
	if s.Bearer.Cluster != "" {
		o.Header.Set("target-sr-cluster", s.Bearer.Cluster)
	}
	if s.Bearer.Pool != "" {
		o.Header.Set("Confluent-Identity-Pool-Id", s.Bearer.Pool)
	}
	var err error
	o.TLS, err = s.tls()
	return o, err
}

// tls is nil for Go's default.
func (s *Settings) tls() (*tls.Config, error) {
	if s.RegistryTrust == "" && s.RegistryKey == "" {
		return nil, nil //nolint:nilnil // the default
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.RegistryTrust != "" {
		text, err := os.ReadFile(s.RegistryTrust)
		if err == nil {
			c.RootCAs = x509.NewCertPool()
			if !c.RootCAs.AppendCertsFromPEM(text) {
				err = errors.New("it holds no PEM certificate")
			}
		}
		if err != nil {
			return nil, fault.Human(fmt.Errorf("read schema.registry.ssl.truststore.location %s: %w", s.RegistryTrust, err), "give a PEM file; convert a JKS or PKCS12 store with keytool and openssl")
		}
	}
	if s.RegistryKey != "" {
		pair, err := tls.LoadX509KeyPair(s.RegistryKey, s.RegistryKey)
		if err != nil {
			return nil, fault.Human(fmt.Errorf("read schema.registry.ssl.keystore.location: %w", err), "give a PEM file with the certificate chain and the private key")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
