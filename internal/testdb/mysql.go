package testdb

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"tributary/internal/proc"
)

// mysqld is a MySQL or MariaDB server program.
type mysqld struct {
	path    string   // the program, or the loader of an unpacked tree
	args    []string // what makes path run the server
	base    string   // --basedir
	share   string   // messages and SQL of the system tables
	version string   // names the template
}

// The user that init makes, beside root: it may do all and log in over TCP.
const mysqlUser = "tributary"

const makeMySQLUser = "SET sql_log_bin=0;\n" +
	"CREATE USER " + mysqlUser + "@'%' IDENTIFIED BY '" + password + "';\n" +
	"GRANT ALL ON *.* TO " + mysqlUser + "@'%' WITH GRANT OPTION;\n"

// StartMySQL starts a MySQL: the one that tests/setup.sh unpacks, else an
// installed one. Its binlog has rows with full metadata and, unless o says
// otherwise, GTIDs. Nothing of it survives a power cut.
func StartMySQL(ctx context.Context, o Options) (*Server, error) {
	m, err := findMySQL()
	if err != nil {
		return nil, err
	}
	settings := map[string]string{
		"mysqlx": "OFF", "innodb-redo-log-capacity": "128M", "innodb-doublewrite": "OFF",
		"gtid-mode": "ON", "enforce-gtid-consistency": "ON", "secure-file-priv": "",
		"innodb-buffer-pool-load-at-startup": "OFF", "innodb-buffer-pool-dump-at-shutdown": "OFF",
		"innodb-use-native-aio": "OFF", "innodb-numa-interleave": "OFF",
	}
	if o.NoGTID {
		settings["gtid-mode"], settings["enforce-gtid-consistency"] = "OFF", "OFF"
	}
	create := func(dir, data string) error {
		file := filepath.Join(dir, "init.sql")
		if err := os.WriteFile(file, []byte(makeMySQLUser), 0o644); err != nil {
			return err
		}
		defer func() { _ = os.Remove(file) }()
		args := m.command(data, "--initialize-insecure", "--init-file="+file, "--innodb-redo-log-capacity=32M")
		if err := runAs(nil, dir, m.path, args...); err != nil {
			return fmt.Errorf("initialise MySQL: %w", err)
		}
		// Each server is to have an identity of its own.
		return os.Remove(filepath.Join(data, "auto.cnf"))
	}
	return startMySQL(ctx, KindMySQL, m, o, settings, create)
}

// StartMariaDB starts the installed MariaDB, or with o.Release 11 the one that
// tests/setup.sh unpacks, with the same settings as StartMySQL.
func StartMariaDB(ctx context.Context, o Options) (*Server, error) {
	find := findMariaDB
	if o.Release == 11 {
		find = findMariaDB11
	}
	m, err := find()
	if err != nil {
		return nil, err
	}
	settings := map[string]string{"innodb-log-file-size": "96M", "innodb-doublewrite": "OFF", "innodb-use-native-aio": "OFF"}
	create := func(dir, data string) error {
		if err := initMariaDB(m, dir, data); err != nil {
			return fmt.Errorf("initialise MariaDB: %w", err)
		}
		return nil
	}
	return startMySQL(ctx, KindMariaDB, m, o, settings, create)
}

func startMySQL(ctx context.Context, kind Kind, m *mysqld, o Options, settings map[string]string,
	create func(dir, data string) error,
) (*Server, error) {
	common := map[string]string{
		"bind-address": "127.0.0.1", "server-id": "1", "log-bin": "bin", "binlog-format": "ROW",
		"binlog-row-metadata": "FULL", "binlog-row-image": "FULL", "sync-binlog": "0",
		"innodb-flush-log-at-trx-commit": "2", "innodb-buffer-pool-size": "64M", "performance-schema": "OFF",
		"default-time-zone": "+00:00", "character-set-server": "utf8mb4", "max-connections": "60",
		"table-open-cache": "200", "table-definition-cache": "400", "local-infile": "ON", "skip-name-resolve": "ON",
		"max-allowed-packet": "64M",
	}
	maps.Copy(common, settings)
	maps.Copy(common, o.Settings)
	return newServer(ctx, kind, nil, o, func(dir string, port int) (proc.Spec, error) {
		data := filepath.Join(dir, "data")
		err := copyTemplate(strings.ToLower(string(kind))+"-"+m.version, data, nil, func(data string) error {
			return create(dir, data)
		})
		if err != nil {
			return proc.Spec{}, err
		}
		args := m.command(data, "--port="+strconv.Itoa(port), "--socket="+filepath.Join(dir, "s"),
			"--pid-file="+filepath.Join(dir, "pid"))
		return proc.Spec{
			Path: m.path, Args: append(args, settingArgs("--%s=%s", common)...),
			StopSignal: syscall.SIGKILL, // its data go with it: no need for a clean end
		}, nil
	})
}

