package conformance

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

// TestRecordingOfPostgreSQL has the messages of the log. (The one in testdata is read
// by a test of capture/postgres.)
func TestRecordingOfPostgreSQL(t *testing.T) {
	db := testdb.PostgreSQL(t)
	scenarios := []string{"transactions"}
	if *update {
		scenarios = []string{"transactions", "snapshot", "keys", "restart", "schema", "unchanged"}
	}
	var out bytes.Buffer
	user := postgres.Options{Host: db.Host, Port: db.Port, User: db.User, Password: config.Secret(db.Password), Database: db.Name}
	o := Options{
		Server: PostgreSQL(user), Version: "test", Only: scenarios, Wait: 30 * time.Second, Recorder: NewRecorder(&out),
		Progress: func(string, ...any) {}, Log: slog.New(slog.DiscardHandler),
	}
	if r, err := Run(t.Context(), o); err != nil || r.Failures() > 0 || o.Recorder.Err() != nil {
		t.Fatalf("%v, %v, %+v", err, o.Recorder.Err(), r)
	}
	if *update {
		if err := os.WriteFile("testdata/postgres.jsonl", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kinds := ""
	for line := range strings.Lines(out.String()) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(e.Query, "pg_logical_slot_get_binary_changes") {
			continue
		}
		for _, row := range e.Rows {
			message, err := hex.DecodeString(fmt.Sprint(row[2]))
			if err != nil || len(message) == 0 {
				t.Fatalf("%v: %v", row, err)
			}
			kinds += string(message[0])
		}
	}
	// The rows, the marker, three transactions and the marker again; relations
	// come when the server wants.
	if got := strings.ReplaceAll(kinds, "R", ""); got != "BIICBICBIIUUCBUUDICBUCBIC" || got == kinds {
		t.Errorf("messages %s", kinds)
	}
	if strings.Contains(out.String(), db.Host) {
		t.Errorf("the recording has the host")
	}
}

// recordMySQL records scenarios of a MySQL or MariaDB server, while somebody else
// changes a table of theirs.
func recordMySQL(t *testing.T, kind, initial string, scenarios ...string) []byte {
	t.Helper()
	open := map[string]func(testing.TB) *testdb.Database{"mysql": testdb.MySQL, "mariadb": testdb.MariaDB}[kind]
	db := open(t)
	db.MustExec(t, "CREATE TABLE customer (id int PRIMARY KEY, name varchar(40))")
	ctx, cancel := context.WithCancel(t.Context())
	others := make(chan struct{})
	go func() {
		defer close(others)
		for i := 0; ctx.Err() == nil; i++ {
			_ = db.Exec(ctx, fmt.Sprintf("INSERT INTO customer VALUES (%d, 'somebody')", i))
		}
	}()
	defer func() { cancel(); <-others }()
	var out bytes.Buffer
	user := mysql.Options{Host: db.Host, Port: db.Port, User: db.User, Password: config.Secret(db.Password)}
	user.Class, user.Initial = kind, initial
	o := Options{
		Server: MySQL(user), Version: "test", Only: scenarios, Wait: 30 * time.Second, Recorder: NewRecorder(&out),
		Progress: func(format string, args ...any) { t.Logf(format, args...) }, Log: slog.New(slog.DiscardHandler),
	}
	if r, err := Run(t.Context(), o); err != nil || r.Failures() > 0 || o.Recorder.Err() != nil {
		t.Fatalf("%v, %v, %+v", err, o.Recorder.Err(), r)
	}
	if strings.Contains(out.String(), db.Host) {
		t.Errorf("the recording has the host")
	}
	return out.Bytes()
}

// eventsOf counts the events of the log in a recording, by type, and looks for what is
// not of the scratch place.
func eventsOf(t *testing.T, recording []byte) map[byte]int {
	t.Helper()
	kinds := make(map[byte]int)
	for line := range bytes.Lines(recording) {
		e := parseEntry(t, line)
		if !strings.HasPrefix(e.Query, "-- the binary log from ") {
			continue
		}
		for _, row := range e.Rows {
			event, err := decodeValue(row[1])
			b, ok := event.([]byte)
			if err != nil || !ok {
				t.Fatalf("%v: %v", row, err)
			}
			kinds[b[4]]++
			for _, other := range []string{"customer", "somebody"} {
				if bytes.Contains(b, []byte(other)) {
					t.Errorf("%q has %s", b, other)
				}
			}
		}
	}
	return kinds
}

// TestRecordingsOfMySQL have the events of the log, of the scratch place alone. (The ones
// in testdata are read by a test of capture/mysql.)
func TestRecordingsOfMySQL(t *testing.T) {
	const rotate, description, xid, tableMap, payload = 4, 15, 16, 19, 40
	for _, kind := range []string{"mysql", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			if *update {
				text := recordMySQL(t, kind, "", "transactions", "snapshot", "keys", "restart", "schema", "unchanged", "rights", "types")
				if err := os.WriteFile("testdata/"+kind+".jsonl", text, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			// A rotation and a description; the rows, three transactions, two markers.
			n := eventsOf(t, recordMySQL(t, kind, "", "transactions"))
			if n[rotate] != 1 || n[description] != 1 || n[xid] != 6 || n[tableMap] < 6 || n[payload] != 0 {
				t.Errorf("events by type: %v", n)
			}
		})
	}
	t.Run("compressed", func(t *testing.T) {
		if n := eventsOf(t, recordMySQL(t, "mysql", "SET SESSION binlog_transaction_compression = ON", "transactions")); n[payload] != 6 || n[xid]+n[tableMap] != 0 {
			t.Errorf("events by type: %v", n)
		}
	})
}
