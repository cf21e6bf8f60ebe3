package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/testdb"
)

func names(t *testing.T, db *testdb.Database, query string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, strings.Join(r, " "))
	}
	return out
}

// seen is what changes are, by table and the first bytes of the row.
func seen(changes []envelope.Change) (out []string) {
	for _, c := range changes {
		row := c.After
		if row == nil {
			row = c.Before
		}
		out = append(out, fmt.Sprintf("%s %s %x", c.Op, c.Table.ID.Name, []byte(row)))
	}
	slices.Sort(out)
	return out
}

func snapshotOf(t *testing.T, s *Source, resume capture.Position) (changes []envelope.Change, end capture.Position) {
	t.Helper()
	for _, b := range readAll(t, s, resume, untilStream) {
		changes, end = append(changes, b.changes...), b.end
	}
	return changes, end
}

func wantSeen(t *testing.T, what string, changes []envelope.Change, want ...string) {
	t.Helper()
	if got := seen(changes); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestSnapshotModeAlways(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	always := func(o *Options) { o.SnapshotMode = "always" }
	got, pos := snapshotOf(t, liveSource(t, db, always), nil)
	wantSeen(t, "first start", got, "r t 02")
	db.MustExec(t, "INSERT INTO t VALUES (2)")
	s := liveSource(t, db, always)
	got, pos = snapshotOf(t, s, pos)
	wantSeen(t, "second start", got, "r t 02", "r t 04")
	// A fault within the life of the daemon is no start.
	all := readAll(t, s, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
	wantSeen(t, "after a fault", all[len(all)-1].changes, "c t 04")
}

func TestSnapshotModeWhenNeeded(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	needed := func(o *Options) { o.SnapshotMode = "when_needed" }
	s := liveSource(t, db, needed)
	got, pos := snapshotOf(t, s, nil)
	wantSeen(t, "first start", got, "r t 02")
	db.MustExec(t, "INSERT INTO t VALUES (2)")
	all := readAll(t, s, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
	wantSeen(t, "with its slot", all[len(all)-1].changes, "c t 04")
	pos = all[len(all)-1].end
	db.MustExec(t, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", s.opts.Slot), "INSERT INTO t VALUES (3)")
	wantHuman(t, liveSource(t, db, nil).Open(t.Context(), pos), "does not exist any more")
	got, _ = snapshotOf(t, s, pos)
	wantSeen(t, "without its slot", got, "r t 02", "r t 04", "r t 06")
}

func TestSnapshotOfSomeTablesAndRows(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int)",
		"INSERT INTO a SELECT generate_series(1, 5)", "INSERT INTO b VALUES (1)", "INSERT INTO c VALUES (1), (2)")
	s := liveSource(t, db, func(o *Options) {
		o.SnapshotOf = []string{"public.[ac]"}
		o.Overrides = []string{"public.a", "public.c"}
		o.OverrideTexts = map[string]string{
			"snapshot.select.statement.overrides.public.a": "SELECT * FROM a WHERE id % 2 = 0;",
			"snapshot.select.statement.overrides.public.c": "SELECT * FROM c ORDER BY id DESC LIMIT 1",
		}
		o.FetchSize = 1 // several chunks
	})
	got, pos := snapshotOf(t, s, nil)
	wantSeen(t, "snapshot", got, "r a 04", "r a 08", "r c 0204")
	db.MustExec(t, "INSERT INTO b VALUES (2)")
	all := readAll(t, s, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
	wantSeen(t, "log", all[len(all)-1].changes, "c b 04")
}

// TestParallelSnapshot: several connections deliver what one does.
func TestParallelSnapshot(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (x text, y int, v text, PRIMARY KEY (y, x))", "INSERT INTO a SELECT 'it''s ' || i % 7, i / 7, repeat('v', i % 50) FROM generate_series(1, 5000) i",
		"CREATE TABLE b (v int)", "INSERT INTO b SELECT generate_series(1, 3000)", "CREATE TABLE c (id int PRIMARY KEY)", "INSERT INTO c VALUES (1)", "CREATE TABLE d (id int PRIMARY KEY)")
	read := func(threads int) (out []string) {
		s := liveSource(t, db, func(o *Options) {
			o.Slot, o.SnapshotThreads, o.FetchSize, o.BatchSize = fmt.Sprintf("%s_%d", o.Slot, threads), threads, 300, 1000
		})
		changes, _ := snapshotOf(t, s, nil)
		for _, c := range changes {
			out = append(out, fmt.Sprintf("%s %x %x %s", c.Table.ID, c.Key, c.After, c.Source.Snapshot))
		}
		return out
	}
	one, three := read(1), read(3)
	if len(one) != 8001 || !slices.Equal(one, three) {
		t.Errorf("one connection delivers %d rows, three deliver %d: the same %v", len(one), len(three), slices.Equal(one, three))
	}
}

func TestOptionsThatDoNotFit(t *testing.T) {
	for key, edit := range map[string]func(*Options){
		"snapshot.select.statement.overrides": func(o *Options) { o.Overrides = []string{"public.a"} },
		"snapshot.max.threads":                func(o *Options) { o.SnapshotThreads = -1 },
		"snapshot.include.collection.list":    func(o *Options) { o.SnapshotOf = []string{"("} },
		"replica.identity.autoset.values":     func(o *Options) { o.Identities = []string{"public.a:INDEX"} },
		"message.prefix.exclude.list":         func(o *Options) { o.MessagesIn, o.MessagesOut = []string{"a"}, []string{"b"} },
		"message.prefix.include.list":         func(o *Options) { o.MessagesIn = []string{"("} },
		"slot.stream.params":                  func(o *Options) { o.StreamParams = "origin" },
		"database.sslcert":                    func(o *Options) { o.SSLCert = "x" },
		"money.fraction.digits":               func(o *Options) { o.MoneyDigits = -1 },
	} {
		o := Options{Slot: "s", Publication: "p"}
		o.BatchSize, o.BatchBytes, o.FetchSize = 1, 1, 1
		if faults := o.Validate(); len(faults) != 0 {
			t.Fatalf("without a fault: %v", faults)
		}
		edit(&o)
		if faults := o.Validate(); len(faults) != 1 || faults[0].Key != key {
			t.Errorf("%s: %v", key, faults)
		}
	}
}

func TestReplicaIdentitiesAreSet(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL)", "CREATE UNIQUE INDEX a_v ON a (v)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)")
	edit := func(o *Options) { o.Identities = []string{"public.a:INDEX a_v", "public.b:FULL"} }
	s := liveSource(t, db, edit)
	var plan strings.Builder
	if err := s.Check(t.Context(), nil, &plan); err != nil || !strings.Contains(plan.String(), `ALTER TABLE "public"."b" REPLICA IDENTITY FULL`) {
		t.Errorf("check: %v\n%s", err, plan.String())
	}
	snapshotOf(t, s, nil)
	const query = "SELECT relname, relreplident FROM pg_class WHERE relname IN ('a', 'b', 'c') ORDER BY 1"
	if got := names(t, db, query); !slices.Equal(got, []string{"a i", "b f", "c d"}) {
		t.Errorf("identities: %q", got)
	}
	c := s.newCatalog()
	defer func() { _ = c.close(t.Context()) }()
	tables, err := c.tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := identityStatements(&s.opts, tables); err != nil || len(left) > 0 {
		t.Errorf("still to do: %q, %v", left, err)
	}
}

