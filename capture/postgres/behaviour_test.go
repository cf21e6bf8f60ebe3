package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// changesAfter runs statements while s streams, and returns their changes up to
// the end marker.
func changesAfter(t *testing.T, db *testdb.Database, s *Source, statements ...string) []envelope.Change {
	t.Helper()
	db.MustExec(t, "CREATE TABLE zend (id int PRIMARY KEY)")
	pos := streamed(t, s)
	db.MustExec(t, statements...)
	db.MustExec(t, "INSERT INTO zend VALUES (1)")
	var out []envelope.Change
	for _, b := range readAll(t, s, pos, untilEnd) {
		out = append(out, b.changes...)
	}
	return out[:len(out)-1]
}

func TestUnchangedToast(t *testing.T) {
	placeholder := envelope.AppendString(nil, envelope.Unavailable)
	for name, c := range map[string]struct {
		identity string
		found    bool // the placeholder is in the new row
	}{"default": {"DEFAULT", true}, "full": {"FULL", false}} {
		t.Run(name, func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, small text, big text, raw bytea, doc jsonb)",
				"ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL, REPLICA IDENTITY "+c.identity,
				"INSERT INTO t SELECT 1, 's', repeat('b', 5000), decode(repeat('00ff', 3000), 'hex'), (SELECT jsonb_agg(md5(x::text)) FROM generate_series(1, 200) x)")
			got := changesAfter(t, db, liveSource(t, db, nil), "UPDATE t SET small = 't'", "UPDATE t SET id = 2")
			if len(got) != 2 {
				t.Fatalf("%d changes", len(got))
			}
			for _, ch := range got {
				want := 0
				if c.found {
					want = 3 // text, bytea and jsonb
				}
				if n := bytes.Count(ch.After, placeholder); n != want {
					t.Errorf("%d placeholders in the new row, want %d", n, want)
				}
				if !c.found && !bytes.Contains(ch.After, bytes.Repeat([]byte("b"), 5000)) {
					t.Error("the new row does not have the old value")
				}
			}
			if got[1].OldKey == nil || got[1].Before == nil {
				t.Error("a change of the key without the old row")
			}
		})
	}
}

func TestToastThatCannotSaySo(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, small int, big numeric)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
		"INSERT INTO t VALUES (1, 1, repeat('7', 20000)::numeric)")
	s := liveSource(t, db, nil)
	pos := streamed(t, s)
	db.MustExec(t, "UPDATE t SET small = 2")
	open(t, s, pos)
	_, err := s.Next(t.Context())
	wantHuman(t, err, "column big (numeric) of table public.t is unchanged")
}

func TestColumnsThatChange(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, a int)")
	got := changesAfter(t, db, liveSource(t, db, nil),
		"INSERT INTO t VALUES (1, 1)",
		"ALTER TABLE t ADD COLUMN b text NOT NULL DEFAULT 'x'",
		"INSERT INTO t VALUES (2, 2)",
		"ALTER TABLE t DROP COLUMN a",
		"INSERT INTO t VALUES (3, 'y')",
		"DROP TABLE t")
	var seen []string
	for _, c := range got {
		var names []string
		for _, col := range c.Table.Columns {
			names = append(names, col.Name)
		}
		seen = append(seen, fmt.Sprintf("%s key %v %x", strings.Join(names, ","), c.Table.Key, c.Key))
	}
	// The table is gone when its changes are read, and still each has the
	// columns of its moment, and its key.
	want := []string{"id,a key [0] 02", "id,a,b key [0] 04", "id,b key [0] 06"}
	if !slices.Equal(seen, want) {
		t.Errorf("got  %q\nwant %q", seen, want)
	}
}

