package topic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"tributary/internal/config"
	"tributary/internal/fault"
)

// Options says how to reach the brokers and how to produce. It is meant to be
// embedded in a daemon's options; the names are the Java client's own.
type Options struct {
	Brokers  []string `opt:"bootstrap.servers" required:"true" doc:"brokers to ask first, host:port, separated by commas"`
	ClientID string   `opt:"client.id" default:"tributary" doc:"name by which the broker knows this client in its logs and quotas"`

	Protocol      string        `opt:"security.protocol" default:"PLAINTEXT" enum:"PLAINTEXT,SSL,SASL_PLAINTEXT,SASL_SSL" doc:"how to talk to the brokers"`
	SASLMechanism string        `opt:"sasl.mechanism" default:"PLAIN" enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" doc:"how to log in when security.protocol is SASL_*"`
	SASLUser      string        `opt:"sasl.username" doc:"user to log in as"`
	SASLPassword  config.Secret `opt:"sasl.password" doc:"the user's password"`
	SASLJaas      config.Secret `opt:"sasl.jaas.config" doc:"the Java client's form of user and password, instead of sasl.username and sasl.password"`

	TLSTrust      string `opt:"ssl.truststore.location" doc:"PEM file with the certificates to trust; the system's own when empty"`
	TLSKey        string `opt:"ssl.keystore.location" doc:"PEM file with this client's certificate chain and unencrypted private key"`
	TLSCheckNames string `opt:"ssl.endpoint.identification.algorithm" default:"https" enum:"https,none" doc:"none accepts a certificate made for another host name"`

	Compression        string        `opt:"compression.type" default:"lz4" enum:"none,gzip,snappy,lz4,zstd" doc:"compression of produced batches"`
	MaxRequest         int           `opt:"max.request.size" default:"1000012" doc:"largest batch and so largest record to produce, bytes before compression; the broker's message.max.bytes must allow it"`
	TransactionTimeout time.Duration `opt:"transaction.timeout.ms" unit:"ms" default:"60000" doc:"after how long the broker aborts a transaction that was not ended"`
	DeliveryTimeout    time.Duration `opt:"delivery.timeout.ms" unit:"ms" default:"120000" doc:"how long to keep trying to deliver a record"`
}

// connectTimeout bounds the wait for the first answer of a broker.
const connectTimeout = 5 * time.Second

// Check returns what the tags cannot express: options that contradict each
// other.
func (o *Options) Check() []config.Problem {
	var out []config.Problem
	add := func(key, format string, args ...any) {
		out = append(out, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	for _, b := range o.Brokers {
		if !strings.Contains(b, ":") {
			add("bootstrap.servers", "%q is not host:port", b)
		}
	}
	if strings.HasPrefix(o.Protocol, "SASL_") {
		if _, _, err := o.login(); err != nil {
			add("security.protocol", "%s needs a login: %v", o.Protocol, err)
		}
	}
	if o.MaxRequest < 1024 {
		add("max.request.size", "%d is below 1024", o.MaxRequest)
	}
	return out
}

var jaasField = regexp.MustCompile(`\b(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"`)

// login returns user and password from whichever form was given.
func (o *Options) login() (user, password string, err error) {
	if o.SASLJaas == "" {
		if o.SASLUser == "" {
			return "", "", fmt.Errorf("give sasl.username and sasl.password, or sasl.jaas.config")
		}
		return o.SASLUser, o.SASLPassword.Reveal(), nil
	}
	for _, m := range jaasField.FindAllStringSubmatch(o.SASLJaas.Reveal(), -1) {
		text := strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(m[2])
		if m[1] == "username" {
			user = text
		} else {
			password = text
		}
	}
	if user == "" {
		return "", "", fmt.Errorf(`sasl.jaas.config has no username="…"`)
	}
	return user, password, nil
}

func (o *Options) mechanism() (sasl.Mechanism, error) {
	user, password, err := o.login()
	if err != nil {
		return nil, err
	}
	switch o.SASLMechanism {
	case "", "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("sasl.mechanism %q is not known", o.SASLMechanism)
}

func (o *Options) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLSCheckNames == "none" {
		// The chain is still verified, the name alone is not.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error {
			opts := x509.VerifyOptions{Roots: c.RootCAs, Intermediates: x509.NewCertPool()}
			for _, cert := range s.PeerCertificates[1:] {
				opts.Intermediates.AddCert(cert)
			}
			_, err := s.PeerCertificates[0].Verify(opts)
			return err
		}
	}
	if o.TLSTrust != "" {
		text, err := os.ReadFile(o.TLSTrust)
		if err != nil {
			return nil, fmt.Errorf("read ssl.truststore.location: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ssl.truststore.location %s holds no PEM certificate; convert a JKS or PKCS12 store with keytool and openssl", o.TLSTrust)
		}
	}
	if o.TLSKey != "" {
		text, err := os.ReadFile(o.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read ssl.keystore.location: %w", err)
		}
		if block, _ := pem.Decode(text); block == nil {
			return nil, fmt.Errorf("ssl.keystore.location %s is not a PEM file", o.TLSKey)
		}
		pair, err := tls.X509KeyPair(text, text)
		if err != nil {
			return nil, fmt.Errorf("read ssl.keystore.location %s: %w", o.TLSKey, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// compression is how produced batches are compressed.
func (o *Options) compression() kgo.Opt {
	switch o.Compression {
	case "none":
		return kgo.ProducerBatchCompression(kgo.NoCompression())
	case "gzip":
		return kgo.ProducerBatchCompression(kgo.GzipCompression(), kgo.NoCompression())
	case "snappy":
		return kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression())
	case "zstd":
		return kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression())
	}
	return kgo.WithCompressor(newLZ4())
}

// connect makes a client with the connection's options and extra, and waits
// until a broker answers.
func (o *Options) connect(ctx context.Context, log *slog.Logger, extra ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.WithLogger(logger{log}),
		kgo.WithHooks(&linkHook{log: log}),
		kgo.DialTimeout(connectTimeout),
		kgo.DisableClientMetrics(),
		kgo.MetadataMaxAge(30 * time.Second),
	}
	if o.ClientID != "" {
		opts = append(opts, kgo.ClientID(o.ClientID))
	}
	if strings.HasSuffix(o.Protocol, "SSL") {
		c, err := o.tls()
		if err != nil {
			return nil, fault.Human(err, "correct the ssl.* options")
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	if strings.HasPrefix(o.Protocol, "SASL_") {
		m, err := o.mechanism()
		if err != nil {
			return nil, fault.Human(err, "correct the sasl.* options")
		}
		opts = append(opts, kgo.SASL(m))
	}
	cl, err := kgo.NewClient(append(opts, extra...)...)
	if err != nil {
		return nil, fault.Humanf("correct the Kafka options", "set up the Kafka client: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := cl.Ping(ping); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err = fmt.Errorf("reach Kafka at %s: %w", strings.Join(o.Brokers, ", "), err)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w (the broker hung up: check security.protocol and the login)", err)
		}
		return nil, fault.Hinted(classify(err), "see that the broker runs there and that bootstrap.servers is right")
	}
	return cl, nil
}
