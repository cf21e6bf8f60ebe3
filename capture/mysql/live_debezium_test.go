package mysql

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/fault"
	"tributary/internal/testdb"
)

// debezium keeps the offset that Debezium's connector would have, while it is told
// of the events of the log.
type debezium struct {
	maria, gtid bool
	done, tx    gtidSet // transactions before the one in work, and with it
	file        string
	pos         uint64
	events      int64
	open        bool
}

// event takes a line of SHOW BINLOG EVENTS. rows is called for those with rows.
func (d *debezium) event(t *testing.T, line []string, rows func(at uint64)) {
	t.Helper()
	kind, info := line[2], line[5]
	start, _ := strconv.ParseUint(line[1], 10, 64)
	end, _ := strconv.ParseUint(line[4], 10, 64)
	d.file = line[0]
	if !d.open {
		d.pos, d.events = end, 0
	}
	begin := func() { d.pos, d.events, d.open = start, 0, true }
	switch {
	case kind == "Annotate_rows":
		return // which the connector does not ask for
	case kind == "Gtid" && d.maria:
		d.done, d.tx = d.tx, d.with(t, info[strings.LastIndex(info, " ")+1:])
		if strings.HasPrefix(info, "BEGIN") {
			begin()
		}
	case kind == "Gtid":
		d.done, d.tx = d.tx, d.with(t, strings.Split(info, "'")[1])
	case kind == "Query" && info == "BEGIN":
		begin()
	case strings.HasSuffix(kind, "_rows") || strings.HasSuffix(kind, "_rows_v1"):
		rows(start)
	case kind == "Xid" || kind == "Query" && info == "COMMIT":
		d.done, d.pos, d.events, d.open = d.tx, end, 0, false
	}
	if d.open {
		d.events++
	}
}

// with is the set with a transaction more.
func (d *debezium) with(t *testing.T, name string) gtidSet {
	t.Helper()
	set := d.tx.String()
	if d.maria {
		out, err := parseGTIDs(true, name) // there is one domain
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out, err := parseGTIDs(false, strings.Trim(set+","+name, ","))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// offset is what is stored with a record.
func (d *debezium) offset(row int64) string {
	o := map[string]any{"ts_sec": 1795369357, "file": d.file, "pos": d.pos, "server_id": 1, "transaction_id": nil}
	if d.gtid {
		o["gtids"] = d.done.String()
	}
	if d.events > 0 {
		o["event"] = d.events
	}
	if row > 0 {
		o["row"] = row
	}
	text, _ := json.Marshal(o)
	return string(text)
}

// fromDebezium makes a position of the text of an offset.
func fromDebezium(t *testing.T, o Options, text string) (capture.Position, error) {
	t.Helper()
	list, ok, err := capture.ReadDebezium([]byte(text))
	if err != nil || !ok {
		t.Fatalf("%s: %v", text, err)
	}
	s, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s.FromDebezium(t.Context(), list)
}

// TestGoesOnFromDebezium goes on from the offset that Debezium would have stored with
// each of the records: with exactly what follows.
func TestGoesOnFromDebezium(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(2000))", "CREATE TABLE b (id INT, code CHAR(3), v INT, PRIMARY KEY (code, id))",
			"CREATE TABLE other (id INT PRIMARY KEY)")
		o := options(t, db)
		o.SnapshotMode, o.SchemaChanges, o.Skipped = "no_data", true, []string{"none"}
		o.ExcludeTables = []string{db.Name + `\.other`}
		s := openSource(t, o, nil)
		d := &debezium{maria: db.Kind == testdb.KindMariaDB}
		var rec recording
		for len(rec.ends) == 0 || len(rec.ends[len(rec.ends)-1]) == 0 {
			rec.add(next(t, s))
		}
		rec.events = nil
		first, err := parsePosition(rec.ends[len(rec.ends)-1])
		if err != nil {
			t.Fatal(err)
		}
		if d.gtid = first.GTIDs != nil; d.gtid {
			if d.tx, err = parseGTIDs(d.maria, *first.GTIDs); err != nil {
				t.Fatal(err)
			}
			d.done = d.tx
		}
		db.MustExec(t, "INSERT INTO a VALUES (1,'x'),(2,'y')",
			"START TRANSACTION; INSERT INTO other VALUES (1),(2); "+insertMany("a", 100, 12)+"; "+insertMany("b", 1, 5)+"; UPDATE b SET v = v + 1; COMMIT",
			"CREATE TABLE c (id INT PRIMARY KEY)", "INSERT INTO c VALUES (1)", "INSERT INTO other VALUES (3)", "TRUNCATE TABLE c", "DELETE FROM b WHERE id > 3")
		deadline := time.Now().Add(10 * time.Second)
		for time.Now().Before(deadline) && len(rec.events) < 2+12+5+5+1+1+2+2 { // a truncation is told twice: as a change too
			rec.add(next(t, s))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query(t.Context(), fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", first.File, first.Pos))
		if err != nil {
			t.Fatal(err)
		}
		told, tried := 0, 0
		for _, line := range rows {
			d.event(t, line, func(at uint64) {
				for row := int64(1); told < len(rec.events) && rec.events[told].Source.Pos == int64(at); row++ {
					told++
					tried++
					goesOn(t, o, d.offset(row), rec.events[told:])
				}
			})
			if line[2] == "Query" && (strings.Contains(line[5], "CREATE TABLE") || strings.Contains(line[5], "TRUNCATE")) && strings.Contains(line[5], "c") {
				for told < len(rec.events) && rec.events[told].Table == nil || rec.events[told].Op == 't' {
					told++
				}
				tried++
				goesOn(t, o, d.offset(0), rec.events[told:])
			}
		}
		if told != len(rec.events) || tried < 25 {
			t.Errorf("%d of %d changes, %d offsets", told, len(rec.events), tried)
		}
	})
}

