package testdb

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"tributary/internal/proc"
)

// StartPostgreSQL starts a PostgreSQL with logical decoding on: of the release
// that o names, else the newest that is installed. Nothing of it survives a power
// cut: fsync is off.
func StartPostgreSQL(ctx context.Context, o Options) (*Server, error) {
	bin, version, err := findPostgreSQL()
	if o.Release != 0 {
		bin, version, err = findRelease(o.Release)
	}
	if err != nil {
		return nil, err
	}
	cred, err := owner("postgres")
	if err != nil {
		return nil, err
	}
	return newServer(ctx, KindPostgreSQL, cred, o, func(dir string, port int) (proc.Spec, error) {
		data := filepath.Join(dir, "data")
		if cred != nil && !open(bin) { // closed to the server's user
			if err := runAs(nil, "/", "cp", "-a", "--reflink=auto", filepath.Dir(bin), filepath.Join(dir, "server")); err != nil {
				return proc.Spec{}, err
			}
			bin = filepath.Join(dir, "server", "bin")
		}
		err := copyTemplate("postgresql-"+version, data, cred, func(data string) error {
			return initPostgreSQL(bin, dir, data, cred)
		})
		if err != nil {
			return proc.Spec{}, err
		}
		settings := map[string]string{
			"wal_level": "logical", "max_wal_senders": "20", "max_replication_slots": "20",
			"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "60",
			"unix_socket_directories": "", "timezone": "UTC", "max_wal_size": "2GB",
		}
		maps.Copy(settings, o.Settings)
		return proc.Spec{
			Path:       filepath.Join(bin, "postgres"),
			Args:       append([]string{"-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port)}, settingArgs("--%s=%s", settings)...),
			StopSignal: syscall.SIGINT, // a fast shutdown; SIGTERM waits for clients
		}, nil
	})
}

// findPostgreSQL returns the folder of the newest server and its version.
func findPostgreSQL() (bin, version string, err error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", "", err
	}
	if len(found) == 0 {
		path, err := exec.LookPath("postgres")
		if err != nil {
			return "", "", missing(KindPostgreSQL)
		}
		return filepath.Dir(path), "path", nil
	}
	major := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(newest), strconv.Itoa(major(newest)), nil
}

// findRelease returns the folder of a server that tests/setup.sh unpacked.
func findRelease(n int) (bin, version string, err error) {
	build, err := BuildDir()
	if err != nil {
		return "", "", err
	}
	bin = filepath.Join(build, fmt.Sprintf("postgresql-%d", n), "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		return "", "", missing(Kind(fmt.Sprint(KindPostgreSQL, n)))
	}
	return bin, fmt.Sprintf("release-%d", n), nil
}

func initPostgreSQL(bin, dir, data string, cred *syscall.Credential) error {
	// initdb takes the password from a file only.
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o644); err != nil {
		return err
	}
	defer func() { _ = os.Remove(secret) }()
	err := runAs(cred, dir, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "scram-sha-256",
		"--pwfile", secret, "-E", "UTF8", "--locale", "C", "--no-sync")
	if err != nil {
		return fmt.Errorf("initialise PostgreSQL: %w", err)
	}
	return nil
}
