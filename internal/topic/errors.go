package topic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tributary/internal/fault"
)

var (
	// ErrAborted marks an error of WriteTx after which nothing of the batch is
	// or will become visible and the Writer may be used again.
	ErrAborted = errors.New("transaction aborted")

	// ErrNotOwner marks an error of Commit: the partitions were given to
	// another member of the group. What is held of them is to be dropped.
	ErrNotOwner = errors.New("partitions belong to another member of the group")

	// ErrNoTopic marks an error about a topic that does not exist.
	ErrNoTopic = errors.New("topic does not exist")
)

// humanFaults are the broker's answers that no retry changes.
var humanFaults = []struct {
	err  error
	hint string
}{
	{kerr.SaslAuthenticationFailed, "check sasl.mechanism and the user and password"},
	{kerr.UnsupportedSaslMechanism, "set sasl.mechanism to one that the broker offers"},
	{kerr.IllegalSaslState, "check security.protocol: the broker does not expect a login here"},
	{kerr.TopicAuthorizationFailed, "grant this user the right to describe, create, read and write the topics"},
	{kerr.GroupAuthorizationFailed, "grant this user the right to read with this group.id"},
	{kerr.ClusterAuthorizationFailed, "grant this user IdempotentWrite and, to create topics, Create on the cluster"},
	{kerr.TransactionalIDAuthorizationFailed, "grant this user the right to write with this transactional id"},
	{kerr.MessageTooLarge, "raise max.request.size here and max.message.bytes of the topic (message.max.bytes of the broker)"},
	{kerr.RecordListTooLarge, "raise max.message.bytes of the topic above max.request.size"},
	{kerr.InvalidTransactionTimeout, "set transaction.timeout.ms at most to the broker's transaction.max.timeout.ms"},
	{kerr.InvalidTopicException, "topic names have at most 249 letters, digits, dots, dashes and underscores; check topic.prefix and the tables' names"},
	{kerr.InvalidReplicationFactor, "set a replication factor that the number of brokers allows"},
	{kerr.InvalidPartitions, "set a number of partitions of 1 or more"},
	{kerr.InvalidConfig, "correct the topic's settings"},
	{kerr.PolicyViolation, "the broker's policy forbids this; ask who runs it"},
	{kerr.UnsupportedVersion, "the broker is too old: Kafka 2.5 or newer is needed"},
	{kerr.FencedInstanceID, "another instance runs with the same group.instance.id; stop one of the two or give each its own"},
	{kerr.InconsistentGroupProtocol, "another program uses this group.id in another way; give this one its own group.id"},
}

// classify marks err for a human if one is needed.
func classify(err error) error {
	if err == nil || fault.NeedsHuman(err) {
		return err
	}
	for _, f := range humanFaults {
		if errors.Is(err, f.err) {
			return fault.Human(err, f.hint)
		}
	}
	var (
		unknownCA x509.UnknownAuthorityError
		badName   x509.HostnameError
		badCert   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		noHost    *net.DNSError
	)
	switch {
	case errors.As(err, &unknownCA), errors.As(err, &badName), errors.As(err, &badCert), errors.As(err, &verify):
		return fault.Human(err, "check the broker's certificate against ssl.truststore.location")
	case errors.As(err, &noHost) && noHost.IsNotFound:
		return fault.Human(err, "no such host: check bootstrap.servers")
	}
	return err
}

// fenced reports whether err says that another producer took over the name.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) ||
		errors.Is(err, kerr.TransactionCoordinatorFenced)
}

// logger passes the client library's own messages on, two levels down: what it
// calls a warning is part of any retry.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) { //nolint:forbidigo // the library has none for its log
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelError
}

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	if level == kgo.LogLevelError {
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka client: "+msg, keyvals...) //nolint:forbidigo // as above
}

// linkHook logs the first failed connection and the recovery, not each try.
type linkHook struct {
	log  *slog.Logger
	down atomic.Bool
}

// OnBrokerConnect is called by the client library after each dial.
func (h *linkHook) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	addr := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
	switch {
	case err != nil && !errors.Is(err, context.Canceled) && h.down.CompareAndSwap(false, true):
		h.log.Warn("kafka broker unreachable, trying again", "broker", addr, "error", err)
	case err == nil && h.down.CompareAndSwap(true, false):
		h.log.Info("kafka broker reachable again", "broker", addr)
	}
}
