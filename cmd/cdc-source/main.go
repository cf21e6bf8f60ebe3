// Command cdc-source captures the changes of a database into Kafka: a
// snapshot, then the database's log, each change exactly once. It also serves
// the embedded schema registry.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	_ "time/tzdata" // TimezoneConverter has to know the zones on every machine

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tributary/capture"
	"tributary/capture/emit"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/ops"
	"tributary/internal/topic"
	"tributary/registry/server"
)

func main() {
	os.Exit(ops.Main("cdc-source", "captures the changes of a database into Kafka",
		ops.Command{Name: "run", Usage: "-c FILE  start the daemon", Options: commonGroup().Options, Groups: optionGroups(), Run: run},
		ops.Command{Name: "check", Usage: "-c FILE  connect to everything and print what would be done", Options: commonGroup().Options, Groups: optionGroups(), Run: check},
		ops.Command{Name: "signal", Usage: "execute-snapshot|stop-snapshot|pause-snapshot|resume-snapshot -c FILE [-t TABLES] [-blocking] [-filter SQL] [-by COLUMN]   give an order to the running connector", Run: signalCommand},
		ops.Command{Name: "offsets", Usage: "show|set|reset -c FILE [JSON]   print, replace or forget the position from which the connector goes on", Run: offsetsCommand},
		ops.Command{Name: "conformance", Usage: conformanceUsage, Help: conformanceHelp, Run: conformanceCommand},
		ops.Command{Name: "import", Usage: "JSON     turn a Kafka Connect connector into a file for run", Run: importCommand},
		ops.Command{Name: "registry", Usage: registryUsage, Options: &server.Config{}, Run: registryCommand},
	))
}

// gcPercent is how much garbage there may be beside what is in use, in percent of
// that, unless GOGC says otherwise. Little is made while changes are followed, so
// that a small process costs next to nothing.
const gcPercent = 50

// memoryLimit is what the runtime holds memory to, bytes, unless GOMEMLIMIT says
// otherwise: with the pages of the program's file it is 128 MB. What is in use
// stays below it, whatever the rows are; it is no hard limit for a row that does
// not.
const memoryLimit = 96 << 20

func run(ctx context.Context, args []string, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	c, err := load(ctx, "run", args, log)
	if err != nil {
		return err
	}
	source, err := c.source(log)
	if err != nil {
		return err
	}
	emitter, err := emit.New(c.emit, c.common.Name, envelope.NewFormat(c.common.Format(c.block(ops.Version()))), log)
	if err != nil {
		return err
	}
	defer emitter.Close()
	snapshots := c.incremental(source, log)
	var ready atomic.Bool
	release := sync.OnceFunc(func() {
		if err := ops.ReleaseProgram(); err != nil {
			log.Debug("memory of the start is kept", "error", err)
		}
	})
	metrics := ops.NewMetrics()
	g, gctx := errgroup.WithContext(ctx)
	served, stop := context.WithCancel(gctx)
	g.Go(func() error {
		return ops.Serve(served, c.listen, metrics, func() error {
			if !ready.Load() {
				return errors.New("not capturing")
			}
			return nil
		})
	})
	g.Go(func() error { return c.takeSignals(served, snapshots, log) })
	g.Go(func() error {
		defer stop()
		o := capture.RunOptions{
			RetryTimeout: c.common.RetryTimeout, RetryMaxDelay: c.common.RetryMaxDelay,
			Heartbeat: c.common.Heartbeats, Log: log, Metrics: c.labelled(metrics), Ready: func(r bool) {
				ready.Store(r)
				release()
			},
			MustResume: c.common.MustResume(), Notifier: c.common.Notifier(log), Explain: hinted,
		}
		if ops.IsTerminal(os.Stderr) {
			o.Terminal = os.Stderr
		}
		if q := c.common.HeartbeatAction; q != "" {
			o.HeartbeatAction = func(ctx context.Context) error { return source.Exec(ctx, q) }
		}
		return capture.Run(gctx, snapshots, emitter, o)
	})
	return g.Wait()
}

// labelled gives metrics the labels of custom.metric.tags.
func (c *connector) labelled(r prometheus.Registerer) prometheus.Registerer {
	labels, err := c.common.Labels()
	if err != nil || len(labels) == 0 { // the check of the file has told of an error
		return r
	}
	return prometheus.WrapRegistererWith(labels, r)
}

// hinted says what to look at where the network failed: Kafka and the registry
// say so themselves, so what is left is the database.
func hinted(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return fault.Hinted(err, "see that the database runs there and that database.hostname and database.port are right")
	}
	return err
}

func check(ctx context.Context, args []string, log *slog.Logger) error {
	c, err := load(ctx, "check", args, log)
	if err != nil {
		return err
	}
	source, err := c.source(log)
	if err != nil {
		return err
	}
	emitter, err := emit.New(c.emit, c.common.Name, envelope.NewFormat(c.common.Format(c.block(ops.Version()))), log)
	if err != nil {
		return err
	}
	client, err := c.emit.Registry(log)
	if err == nil {
		err = client.Check(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Printf("registry     %s answers\n", c.emit.RegistryURL)
	admin, err := topic.NewAdmin(ctx, c.emit.Options, log)
	if err != nil {
		return err
	}
	defer admin.Close()
	pos, err := emitter.Position(ctx, admin)
	if err != nil {
		return err
	}
	fmt.Printf("kafka        answers; positions in %s\n", c.emit.OffsetTopic)
	inner, working := snapshot.Split(pos)
	if working {
		fmt.Println("snapshots    snapshots that a signal asked for are in work")
	}
	return hinted(source.Check(ctx, inner, os.Stdout))
}
