package mysql

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/testdb"
)

func wantHuman(t *testing.T, err error, text, hint string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want one with %q", err, text)
	}
	if !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), hint) {
		t.Errorf("error %v: needs a human %v, hint %q; want one with %q", err, fault.NeedsHuman(err), fault.Hint(err), hint)
	}
}

// openError opens a source and returns its error, of Open or of the stream.
func openError(t *testing.T, o Options, resume capture.Position) error {
	t.Helper()
	s, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Open(ctx, resume); err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for {
		if _, err := s.Next(ctx); err != nil {
			return err
		}
	}
}

func TestSettingsOfTheServerThatDoNotDo(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id BIT(9) PRIMARY KEY, j JSON, n INT)", "INSERT INTO a (id, j) VALUES (1,'{\"a\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\", \"b\": 1}')")
	o := options(t, db)
	for _, c := range []struct{ set, reset, text, hint string }{
		{"SET GLOBAL binlog_format = 'STATEMENT'", "SET GLOBAL binlog_format = 'ROW'", "binlog_format is STATEMENT", "binlog_format = 'ROW'"},
		{"SET GLOBAL binlog_row_image = 'MINIMAL'", "SET GLOBAL binlog_row_image = 'FULL'", "binlog_row_image is MINIMAL", "binlog_row_image = 'FULL'"},
	} {
		if err := db.Server.Exec(t.Context(), c.set); err != nil {
			t.Fatal(err)
		}
		err := openError(t, o, nil)
		if err := db.Server.Exec(t.Context(), c.reset); err != nil {
			t.Fatal(err)
		}
		wantHuman(t, err, c.text, c.hint)
	}
	// A session can set them for itself.
	for _, c := range []struct{ statements, text, hint string }{
		{"SET SESSION binlog_row_image = 'MINIMAL'; UPDATE a SET j = '[]' WHERE id = 1; SET SESSION binlog_row_image = 'FULL'", "without column n", "binlog_row_image=FULL"},
		{"SET SESSION binlog_format = 'STATEMENT'; INSERT INTO a (id) VALUES (5); SET SESSION binlog_format = 'ROW'", "is logged as a statement", "binlog_format=ROW"},
	} {
		s := openSource(t, o, nil)
		next(t, s)
		db.MustExec(t, "REPLACE INTO a (id, j) VALUES (1,'{\"a\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\", \"b\": 1}')", c.statements)
		var err error
		for err == nil {
			_, err = s.Next(t.Context())
		}
		wantHuman(t, err, c.text, c.hint)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerWithoutLog(t *testing.T) {
	for name, c := range map[string]struct {
		start func(context.Context, testdb.Options) (*testdb.Server, error)
		off   map[string]string
	}{
		"mysql": {testdb.StartMySQL, map[string]string{"skip-log-bin": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := c.start(t.Context(), testdb.Options{Settings: c.off, NoGTID: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Stop() })
			if err := srv.Exec(t.Context(), "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY)"); err != nil {
				t.Fatal(err)
			}
			o := options(t, &testdb.Database{Server: srv, Name: "d"})
			wantHuman(t, openError(t, o, nil), "writes no binary log", "log_bin")
		})
	}
}

// user makes a user with some rights and returns the options with it.
func user(t *testing.T, db *testdb.Database, o Options, grants ...string) Options {
	t.Helper()
	db.MustExec(t, "DROP USER IF EXISTS 'limited'@'%'", "CREATE USER 'limited'@'%' IDENTIFIED BY 'pw'")
	for _, g := range grants {
		db.MustExec(t, "GRANT "+g+" TO 'limited'@'%'")
	}
	t.Cleanup(func() { _ = db.Server.Exec(context.Background(), "DROP USER IF EXISTS 'limited'@'%'") })
	o.User, o.Password = "limited", config.Secret("pw")
	return o
}

func TestRightsThatAreMissing(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
		o := options(t, db)
		client, slave := "REPLICATION CLIENT ON *.*", "REPLICATION SLAVE ON *.*"
		if db.Kind == testdb.KindMariaDB {
			client = "BINLOG MONITOR ON *.*"
		}
		o.Password = "wrong"
		wantHuman(t, openError(t, o, nil), "Access denied", "database.password")
		wantHuman(t, openError(t, user(t, db, o, "SELECT ON "+db.Name+".*", slave), nil), "privilege", "REPLICATION")
		wantHuman(t, openError(t, user(t, db, o, "SELECT ON "+db.Name+".*", client), nil), "", "REPLICATION SLAVE")
		wantHuman(t, openError(t, user(t, db, o, client, slave), nil), "or the user may not see it", "SELECT")
		// Enough, without and with the right to lock the server or the tables.
		for _, more := range []string{"RELOAD ON *.*", "LOCK TABLES ON " + db.Name + ".*", "SELECT ON " + db.Name + ".*"} {
			s := openSource(t, user(t, db, o, "SELECT ON "+db.Name+".*", client, slave, more), nil)
			var rec recording
			rec.read(t, s, 1)
			db.MustExec(t, "UPDATE a SET id = id + 1")
			rec.read(t, s, 2)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if db.Kind == testdb.KindMySQL {
			o := user(t, db, o, "SELECT ON "+db.Name+".*", client, slave)
			o.Locking = "extended"
			wantHuman(t, openError(t, o, nil), "Access denied", "LOCK TABLES")
		}
	})
}

