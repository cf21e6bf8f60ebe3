package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tributary/internal/testdb"
)

// floors are what the database's own tools take to send the same rows.
type floors struct{ *bench }

// prepare notes where the log is before the changes.
func (f floors) prepare(ctx context.Context) error {
	s := f.d.server
	if s.Kind == testdb.KindPostgreSQL {
		return s.Exec(ctx, "CREATE PUBLICATION floor FOR TABLE chg", "SELECT pg_create_logical_replication_slot('floor', 'pgoutput')")
	}
	return s.Exec(ctx, "FLUSH BINARY LOGS") // they begin a file
}

func (f floors) measure(ctx context.Context) error {
	if err := f.snapshotFloor(ctx); err != nil {
		return fmt.Errorf("floor of the snapshot: %w", err)
	}
	if err := f.logFloor(ctx); err != nil {
		return fmt.Errorf("floor of the log: %w", err)
	}
	return nil
}

// snapshotFloor is COPY or SELECT of the whole table to nowhere: the better of
// two runs.
func (f floors) snapshotFloor(ctx context.Context) error {
	s := f.d.server
	best := time.Hour
	for range 2 {
		began := time.Now()
		if s.Kind == testdb.KindPostgreSQL {
			cmd := exec.CommandContext(ctx, "psql", "-X", "-q", "-h", s.Host, "-p", fmt.Sprint(s.Port), "-U", s.User, "-d", f.d.name, "-c", "COPY sale TO STDOUT")
			cmd.Env = append(os.Environ(), "PGPASSWORD="+s.Password)
			cmd.Stdout = io.Discard
			if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
				defer null.Close()
				cmd.Stdout = null
			}
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("psql: %w", err)
			}
		} else if err := s.Scan(ctx, f.d.name, "SELECT * FROM sale", func([][]byte) error { return nil }); err != nil {
			return err
		}
		best = min(best, time.Since(began))
	}
	f.figures.floor(snapshotRate, float64(f.o.rows)/best.Seconds())
	return nil
}

// logFloor is pg_recvlogical, or mysqlbinlog.
func (f floors) logFloor(ctx context.Context) error {
	read := f.mysqlbinlog
	if f.d.server.Kind == testdb.KindPostgreSQL {
		read = f.recvlogical
	}
	began := time.Now()
	if err := read(ctx); err != nil {
		return err
	}
	f.figures.floor(logRate, float64(f.o.changes)/time.Since(began).Seconds())
	return nil
}

func (f floors) recvlogical(ctx context.Context) error {
	s := f.d.server
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_recvlogical")
	if err != nil || len(programs) == 0 {
		return errors.New("pg_recvlogical is not installed: apt-get install postgresql")
	}
	end, err := s.Query(ctx, "SELECT pg_current_wal_lsn()")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, programs[len(programs)-1], "-h", s.Host, "-p", fmt.Sprint(s.Port), "-U", s.User, "-d", f.d.name,
		"--slot", "floor", "--start", "--endpos", end[0][0], "--status-interval", "1", "-o", "proto_version=1", "-o", "publication_names=floor", "-f", os.DevNull)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+s.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_recvlogical: %w: %s", err, out)
	}
	return nil
}

// mysqlbinlog copies the file of the changes from the server as it is.
func (f floors) mysqlbinlog(ctx context.Context) error {
	s := f.d.server
	files, err := s.Query(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return err
	}
	program, args, err := findMysqlbinlog(s.Kind)
	if err != nil {
		return err
	}
	dir := filepath.Join(f.stack.dir, "floor-")
	args = append(args, "--no-defaults", "--read-from-remote-server", "--raw", "--result-file="+dir,
		"--host="+s.Host, fmt.Sprintf("--port=%d", s.Port), "--user="+s.User, "--password="+s.Password)
	if s.Kind == testdb.KindMySQL {
		args = append(args, "--get-server-public-key")
	} else {
		args = append(args, "--skip-ssl")
	}
	args = append(args, files[len(files)-1][0])
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mysqlbinlog: %w: %s", err, out)
	}
	return nil
}

// findMysqlbinlog prefers the one of the unpacked MySQL for MySQL: it runs
// through that tree's own loader.
func findMysqlbinlog(kind testdb.Kind) (program string, args []string, err error) {
	if kind == testdb.KindMySQL {
		build, err := testdb.BuildDir()
		if err != nil {
			return "", nil, err
		}
		tree := filepath.Join(build, "mysql", "usr")
		loaders, _ := filepath.Glob(filepath.Join(tree, "lib64/ld-linux-*.so.*"))
		libs, _ := filepath.Glob(filepath.Join(tree, "lib", "*-linux-gnu"))
		tool := filepath.Join(tree, "bin", "mysqlbinlog")
		if _, err := os.Stat(tool); err == nil && len(loaders) > 0 {
			return loaders[0], []string{"--library-path", strings.Join(libs, ":"), tool}, nil
		}
	}
	for _, name := range []string{"mariadb-binlog", "mysqlbinlog"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil, nil
		}
	}
	return "", nil, errors.New("mysqlbinlog is not installed: apt-get install mariadb-client")
}