// command returns the arguments that every run of the program has, and more.
func (m *mysqld) command(data string, more ...string) []string {
	args := append([]string{}, m.args...)
	args = append(args, "--no-defaults", "--basedir="+m.base, "--datadir="+data, "--lc-messages-dir="+m.share)
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	return append(args, more...)
}

// findMySQL prefers the tree of tests/setup.sh to an installed server.
func findMySQL() (*mysqld, error) {
	build, err := BuildDir()
	if err != nil {
		return nil, err
	}
	tree := filepath.Join(build, "mysql", "usr")
	program := filepath.Join(tree, "sbin", "mysqld")
	if _, err := os.Stat(program); err == nil {
		return unpacked(tree, program, "mysql")
	}
	path, err := exec.LookPath("mysqld")
	if err != nil {
		path = "/usr/sbin/mysqld" // not in an ordinary user's PATH
	}
	version, err := exec.Command(path, "--no-defaults", "--version").Output() //nolint:noctx // short
	if err != nil || bytes.Contains(version, []byte("MariaDB")) {
		return nil, missing(KindMySQL)
	}
	return &mysqld{path: path, base: "/usr", share: "/usr/share/mysql", version: versionWord(version)}, nil
}

// unpacked runs through the tree's own loader and libraries: it was built for a
// newer system than this one. share is the folder of its messages.
func unpacked(tree, program, share string) (*mysqld, error) {
	m := &mysqld{base: tree, share: filepath.Join(tree, "share", share)}
	for _, pattern := range []string{"lib64/ld-linux-*.so.*", "lib/ld-linux-*.so.*"} {
		if found, _ := filepath.Glob(filepath.Join(tree, pattern)); len(found) > 0 && m.path == "" {
			m.path = found[0]
		}
	}
	libs, _ := filepath.Glob(filepath.Join(tree, "lib", "*-linux-gnu"))
	if m.path == "" || len(libs) == 0 {
		return nil, fmt.Errorf("%s has no loader or libraries: remove it and run tests/setup.sh", filepath.Dir(tree))
	}
	m.args = []string{"--library-path", strings.Join(libs, ":"), program}
	version, err := exec.Command(m.path, append(m.args, "--no-defaults", "--version")...).Output() //nolint:noctx // short
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	m.version = versionWord(version)
	return m, nil
}

func findMariaDB() (*mysqld, error) {
	path, err := exec.LookPath("mariadbd")
	if err != nil {
		path = "/usr/sbin/mariadbd" // not in an ordinary user's PATH
	}
	version, err := exec.Command(path, "--no-defaults", "--version").Output() //nolint:noctx // short
	if err != nil {
		return nil, missing(KindMariaDB)
	}
	m := &mysqld{path: path, base: "/usr", version: versionWord(version)}
	for _, share := range []string{"/usr/share/mariadb", "/usr/share/mysql"} {
		if _, err := os.Stat(share); err == nil && m.share == "" {
			m.share = share
		}
	}
	return m, nil
}

func findMariaDB11() (*mysqld, error) {
	build, err := BuildDir()
	if err != nil {
		return nil, err
	}
	tree := filepath.Join(build, "mariadb-11", "usr")
	program := filepath.Join(tree, "sbin", "mariadbd")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("MariaDB 11 is %w: run tests/setup.sh mariadb11", ErrMissing)
	}
	return unpacked(tree, program, "mariadb")
}

// versionWord finds 9.7.4 in "/usr/sbin/mysqld  Ver 9.7.4-2 for Linux …".
func versionWord(text []byte) string {
	_, after, _ := strings.Cut(string(text), "Ver ")
	word, _, _ := strings.Cut(after, " ")
	word, _, _ = strings.Cut(word, "-")
	if word == "" {
		return "unknown"
	}
	return word
}

// initMariaDB does what mariadb-install-db does: that script needs helpers
// from yet another package.
func initMariaDB(m *mysqld, dir, data string) error {
	if err := os.MkdirAll(filepath.Join(data, "mysql"), 0o700); err != nil {
		return err
	}
	var script bytes.Buffer
	script.WriteString("use mysql;\nset @auth_root_socket=null;\n")
	for _, name := range []string{"system_tables", "performance_tables", "system_tables_data"} {
		text, err := os.ReadFile(filepath.Join(m.share, "mariadb_"+name+".sql"))
		if err != nil {
			text, err = os.ReadFile(filepath.Join(m.share, "mysql_"+name+".sql"))
		}
		if err != nil {
			return err
		}
		script.Write(text)
	}
	script.WriteString("flush privileges;\n" + makeMySQLUser)
	cmd := exec.Command(m.path, m.command(data, "--bootstrap", "--innodb-log-file-size=96M")...) //nolint:noctx // seconds at most
	cmd.Dir, cmd.Stdin = dir, &script
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
