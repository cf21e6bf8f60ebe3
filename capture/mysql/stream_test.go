package mysql

import (
	"encoding/binary"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"
	"pgregory.net/rapid"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

func TestNameOfATruncatedTable(t *testing.T) {
	for text, want := range map[string]string{
		"a": "db.a", " TABLE a": "db.a", " table `a`": "db.a", " TABLE x.a": "x.a", " `x`.`a b``c` ": "x.a b`c", " TABLE `x` . a;": "x.a", " TABLE a/* c */": "db.a",
	} {
		if got := truncated("db", text).String(); got != want {
			t.Errorf("TRUNCATE%s: %s, want %s", text, got, want)
		}
	}
}

func TestWordsOfStatements(t *testing.T) {
	for text, dml := range map[string]bool{
		"INSERT INTO a": true, "insert\tinto a": true, "/* app */ -- note\n UPDATE a": true, "#x\nDELETE FROM a": true,
		"INSERTED": false, "ALTER TABLE a": false, "CREATE TABLE insert_": false, "": false, "/* only": false,
	} {
		if got := isDML(trimComments([]byte(text))); got != dml {
			t.Errorf("%q: %v, want %v", text, got, dml)
		}
	}
}

func TestIdentifiersOfStatements(t *testing.T) {
	for text, want := range map[string]string{
		"ALTER TABLE `A``b`.c ADD d ENUM('x','it''s y\\'z')": "a`b add alter c d enum table",
		"rename /* b */ table \"q\" to é_1$;":                "q rename table to é_1$", "create table /*!40000 x */ y": "40000 create table x y", "`open": "open", "'": "", "/* ": "",
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(identifiers([]byte(text)))), " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestPositionsRoundTrip(t *testing.T) {
	text := "a1460de9-e8b7-11f1-87b9-02fc00000001:1-4"
	for _, p := range []position{
		{File: "bin.000001", Pos: 4},
		{File: "bin.000001", Pos: 5 << 32, GTIDs: &text, Event: 3, Row: 9, GTID: "a1460de9-e8b7-11f1-87b9-02fc00000001:5"},
		{File: "b", Pos: 99, GTIDs: new(string), Snapshot: &snapshot.Progress{Done: []string{"a.b"}, Table: "a.c", After: [][]byte{{0, 255}, {}}, Rows: 7}},
	} {
		enc := p.encode()
		back, err := parsePosition(enc)
		if err != nil {
			t.Fatal(err)
		}
		if again := back.encode(); string(again) != string(enc) {
			t.Errorf("%s came back as %s", enc, again)
		}
	}
}

func TestGTIDSetsGrow(t *testing.T) {
	const server = "a1460de9-e8b7-11f1-87b9-02fc00000001"
	my, err := parseGTIDs(false, server+":1-4,\n"+strings.Replace(server, "a", "b", 1)+":7")
	if err != nil {
		t.Fatal(err)
	}
	sid := [16]byte{0xa1, 0x46, 0x0d, 0xe9, 0xe8, 0xb7, 0x11, 0xf1, 0x87, 0xb9, 0x02, 0xfc, 0, 0, 0, 1}
	my.add(gtid{sid: sid, gno: 6})
	my.add(gtid{sid: sid, gno: 5})
	if got, want := my.String(), server+":1-6,b1460de9-e8b7-11f1-87b9-02fc00000001:7"; got != want {
		t.Errorf("set %s, want %s", got, want)
	}
	maria, err := parseGTIDs(true, "1-7-9,0-1-3")
	if err != nil {
		t.Fatal(err)
	}
	maria.add(gtid{domain: 0, server: 2, seq: 4})
	if got, want := maria.String(), "0-2-4,1-7-9"; got != want {
		t.Errorf("set %s, want %s", got, want)
	}
	// Tags are sequences of their own.
	tagged, err := parseGTIDs(false, server+":1-2:5:b:1:7-9:a_1:3,"+strings.Replace(server, "a", "0", 1)+":z:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []gtid{{sid: sid, gno: 4}, {sid: sid, gno: 3}, {sid: sid, gno: 2, tag: "a_1"}, {sid: sid, gno: 1, tag: "new"}, {sid: sid, gno: 8, tag: "b"}} {
		tagged.add(g)
	}
	want := strings.Replace(server, "a", "0", 1) + ":z:1," + server + ":1-5:a_1:2-3:b:1:7-9:new:1"
	if got := tagged.String(); got != want {
		t.Errorf("set %s, want %s", got, want)
	}
	if again, err := parseGTIDs(false, want); err != nil || again.String() != want || !tagged.holds(&again) || !again.holds(&tagged) {
		t.Errorf("%s came back as %s, %v", want, again.String(), err)
	}
	if tagged.contains(gtid{sid: sid, gno: 2, tag: "b"}) || !tagged.contains(gtid{sid: sid, gno: 8, tag: "b"}) || tagged.contains(gtid{sid: sid, gno: 8}) {
		t.Error("the set has others than it should")
	}
	// A transaction without GTID makes the set none.
	tagged.add(gtid{})
	if tagged.valid {
		t.Errorf("set %s after a transaction without GTID", tagged.String())
	}
	for _, text := range []string{"x", server, "1-2", server + ":tag", server + ":0", server + ":3-2", server + ":1-2-3"} {
		if _, err := parseGTIDs(false, text); err == nil {
			t.Errorf("MySQL's %q was parsed", text)
		}
		if _, err := parseGTIDs(true, text); err == nil {
			t.Errorf("MariaDB's %q was parsed", text)
		}
	}
}

func TestLogOfMoreThan4GiB(t *testing.T) {
	st := &stream{filePos: 4}
	last := uint64(0)
	for _, e := range []struct {
		pos  uint32
		size uint32
		end  uint64
	}{{100, 96, 100}, {0xfffffff0, 50, 0xfffffff0}, {0x20, 48, 1<<32 + 0x20}, {0x100, 0xe0, 1<<32 + 0x100}, {0, 16, 1<<32 + 0x110}} {
		start, end := st.extent(&binlog.Header{NextPos: e.pos, Size: e.size})
		if end != e.end || start != e.end-uint64(e.size) || start < last {
			t.Errorf("event that ends at %#x: %#x to %#x, want the end %#x", e.pos, start, end, e.end)
		}
		last = start
	}
}

// TestIntegersOfText compares the text form with the log's.
func TestIntegersOfText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		got, err := textInteger(nil, strconv.AppendInt(nil, v, 10))
		if err != nil || string(got) != string(envelope.AppendLong(nil, v)) {
			t.Fatalf("%d: %x, %v", v, got, err)
		}
	})
	for _, text := range []string{"", "-", "1x", " 1", "1.5", "123456789012345678901"} {
		if _, err := textInteger(nil, []byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// FuzzStream feeds noise as events, after true ones that have opened a
// transaction: nothing panics, and what is emitted stays decodable.
func FuzzStream(f *testing.F) {
	events := saleEvents(1)
	for _, e := range events {
		g, _ := e.Event.(*replication.GenericEvent)
		f.Add(byte(e.Header.EventType), g.Data)
	}
	f.Add(byte(binlog.TypeQuery), append(make([]byte, 13), "\x00\x00TRUNCATE TABLE ecomm.sale"...))
	f.Add(byte(binlog.TypeWriteRowsV2), []byte("\a\x00\x00\x00\x00\x00\x01\x00\x02\x00\n\x00\x00\x00\x00")) // rows of no columns
	f.Add(byte(binlog.TypeTransactionPayload), []byte{2, 1, 255, 0, 1, 0, 0, 0, 30, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9})
	o := Options{Options: capture.Options{Class: "mysql", Prefix: "t", BatchSize: 10_000, BatchBytes: 4 << 20, Skipped: []string{"none"}}}
	cfg, err := newSettings(&o)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		tb := &table{}
		if err := tb.use(saleDef(), cfg); err != nil {
			t.Fatal(err)
		}
		pipe := capture.NewPipe(capture.Limits{Changes: 1 << 20, Bytes: 1 << 30})
		st := newStream(t.Context(), cfg, &goldenCatalog{}, pipe, quiet(), position{File: "bin.000001", Pos: 4}, gtidSet{}, map[string]*table{"ecomm.sale": tb}, newHistory(false))
		for _, e := range events[:2] {
			if err := st.HandleEvent(e); err != nil {
				t.Fatal(err)
			}
		}
		_ = st.HandleEvent(generic(typ, 1000, body))
		if err := st.HandleEvent(events[0]); err != nil {
			t.Fatal(err)
		}
		if err := st.HandleEvent(events[3]); err != nil {
			t.Fatal(err)
		}
		pipe.Fail(io.EOF)
		b, err := pipe.Next(t.Context())
		if err != nil {
			return // nothing of ours was in it
		}
		for _, c := range b.List {
			for _, row := range [][]byte{c.Before, c.After} {
				if row != nil && len(row) < 10 {
					t.Fatalf("row %x", row)
				}
			}
		}
	})
}

func TestJSONOfText(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1, "b": [1, 2.5, null]}`:      `{"a":1,"b":[1,2.5,null]}`,
		`"a: b, \" c"`:                       `"a: b, \" c"`,
		`[1e100, -1.50, 9.5367431640625e-7]`: `[10000000000000000159028911097599180468360808563945281389781327557747838772170381060813469985856815104,-1.50,0.00000095367431640625]`,
		`[]`:                                 `[]`,
		`["\u001f", 12345678.5, 1e15]`:       `["\u001F",12345678.5,1000000000000000]`,
		`-0.0`:                               `-0.0`,
		strings.Repeat(" ", 300) + "1":       "1",
	} {
		got, err := textJSON([]byte("x"), []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		n, head := binary.Varint(got[1:])
		if body := string(got[1+head:]); body != want || int(n) != len(body) || got[0] != 'x' {
			t.Errorf("%s: %q of length %d, want %q", text, body, n, want)
		}
	}
	for _, text := range []string{`"`, `"a\"`, `1e`} {
		if _, err := textJSON(nil, []byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
