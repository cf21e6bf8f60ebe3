package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"

	"tributary/internal/fault"
)

// Options configures a Broker.
type Options struct {
	// Dir holds the data; it is made if absent. Empty: in memory only.
	Dir string
	// Addr is where to listen, host:port. Empty or port 0: a free port of
	// 127.0.0.1. Clients are told this host, so it must be one that they reach.
	Addr string
	// Partitions is how many a topic gets that is created without saying.
	// 0 is 1.
	Partitions int
	// Sync flushes every batch to the disk before it is acknowledged. Without
	// it data survives the end of the process but not of the machine.
	Sync bool
	// Log gets the broker's own warnings; nil discards them.
	Log *slog.Logger
}

// Broker is a running broker.
type Broker struct {
	cluster  *kfake.Cluster
	addr     string
	dir      string
	log      *slog.Logger
	lock     *os.File
	decision *decision
}

// cleanMark is the file that says that the data were left by Close.
const cleanMark = "tributary.clean"

// Start runs a broker in this process until Close. A folder that another
// broker uses is an error for a human.
func Start(o Options) (_ *Broker, err error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Broker{dir: o.Dir, log: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.release())
		}
	}()
	lis, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fault.Human(fmt.Errorf("listen for Kafka clients: %w", err), "free the address, or choose another")
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("tributary"),
		kfake.DefaultNumPartitions(o.Partitions),
		kfake.WithLogger(logger{o.Log}),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return lis, nil }),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms": "315360000000", // ten years: never, see doc.go
			"log.segment.bytes":      "67108864",
		}),
	}
	if o.Dir != "" {
		if err := b.prepare(); err != nil {
			return nil, errors.Join(err, lis.Close())
		}
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	if o.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("start broker in %s: %w", o.Dir, err), lis.Close())
	}
	boundFetches(b.cluster)
	if b.decision != nil {
		b.decision.watch(b.cluster)
	}
	b.addr = strings.Join(b.cluster.ListenAddrs(), ",")
	return b, nil
}

// prepare takes the folder and, unless the last broker closed it, repairs what
// a kill left.
func (b *Broker) prepare() (err error) {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("make the broker's folder: %w", err)
	}
	if b.lock, err = os.OpenFile(filepath.Join(b.dir, "tributary.lock"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return fmt.Errorf("lock the broker's folder: %w", err)
	}
	if err := syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fault.Humanf("stop the other broker, or choose another folder", "the folder %s is in use by another broker", b.dir)
	}
	mark := filepath.Join(b.dir, cleanMark)
	if _, err := os.Stat(mark); errors.Is(err, os.ErrNotExist) {
		if err := repair(b.dir); err != nil {
			return fmt.Errorf("repair the broker's data after a kill: %w", err)
		}
	}
	if err := os.Remove(mark); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b.decision, err = openDecision(b.dir)
	return err
}

// Addr is the value for bootstrap.servers.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker. What was acknowledged is on disk; transactions that
// are open stay open for the next Start.
func (b *Broker) Close() {
	b.cluster.Close()
	if b.dir == "" {
		return
	}
	err := os.WriteFile(filepath.Join(b.dir, cleanMark), nil, 0o644)
	if err = errors.Join(err, b.release()); err != nil {
		b.log.Warn("broker did not stop cleanly; its next start repairs the data", "error", err)
	}
}

func (b *Broker) release() (err error) {
	if b.decision != nil {
		err = b.decision.file.Close()
	}
	if b.lock != nil {
		err = errors.Join(err, b.lock.Close())
	}
	return err
}

// logger passes the broker's warnings on.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("broker: " + fmt.Sprintf(format, args...))
	}
}
