package mysql

import (
	"bytes"
	"strings"
	"testing"

	"tributary/envelope"
	"tributary/internal/testdb"
)

// TestChangesThatCannotBeDecoded has a session log updates without a column of a
// type that has nothing to say so, of rows that cannot be looked for: with event.processing.failure.handling.mode
// other than fail the change is kept aside, and what follows goes on.
func TestChangesThatCannotBeDecoded(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id BIT(8) PRIMARY KEY, n INT, v VARCHAR(20))", "INSERT INTO a VALUES (1,1,'one'),(2,2,'two'),(3,3,'three')")
		changes := []string{
			"UPDATE a SET v = 'uno' WHERE id = 1",
			"SET SESSION binlog_row_image = 'MINIMAL'; UPDATE a SET v = 'secret' WHERE id < 3; SET SESSION binlog_row_image = 'FULL'",
			"START TRANSACTION; INSERT INTO a VALUES (4,4,'four'); SET SESSION binlog_row_image = 'MINIMAL'; UPDATE a SET v = 'hidden' WHERE id = 3; SET SESSION binlog_row_image = 'FULL'; DELETE FROM a WHERE id = 2; COMMIT",
		}
		if db.Kind == testdb.KindMariaDB { // there it cannot be changed within a transaction
			changes[2] = "SET SESSION binlog_row_image = 'MINIMAL'; UPDATE a SET v = 'hidden' WHERE id = 3; SET SESSION binlog_row_image = 'FULL'; DELETE FROM a WHERE id = 2"
		}
		o := options(t, db)
		o.SnapshotMode = "no_data"
		begin := bytes.Clone(next(t, openSource(t, o, nil)).End)
		db.MustExec(t, changes...)
		wantHuman(t, openError(t, o, begin), "logged without column n", "binlog_row_image=FULL")
		for _, mode := range []string{"warn", "skip", "ignore"} {
			o.Failures = mode
			s := openSource(t, o, begin)
			var rec recording
			for len(rec.events) == 0 || rec.events[len(rec.events)-1].Op != envelope.Delete {
				rec.add(next(t, s))
			}
			var got []string
			for i := range rec.events {
				e := &rec.events[i]
				if e.Op != envelope.Failed {
					got = append(got, e.Op.String())
					continue
				}
				got = append(got, "failed")
				f := e.Event.Failure
				if f.Table.String() != db.Name+".a" || !strings.Contains(f.Reason, "column n") || strings.Contains(f.Reason, "secret") || e.Source.Pos == 0 {
					t.Errorf("%s: failure %+v", mode, f)
				}
				if text := []string{"secret", "hidden"}; !bytes.Contains(f.Raw, []byte(text[0])) && !bytes.Contains(f.Raw, []byte(text[1])) {
					t.Errorf("%s: the change is not kept: %x", mode, f.Raw)
				}
			}
			want := "u failed c failed d"
			if db.Kind == testdb.KindMariaDB {
				want = "u failed failed d"
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s: %v, want %s", mode, got, want)
			}
			_ = s.Close()
			// What is aside does not come again.
			for i := range rec.ends {
				left := rec.after(i)
				if left == 0 {
					continue
				}
				again := openSource(t, o, rec.ends[i])
				var more recording
				more.read(t, again, left)
				_ = again.Close()
			}
		}
	})
}
