// Package broker is an embedded Kafka broker for tests, the demo and trials on
// one machine. Its data lies on disk and survives a kill of the process.
package broker

import (
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Options configures a Broker.
type Options struct {
	// Dir holds the data; it is made if absent. Empty: in memory only.
	Dir string
	// Addr is where to listen, host:port. Empty or port 0: a free port of
	// 127.0.0.1.
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
	cluster *kfake.Cluster
	addr    string
}

// Start runs a broker in this process until Close.
func Start(o Options) (*Broker, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	// kfake asks to listen on the port that it is given; the host is ours.
	lis, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for Kafka clients: %w", err)
	}
	used := false
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("tributary"),
		kfake.DefaultNumPartitions(o.Partitions),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			if used {
				return nil, fmt.Errorf("second listener %s", address)
			}
			used = true
			return lis, nil
		}),
	}
	if o.Dir != "" {
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	if o.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		lis.Close()
		return nil, fmt.Errorf("start broker in %s: %w", o.Dir, err)
	}
	return &Broker{cluster: c, addr: strings.Join(c.ListenAddrs(), ",")}, nil
}

// Addr is the value for bootstrap.servers.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker. What was acknowledged is on disk.
func (b *Broker) Close() { b.cluster.Close() }
