package lake

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"path"
	"strings"
	"testing"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// goldenStore unzips a golden table.
func goldenStore(t *testing.T, name string) *blob.Mem {
	t.Helper()
	m, ok := unzip(t, path.Join("testdata/hudi-tables", name, "table.zip")).(*blob.Mem)
	if !ok {
		t.Fatal("no store in memory")
	}
	return m
}

// readAll reads the newest state.
func readAll(t *testing.T, store blob.Store) ([]string, error) {
	t.Helper()
	tab, err := Open(t.Context(), store, "", Options{})
	if err != nil {
		return nil, err
	}
	s, err := tab.AsOf(t.Context(), "")
	if err != nil {
		return nil, err
	}
	var out []string
	for b, err := range s.Scan(t.Context(), []string{metaNames[metaRecordKey]}) {
		if err != nil {
			return nil, err
		}
		for r := range b.Len {
			out = append(out, string(b.Cols[0].Value(r)))
		}
	}
	return out, nil
}

// TestTablesThatAreRefused holds that a table that this package cannot read rightly
// is refused with a sentence that says why, and never read as something else.
func TestTablesThatAreRefused(t *testing.T) {
	change := func(key, value string) func(t *testing.T, m *blob.Mem) {
		return func(t *testing.T, m *blob.Mem) {
			p := parseProperties(get(t, m, propertiesFile))
			p[key] = value
			put(t, m, propertiesFile, p.format(newClock().at))
		}
	}
	// logs changes the kind of the first block of every log, at its place behind the
	// magic, the length and the version.
	logs := func(kind int) func(t *testing.T, m *blob.Mem) {
		return func(t *testing.T, m *blob.Mem) {
			for info, err := range m.List(t.Context(), "", "") {
				must(t, err)
				if _, ok := parseLogFile(path.Base(info.Key)); ok {
					b := get(t, m, info.Key)
					binary.BigEndian.PutUint32(b[len(logMagic)+8+4:], uint32(kind))
					put(t, m, info.Key, b)
				}
			}
		}
	}
	const plain, logged = "hudi-0.15.0/sale_late", "hudi-0.15.0/mor_event_compacted"
	for name, c := range map[string]struct {
		table  string
		change func(t *testing.T, m *blob.Mem)
		want   string
	}{
		"version 5":            {plain, change(propVersion, "5"), "table version 5 is not supported, only 6, 8 and 9"},
		"version 7":            {plain, change(propVersion, "7"), "table version 7"},
		"no version":           {plain, change(propVersion, ""), "table version 0"},
		"another layout":       {plain, change(propLayout, "2"), "timeline layout 2"},
		"hfile":                {plain, change(propBaseFormat, "HFILE"), "base files are HFILE"},
		"orc":                  {plain, change(propBaseFormat, "ORC"), "base files are ORC"},
		"bootstrapped":         {plain, change("hoodie.bootstrap.base.path", "/srv/old"), "bootstrapped"},
		"another type":         {plain, change(propType, "MERGE_ON_WRITE"), "MERGE_ON_WRITE"},
		"another checksum":     {plain, change(propChecksum, "1"), "checksum 1"},
		"another format":       {plain, change("hoodie.table.format", "iceberg"), "table format iceberg"},
		"logs without keys":    {logged, change(propMetaFields, "false"), "without Hudi's own columns"},
		"logs and paths":       {logged, change(propDropPartitions, "true"), propDropPartitions},
		"another payload":      {logged, change(propPayload, "com.example.OwnPayload"), "com.example.OwnPayload"},
		"another merge mode":   {logged, change("hoodie.record.merge.mode", "CUSTOM"), "CUSTOM"},
		"several orders":       {logged, func(t *testing.T, m *blob.Mem) { change(propPrecombine, "")(t, m); change(propOrdering, "a,b")(t, m) }, "several columns, a,b"},
		"hfile blocks":         {logged, logs(blockHFile), "HFile"},
		"blocks of the future": {logged, logs(9), "blocks of kind 9"},
	} {
		t.Run(name, func(t *testing.T) {
			m := goldenStore(t, c.table)
			c.change(t, m)
			rows, err := readAll(t, m)
			if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), c.want) || fault.Hint(err) == "" {
				t.Errorf("%d rows, %v (%s)", len(rows), err, fault.Hint(err))
			}
		})
	}
}

