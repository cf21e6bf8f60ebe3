package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// TestStandbysThatDoNotDo says on which standby servers nothing can be captured, and
// what to do then.
func TestStandbysThatDoNotDo(t *testing.T) {
	for _, c := range []struct {
		standby bool
		version int
		says    string
	}{
		{false, 150000, ""}, {true, 150004, "PostgreSQL 15, on which there is no logical decoding"},
		{true, 160000, "from which capturing is not supported"},
	} {
		err := checkStandby(c.standby, c.version)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || !fault.NeedsHuman(err) || fault.Hint(err) == "") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestServerThatIsAStandby is refused: a server that is in recovery.
func TestServerThatIsAStandby(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	signal := filepath.Join(dataDirectory(t, db), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Kill(), db.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	s := liveSource(t, db, nil)
	var plan strings.Builder
	wantHuman(t, s.Check(t.Context(), nil, &plan), "the server is a standby")
	wantHuman(t, errors.Join(s.Open(t.Context(), nil), s.Close()), "the server is a standby")
}

func dataDirectory(t *testing.T, db *testdb.Database) string {
	t.Helper()
	rows, err := db.Query(t.Context(), "SHOW data_directory")
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][0]
}

// TestHostThatIsNotThere has a hint.
func TestHostThatIsNotThere(t *testing.T) {
	db := testdb.PostgreSQL(t)
	s := liveSource(t, db, func(o *Options) { o.Host = "no-such-host.invalid" })
	err := errors.Join(s.Open(t.Context(), nil), s.Close())
	if err == nil || !strings.Contains(fault.Hint(err), "database.hostname") || fault.NeedsHuman(err) {
		t.Errorf("%v, hint %q", err, fault.Hint(err))
	}
}
