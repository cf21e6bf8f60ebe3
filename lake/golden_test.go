package lake

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// goldenRoots returns the folders with fixtures that are on this machine: the
// copies in testdata, those beside the repository, and GOLDEN_EXTRA.
func goldenRoots(t *testing.T, kind string) []string {
	t.Helper()
	roots := append([]string{"testdata", "../../shared/fixtures"}, filepath.SplitList(os.Getenv("GOLDEN_EXTRA"))...)
	var out []string
	for _, r := range roots {
		if dir := filepath.Join(r, kind); isDir(dir) {
			out = append(out, dir)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no fixtures of kind %s", kind)
	}
	return out
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// goldenDifferences reads the intended differences: a line is the name of a
// fixture, what differs, and the reason.
func goldenDifferences(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/golden-differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for l := range strings.Lines(string(b)) {
		l = strings.TrimSpace(l)
		if f := strings.Fields(l); len(f) >= 3 && l[0] != '#' {
			out[f[0]] = f[1]
		}
	}
	return out
}

func unzip(t testing.TB, path string) blob.Store {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	m := new(blob.Mem)
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") || strings.HasPrefix(f.Name, "__MACOSX/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		addObject(t, m, f.Name, r)
		r.Close()
	}
	return m
}

func untar(t *testing.T, path string) blob.Store {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	m := new(blob.Mem)
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			addObject(t, m, h.Name, r)
		}
	}
}

func addObject(t testing.TB, s blob.Store, key string, r io.Reader) {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), blob.Always()); err != nil {
		t.Fatal(err)
	}
}