// TestUnknownType: a column whose type has no form in events is left out, and
// said to be; its text is written if asked for. In a key it cannot be left out.
func TestUnknownType(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TYPE pair AS (a int, b int)", "CREATE TABLE t (id int PRIMARY KEY, outline polygon, v int NOT NULL)",
		"INSERT INTO t VALUES (1, '((0,0),(1,1))', 5)", "CREATE TABLE k (p pair PRIMARY KEY)")
	only := func(o *Options) { o.ExcludeTables = []string{"public.k"} }
	var plan strings.Builder
	s := liveSource(t, db, only)
	if err := s.Check(t.Context(), nil, &plan); err != nil || !strings.Contains(plan.String(), "left out: outline (polygon)") {
		t.Errorf("check: %v\n%s", err, plan.String())
	}
	wantHuman(t, liveSource(t, db, nil).Open(t.Context(), nil), "column p of table public.k has type pair")

	known := liveSource(t, db, func(o *Options) { only(o); o.Unknown = true })
	c := readAll(t, known, nil, untilStream)[0].changes[0]
	text := envelope.AppendString([]byte{2, 2}, "((0.0,0.0),(1.0,1.0))")
	if len(c.Table.Columns) != 3 || !bytes.Equal(c.After, append(text, 10)) {
		t.Errorf("with include.unknown.datatypes: %d columns, row %q", len(c.Table.Columns), c.After)
	}
	db.MustExec(t, fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", known.opts.Slot), "CREATE TABLE zend (id int PRIMARY KEY)")
	all := readAll(t, s, nil, untilStream)
	c = all[0].changes[0]
	if len(c.Table.Columns) != 2 || !bytes.Equal(c.After, []byte{2, 10}) {
		t.Errorf("%d columns, row %x", len(c.Table.Columns), c.After)
	}
	db.MustExec(t, "INSERT INTO t VALUES (2, '((0,0),(1,1))', 6)")
	for _, b := range readAll(t, s, all[len(all)-1].end, func(b *capture.Batch) bool { return len(b.List) > 0 }) {
		for _, c := range b.changes {
			if !bytes.Equal(c.After, []byte{4, 12}) {
				t.Errorf("streamed row %x", c.After)
			}
		}
	}
}

func TestPublicationModes(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
	disabled := func(o *Options) { o.PublicationMode = "disabled" }
	s := liveSource(t, db, disabled)
	wantHuman(t, s.Open(t.Context(), nil), "does not exist")

	pos := streamed(t, liveSource(t, db, func(o *Options) { o.IncludeTables = []string{"public.a"} }))
	wantHuman(t, liveSource(t, db, disabled).Open(t.Context(), pos), "does not have public.b")
	// Filtered again, with a table more: the publication follows.
	if got := streamed(t, liveSource(t, db, nil)); got == nil {
		t.Error("no position")
	}
	rows, err := db.Query(t.Context(), "SELECT count(*) FROM pg_publication_tables WHERE pubname = '"+db.Name+"'")
	if err != nil || rows[0][0] != "2" {
		t.Errorf("tables of the publication: %v, %v", rows, err)
	}
	db.MustExec(t, "ALTER PUBLICATION "+db.Name+" SET (publish = 'insert')")
	wantHuman(t, liveSource(t, db, nil).Open(t.Context(), nil), "leaves out")
}

func TestSnapshotModes(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	s := liveSource(t, db, func(o *Options) { o.SnapshotMode = "initial_only" })
	open(t, s, nil)
	b, err := s.Next(t.Context())
	if err != nil || len(b.List) != 1 {
		t.Fatalf("%v, %v", b, err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the snapshot: %v", err)
	}
}

// TestIdentityIndexIsTheKey: where deletes tell other columns than the primary
// key's, those are the key.
func TestIdentityIndexIsTheKey(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL, c text)", "CREATE UNIQUE INDEX t_b ON t (b)",
		"ALTER TABLE t REPLICA IDENTITY USING INDEX t_b", "INSERT INTO t VALUES (5, 50, 'old')")
	s := liveSource(t, db, nil)
	open(t, s, nil)
	var pos []byte
	var seen []string
	read := func(n int) {
		t.Helper()
		for len(seen) < n || pos == nil {
			b, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.List {
				c := &b.List[i]
				seen = append(seen, fmt.Sprintf("%s %x %x", c.Op, c.Key, c.OldKey))
			}
			pos = slices.Clone(b.End)
		}
	}
	read(1)
	db.MustExec(t, "INSERT INTO t VALUES (1, 10, 'x')", "UPDATE t SET a = 2 WHERE b = 10", "UPDATE t SET b = 11 WHERE b = 10", "DELETE FROM t",
		"INSERT INTO t VALUES (3, 30, 'x')", "UPDATE t SET a = 4, b = 31", "DELETE FROM t")
	read(9)
	// A change of the primary key alone is one of a column like others: the row of
	// that key goes on. Rows of the snapshot have the key that deletes will have.
	if want := []string{"r 64 ", "c 14 ", "u 14 ", "u 16 14", "d 64 ", "d 16 ", "c 3c ", "u 3e 3c", "d 3e "}; !slices.Equal(seen, want) {
		t.Errorf("got  %q\nwant %q", seen, want)
	}
}

