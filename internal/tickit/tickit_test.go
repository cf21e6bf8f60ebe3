package tickit_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"testing"
	"tributary/internal/tickit"

	"github.com/google/go-cmp/cmp"
)

// The text of every table at full size, so that a change of the data is a
// decision and not an accident.
var sums = map[string]string{
	"category": "8f5fb8ff880b5588",
	"venue":    "6934d6efcd948917",
	"event":    "6a4aceaa8eb68205",
	"user":     "b301c33ea02caa62",
	"date":     "00c599899cb89e46",
	"listing":  "a072b397b2e451f3",
	"sale":     "5ae4ed75d3db2a23",
}

func TestSameRowsEveryTime(t *testing.T) {
	data := tickit.New(tickit.Full())
	for _, table := range tickit.Tables() {
		h := sha256.New()
		if _, err := io.Copy(h, data.Reader(table.Name)); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(h.Sum(nil))[:16]; got != sums[table.Name] {
			t.Errorf("%s: got %s, want %s", table.Name, got, sums[table.Name])
		}
	}
}

func TestRowCountsAreTheSamples(t *testing.T) {
	want := map[string]int{
		"category": 11, "event": 8798, "venue": 202, "date": 365, "listing": 192497, "sale": 172456, "user": 49990,
	}
	data := tickit.New(tickit.Full())
	got := map[string]int{}
	for _, table := range tickit.Tables() {
		rows := read(t, data, table)
		got[table.Name] = len(rows)
		if data.Rows(table.Name) != len(rows) {
			t.Errorf("%s: Rows says %d, the text has %d", table.Name, data.Rows(table.Name), len(rows))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if data.Total() != 424319 {
		t.Errorf("Total: %d", data.Total())
	}
}

// read returns a table's rows by key, each as a map from column to text.
func read(t *testing.T, data *tickit.Data, table tickit.Table) map[string]map[string]string {
	t.Helper()
	r := data.Reader(table.Name)
	defer r.Close()
	rows := map[string]map[string]string{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != len(table.Columns) {
			t.Fatalf("%s: %d fields in %q", table.Name, len(fields), lines.Text())
		}
		row := map[string]string{}
		for i, c := range table.Columns {
			row[c.Name] = fields[i]
		}
		if rows[fields[0]] != nil {
			t.Fatalf("%s: key %s twice", table.Name, fields[0])
		}
		rows[fields[0]] = row
	}
	return rows
}

func TestReferencesHoldAndNothingIsOversold(t *testing.T) {
	for name, size := range map[string]tickit.Size{"full": tickit.Full(), "small": tickit.Small(0)} {
		t.Run(name, func(t *testing.T) {
			data := tickit.New(size)
			tables := map[string]map[string]map[string]string{}
			for _, table := range tickit.Tables() {
				tables[table.Name] = read(t, data, table)
			}
			refer := func(from, column, to string) {
				for key, row := range tables[from] {
					if tables[to][row[column]] == nil {
						t.Fatalf("%s %s: %s %s does not exist", from, key, column, row[column])
					}
				}
			}
			refer("event", "venueid", "venue")
			refer("event", "catid", "category")
			refer("event", "dateid", "date")
			refer("listing", "sellerid", "user")
			refer("listing", "eventid", "event")
			refer("sale", "listid", "listing")
			refer("sale", "buyerid", "user")
			refer("sale", "dateid", "date")
			if tables["sale"]["200"] == nil {
				t.Error("no sale 200")
			}
			sold := map[string]int{}
			for key, sale := range tables["sale"] {
				listing := tables["listing"][sale["listid"]]
				event := tables["event"][sale["eventid"]]
				if sale["eventid"] != listing["eventid"] || sale["sellerid"] != listing["sellerid"] {
					t.Fatalf("sale %s is not of its listing", key)
				}
				if at := sale["saletime"]; at <= listing["listtime"] || at > event["starttime"] {
					t.Fatalf("sale %s at %s: listed %s, starts %s", key, at, listing["listtime"], event["starttime"])
				}
				if tables["date"][sale["dateid"]]["caldate"] != sale["saletime"][:10] {
					t.Fatalf("sale %s: dateid %s is not the day of %s", key, sale["dateid"], sale["saletime"])
				}
				n, err := strconv.Atoi(sale["qtysold"])
				if err != nil {
					t.Fatal(err)
				}
				sold[sale["listid"]] += n
			}
			for id, n := range sold {
				if have, _ := strconv.Atoi(tables["listing"][id]["numtickets"]); n > have {
					t.Fatalf("listing %s: %d of %d sold", id, n, have)
				}
			}
		})
	}
}

func TestValuesFitTheirColumns(t *testing.T) {
	data := tickit.New(tickit.Full())
	for _, table := range tickit.Tables() {
		for _, row := range read(t, data, table) {
			for _, c := range table.Columns {
				checkFit(t, table.Name, c, row[c.Name])
			}
		}
	}
}

func checkFit(t *testing.T, table string, c tickit.Column, v string) {
	t.Helper()
	if v == `\N` {
		return
	}
	kind, limit, _ := strings.Cut(strings.TrimSuffix(c.Type, ")"), "(")
	switch kind {
	case "VARCHAR", "CHAR":
		if n, _ := strconv.Atoi(limit); len(v) > n || strings.TrimSpace(v) != v || strings.Contains(v, `\`) {
			t.Fatalf("%s.%s: %q in %s", table, c.Name, v, c.Type)
		}
	case "DECIMAL":
		whole, cents, _ := strings.Cut(v, ".")
		if len(whole) > 6 || len(cents) != 2 {
			t.Fatalf("%s.%s: %q in %s", table, c.Name, v, c.Type)
		}
	case "SMALLINT":
		if _, err := strconv.ParseInt(v, 10, 16); err != nil {
			t.Fatalf("%s.%s: %v", table, c.Name, err)
		}
	}
}

func TestRangeContinues(t *testing.T) {
	data := tickit.New(tickit.Small(0))
	whole, err := io.ReadAll(data.Reader("sale"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := io.ReadAll(data.Range("sale", 0, 77))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(data.Range("sale", 77, data.Rows("sale")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(whole), string(a)+string(b)); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkSales(b *testing.B) {
	data := tickit.New(tickit.Full())
	for b.Loop() {
		n, err := io.Copy(io.Discard, data.Reader("sale"))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
