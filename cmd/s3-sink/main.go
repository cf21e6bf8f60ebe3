// Command s3-sink copies the records of Kafka topics into the bronze layer:
// Avro container files in a bucket or a local directory, each record exactly
// once.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"tributary/internal/config"
	"tributary/internal/ops"
)

func main() {
	os.Exit(ops.Main("s3-sink", "copies the records of Kafka topics into Avro files of the bronze layer",
		ops.Command{Name: "run", Usage: "-c FILE  start the daemon", Options: &options{}, Run: run},
		ops.Command{Name: "check", Usage: "-c FILE  connect to everything, try the store, and print what would be done", Options: &options{}, Run: checkCommand},
	))
}

func load(verb string, args []string) (*options, error) {
	path, err := ops.ConfigFile(verb, args)
	if err != nil {
		return nil, err
	}
	o := &options{}
	return o, config.Load(path, o)
}

func run(ctx context.Context, args []string, log *slog.Logger) error {
	o, err := load("run", args)
	if err != nil {
		return err
	}
	metrics := ops.NewMetrics()
	s, err := newSink(ctx, o, newMetrics(metrics), log)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	served, stop := context.WithCancel(gctx)
	g.Go(func() error { return ops.Serve(served, o.Listen, metrics, s.ready) })
	g.Go(func() error {
		defer stop()
		return s.run(gctx)
	})
	return g.Wait()
}

func checkCommand(ctx context.Context, args []string, log *slog.Logger) error {
	o, err := load("check", args)
	if err != nil {
		return err
	}
	report, err := check(ctx, o, log)
	fmt.Print(report)
	return err
}
