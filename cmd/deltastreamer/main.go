// Command deltastreamer turns bronze into Hudi tables: a table a topic, merged
// by key in the order of the source's own log, one commit for whole bronze
// objects and the checkpoint that they lead to.
//
// It needs no state of its own. Where it stands is in each table's newest
// commit, and a table is made at first sight from the schema and the key that
// bronze objects carry.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sync/errgroup"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/ops"
)

func main() {
	os.Exit(ops.Main("deltastreamer", "keeps Hudi tables up to date with what bronze holds", append([]ops.Command{
		{Name: "run", Usage: "-c FILE [--once] [--op UPSERT|INSERT|BULK_INSERT]   start; --once ends when every table has what bronze holds; --op stands for hoodie.datasource.write.operation", Options: &Options{}, Run: run},
		{Name: "check", Usage: "-c FILE   everything short of starting: reads bronze, proves the rights on the lake, prints the plan", Options: &Options{}, Run: check},
	}, serviceCommands()...)...))
}

// memoryLimit is what the garbage collector aims to stay below, in bytes,
// unless GOMEMLIMIT says otherwise. It is no hard limit.
const memoryLimit = 100 << 20

func run(ctx context.Context, args []string, log *slog.Logger) error {
	o, err := load("deltastreamer run", args)
	if err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	metrics := ops.NewMetrics()
	s, err := o.service(ctx, log, metrics, true)
	if err != nil {
		return err
	}
	log.Info("deltastreamer starts", "mode", o.Mode, "topics_dir", o.TopicsDir, "target", o.Lake, "database", o.Database)
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	g.Go(func() error { return ops.Serve(serving, o.Listen, metrics, s.Ready) })
	g.Go(func() error {
		defer stop()
		if o.Mode == modeOnce {
			return s.Once(ctx)
		}
		return s.Run(ctx)
	})
	return g.Wait()
}

func load(verb string, args []string) (*Options, error) {
	fs := flag.NewFlagSet(verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	path := fs.String("c", "", "configuration `FILE`")
	once := fs.Bool("once", false, "end when every table has what bronze holds")
	op := fs.String("op", "", "UPSERT, INSERT or BULK_INSERT")
	if err := fs.Parse(args); err != nil || *path == "" || fs.NArg() > 0 {
		if err == nil {
			err = fmt.Errorf("a configuration file is needed")
		}
		return nil, fault.Human(fmt.Errorf("%s: %w", verb, err), "call it as: "+verb+" -c FILE")
	}
	o := &Options{}
	if err := config.Load(*path, o); err != nil {
		return nil, err
	}
	if *once {
		o.Mode = modeOnce
	}
	if *op != "" {
		return o, o.setOperation(verb, *op)
	}
	return o, nil
}

// setOperation takes the operation in the form of Hudi Streamer's --op.
func (o *Options) setOperation(verb, op string) error {
	switch o.Operation = strings.ToLower(op); o.Operation {
	case opUpsert, "insert", "bulk_insert":
	default:
		return fault.Humanf("give UPSERT, INSERT or BULK_INSERT", "%s: operation %s is not supported", verb, op)
	}
	for _, p := range o.Validate() {
		return fault.Humanf("correct the configuration", "%s: %s: %s", verb, p.Key, p.Message)
	}
	return nil
}

func check(ctx context.Context, args []string, log *slog.Logger) error {
	o, err := load("deltastreamer check", args)
	if err != nil {
		return err
	}
	s, err := o.service(ctx, log, ops.NewMetrics(), false)
	if err != nil {
		return err
	}
	if err := o.checkStores(ctx, &s.Settings); err != nil {
		return err
	}
	plan, err := s.Plan(ctx)
	for _, p := range plan {
		fmt.Println(p)
	}
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		fmt.Println("bronze has no objects of the topics asked for yet")
	}
	return nil
}
