// Command demo runs the whole of Tributary on this machine, with a real
// PostgreSQL, a real MySQL and a model of SQL Server of its own, and tells what
// happens to a row on its way from the database into the lake.
//
// Everything that it writes is in build/demo, but for the databases' own files,
// which are in temporary folders and are removed at its end.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"tributary/internal/broker"
	"tributary/internal/fault"
	"tributary/internal/ops"
)

func main() {
	os.Exit(ops.Main("demo", "the whole pipeline on databases of its own, on this machine",
		ops.Command{Name: "run", Usage: "[--keep]   run the demo; --keep leaves everything running", Run: runDemo},
		ops.Command{Name: "stop", Usage: "           stop what run --keep left running", Run: stopDemo},
		ops.Command{Name: "broker", Usage: "--dir DIR --addr HOST:PORT   run a Kafka broker whose data lies in DIR", Run: runBroker},
		ops.Command{Name: "sqlserver", Usage: "--addr HOST:PORT --password TEXT   serve a model of SQL Server, whose data lies in memory", Run: runSQLServer},
	))
}

// parse parses the arguments of a verb into flags that set has defined.
func parse(set *flag.FlagSet, args []string) error {
	set.SetOutput(io.Discard)
	if err := set.Parse(args); err != nil {
		return fault.Human(fmt.Errorf("%s: %w", set.Name(), err), "see demo --help")
	}
	if set.NArg() > 0 {
		return fault.Humanf("see demo --help", "%s: unknown argument %q", set.Name(), set.Arg(0))
	}
	return nil
}

func runBroker(ctx context.Context, args []string, log *slog.Logger) error {
	set := flag.NewFlagSet("broker", flag.ContinueOnError)
	dir := set.String("dir", "", "")
	addr := set.String("addr", "127.0.0.1:0", "")
	if err := parse(set, args); err != nil {
		return err
	}
	b, err := broker.Start(broker.Options{Dir: *dir, Addr: *addr, Log: log})
	if err != nil {
		return err
	}
	defer b.Close()
	log.Info("broker is up", "addr", b.Addr(), "dir", *dir)
	<-ctx.Done()
	return nil
}

// root returns the checkout that the program lies in: its own folder is
// build/bin.
func root() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(filepath.Dir(filepath.Dir(self)))
	if _, err := os.Stat(filepath.Join(dir, "configs")); err != nil {
		return "", fault.Humanf("build it with make demo", "%s is not in the build/bin of a checkout", self)
	}
	return dir, nil
}