// TestTableIsAdded: a table that joins the captured ones has its rows read
// before its changes are followed, whatever the moment of a crash.
func TestTableIsAdded(t *testing.T) {
	for _, killed := range []int{0, 1, 2, 3} { // batches after which the first attempt ends
		t.Run(fmt.Sprintf("killed after %d", killed), func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			db.MustExec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE zend (id int PRIMARY KEY)",
				"INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1), (2)")
			pos := streamed(t, liveSource(t, db, func(o *Options) { o.IncludeTables = []string{"public.[az].*"} }))
			db.MustExec(t, "INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (3)")
			var got []envelope.Change
			read := func(limit int) {
				s := liveSource(t, db, func(o *Options) { o.BatchSize = 2 })
				open(t, s, pos)
				for n, done := 0, false; n < limit && !done; n++ {
					b, err := s.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					c := copyBatch(b)
					got, pos, done = append(got, c.changes...), c.end, untilEnd(b)
					if err := s.Ack(t.Context(), pos); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			read(killed)
			db.MustExec(t, "INSERT INTO a VALUES (3)", "INSERT INTO b VALUES (4)", "INSERT INTO zend VALUES (1)")
			read(1 << 30)
			rows := make(map[string]string)
			for _, line := range seen(got) {
				op, row, _ := strings.Cut(line, " ")
				rows[row] += op
			}
			for _, row := range []string{"a 04", "a 06", "zend 02", "b 02", "b 04", "b 06", "b 08"} {
				if n := len(rows[row]); n == 0 || n > 1 && row[0] != 'b' {
					t.Errorf("row %s came as %q", row, rows[row])
				}
				delete(rows, row)
			}
			if len(rows) > 0 {
				t.Errorf("also came: %q", rows)
			}
		})
	}
}

// TestValuesWithoutForm: a value that the options leave no form for stops the
// capture, or becomes null where that is asked for and NULL is allowed.
func TestValuesWithoutForm(t *testing.T) {
	db := testdb.PostgreSQL(t)
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, n numeric, m numeric(5,2))", "INSERT INTO t VALUES (1, 'NaN', 'NaN'), (2, 'Infinity', 1.5)")
	warn := liveSource(t, db, func(o *Options) { o.Converting = "warn" })
	told := make(chan string, 10)
	warn.log = slog.New(lines{warn.log.Handler(), told})
	got, pos := snapshotOf(t, warn, nil)
	wantSeen(t, "snapshot", got, "r t 020000", "r t 040002040096")
	db.MustExec(t, "INSERT INTO t VALUES (3, 'NaN', 2)")
	all := readAll(t, warn, pos, func(b *capture.Batch) bool { return len(b.List) > 0 })
	wantSeen(t, "log", all[len(all)-1].changes, "c t 06000204"+"00c8")
	close(told)
	n := 0
	for text := range told {
		if strings.Contains(text, "written as null") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d warnings for two columns", n)
	}
	stop := liveSource(t, db, func(o *Options) { o.Slot += "_stop" })
	open(t, stop, nil)
	for {
		if _, err := stop.Next(t.Context()); err != nil {
			wantHuman(t, err, "column n of table public.t")
			return
		}
	}
}