// TestPartitionedTableAsOne: with publish.via.partition.root a partitioned
// table is one table, in the snapshot and in the log, and a row that moves
// between partitions is updated.
func TestPartitionedTableAsOne(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE p (id int, k int, PRIMARY KEY (id, k)) PARTITION BY RANGE (k)",
		"CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)", "INSERT INTO p VALUES (1, 1), (2, 11)")
	got, _ := snapshotOf(t, liveSource(t, db, func(o *Options) { o.Slot += "_leaves" }), nil)
	wantSeen(t, "by partitions", got, "r p1 0202", "r p2 0416")
	s := liveSource(t, db, func(o *Options) { o.ViaRoot = true })
	got, pos := snapshotOf(t, s, nil)
	wantSeen(t, "snapshot", got, "r p 0202", "r p 0416")
	db.MustExec(t, "BEGIN; INSERT INTO p VALUES (3, 3); UPDATE p SET k = 12 WHERE id = 1; COMMIT")
	all := readAll(t, s, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
	wantSeen(t, "log", all[len(all)-1].changes, "c p 0218", "c p 0606", "d p 0202")
	wantHuman(t, liveSource(t, db, func(o *Options) { o.PublicationMode = "disabled" }).Open(t.Context(), nil), "publish_via_partition_root = true")
}

func TestPublicationWithoutTables(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)")
	got, _ := snapshotOf(t, liveSource(t, db, func(o *Options) { o.PublicationMode = "no_tables" }), nil)
	wantSeen(t, "snapshot", got)
	if tables := names(t, db, "SELECT tablename FROM pg_publication_tables WHERE pubname = '"+db.Name+"'"); len(tables) != 0 {
		t.Errorf("the publication has %q", tables)
	}
}

func TestInitialStatements(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE log (v text)", "CREATE TABLE t (id int PRIMARY KEY)")
	s := liveSource(t, db, func(o *Options) {
		o.Initial = "SET work_mem = '8MB'; INSERT INTO log VALUES ('a;;b')"
		o.IncludeTables = []string{"public.t"}
	})
	snapshotOf(t, s, nil)
	if got := names(t, db, "SELECT DISTINCT v FROM log"); !slices.Equal(got, []string{"a;b"}) {
		t.Errorf("got %q", got)
	}
}