// TestTablesThatAreWanted: an entry of table.include.list that matches nothing stops
// the first start only if nothing else matches, and no later one.
func TestTablesThatAreWanted(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	o := options(t, db)
	o.IncludeTables = []string{db.Name + `\.nowhere`}
	wantHuman(t, openError(t, o, nil), `no table matches `+db.Name+`\.nowhere`, "table.include.list")
	wrong := o
	wrong.IncludeDatabases, wrong.IncludeTables = []string{db.Name + "x"}, nil
	wantHuman(t, openError(t, wrong, nil), "database "+db.Name+"x does not exist", "did you mean "+db.Name)
	wrong.IncludeDatabases, wrong.IncludeTables = nil, []string{db.Name + `y\.a`}
	wantHuman(t, openError(t, wrong, nil), "database "+db.Name+"y does not exist", "did you mean "+db.Name)

	o.IncludeTables = append(o.IncludeTables, db.Name+`\.a`)
	var plan strings.Builder
	s, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context(), nil, &plan); err != nil || !strings.Contains(plan.String(), "warning      no table matches "+db.Name+`\.nowhere`) {
		t.Errorf("%v\n%s", err, plan.String())
	}
	s = openSource(t, o, nil)
	var rec recording
	rec.read(t, s, 1)
	end := rec.ends[len(rec.ends)-1]
	db.MustExec(t, "CREATE TABLE nowhere (id INT PRIMARY KEY)", "INSERT INTO nowhere VALUES (5)")
	rec.read(t, s, 2) // a table of the list that was made later
	_ = s.Close()
	db.MustExec(t, "DROP TABLE a", "DROP TABLE nowhere", "CREATE TABLE a (id INT PRIMARY KEY)")
	for _, q := range []string{"INSERT INTO a VALUES (7)", "DROP TABLE a"} { // with one table of the two, and with none
		s = openSource(t, o, end)
		db.MustExec(t, q)
		for len(rec.events) < 3 {
			rec.add(next(t, s))
		}
		_ = s.Close()
	}
	openSource(t, o, rec.ends[len(rec.ends)-1])
}

func TestLogThatIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		start func(context.Context, testdb.Options) (*testdb.Server, error)
		opts  testdb.Options
	}{
		"mysql": {testdb.StartMySQL, testdb.Options{}}, "mysql without gtid": {testdb.StartMySQL, testdb.Options{NoGTID: true}},
		"mariadb": {testdb.StartMariaDB, testdb.Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := c.start(t.Context(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Stop() })
			exec := func(q ...string) {
				t.Helper()
				if err := srv.Exec(t.Context(), q...); err != nil {
					t.Fatal(err)
				}
			}
			exec("CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY); INSERT INTO d.a VALUES (1)")
			o := options(t, &testdb.Database{Server: srv, Name: "d"})
			s := openSource(t, o, nil)
			resume := bytes.Clone(next(t, s).End)
			_ = s.Close()
			exec("INSERT INTO d.a VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO d.a VALUES (3)", "FLUSH BINARY LOGS")
			// What is still there is read.
			s = openSource(t, o, resume)
			var rec recording
			rec.read(t, s, 2)
			later := rec.ends[len(rec.ends)-1]
			_ = s.Close()
			for gone := false; !gone; { // MariaDB keeps one until all of it is flushed
				exec("PURGE BINARY LOGS TO 'bin.000002'", "DO SLEEP(0.1)")
				logs, err := srv.Query(t.Context(), "SHOW BINARY LOGS")
				if err != nil {
					t.Fatal(err)
				}
				gone = logs[0][0] != "bin.000001"
			}
			for _, way := range []string{"cdc-source offsets reset", "snapshot.mode: when_needed", "cdc-source signal execute-snapshot"} {
				wantHuman(t, openError(t, o, resume), "", way)
			}
			s = openSource(t, o, later)
			exec("INSERT INTO d.a VALUES (4)")
			var rest recording
			rest.read(t, s, 1)
			_ = s.Close()
			// The server is set up anew: its log begins again.
			if c.opts.NoGTID {
				exec("RESET BINARY LOGS AND GTIDS")
				wantHuman(t, openError(t, o, later), "", "cdc-source offsets reset")
			}
		})
	}
}