// TestPartsOfTables: what of a table the publication has is what a snapshot reads
// of it.
func TestPartsOfTables(t *testing.T) {
	for _, release := range []int{15, 18} {
		t.Run(strconv.Itoa(release), func(t *testing.T) {
			db := releaseOf(t, release)
			db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY, a int, b int)", "CREATE TABLE u (id int PRIMARY KEY, v int)", "CREATE TABLE w (id int PRIMARY KEY)",
				"INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)", "INSERT INTO u VALUES (1, 1), (9, 9)", "INSERT INTO w VALUES (1)",
				"CREATE PUBLICATION "+db.Name+" FOR TABLE t (id, b), u WHERE (id < 5)")
			s := liveSource(t, db, nil)
			got, pos := snapshotOf(t, s, nil)
			wantSeen(t, "snapshot", got, "r t 020202", "r t 040204", "r u 020202", "r w 02")
			got = changesFrom(t, db, s, pos, 4, "INSERT INTO t VALUES (3, 3, 3)", "INSERT INTO u VALUES (2, 2), (8, 8)", "UPDATE u SET id = 4 WHERE id = 8", "INSERT INTO w VALUES (2)")
			wantSeen(t, "log", got, "c t 060206", "c u 040204", "c u 080210", "c w 04")
			if got := names(t, db, "SELECT count(*) FROM pg_publication_rel WHERE prattrs IS NOT NULL OR prqual IS NOT NULL"); got[0] != "2" {
				t.Errorf("%s tables are still published in part", got[0])
			}
		})
	}
}

// TestGeneratedColumns: from PostgreSQL 18 on the log has those that are stored,
// and then the snapshot has them too.
func TestGeneratedColumns(t *testing.T) {
	for release, want := range map[int]string{17: "0202", 18: "02020204"} {
		t.Run(strconv.Itoa(release), func(t *testing.T) {
			db := releaseOf(t, release)
			db.MustExec(t, "CREATE TABLE t (id int, g int GENERATED ALWAYS AS (id * 2) STORED)", "INSERT INTO t VALUES (1)")
			s := liveSource(t, db, nil)
			got, pos := snapshotOf(t, s, nil)
			wantSeen(t, "snapshot", got, "r t "+want)
			var w strings.Builder
			if err := s.Check(t.Context(), pos, &w); err != nil {
				t.Fatal(err)
			}
			if left := strings.Contains(w.String(), "not published: g (generated)"); left != (release < 18) {
				t.Errorf("check says %s", &w)
			}
			got = changesFrom(t, db, s, pos, 1, "INSERT INTO t VALUES (1)")
			wantSeen(t, "log", got, "c t "+want)
		})
	}
}

func releaseOf(t *testing.T, release int) *testdb.Database {
	t.Helper()
	if release == 15 {
		return testdb.PostgreSQL(t)
	}
	return testdb.PostgreSQLRelease(t, release)
}

// changesFrom runs statements and returns the n changes that s has from pos on.
func changesFrom(t *testing.T, db *testdb.Database, s *Source, pos capture.Position, n int, statements ...string) (out []envelope.Change) {
	t.Helper()
	db.MustExec(t, statements...)
	found := 0
	for _, b := range readAll(t, s, pos, func(b *capture.Batch) bool { found += len(b.List); return found >= n }) {
		out = append(out, b.changes...)
	}
	return out
}

// TestFailoverSlot: the slot is one that standby servers keep, also if it was made
// without.
func TestFailoverSlot(t *testing.T) {
	for _, made := range []bool{false, true} {
		db := testdb.PostgreSQLRelease(t, 17)
		db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)")
		s := liveSource(t, db, func(o *Options) { o.Failover = !made })
		_, pos := snapshotOf(t, s, nil)
		if made {
			s = liveSource(t, db, func(o *Options) { o.Failover = true })
			changesFrom(t, db, s, pos, 1, "INSERT INTO t VALUES (1)")
		}
		if got := names(t, db, "SELECT failover FROM pg_replication_slots WHERE slot_name = '"+s.opts.Slot+"'"); !slices.Equal(got, []string{"t"}) {
			t.Errorf("made before %v: failover %q", made, got)
		}
	}
	db := testdb.PostgreSQLRelease(t, 16) // which has no such slots
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)")
	told := make(chan string, 1)
	s := liveSource(t, db, func(o *Options) { o.Failover = true })
	s.log = slog.New(lines{s.log.Handler(), told})
	snapshotOf(t, s, nil)
	if len(told) == 0 {
		t.Error("no warning where the server has no such slots")
	}
}

