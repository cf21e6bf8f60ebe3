package conformance

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

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
