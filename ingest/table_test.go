package ingest

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/internal/golden"
	"tributary/lake"
	"tributary/lake/blob"
)

// The tables made of every recorded scenario, cut into small objects and
// commits, must hold what the payloads fold to. Both forms go through the same
// test, thus end in the same rows.
func TestGoldenTables(t *testing.T) {
	scenarios := []string{"mysql/tickit", "mysql/crud", "mariadb/tickit", "mariadb/crud", "mariadb/types", "mysql/types",
		"postgres/tickit", "postgres/crud", "postgres/toast", "postgres/types"}
	tables := 0
	for _, root := range golden.Roots(t) {
		for _, scenario := range scenarios {
			dirs, err := filepath.Glob(filepath.Join(root, "debezium", filepath.FromSlash(scenario), "*", "records.jsonl"))
			must(t, err)
			for _, path := range dirs {
				dir := filepath.Dir(path)
				t.Run("debezium/"+scenario+"/"+filepath.Base(dir), func(t *testing.T) {
					tables += checkTables(t, recordings(t, dir))
				})
			}
		}
	}
	if tables < 200 {
		t.Errorf("only %d tables were checked", tables)
	}
}

func checkTables(t *testing.T, topics map[string][]recorded) (tables int) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	s := newService(t, bronzeStore, lakeStore)
	s.CommitBytes = 1
	s.TableName = "${topic}"
	s.DropColumns = true // the stream of PostgreSQL lacks generated columns, which its snapshot has
	s.Log = slog.New(slog.DiscardHandler)
	stops := map[string]string{} // topics that cannot become tables, and why
	for topic, records := range topics {
		if len(records[0].key) == 0 {
			stops[topic] = "have no key"
		}
		w := newSink(t, bronzeStore, topic, 0, 0)
		for i, r := range records {
			if text(r.payload["op"]) == "t" {
				stops[topic] = "truncate"
			}
			w.put(r)
			if i%5 == 4 {
				w.flush()
			}
		}
		w.flush()
	}
	err := s.Once(t.Context())
	if len(stops) == 0 && err != nil {
		t.Fatal(err)
	}
	for topic, why := range stops {
		if err == nil || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), topic) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: want an error about %q, got %v", topic, why, err)
		}
	}
	for topic, records := range topics {
		base := "silver/db/" + topic
		switch stops[topic] {
		case "":
			compare(t, base, readTable(t, lakeStore, base, ""), fold(t, records, false))
			tables++
		case "have no key":
			if _, err := lake.Open(t.Context(), lakeStore, base, lake.Options{}); !errors.Is(err, lake.ErrNoTable) {
				t.Errorf("a table without a key was made: %v", err)
			}
		}
	}
	return tables
}