// TestCheckOfTheHeartbeatAction: check proves the statement and its rights, does
// not execute it, and says where it cannot tell.
func TestCheckOfTheHeartbeatAction(t *testing.T) {
	db := testdb.PostgreSQL(t)
	user := db.Name + "_beat"
	db.MustExec(t, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE beat (at timestamptz)", "CREATE TABLE other (at timestamptz)", "CREATE PUBLICATION beats FOR TABLE t",
		"CREATE ROLE "+user+" LOGIN REPLICATION PASSWORD 'x'", "GRANT SELECT ON t TO "+user, "GRANT INSERT ON beat TO "+user)
	t.Cleanup(func() { _ = db.Exec(context.Background(), "DROP OWNED BY "+user, "DROP ROLE "+user) })
	for query, want := range map[string]string{
		"INSERT INTO beat VALUES (now())":                   "understood, and the user has the rights",
		"INSERT INTO other VALUES (now())":                  "!permission denied for table other",
		"INSERT INTO nonesuch VALUES (now())":               `!relation "nonesuch" does not exist`,
		"INSERT INTO beat VALUES (now":                      "!syntax error",
		"INSERT INTO beat VALUES (now()); DELETE FROM beat": "is not checked",
		"NOTIFY beats": "is not checked",
	} {
		s := liveSource(t, db, func(o *Options) {
			o.User, o.Password, o.HeartbeatAction, o.Publication, o.PublicationMode, o.IncludeTables = user, "x", query, "beats", "disabled", []string{"public.t"}
		})
		var out strings.Builder
		err := s.Check(t.Context(), nil, &out)
		wrong, fails := strings.CutPrefix(want, "!")
		if fails && (!fault.NeedsHuman(err) || !strings.Contains(err.Error(), wrong)) || !fails && (err != nil || !strings.Contains(out.String(), want)) {
			t.Errorf("%s: %v\n%s", query, err, &out)
		}
	}
	if rows, err := db.Query(t.Context(), "SELECT count(*) FROM beat"); err != nil || rows[0][0] != "0" {
		t.Errorf("the check executed the statement: %v, %v", rows, err)
	}
}

// TestFieldsThatADeleteDoesNotTell: unwrapped, a deleted row has something for
// columns that the log does not have of it; a header names them, and the key is
// one that the log has.
func TestFieldsThatADeleteDoesNotTell(t *testing.T) {
	for name, c := range map[string]struct {
		identity string
		defects  []string
		delete   string // key, value and header of the delete
		update   string // of the delete that an update of a and b becomes, and of its create
	}{
		"an index": {identity: "USING INDEX t_a", delete: `{a=2} {a=2 b=0 c=null d=5 __deleted=true} ["b","c","d"]`,
			update: `{a=1} {a=1 b=0 c=null d=5 __deleted=true} ["b","c","d"]; {a=7} {a=7 b=17 c=x d=9 __deleted=false}`},
		"the primary key": {identity: "DEFAULT", delete: `{b=12} {a=0 b=12 c=null d=5 __deleted=true} ["a","c","d"]`,
			update: `{b=11} {a=0 b=11 c=null d=5 __deleted=true} ["a","c","d"]; {b=17} {a=7 b=17 c=x d=9 __deleted=false}`},
		"the whole row": {identity: "FULL", delete: `{b=12} {a=2 b=12 c=y d=9 __deleted=true}`,
			update: `{b=11} {a=1 b=11 c=x d=9 __deleted=true}; {b=17} {a=7 b=17 c=x d=9 __deleted=false}`},
		"as Debezium": {identity: "DEFAULT", defects: []string{"unknown"}, delete: `{b=12} {a=0 b=12 c=null d=5 __deleted=true}`,
			update: `{b=11} {a=0 b=11 c=null d=5 __deleted=true}; {b=17} {a=7 b=17 c=x d=9 __deleted=false}`},
	} {
		t.Run(name, func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			db.MustExec(t, "CREATE TABLE t (a int NOT NULL, b int PRIMARY KEY, c text, d int NOT NULL DEFAULT 5)", "CREATE UNIQUE INDEX t_a ON t (a)", "ALTER TABLE t REPLICA IDENTITY "+c.identity)
			s := liveSource(t, db, func(o *Options) {
				o.Defects, o.Transforms = c.defects, []string{"unwrap"}
				o.Transform = map[string]string{"transforms.unwrap.type": envelope.UnwrapClass, "transforms.unwrap.delete.tombstone.handling.mode": "rewrite"}
			})
			changes := changesAfter(t, db, s, "INSERT INTO t VALUES (1, 11, 'x', 9), (2, 12, 'y', 9)", "DELETE FROM t WHERE a = 2", "UPDATE t SET a = 7, b = 17 WHERE a = 1")
			var got []string
			for _, change := range changes {
				if change.Table.ID.Name == "t" && (change.Op == envelope.Delete || change.Op == envelope.Update) {
					got = append(got, flatRecords(t, s, change))
				}
			}
			if len(got) != 2 || got[0] != c.delete || got[1] != c.update {
				t.Errorf("got %q", got)
			}
		})
	}
}

