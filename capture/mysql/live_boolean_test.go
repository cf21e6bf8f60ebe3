package mysql

import (
	"testing"

	"tributary/internal/testdb"
)

// TestTinyintsThatAreBooleans: snapshot and log give the same booleans, of the columns
// that are selected and have the length.
func TestTinyintsThatAreBooleans(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *testdb.Database{"mysql": testdb.MySQL, "mariadb": testdb.MariaDB} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, yes TINYINT(1) NOT NULL DEFAULT 1, n TINYINT(1), wide TINYINT, other TINYINT(1))",
				"INSERT INTO a VALUES (1, 1, 0, 5, 1), (2, 0, NULL, 5, 1), (3, 5, -1, 5, 1)")
			o := options(t, db)
			o.Booleans, o.BooleanLength = []string{db.Name + `\.a\.(yes|n|wide)`}, true
			s := openSource(t, o, nil)
			var rec recording
			rec.read(t, s, 3)
			db.MustExec(t, "INSERT INTO a SELECT id + 10, yes, n, wide, other FROM a")
			rec.read(t, s, 6)
			// id, yes, n (union index before it), wide and other with theirs
			want := []string{"\x01\x02\x00", "\x00\x00", "\x01\x02\x00"}
			for i := range rec.events {
				after := string(rec.events[i].After)
				tail := "\x02\x0a\x02\x02" // 5 and 1 stay numbers
				if after[1:] != want[i%3]+tail {
					t.Errorf("row %d is %x, want it to end in %x", i, after, want[i%3]+tail)
				}
			}
			columns := rec.events[0].Table.Columns
			if d := columns[1].Default; len(d) != 1 || d[0] != 1 {
				t.Errorf("the default is %x", d)
			}
		})
	}
}
