package main

import (
	"context"
	"flag"
	"log/slog"
	"runtime/debug"
	"tributary/internal/mssqltest"
)

// modelMemory is what the garbage collector aims to stay below, in bytes.
const modelMemory = 128 << 20

// runSQLServer serves a model of SQL Server until it is told to end. Its capture
// job captures each commit at once, which a real one does every five seconds.
func runSQLServer(ctx context.Context, args []string, log *slog.Logger) error {
	set := flag.NewFlagSet("sqlserver", flag.ContinueOnError)
	addr := set.String("addr", "127.0.0.1:0", "")
	password := set.String("password", "", "")
	if err := parse(set, args); err != nil {
		return err
	}
	debug.SetMemoryLimit(modelMemory)
	s, err := mssqltest.Start(ctx, mssqltest.Options{Addr: *addr, Password: *password})
	if err != nil {
		return err
	}
	log.Info("a model of SQL Server is up: it is not SQL Server", "addr", s.Addr())
	<-ctx.Done()
	return s.Close()
}