func TestSlotLagWarnings(t *testing.T) {
	for _, c := range []struct {
		lag  slotLag
		want string
	}{
		{slotLag{status: "reserved", retained: 5, headroom: -1, limit: -1}, ""},
		{slotLag{status: "extended", retained: 50, headroom: -1, limit: -1}, "disk may fill"},
		{slotLag{status: "reserved", retained: 5, headroom: 100, limit: 110}, ""},
		{slotLag{status: "extended", retained: 5, headroom: 10, limit: 100}, "less than a fifth"},
		{slotLag{status: "unreserved", headroom: 0, limit: 100}, "about to be lost"},
		{slotLag{status: "lost", limit: 100}, "is lost"},
	} {
		if got := c.lag.warning(10); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.lag, got, c.want)
		}
	}
}

// lines collects what is logged at Warn and above.
type lines struct {
	slog.Handler
	got chan string
}

func (l lines) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		select {
		case l.got <- r.Message:
		default:
		}
	}
	return nil
}

func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }

// TestSlotLagIsWatched: while the source does not acknowledge, the log piles up
// and that is told.
func TestSlotLagIsWatched(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, v text)")
	told := lines{slog.NewTextHandler(t.Output(), nil), make(chan string, 1)}
	opts := liveSource(t, db, func(o *Options) { o.LagInterval, o.LagWarning = 20*time.Millisecond, 1 }).opts
	s, err := New(opts, slog.New(told))
	if err != nil {
		t.Fatal(err)
	}
	open(t, s, nil)
	db.MustExec(t, "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 1000) i")
	select {
	case msg := <-told.got:
		if !strings.Contains(msg, "slot.lag.warn.bytes") {
			t.Errorf("told %q", msg)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing was told")
	}
	if value(t, s.metrics.retained) < 1 {
		t.Error("the metric does not show it")
	}
}

// authority makes certificates for the test's server and client.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{dir: dir}
	a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.crt and NAME.key.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if a.cert == nil {
		a.cert, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS: every way to trust the server, and a client that is known by its
// certificate.
func TestTLS(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	q := func(s string) [][]string {
		t.Helper()
		rows, err := db.Query(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	ours := newAuthority(t, t.TempDir())
	ours.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ours.issue(t, "tls_user", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	other := newAuthority(t, t.TempDir())

	hba := q("SHOW hba_file")[0][0]
	data := filepath.Dir(hba)
	var owner syscall.Stat_t
	if err := syscall.Stat(data, &owner); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"server.crt", "server.key", "ca.crt"} {
		raw, err := os.ReadFile(filepath.Join(ours.dir, f))
		if err == nil {
			err = errors.Join(os.WriteFile(filepath.Join(data, f), raw, 0o600), os.Chown(filepath.Join(data, f), int(owner.Uid), int(owner.Gid)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rules, err := os.ReadFile(hba)
	if err == nil {
		err = os.WriteFile(hba, append([]byte("hostssl all tls_user all cert\nhostnossl all tls_user all reject\n"), rules...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"CREATE ROLE tls_user LOGIN REPLICATION SUPERUSER", "CREATE TABLE t (id int PRIMARY KEY)", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		q(s)
	}
	check := func(mode string, edit func(*Options)) error {
		s := liveSource(t, db, func(o *Options) {
			o.Host, o.SSLMode = "127.0.0.1", mode
			if edit != nil {
				edit(o)
			}
		})
		var plan strings.Builder
		return s.Check(t.Context(), nil, &plan)
	}
	for deadline := time.Now().Add(10 * time.Second); check("require", nil) != nil && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond) // the server reads its settings
	}
	trust := func(a *authority) func(*Options) {
		return func(o *Options) { o.SSLRoot = filepath.Join(a.dir, "ca.crt") }
	}
	client := func(o *Options) {
		trust(ours)(o)
		o.User, o.SSLCert, o.SSLKey = "tls_user", filepath.Join(ours.dir, "tls_user.crt"), filepath.Join(ours.dir, "tls_user.key")
	}
	for name, c := range map[string]struct {
		mode string
		edit func(*Options)
		ok   bool
	}{
		"encrypted":                       {"require", nil, true},
		"not encrypted":                   {"disable", nil, true},
		"authority checked":               {"verify-ca", trust(ours), true},
		"authority and name checked":      {"verify-full", trust(ours), true},
		"another authority":               {"verify-ca", trust(other), false},
		"another name":                    {"verify-full", func(o *Options) { trust(ours)(o); o.Host = "localhost" }, false},
		"by certificate":                  {"verify-full", client, true},
		"by certificate, without one":     {"require", func(o *Options) { o.User = "tls_user" }, false},
		"by certificate, not encrypted":   {"disable", client, false},
		"a certificate that is not there": {"require", func(o *Options) { client(o); o.SSLCert = "/none" }, false},
	} {
		if err := check(c.mode, c.edit); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
