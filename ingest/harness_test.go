package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/avro"
	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

// newService returns a service over the stores, with one table at a time so
// that what happens is the same each time.
func newService(t *testing.T, bronzeStore, lakeStore blob.Store) *Service {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	return &Service{
		Settings: Settings{
			Bronze: bronzeStore, BronzeRoot: bronze.DefaultRoot, Lake: lakeStore, LakeRoot: "silver", Database: "db",
			TableName: "${table}", Placeholder: "__debezium_unavailable_value", CommitBytes: 8 << 20,
			Log: log, Now: time.Now,
		},
		Wants: func(string) bool { return true }, Poll: 10 * time.Millisecond, Refresh: 20 * time.Millisecond,
		Parallel: 1, Metrics: NewMetrics(prometheus.NewRegistry()),
	}
}

// sink writes records of one partition into bronze, as the sink does.
type sink struct {
	t *testing.T
	w *bronze.PartitionWriter
}

func newSink(t *testing.T, store blob.Store, topic string, partition int32, next int64) *sink {
	t.Helper()
	opt := bronze.Options{Store: store, Root: bronze.DefaultRoot, Codec: avro.Codec("null"), Spool: bronze.NewSpool(t.TempDir(), 64<<20)}
	s := &sink{t: t, w: bronze.NewPartitionWriter(opt, topic, partition, next)}
	t.Cleanup(func() { _ = s.w.Close() })
	return s
}

func (s *sink) put(r recorded) {
	s.t.Helper()
	folder := time.UnixMilli(r.timestamp).UTC().Format("year=2006/month=01/day=02")
	schema := &bronze.Schema{ID: r.schemaID, Text: r.schema, KeyFields: r.key}
	if s.w.NeedsFlush(folder, schema) {
		s.flush()
	}
	_, err := s.w.Append(s.t.Context(), r.offset, folder, schema, r.value)
	must(s.t, err)
}

func (s *sink) flush() {
	s.t.Helper()
	_, err := s.w.Flush(s.t.Context())
	must(s.t, err)
}

// tableRow is a row as text by column.
type tableRow map[string]string

// readTable returns a table's rows by key, as of now.
func readTable(t *testing.T, store blob.Store, base string, asOf string) map[string]tableRow {
	t.Helper()
	table, err := lake.Open(t.Context(), store, base, lake.Options{})
	must(t, err)
	snap, err := table.AsOf(t.Context(), asOf)
	must(t, err)
	rows := map[string]tableRow{}
	fields := snap.Schema().Fields
	for b, err := range snap.Scan(t.Context(), nil) {
		must(t, err)
		for i := range b.Len {
			r := tableRow{}
			for c, f := range fields {
				r[f.Name] = cell(f.Type, &b.Cols[c], i)
			}
			key := r.key(table.KeyFields())
			if _, dup := rows[key]; dup {
				t.Errorf("table %s has two rows of key %s", base, key)
			}
			rows[key] = r
		}
	}
	return rows
}

func (r tableRow) key(fields []string) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, r[f])
	}
	return strings.Join(parts, "|")
}

// fold applies records to rows by the rules of the package: it is the model
// that the tables are compared with.
func fold(t *testing.T, records []recorded, hard bool) map[string]tableRow {
	t.Helper()
	rows := map[string]tableRow{}
	for _, rec := range records {
		ch := changeOf(t, rec)
		in := tableRow{}
		for name, raw := range ch.values {
			if strings.HasPrefix(name, metaPrefix) {
				continue
			}
			typ := ch.types.field(name)
			in[name] = "?" // not compared
			if w, ok := want(t, raw, typ); ok {
				in[name] = w
			}
		}
		key := in.key(rec.key)
		old := rows[key]
		deleted := ch.op == "d"
		if deleted && hard {
			delete(rows, key)
			continue
		}
		for name, raw := range ch.values {
			if old != nil && !slices.Contains(rec.key, name) && (deleted || isPlaceholder(string(raw))) && !strings.HasPrefix(name, metaPrefix) {
				in[name] = old[name]
			}
		}
		in[colDeleted] = fmt.Sprintf("%q", fmt.Sprint(deleted))
		in[colOp] = fmt.Sprintf("%q", ch.op)
		rows[key] = in
	}
	return rows
}

// compare reports how a table differs from the model.
func compare(t *testing.T, base string, got, want map[string]tableRow) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		row, ok := got[key]
		if !ok {
			t.Errorf("%s: no row %s", base, key)
			continue
		}
		for name, w := range want[key] {
			g := row[name]
			if strings.Trim(g, `"`) != strings.Trim(w, `"`) && w != "?" {
				t.Errorf("%s: row %s: %s is %s, want %s", base, key, name, g, w)
			}
		}
	}
	for key := range got {
		if want[key] == nil {
			t.Errorf("%s: row %s is not in the source", base, key)
		}
	}
}

// sale makes the records of a made-up table in PostgreSQL's flat form.
type sales struct {
	schema string
	lsn    int64
	offset int64
}

const saleColumns = `{"name":"id","type":"int"},{"name":"qty","type":["null","int"],"default":null},{"name":"note","type":["null","string"],"default":null}`

const metaColumns = `{"name":"__deleted","type":["null","string"],"default":null},{"name":"__op","type":["null","string"],"default":null},` +
	`{"name":"__lsn","type":["null","long"],"default":null},{"name":"__source_ts_ms","type":["null","long"],"default":null}`

func saleSchema(columns string) string {
	return `{"type":"record","name":"Value","namespace":"t.s.sale","fields":[` + columns + `,` + metaColumns + `]}`
}

func newSales() *sales { return &sales{schema: saleSchema(saleColumns), lsn: 1000} }

// record makes the change of a row: op c, u or d. qty below 0 is null.
func (s *sales) record(op string, id, qty int, note string) recorded {
	s.lsn += 8
	v := avro.AppendLong(nil, int64(id))
	if qty < 0 {
		v = avro.AppendLong(v, 0)
	} else {
		v = avro.AppendLong(avro.AppendLong(v, 1), int64(qty))
	}
	v = avro.AppendString(avro.AppendLong(v, 1), note)
	v = s.meta(v, op)
	payload := fmt.Sprintf(`{"id":%d,"qty":%s,"note":%q,"__deleted":%q,"__op":%q,"__lsn":%d}`,
		id, map[bool]string{true: "null", false: fmt.Sprint(qty)}[qty < 0], note, fmt.Sprint(op == "d"), op, s.lsn)
	return s.finish(v, payload)
}

func (s *sales) meta(v []byte, op string) []byte {
	v = avro.AppendString(avro.AppendLong(v, 1), fmt.Sprint(op == "d"))
	v = avro.AppendString(avro.AppendLong(v, 1), op)
	v = avro.AppendLong(avro.AppendLong(v, 1), s.lsn)
	return avro.AppendLong(avro.AppendLong(v, 1), 1_700_000_000_000+s.lsn)
}

func (s *sales) finish(v []byte, payload string) recorded {
	r := recorded{
		offset: s.offset, timestamp: 1_700_000_000_000, schemaID: 1, schema: s.schema, key: []string{"id"}, value: v,
		connect: &connectSchema{Name: "t.s.sale.Value", Fields: []*connectSchema{
			{Field: "id", Type: "int32"}, {Field: "qty", Type: "int32"}, {Field: "note", Type: "string"}, {Field: "extra", Type: "int64"},
		}},
	}
	s.offset++
	if err := json.Unmarshal([]byte(payload), &r.payload); err != nil {
		panic(err)
	}
	return r
}

// once brings all tables up to date.
func once(t *testing.T, s *Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, s.Once(ctx))
}