// TestTablesWithoutCommits holds that there is a table without rows, and no error,
// before the first write is done.
func TestTablesWithoutCommits(t *testing.T) {
	base := goldenStore(t, "hudi-0.15.0/sale_late")
	properties := get(t, base, propertiesFile)
	var data []byte
	for info, err := range base.List(t.Context(), "", "") {
		must(t, err)
		if strings.HasSuffix(info.Key, ".parquet") {
			data = get(t, base, info.Key)
		}
	}
	const at, file = "20261122172526994", "0e40e324-1a4f-48c5-abaa-44288f4406b7-0_0-0-0_20261122172526994.parquet"
	for name, objects := range map[string]map[string][]byte{
		"nothing":             {},
		"requested":           {".hoodie/" + at + ".commit.requested": nil},
		"inflight with files": {".hoodie/" + at + ".commit.requested": nil, ".hoodie/" + at + ".inflight": []byte("{}"), file: data, ".hoodie_partition_metadata": nil},
		"a delta commit":      {".hoodie/" + at + ".deltacommit.requested": nil, ".hoodie/" + at + ".deltacommit.inflight": nil, file: data},
		"a planned rollback":  {".hoodie/" + at + ".commit.requested": nil, ".hoodie/20261122172526999.rollback.requested": nil},
		"backup":              {".hoodie/hoodie.properties.backup": properties},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(blob.Mem)
			put(t, m, propertiesFile, properties)
			for key, b := range objects {
				put(t, m, key, b)
			}
			if name == "backup" {
				remove(t, m, propertiesFile)
			}
			rows, err := readAll(t, m)
			if err != nil || len(rows) != 0 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
			tab, err := Open(t.Context(), m, "", Options{})
			must(t, err)
			for _, when := range []string{"20200101000000000", at, "20300101000000000"} {
				if s, err := tab.AsOf(t.Context(), when); err != nil || len(s.Files()) > 0 || !s.Instant().IsZero() {
					t.Errorf("as of %s: %v, %v", when, s, err)
				}
			}
			if s, err := tab.Between(t.Context(), "000", ""); err != nil || len(s.Files()) > 0 {
				t.Errorf("between: %v, %v", s, err)
			}
		})
	}
}

// TestTableWithoutSchema reads a table of which only the files tell the columns, as
// engines do.
func TestTableWithoutSchema(t *testing.T) {
	for _, name := range []string{"hudi-0.15.0/types_bulk", "hudi-0.15.0/sale_late"} {
		m := goldenStore(t, name)
		whole, err := Open(t.Context(), m, "", Options{})
		must(t, err)
		before, err := whole.AsOf(t.Context(), "")
		must(t, err)
		want := readGolden(t, before, "")
		for _, i := range whole.Timeline().Completed() {
			c, err := whole.Commit(t.Context(), i)
			must(t, err)
			bare := *c
			bare.Extra = nil
			b, err := bare.format()
			must(t, err)
			put(t, m, whole.timelineKey(i), b)
		}
		tab, err := Open(t.Context(), m, "", Options{})
		must(t, err)
		s, err := tab.AsOf(t.Context(), "")
		must(t, err)
		if len(s.Schema().Fields) != len(before.Schema().Fields) {
			t.Errorf("%s: columns %s, want %s", name, s.Schema().JSON(), before.Schema().JSON())
		}
		compareGolden(t, readGolden(t, s, ""), want)
	}
	// A commit without anything in it, and no file to ask.
	m := new(blob.Mem)
	put(t, m, propertiesFile, get(t, goldenStore(t, "hudi-0.15.0/sale_late"), propertiesFile))
	put(t, m, ".hoodie/20240402144910683.commit", []byte("{}"))
	if rows, err := readAll(t, m); err != nil || len(rows) > 0 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	// One that is no commit is an error.
	for _, body := range []string{"", `["should","not","be","an","array"]`, "{", "Obj\x01"} {
		put(t, m, ".hoodie/20240402144910683.commit", []byte(body))
		if rows, err := readAll(t, m); !fault.NeedsHuman(err) {
			t.Errorf("%q: %d rows, %v", body, len(rows), err)
		}
	}
}

// TestRenamedColumns reads a column by the names that it had, where files are from
// before it was renamed, and not one that is another by now.
func TestRenamedColumns(t *testing.T) {
	dir := "testdata/hudi-tables/hudi-0.15.0/schema_on_read"
	tab, err := Open(t.Context(), unzip(t, dir+"/table.zip"), "", Options{})
	must(t, err)
	const renamed = "20261125144050256" // the newest file is older
	s, err := tab.AsOf(t.Context(), renamed)
	must(t, err)
	compareGolden(t, readGolden(t, s, ""), parseRows(t, dir+"/expected/"+renamed+".jsonl"))
	if s.Plain() {
		t.Error("the files are said to be read by any reader")
	}
	if now, err := tab.AsOf(t.Context(), ""); err != nil || !now.Plain() {
		t.Errorf("the files that were written anew are said not to be: %v", err)
	}
	if err := tab.Lock(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("the table is written: %v", err)
	}
	r := &renames{ids: map[string]int{"a": 1, "b": 3}, history: []schemaVersion{}}
	must(t, json.Unmarshal([]byte(`[{"version_id":20,"fields":[{"id":1,"name":"a"},{"id":3,"name":"b"}]},{"version_id":0,"fields":[{"id":1,"name":"x"},{"id":2,"name":"b"}]}]`), &r.history))
	for at, want := range map[string]string{"19": "x,", "20": "a,b", "21": "a,b"} {
		if got := r.nameAt(at, "a") + "," + r.nameAt(at, "b"); got != want {
			t.Errorf("as of %s the columns are named %s, want %s", at, got, want)
		}
	}
}