// TestGTIDsThatTheServerDoesNotHave are told before the log is asked for.
func TestGTIDsThatTheServerDoesNotHave(t *testing.T) {
	for name, c := range map[string]struct {
		open   func(testing.TB) *testdb.Database
		future string
	}{
		"mysql":   {testdb.MySQL, "a1460de9-e8b7-11f1-87b9-02fc00000001:1-4"},
		"mariadb": {testdb.MariaDB, "0-1-99999999"}, "mariadb 11": {testdb.MariaDB11, "0-1-99999999"}, "mariadb, another domain": {testdb.MariaDB, "7-1-1"},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.open(t)
			db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
			o := options(t, db)
			s := openSource(t, o, nil)
			p, err := parsePosition(next(t, s).End)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			p.GTIDs, p.Snapshot = &c.future, nil
			if s, err = New(o, quiet()); err != nil {
				t.Fatal(err)
			}
			wantHuman(t, s.Check(t.Context(), p.encode(), io.Discard), "does not have the transactions", "")
			p.Server = "another" // a replica may lag
			if err := s.Check(t.Context(), p.encode(), io.Discard); err == nil || fault.NeedsHuman(err) {
				t.Errorf("after a failover: error %v, want one that a retry may heal", err)
			}
		})
	}
}

func TestServerThatDies(t *testing.T) {
	srv, err := testdb.StartMySQL(t.Context(), testdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop() })
	if err := srv.Exec(t.Context(), "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	o := options(t, &testdb.Database{Server: srv, Name: "d"})
	s := openSource(t, o, nil)
	end := bytes.Clone(next(t, s).End)
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.Next(ctx); err == nil || fault.NeedsHuman(err) || ctx.Err() != nil {
		t.Fatalf("error %v, want one that a retry may heal", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = openSource(t, o, end)
	if err := srv.Exec(t.Context(), "INSERT INTO d.a VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	var rec recording
	rec.read(t, s, 1)
}

func TestPositionOfAnotherSource(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
	for _, p := range []string{`{"lsn":"0/16B3748"}`, `{}`, `null`, `[]`, `{"file":"bin.000001","pos":4,"gtids":"7a0c-1"}`} {
		err := openError(t, options(t, db), capture.Position(p))
		if err == nil || !fault.NeedsHuman(err) && !strings.Contains(err.Error(), "GTID") {
			t.Errorf("position %s: error %v", p, err)
		}
	}
}

func TestTwoReplicasOfOneID(t *testing.T) {
	db := testdb.MariaDB(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
	o := options(t, db)
	o.ServerID = 77
	first := openSource(t, o, nil)
	next(t, first)
	var rec recording
	db.MustExec(t, "INSERT INTO a VALUES (1)")
	rec.read(t, first, 1) // it follows the log
	second := openSource(t, o, nil)
	next(t, second)
	var err error
	for err == nil {
		_, err = first.Next(t.Context())
	}
	wantHuman(t, err, "server_id", "database.server.id")
}

// TestCheckOfTheHeartbeatAction: check proves the statement and its rights, does
// not execute it, and says where it cannot tell.
func TestCheckOfTheHeartbeatAction(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE beat (id INT)", "CREATE TABLE other (id INT)")
		client := "REPLICATION CLIENT ON *.*"
		if db.Kind == testdb.KindMariaDB {
			client = "BINLOG MONITOR ON *.*"
		}
		o := user(t, db, options(t, db), "SELECT ON "+db.Name+".a", "INSERT ON "+db.Name+".beat", client, "REPLICATION SLAVE ON *.*")
		for query, want := range map[string]string{
			"INSERT INTO DB.beat VALUES (1)":     "understood, and the user has the rights",
			"INSERT INTO DB.other VALUES (1)":    "!INSERT command denied",
			"INSERT INTO DB.nonesuch VALUES (1)": "!denied",
			"INSERT INTO DB.beat VALUES (1":      "!syntax",
			"DO SLEEP(0)":                        "is not checked",
		} {
			o := o
			o.IncludeTables = []string{db.Name + `\.a`}
			o.HeartbeatAction = strings.ReplaceAll(query, "DB", db.Name)
			s, err := New(o, quiet())
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err = s.Check(t.Context(), nil, &out)
			wrong, fails := strings.CutPrefix(want, "!")
			if fails && (!fault.NeedsHuman(err) || !strings.Contains(err.Error(), wrong)) || !fails && (err != nil || !strings.Contains(out.String(), want)) {
				t.Errorf("%s: %v\n%s", query, err, &out)
			}
		}
		if rows, err := db.Query(t.Context(), "SELECT COUNT(*) FROM beat"); err != nil || rows[0][0] != "0" {
			t.Errorf("the check executed the statement: %v, %v", rows, err)
		}
	})
}
