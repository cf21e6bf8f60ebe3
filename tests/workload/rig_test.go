package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/proc"
	"tributary/internal/testdb"
	"tributary/internal/topic"
)

// daemon is a process that may be killed and started again.
type daemon struct {
	name string
	spec proc.Spec
	log  string
	p    *proc.Process
}

func (d *daemon) start() error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.spec.Log = log
	d.p, err = proc.Start(d.spec)
	return err
}

func (d *daemon) kill() error { return d.p.Kill() }

// ended returns the exit status of a daemon that has ended by itself, -1 while
// it runs.
func (d *daemon) ended() int {
	if !d.p.Exited() {
		return -1
	}
	err := d.p.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// tail returns the last lines of its log.
func (d *daemon) tail(n int) string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, l := range lines {
		lines[i] = l[:min(len(l), 1000)]
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// rig is all that runs for one test.
type rig struct {
	t      *testing.T
	dir    string
	server *testdb.Server
	kafka  string
	web    string

	broker, registry, source *daemon

	signals bool // whether incremental snapshots can be ordered
	noGTID  bool // whether it is a MySQL without GTIDs
}

func newRig(t *testing.T, server *testdb.Server, r *rand.Rand, seed uint64) *rig {
	t.Helper()
	build, err := testdb.BuildDir()
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, server: server, noGTID: noGTID(server), dir: filepath.Join(build, "workload", fmt.Sprint(t.Name(), "-", seed))}
	if err := errors.Join(os.RemoveAll(g.dir), os.MkdirAll(g.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	g.kafka, g.web = freePort(t), freePort(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g.broker = g.daemon("broker", self)
	g.broker.spec.Env = append(os.Environ(), "WORKLOAD_BROKER_DIR="+filepath.Join(g.dir, "kafka"), "WORKLOAD_BROKER_ADDR="+g.kafka)
	g.registry = g.daemon("registry", source, "registry", "-c", g.file("registry.yaml", fmt.Sprintf("listen.address: %s\ndata.file: %s\n", g.web, filepath.Join(g.dir, "registry.db"))))
	g.source = g.daemon("source", source, "run", "-c", g.file("source.yaml", g.config(r)))
	t.Cleanup(g.stop)
	for _, d := range []*daemon{g.broker, g.registry} {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range []string{g.kafka, g.web} {
		if err := listening(t.Context(), addr); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func noGTID(s *testdb.Server) bool {
	if s.Kind != testdb.KindMySQL {
		return false
	}
	rows, err := s.Query(context.Background(), "SELECT @@gtid_mode")
	return err != nil || rows[0][0] != "ON"
}

func (g *rig) stop() {
	for _, d := range []*daemon{g.source, g.registry, g.broker} {
		if d.p != nil {
			_ = d.p.Stop()
		}
	}
	if g.t.Failed() {
		g.t.Logf("the logs are left in %s", g.dir)
		return
	}
	if err := os.RemoveAll(g.dir); err != nil {
		g.t.Error(err)
	}
}

func (g *rig) daemon(name, binary string, args ...string) *daemon {
	return &daemon{
		name: name, log: filepath.Join(g.dir, name+".log"),
		spec: proc.Spec{Path: binary, Args: args, Env: append(os.Environ(), "LOG_LEVEL=info"), Dir: g.dir},
	}
}

func (g *rig) file(name, text string) string {
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// config is the connector's, with sizes that make each batch and chunk matter.
func (g *rig) config(r *rand.Rand) string {
	s := g.server
	text := fmt.Sprintf(`name: wl
connector.class: %s
topic.prefix: wl
database: {hostname: %s, port: %d, user: %s, password: %s}
bootstrap.servers: %s
schema.registry.url: http://%s/apis/registry/v2
skipped.operations: none
decimal.handling.mode: precise
errors.retry.delay.max.ms: 300
errors.retry.timeout: 60000
transaction.timeout.ms: 20000
max.batch.size: %d
snapshot.fetch.size: %d
`, connector(s.Kind), s.Host, s.Port, s.User, s.Password, g.kafka, g.web,
		[]int{100, 1000, 10000}[r.IntN(3)], []int{200, 700, 100_000}[r.IntN(3)])
	// By positions alone MySQL cannot tell exactly what a chunk has seen (docs/capture.md).
	if g.signals = r.IntN(2) == 0 && !g.noGTID; g.signals {
		text += fmt.Sprintf("signal.enabled.channels: kafka\nincremental.snapshot.chunk.size: %d\n", []int{64, 500}[r.IntN(2)])
	}
	if s.Kind == testdb.KindPostgreSQL {
		text += fmt.Sprintf("database.dbname: postgres\nslot.name: wl\npublication.name: wl\npublication.autocreate.mode: all_tables\nslot.streaming: %t\nsnapshot.max.threads: %d\nstatus.update.interval.ms: 500\n",
			r.IntN(3) > 0, 1+r.IntN(3))
		return text
	}
	if s.Kind == testdb.KindSQLServer {
		return text + fmt.Sprintf("database.names: wl\ndriver.encrypt: \"false\"\npoll.interval.ms: 20\ndata.query.mode: %s\nsnapshot.isolation.mode: %s\nmax.iteration.transactions: %d\nstreaming.fetch.size: %d\n",
			[]string{"direct", "function"}[r.IntN(2)], []string{"repeatable_read", "snapshot", "read_committed"}[r.IntN(3)],
			[]int{0, 3, 40, 500}[r.IntN(4)], []int{7, 2000}[r.IntN(2)])
	}
	return text + "database.include.list: wl\n"
}

// connector is the connector.class for a server.
func connector(k testdb.Kind) string {
	if k == testdb.KindSQLServer {
		return "sqlserver"
	}
	return strings.ToLower(string(k))
}

func listening(ctx context.Context, addr string) error {
	for end := time.Now().Add(15 * time.Second); ; {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("nothing answers at %s: %w", addr, err)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (g *rig) kafkaOptions() topic.Options {
	return topic.Options{
		Brokers: []string{g.kafka}, ClientID: "workload", Protocol: "PLAINTEXT", Compression: "none",
		MaxRequest: 1 << 20, TransactionTimeout: time.Minute, DeliveryTimeout: time.Minute,
	}
}

// start are the servers, with settings by which more can go wrong.
func startServer(ctx context.Context, kind testdb.Kind, r *rand.Rand) (*testdb.Server, string, error) {
	settings := map[string]string{}
	o := testdb.Options{Settings: settings}
	switch kind {
	case testdb.KindPostgreSQL:
		settings["max_prepared_transactions"] = "20"
		if r.IntN(2) == 0 {
			settings["logical_decoding_work_mem"] = "64kB"
		}
		s, err := testdb.StartPostgreSQL(ctx, o)
		return s, fmt.Sprint(settings), err
	case testdb.KindMySQL:
		settings["cte-max-recursion-depth"] = "100000"
		o.NoGTID = r.IntN(3) == 0
		if r.IntN(2) == 0 {
			settings["binlog-transaction-compression"] = "ON"
		}
		if r.IntN(2) == 0 {
			settings["binlog-row-value-options"] = "PARTIAL_JSON"
		}
		if r.IntN(2) == 0 {
			settings["max-binlog-size"] = "1M"
		}
		s, err := testdb.StartMySQL(ctx, o)
		return s, fmt.Sprint(settings, " no GTID: ", o.NoGTID), err
	default:
		settings["max-recursive-iterations"] = "100000"
		if r.IntN(2) == 0 {
			settings["max-binlog-size"] = "1M"
		}
		if r.IntN(3) == 0 {
			settings["log-bin-compress"] = "ON"
		}
		s, err := testdb.StartMariaDB(ctx, o)
		return s, fmt.Sprint(settings), err
	}
}