// TestLocalTimestamps reads a column of a type that has no form here but its text,
// from a file and from a log.
func TestLocalTimestamps(t *testing.T) {
	const micros = int64(1_219_323_013_000_001)
	col := basefile.Column{Name: "at", Physical: basefile.Int64, Annotation: basefile.TimestampMicros, Nullable: true}
	key := metaColumn(metaRecordKey)
	var buf bytes.Buffer
	w, err := basefile.NewWriter(&buf, "t", []basefile.Column{key, col})
	must(t, err)
	enc, err := basefile.NewEncoder("none")
	must(t, err)
	keys, times := column.Column{Kind: column.Bytes}, column.Column{Kind: column.Int}
	keys.AppendString("a")
	times.AppendInt(micros)
	var chunks []*basefile.Chunk
	for i, c := range []*column.Column{&keys, &times} {
		ch, err := enc.Encode([]basefile.Column{key, col}[i], c)
		must(t, err)
		chunks = append(chunks, ch)
	}
	must(t, w.Append(chunks))
	_, err = w.Close(nil)
	must(t, err)
	const schema = `{"type":"record","name":"r","fields":[{"name":"_hoodie_record_key","type":["null","string"]},{"name":"at","type":["null",{"type":"long","logicalType":"local-timestamp-micros"}]}]}`
	s, err := ParseSchema(schema)
	must(t, err)
	file, err := basefile.Open(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	must(t, err)
	got := column.Column{Kind: column.Bytes}
	must(t, file.Read(0, s.Fields[0].column(), &got))
	node, err := parseAvroSchema([]byte(schema))
	must(t, err)
	rec, err := appendAvro(nil, node, map[string]any{"_hoodie_record_key": "a", "at": micros})
	must(t, err)
	rows, err := newAvroRows(schema, s.Fields)
	must(t, err)
	b := s.NewBatch()
	must(t, rows.append(b, rec))
	const want = `"2008-08-21T12:50:13.000001Z"`
	if string(got.Value(0)) != want || string(b.Cols[0].Value(0)) != want {
		t.Errorf("read as %s and %s, want %s", got.Value(0), b.Cols[0].Value(0), want)
	}
}

// TestChangedFileGroups holds that two states of a merge-on-read table are compared,
// and a key looked for, by the file groups that differ.
func TestChangedFileGroups(t *testing.T) {
	tab, err := Open(t.Context(), goldenStore(t, "hudi-0.15.0/mor_event_compacted"), "", Options{})
	must(t, err)
	states, err := tab.States(t.Context())
	must(t, err)
	less := 0
	for n := 1; n < len(states); n++ {
		before, after := states[n-1], states[n]
		old, err := before.Without(t.Context(), after)
		must(t, err)
		changed, err := after.Without(t.Context(), before)
		must(t, err)
		if len(changed.Groups()) < len(after.Groups()) {
			less++
		}
		rows := func(s *Snapshot) map[string]bool {
			out := map[string]bool{}
			for _, l := range dumpSnapshot(t, s, []string{"_hoodie_record_key", "_hoodie_partition_path", "note", "__source_ts_ms"}) {
				out[l] = true
			}
			return out
		}
		all, now, oldChanged, nowChanged := rows(before), rows(after), rows(old), rows(changed)
		for l := range now {
			if !all[l] && !nowChanged[l] {
				t.Errorf("%s is new at %s, but not in what changed", l, after.Instant().Time)
			}
		}
		for l := range all {
			if !now[l] && !oldChanged[l] {
				t.Errorf("%s is gone at %s, but not in what changed", l, after.Instant().Time)
			}
		}
		for l := range nowChanged {
			if n%4 != 0 {
				break
			}
			key, _, _ := strings.Cut(l, "|")
			of, err := after.WithKey(t.Context(), key)
			must(t, err)
			if got := rows(of); len(got) != 1 || !got[l] {
				t.Fatalf("key %s at %s: %v, want %s", key, after.Instant().Time, got, l)
			}
		}
	}
	if less == 0 {
		t.Error("every state differs in every file group")
	}
}