// flatRecords writes the records of a change: key, value and the header of what is
// not known.
func flatRecords(t *testing.T, s *Source, c envelope.Change) string {
	t.Helper()
	f, err := envelope.NewFormat(s.opts.Format(Block(&s.opts, "x"))).Table(c.Table)
	if err != nil {
		t.Fatal(err)
	}
	var m envelope.Messages
	if err := f.Append(&m, envelope.Wire{}, &c); err != nil {
		t.Fatal(err)
	}
	write := func(schema string, b []byte, names ...string) string {
		v, err := capturetest.DecodeAvro(schema, b)
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, name := range names {
			if x, ok := v.(map[string]any)[name]; ok && x == nil {
				parts = append(parts, name+"=null")
			} else if ok {
				parts = append(parts, fmt.Sprintf("%s=%v", name, x))
			}
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	var out []string
	for _, r := range m.List {
		text := write(f.KeySchema, r.Key, "a", "b") + " " + write(f.ValueSchema, r.Value, "a", "b", "c", "d", "__deleted")
		for _, h := range r.Headers {
			if h.Key == envelope.HeaderUnknown {
				text += " " + string(h.Value)
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// TestKeyColumnsThatAreExcluded: a column of the key that the lists leave out is in
// the keys, from the snapshot and from the log, and in no value.
func TestKeyColumnsThatAreExcluded(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(o *Options)
		want []string
	}{
		"excluded": {func(o *Options) { o.ExcludeColumns = []string{`public\.t\.(a|c)`} },
			[]string{"{a=1} {b=5 d=6 __deleted=false}", "{a=2} {b=7 d=8 __deleted=false}", "{a=2} {b=9 d=8 __deleted=false}", `{a=2} {b=0 d=null __deleted=true} ["b","d"]`}},
		"not included": {func(o *Options) { o.IncludeColumns = []string{`public\.t\.d`, `public\.zend\..*`} },
			[]string{"{a=1} {d=6 __deleted=false}", "{a=2} {d=8 __deleted=false}", "{a=2} {d=8 __deleted=false}", `{a=2} {d=null __deleted=true} ["d"]`}},
		"of message.key.columns": {func(o *Options) { o.ExcludeColumns, o.Keys = []string{`public\.t\.(a|b|c)`}, "public.t:b,a" },
			[]string{"{a=1 b=5} {d=6 __deleted=false}", "{a=2 b=7} {d=8 __deleted=false}", "{a=2 b=9} {d=8 __deleted=false}", `{a=2 b=0} {d=null __deleted=true} ["d"]`}},
	} {
		t.Run(name, func(t *testing.T) {
			db := testdb.PostgreSQL(t)
			db.MustExec(t, "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL, c text, d int)", "CREATE TABLE zend (id int PRIMARY KEY)", "INSERT INTO t VALUES (1, 5, 'x', 6)")
			s := liveSource(t, db, func(o *Options) {
				o.Transforms = []string{"unwrap"}
				o.Transform = map[string]string{"transforms.unwrap.type": envelope.UnwrapClass, "transforms.unwrap.delete.tombstone.handling.mode": "rewrite"}
				c.edit(o)
			})
			var got []string
			take := func(list []batch) (end capture.Position) {
				for _, b := range list {
					for _, change := range b.changes {
						if change.Table.ID.Name == "t" {
							got = append(got, flatRecords(t, s, change))
						}
					}
					end = b.end
				}
				return end
			}
			pos := take(readAll(t, s, nil, untilStream))
			db.MustExec(t, "INSERT INTO t VALUES (2, 7, 'y', 8)", "UPDATE t SET b = 9 WHERE a = 2", "DELETE FROM t WHERE a = 2", "INSERT INTO zend VALUES (1)")
			take(readAll(t, s, pos, untilEnd))
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}