// goldenValue writes a value as Hudi's fixtures do, to be compared as JSON.
func goldenValue(ty Type, c *column.Column, r int, dialect string) any {
	if c.IsNull(r) {
		return nil
	}
	switch ty.Kind {
	case Boolean:
		return c.Ints[r] != 0
	case Float, Double:
		v := c.Floats[r]
		switch {
		case math.IsNaN(v):
			return "NaN"
		case math.IsInf(v, 0):
			return strings.TrimPrefix(strings.Replace(fmt.Sprint(v), "Inf", "Infinity", 1), "+")
		}
		return v
	case Bytes, Fixed:
		if dialect == "truth" {
			return map[string]any{"hex": hex.EncodeToString(c.Value(r))}
		}
		return base64.StdEncoding.EncodeToString(c.Value(r))
	case TimestampMicros, TimestampMillis:
		micros := c.Ints[r]
		if ty.Kind == TimestampMillis {
			micros *= 1000
		}
		if dialect == "truth" {
			return json.Number(strconv.FormatInt(micros, 10))
		}
		return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
	case String, Date, Decimal:
		return string(appendText(nil, ty, c, r))
	case Other:
		d := json.NewDecoder(bytes.NewReader(c.Value(r)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return fmt.Sprintf("%q: %v", c.Value(r), err)
		}
		if m, ok := v.(map[string]any); ok && dialect == "truth" && strings.Contains(ty.Avro, `"map"`) {
			pairs := []any{}
			for k, v := range m {
				pairs = append(pairs, []any{k, v})
			}
			return pairs
		}
		return v
	default:
		return json.Number(strconv.FormatInt(c.Ints[r], 10))
	}
}

// sameGolden compares a value with the fixture's, numbers as numbers.
func sameGolden(got, want any) bool {
	switch w := want.(type) {
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !sameGolden(g[i], w[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k := range w {
			if v, ok := g[k]; !ok || !sameGolden(v, w[k]) {
				return false
			}
		}
		return true
	}
	if n, ok := want.(json.Number); ok {
		switch g := got.(type) {
		case json.Number:
			return g == n || string(g)+".0" == string(n) // the reader had the newer type, a double
		case float64:
			w, err := n.Float64()
			return err == nil && (w == g || float32(w) == float32(g) && float64(float32(g)) == g)
		}
		return false
	}
	if w, ok := want.(string); ok { // the reader had the newer type, a string
		switch g := got.(type) {
		case json.Number:
			return string(g) == w
		case float64:
			return string(appendJavaFloat(nil, g, 64)) == w || string(appendJavaFloat(nil, g, 32)) == w
		}
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

type goldenRow = map[string]any

// readGolden reads a snapshot as rows, Hudi's own columns first.
func readGolden(t *testing.T, s *Snapshot, dialect string) (rows []goldenRow) {
	t.Helper()
	names := append([]string(nil), metaNames[:]...)
	for _, f := range s.Schema().Fields {
		names = append(names, f.Name)
	}
	fields, err := s.fields(names)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range s.Scan(context.Background(), names) {
		if err != nil {
			t.Fatal(err)
		}
		for r := range b.Len {
			row := goldenRow{}
			for i, f := range fields {
				row[f.Name] = goldenValue(f.Type, &b.Cols[i], r, dialect)
			}
			rows = append(rows, row)
		}
	}
	sortGolden(rows)
	return rows
}

func sortGolden(rows []goldenRow) {
	id := func(r goldenRow) string {
		if r[metaNames[metaRecordKey]] == nil {
			return plainCells(r)
		}
		return fmt.Sprintf("%v\x00%v\x00%v", r["_hoodie_partition_path"], r["_hoodie_record_key"], r["_hoodie_commit_seqno"])
	}
	sort.Slice(rows, func(i, j int) bool { return id(rows[i]) < id(rows[j]) })
}

// plainCells tells apart the rows of a table without Hudi's own columns: the
// cells that are written in one way only.
func plainCells(r goldenRow) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		switch v := r[name].(type) {
		case string:
			fmt.Fprintf(&b, "%s=%q ", name, v)
		case json.Number:
			if !strings.ContainsAny(string(v), ".eE") {
				fmt.Fprintf(&b, "%s=%s ", name, v)
			}
		}
	}
	return b.String()
}

// withoutPathTime drops the partition column of a table with partitions by time:
// Spark shows the path's text in place of the stored value.
func withoutPathTime(tab *Table, rows []goldenRow) []goldenRow {
	if strings.HasSuffix(tab.props[propKeygen], "TimestampBasedKeyGenerator") || tab.props["hoodie.table.keygenerator.type"] == "TIMESTAMP" {
		for _, r := range rows {
			for _, name := range tab.PartitionFields() {
				delete(r, name)
			}
		}
	}
	return rows
}

func compareGolden(t *testing.T, got, want []goldenRow) {
	t.Helper()
	sortGolden(want)
	if len(want) > 0 && want[0][metaNames[metaRecordKey]] == nil {
		for _, r := range got { // as told from others by the columns that are compared
			maps.DeleteFunc(r, func(name string, _ any) bool { _, ok := want[0][name]; return !ok })
		}
		sortGolden(got)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range want {
		for name, w := range want[i] {
			if g, ok := got[i][name]; !ok && w != nil || ok && !sameGolden(g, w) {
				t.Fatalf("row %v: %s is %v, want %v", want[i]["_hoodie_record_key"], name, g, w)
			}
		}
	}
}

func parseRows(t *testing.T, path string) []goldenRow {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []goldenRow
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	for {
		var r goldenRow
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
}

// goldenCopies tells of fixtures that are there several times, byte for byte,
// below several roots.
type goldenCopies map[[2]string]bool

func (g goldenCopies) seen(t *testing.T, name, path string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	id := [2]string{name, fmt.Sprintf("%x", sha256.Sum256(b))}
	defer func() { g[id] = true }()
	return g[id]
}

// TestGoldenTables reads the tables that real Hudi wrote, at every instant.
func TestGoldenTables(t *testing.T) {
	differences, copies := goldenDifferences(t), goldenCopies{}
	for _, root := range goldenRoots(t, "hudi-tables") {
		zips, err := filepath.Glob(filepath.Join(root, "*", "*", "table.zip"))
		if err != nil || len(zips) == 0 {
			t.Fatalf("no tables in %s: %v", root, err)
		}
		for _, z := range zips {
			dir := filepath.Dir(z)
			name := "hudi-tables/" + filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir)
			if copies.seen(t, name, z) {
				continue
			}
			t.Run(name, func(t *testing.T) { goldenTable(t, name, dir, unzip(t, z), differences) })
		}
	}
}

// goldenAt is an instant of a fixture.
type goldenAt struct {
	Instant  string
	Active   *bool  `json:"on_active_timeline"`
	Equals   bool   `json:"time_travel_equals_truth"`
	Rows     int    `json:"rows_time_travel"`
	Truth    string `json:"truth_from"`
	NotAsked string `json:"time_travel_error"`
}

// readable reports whether the engine that wrote the table reads the instant
// rightly at the end.
func (a *goldenAt) readable() bool { return a.Equals || a.Truth != "" && a.NotAsked == "" }

func (a *goldenAt) active() bool { return a.Active == nil || *a.Active }

func goldenTable(t *testing.T, name, dir string, store blob.Store, differences map[string]string) {
	tab, err := Open(t.Context(), store, "", Options{})
	if differences[name] == "refused" {
		if !fault.NeedsHuman(err) {
			t.Fatalf("the table is not refused: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var about struct {
		Instants    []goldenAt
		Incremental []struct{ Error string }
	}
	b, err := os.ReadFile(filepath.Join(dir, "about.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &about); err != nil {
		t.Fatal(err)
	}
	if len(about.Instants) == 0 {
		t.Fatal("no instants")
	}
	newest := "" // what was restored away since is not
	for _, i := range about.Instants {
		if i.active() {
			newest = i.Instant
		}
	}
	left := ""
	for _, i := range about.Instants {
		if i.active() {
			left = i.Instant
		}
		strict := i.Instant == newest
		if differences[name+"/"+i.Instant] == "rows" { // the truth is not Hudi's
			i.Equals, i.Truth, strict = false, "", false
		}
		t.Run(i.Instant, func(t *testing.T) { goldenInstant(t, tab, dir, i, left, strict) })
	}
	windows, err := filepath.Glob(filepath.Join(dir, "incremental", "*.jsonl"))
	asked := 0 // the engine fails over some
	for _, w := range about.Incremental {
		if w.Error == "" {
			asked++
		}
	}
	if err != nil || len(windows) < asked {
		t.Fatalf("%d incremental reads of %d: %v", len(windows), asked, err)
	}
	for _, w := range windows {
		t.Run("incremental/"+filepath.Base(w), func(t *testing.T) { goldenIncremental(t, tab, w) })
	}
	for n, to := range about.Instants {
		if !to.active() || !to.readable() || tab.props.mergeOnRead() || !tab.props.is(propMetaFields, true) {
			continue
		}
		for _, from := range about.Instants[:n] {
			t.Run("between/"+from.Instant+"_"+to.Instant, func(t *testing.T) { goldenBetween(t, tab, dir, from.Instant, to.Instant) })
		}
	}
}

// goldenBetween compares the rows that changed between two instants with those
// of the truth at the later one that were written after the earlier.
func goldenBetween(t *testing.T, tab *Table, dir, from, to string) {
	s, err := tab.Between(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(withoutPathTime(tab, parseRows(t, filepath.Join(dir, "expected", to+".jsonl"))), func(r goldenRow) bool {
		at, ok := r["_hoodie_commit_time"].(string)
		return !ok || at <= from
	})
	compareGolden(t, readGolden(t, s, ""), want)
}

// completedBy returns the newest instant that was completed at or before at.
func completedBy(t *testing.T, tab *Table, at string) string {
	t.Helper()
	tl, err := tab.timelineAt(t.Context(), tab.Timeline(), "0")
	if err != nil {
		t.Fatal(err)
	}
	newest := "000"
	for _, i := range tl.Completed() {
		if i.Done <= at {
			newest = i.Time
		}
	}
	return newest
}

// goldenIncremental compares the rows that changed between two instants.
func goldenIncremental(t *testing.T, tab *Table, path string) {
	from, to, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".jsonl"), "_")
	if tab.props.later() {
		// Hudi 1.x means the times of completion.
		from, to = completedBy(t, tab, from), completedBy(t, tab, to)
	}
	s, err := tab.Between(t.Context(), from, to)
	if errors.Is(err, ErrHorizon) && to < tab.Timeline().Horizon() {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, want := readGolden(t, s, ""), withoutPathTime(tab, parseRows(t, path))
	for _, r := range want {
		for _, name := range tab.PartitionFields() {
			// Hudi 1.1 gives the path's text here, url-encoded, and any loses what is in
			// the path alone.
			v, _ := r[name].(string)
			plain, err := url.PathUnescape(v)
			if tab.props.is(propDropPartitions, false) && r[name] == nil {
				delete(r, name)
			} else if err == nil && plain != v && tab.props.is(propURLEncode, false) {
				r[name] = plain
			}
		}
	}
	if archived, err := tab.archived(t.Context()); err == nil && archived && from == "000" {
		// Hudi 0.15 passes over the rows of archived commits, 1.1 reads the newest
		// state: ours come besides.
		first := map[any]bool{}
		for _, r := range want {
			first[r["_hoodie_commit_seqno"]] = true
			delete(r, metaNames[metaFileName])
		}
		got = slices.DeleteFunc(got, func(r goldenRow) bool { return !first[r["_hoodie_commit_seqno"]] })
		if tab.props.later() {
			have := map[any]bool{}
			for _, r := range got {
				have[r["_hoodie_commit_seqno"]] = true
			}
			want = slices.DeleteFunc(want, func(r goldenRow) bool { return !have[r["_hoodie_commit_seqno"]] })
		}
	}
	compareGolden(t, got, want)
}

// goldenInstant compares an instant with the truth. left is the newest instant up
// to it that is on the timeline still.
func goldenInstant(t *testing.T, tab *Table, dir string, at goldenAt, left string, newest bool) {
	instant := at.Instant
	s, err := tab.AsOf(t.Context(), instant)
	if !at.readable() && !newest {
		// Cleaned, archived or restored away: an honest refusal, the truth, or the
		// state that is left of before.
		if err != nil && !errors.Is(err, ErrHorizon) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		if !at.active() && left != "" && s.Instant().Time == left {
			instant = left
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	got := readGolden(t, s, "")
	want := withoutPathTime(tab, parseRows(t, filepath.Join(dir, "expected", instant+".jsonl")))
	if !at.readable() && !newest && at.active() {
		// A compaction that was done later has moved rows, or is of a time before
		// writes that were completed when the truth was taken: the engine itself does
		// not read the truth any more, but as many rows as we do.
		if len(got) != at.Rows {
			t.Errorf("%d rows, the engine reads %d", len(got), at.Rows)
		}
		return
	}
	compareGolden(t, got, want)
	if n := s.Rows(); n >= 0 && n != int64(len(want)) {
		t.Errorf("the commits tell of %d rows, there are %d", n, len(want))
	}
	optimized := filepath.Join(dir, "expected_read_optimized", instant+".jsonl")
	if _, err := os.Stat(optimized); err == nil {
		compareGolden(t, readGolden(t, s.ReadOptimized(), ""), withoutPathTime(tab, parseRows(t, optimized)))
	}
	if newest {
		now, err := tab.AsOf(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, readGolden(t, now, ""), want)
	}
}

// TestGoldenTruth reads the tables that Hudi's Java client wrote.
func TestGoldenTruth(t *testing.T) {
	differences, copies := goldenDifferences(t), goldenCopies{}
	for _, root := range goldenRoots(t, "hudi-format") {
		files, err := filepath.Glob(filepath.Join(root, "truth", "*.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			base := strings.TrimSuffix(filepath.Base(f), ".tar.gz")
			name := "hudi-format/truth/" + base
			if copies.seen(t, name, f) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				tab, err := Open(t.Context(), untar(t, f), base, Options{})
				if differences[name] == "refused" {
					if !fault.NeedsHuman(err) {
						t.Fatalf("the table is not refused: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				goldenTruth(t, tab, strings.TrimSuffix(f, ".tar.gz")+".expected.json")
			})
		}
	}
}

func goldenTruth(t *testing.T, tab *Table, expected string) {
	b, err := os.ReadFile(expected)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]goldenRow
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&want); err != nil {
		t.Fatal(err)
	}
	for instant, rows := range want {
		t.Run(instant, func(t *testing.T) {
			at := instant
			if at == "latest" {
				at = ""
			}
			s, err := tab.AsOf(t.Context(), at)
			if errors.Is(err, ErrHorizon) {
				// The reader that made these answers without a warning from what is left.
				if at >= tab.Timeline().Horizon() {
					t.Errorf("%s is refused, the horizon is %s", at, tab.Timeline().Horizon())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, readGolden(t, s, "truth"), rows)
		})
	}
}

// TestGoldenHudiRs reads the tables of hudi-rs' own tests, whose rows are (id,
// name, isActive).
func TestGoldenHudiRs(t *testing.T) {
	root := "testdata/hudi-format/hudi-rs/cow"
	four := []string{"1|Alice|false", "2|Bob|false", "3|Carol|true", "4|Diana|true"}
	for name, c := range map[string]struct {
		want   []string
		asOf   string
		wantAt []string
	}{
		"v6_empty":                                    {},
		"v6_nonpartitioned":                           {want: four},
		"v6_complexkeygen_hivestyle":                  {want: four},
		"v6_simplekeygen_nonhivestyle":                {want: four, asOf: "20240418172802262", wantAt: []string{"1|Alice|true", "2|Bob|false", "3|Carol|true"}},
		"v6_simplekeygen_hivestyle_no_metafields":     {want: four},
		"v6_simplekeygen_nonhivestyle_overwritetable": {want: []string{"4|Diana|false"}},
		"v8_nonpartitioned":                           {want: four},
		"v8_simplekeygen_nonhivestyle":                {want: four, asOf: "20250713011315930", wantAt: []string{"1|Alice|true", "2|Bob|false", "3|Carol|true"}},
	} {
		t.Run("hudi-format/hudi-rs/cow/"+name, func(t *testing.T) {
			tab, err := Open(t.Context(), unzip(t, filepath.Join(root, name+".zip")), name, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for at, want := range map[string][]string{"": c.want, c.asOf: c.wantAt} {
				if at == "" {
					want = c.want
				}
				s, err := tab.AsOf(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				columns := []string{"id", "name", "isActive"}
				if len(want) == 0 {
					if len(s.Files()) != 0 {
						t.Errorf("files %v", s.Files())
					}
					continue
				}
				wantLines(t, "rows", dumpSnapshot(t, s, columns), want...)
			}
		})
	}
	t.Run("hudi-format/hudi-rs/cow/v9_txns_nonpart_nometa", func(t *testing.T) {
		tab, err := Open(t.Context(), unzip(t, filepath.Join(root, "v9_txns_nonpart_nometa.zip")), "v9_txns_nonpart_nometa", Options{})
		if err != nil {
			t.Fatal(err)
		}
		states, err := tab.States(t.Context())
		if err != nil || len(states) != 11 {
			t.Fatalf("%d states, %v", len(states), err)
		}
		for _, s := range states {
			if n := len(dumpSnapshot(t, s, nil)); int64(n) != s.Rows() || n == 0 {
				t.Errorf("as of %s: %d rows, the commits tell of %d", s.Instant().Time, n, s.Rows())
			}
		}
		if err := tab.Lock(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "version 9") {
			t.Errorf("the table is not refused to a writer: %v", err)
		}
	})
}

// TestGoldenHudiRsAll reads every table of hudi-rs' own tests, at every instant:
// each is read to its end, with as many rows as its commits tell of, or refused
// with a sentence.
func TestGoldenHudiRsAll(t *testing.T) {
	copies := goldenCopies{}
	for _, root := range goldenRoots(t, "hudi-format") {
		zips, err := filepath.Glob(filepath.Join(root, "hudi-rs", "*", "*.zip"))
		if err != nil {
			t.Fatal(err)
		}
		for _, z := range zips {
			base := strings.TrimSuffix(filepath.Base(z), ".zip")
			name := "hudi-format/hudi-rs/" + filepath.Base(filepath.Dir(z)) + "/" + base
			if copies.seen(t, name, z) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				tab, err := Open(t.Context(), unzip(t, z), base, Options{})
				if fault.NeedsHuman(err) && fault.Hint(err) != "" {
					t.Log(err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				states, err := tab.States(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range states {
					if rows := len(readGolden(t, s, "")); s.Rows() >= 0 && int64(rows) != s.Rows() {
						t.Errorf("as of %s: %d rows, the commits tell of %d", s.Instant().Time, rows, s.Rows())
					}
				}
			})
		}
	}
}