// goesOn starts at an offset and wants these changes to come, and no others.
func goesOn(t *testing.T, o Options, offset string, want []event) {
	t.Helper()
	at, err := fromDebezium(t, o, offset)
	if err != nil {
		t.Fatal(err)
	}
	again := openSource(t, o, at)
	var got recording
	for len(got.events) < len(want) || len(got.ends) == 0 {
		got.add(next(t, again))
	}
	for i := range max(len(want), len(got.events)) {
		if i >= len(want) || i >= len(got.events) || key(&want[i]) != key(&got.events[i]) {
			t.Fatalf("from %s: %d changes, want %d\n%s\n%s", offset, len(got.events), len(want), strings.Join(each(got.events), "\n"), strings.Join(each(want), "\n"))
		}
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// key tells a change from others.
func key(e *event) string {
	if e.Table == nil {
		return fmt.Sprintf("%s at %d: %s", e.Op, e.Source.Pos, e.Event.Schema.DDL)
	}
	return fmt.Sprintf("%s at %d row %d", e.String(), e.Source.Pos, e.Source.Row)
}

func each(list []event) (out []string) {
	for i := range list {
		out = append(out, key(&list[i]))
	}
	return out
}

// TestOffsetsOfDebeziumThatDoNotDo: what cannot be gone on from is refused with what
// to do.
func TestOffsetsOfDebeziumThatDoNotDo(t *testing.T) {
	for _, c := range []struct{ class, offset, says string }{
		{"mysql", `{"ts_sec":1,"file":"bin.000021","pos":4731,"gtids":"fe07e900-e694-11f1-a3bd-02fc00000001:1-293","snapshot":"INITIAL"}`, "has not finished"},
		{"mysql", `{"ts_sec":1,"file":"bin.000021","pos":4731,"snapshot":true}`, "has not finished"},
		{"mysql", `{"lsn_proc":1,"lsn":1}`, "no binlog file"},
		{"mysql", `{"ts_sec":1,"file":"bin.000021","pos":4731,"gtids":"0-7-131"}`, "GTID"},
		{"mariadb", `{"ts_sec":1,"file":"bin.000021","pos":4731,"gtids":"fe07e900-e694-11f1-a3bd-02fc00000001:1-293"}`, "GTID"},
		{"mysql", `{"ts_sec":1,"file":"bin.000021","pos":"x"}`, "pos is no number"},
		{"mysql", `{"offsets":[{"partition":{"server":"else"},"offset":{"ts_sec":1,"file":"bin.000021","pos":4}}]}`, "topic.prefix else"},
	} {
		var o Options
		o.Name, o.Class, o.Prefix = "x", c.class, "live"
		_, err := fromDebezium(t, o, c.offset)
		if !fault.NeedsHuman(err) || fault.Hint(err) == "" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.offset, err)
		}
	}
}
