package topic_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/topic"
)

// certificate makes a self-signed certificate for 127.0.0.1 and for other
// names, and a PEM file to trust it by.
func certificate(t *testing.T, names ...string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, DNSNames: names,
	}
	if len(names) == 0 {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func connects(t *testing.T, o topic.Options) error {
	t.Helper()
	a, err := topic.NewAdmin(t.Context(), o, quiet)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.EnsureTopics(t.Context(), topic.Spec{Name: "a", Partitions: 1})
}

func TestLogins(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c := cluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "me", `p"w`))
			o := options(c.ListenAddrs()[0])
			o.Protocol, o.SASLMechanism = "SASL_PLAINTEXT", mechanism
			o.SASLJaas = config.Secret(`x.LoginModule required username="me" password="p\"w";`)
			if err := connects(t, o); err != nil {
				t.Error(err)
			}
			o.SASLJaas, o.SASLUser, o.SASLPassword = "", "me", "wrong"
			// kfake hangs up instead of answering as Kafka does.
			if err := connects(t, o); err == nil || !strings.Contains(err.Error(), "check security.protocol and the login") {
				t.Errorf("refused without an answer: %v", err)
			}
			c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return resp, nil, true
			})
			if err := connects(t, o); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "password") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("wrong password: %v (hint %s)", err, fault.Hint(err))
			}
		})
	}
}

func TestTLS(t *testing.T) {
	own, ca := certificate(t)
	_, otherCA := certificate(t)
	foreign, foreignCA := certificate(t, "elsewhere.example")
	mine := options(cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{own}})).ListenAddrs()[0])
	misnamed := options(cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{foreign}})).ListenAddrs()[0])
	for name, c := range map[string]struct {
		o            topic.Options
		trust, names string
		ok           bool
	}{
		"trusted":               {mine, ca, "https", true},
		"not trusted":           {mine, otherCA, "https", false},
		"other name":            {misnamed, foreignCA, "https", false},
		"other name, allowed":   {misnamed, foreignCA, "none", true},
		"not trusted, any name": {misnamed, ca, "none", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Protocol, c.o.TLSTrust, c.o.TLSCheckNames = "SSL", c.trust, c.names
			err := connects(t, c.o)
			if c.ok && err != nil || !c.ok && (!fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "certificate")) {
				t.Errorf("error %v (hint %s)", err, fault.Hint(err))
			}
		})
	}
}

// Compaction leaves gaps, and drops markers; the newest values stay.
func TestReadCompactedAfterCompaction(t *testing.T) {
	c := cluster(t)
	o := options(c.ListenAddrs()[0])
	a := admin(t, o, topic.Spec{Name: "pos", Partitions: 1, Config: topic.Compacted()})
	w := writer(t, o, "one")
	// Not of long ago: the broker's retention would take them.
	fresh := func(key, value string) topic.Record {
		r := record("pos", key, value)
		r.Timestamp = time.Now()
		return r
	}
	for _, v := range []string{"1", "2", "3"} {
		write(t, w, fresh("me", v), fresh("gone", v))
	}
	write(t, w, fresh("gone", ""), fresh("old", "x"))
	open, abort := openTransaction(t, o.Brokers[0], "other", "pos")
	if err := open(); err != nil {
		t.Fatal(err)
	}
	abort()
	for round := range 2 {
		got, err := a.ReadCompacted(t.Context(), "pos")
		if err != nil || len(got) != 2 || string(got["me"].Value) != "3" || string(got["old"].Value) != "x" {
			t.Fatalf("round %d: ReadCompacted = %v, %v", round, got, err)
		}
		c.Compact()
	}
}
