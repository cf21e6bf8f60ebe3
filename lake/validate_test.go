package lake

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// validTable is a partitioned table of two commits in memory.
func validTable(t *testing.T) (*Table, *blob.Mem) {
	t.Helper()
	m := new(blob.Mem)
	cfg := Config{Table: "valid", Schema: everyKind, KeyFields: []string{"k"}, PartitionFields: []string{"part"}, HivePartitions: true, Precombine: "__seq"}
	tab := create(t, m, cfg, Options{})
	for commit := range 2 {
		b := everyKind.NewBatch()
		for n := range 30 {
			everyRow(b, fmt.Sprint("key ", n*(commit+1)), commit*100+n+1)
		}
		if _, err := tab.Upsert(t.Context(), Rows{Batch: b}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return tab, m
}

// harm returns the harmful findings as text.
func harm(t *testing.T, tab *Table) string {
	t.Helper()
	if err := tab.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := tab.Validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range v.Findings {
		if f.Harmful {
			out = append(out, f.Object+": "+f.Problem)
		}
	}
	return strings.Join(out, "\n")
}

func TestValidateFindsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, m *blob.Mem, file string)
		want   string
	}{
		"nothing": {func(*testing.T, *blob.Mem, string) {}, ""},
		"no file": {func(t *testing.T, m *blob.Mem, file string) { remove(t, m, file) }, "is missing"},
		"torn":    {func(t *testing.T, m *blob.Mem, file string) { put(t, m, file, get(t, m, file)[:1000]) }, "1000 bytes, its commit says"},
		"metadata": {func(t *testing.T, m *blob.Mem, file string) {
			remove(t, m, file[:strings.LastIndexByte(file, '/')]+"/.hoodie_partition_metadata")
		}, "Spark reads no row"},
		"doubled": {func(t *testing.T, m *blob.Mem, file string) {
			at := strings.LastIndexByte(file, '/') + 1
			put(t, m, file[:at]+"x"+file[at:], get(t, m, file))
		}, "is there twice"},
		"no bloom": {func(t *testing.T, m *blob.Mem, file string) {
			put(t, m, file, bytes.ReplaceAll(get(t, m, file), []byte("org.apache.hudi.bloomfilter"), []byte("org.apache.hudi.bloomfilteR")))
		}, "no bloom filter"},
		"range": {func(t *testing.T, m *blob.Mem, file string) {
			put(t, m, file, bytes.ReplaceAll(get(t, m, file), []byte("hoodie_max_record_key"), []byte("hoodie_maX_record_key")))
		}, "outside the key range"},
	} {
		t.Run(name, func(t *testing.T) {
			tab, m := validTable(t)
			s, err := tab.AsOf(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			c.damage(t, m, s.Files()[0].Key)
			got := harm(t, tab)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// TestValidateMergeOnRead finds nothing in tables that real Hudi wrote, and a log
// that is damaged or gone.
func TestValidateMergeOnRead(t *testing.T) {
	for _, name := range []string{"hudi-0.15.0/mor_event_compacted", "hudi-0.15.0/mor_replace", "hudi-1.1.1/later_mor_v9"} {
		m := goldenStore(t, name)
		tab, err := Open(t.Context(), m, "", Options{})
		must(t, err)
		if h := harm(t, tab); h != "" {
			t.Errorf("%s: %s", name, h)
		}
		s, err := tab.AsOf(t.Context(), "")
		must(t, err)
		log := s.Logs()[0].Key
		body := get(t, m, log)
		put(t, m, log, append([]byte("#hudi#"), body[6:]...))
		if h := harm(t, tab); !strings.Contains(h, "the log cannot be read") {
			t.Errorf("%s: a damaged log is not found: %s", name, h)
		}
		remove(t, m, log)
		if h := harm(t, tab); !strings.Contains(h, "is missing") {
			t.Errorf("%s: a log that is gone is not found: %s", name, h)
		}
	}
}

func get(t *testing.T, m *blob.Mem, key string) []byte {
	t.Helper()
	b, err := readObject(t.Context(), m, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, m *blob.Mem, key string, b []byte) {
	t.Helper()
	if _, err := m.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), blob.Always()); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, m *blob.Mem, key string) {
	t.Helper()
	if err := m.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// TestTornLogOfACommit cuts a log that a commit tells the size of: validate finds it
// at every moment, and reading an instant that needs it is refused.
func TestTornLogOfACommit(t *testing.T) {
	for _, name := range []string{"mor_event_compacted", "mor_bucket", "mor_types"} {
		m := goldenStore(t, "hudi-0.15.0/"+name)
		tab, err := Open(t.Context(), m, "", Options{})
		must(t, err)
		if h := harm(t, tab); h != "" {
			t.Fatalf("%s: %s", name, h)
		}
		log, at := firstLog(t, tab)
		s, err := tab.AsOf(t.Context(), at)
		must(t, err)
		read := func() (err error) {
			for _, e := range s.Scan(t.Context(), nil) {
				err = e
			}
			return err
		}
		must(t, read())
		body := get(t, m, log)
		put(t, m, log, body[:len(body)-100])
		want := fmt.Sprintf("%d bytes, commit %s left %d", len(body)-100, at, len(body))
		if h := harm(t, tab); !strings.Contains(h, log) || !strings.Contains(h, want) {
			t.Errorf("%s: a torn log is not found: %s", name, h)
		}
		if err := read(); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "torn") {
			t.Errorf("%s: a torn log is read: %v", name, err)
		}
		// More than the commit tells is what a crashed writer has left.
		put(t, m, log, append(body[:len(body):len(body)], body[:300]...))
		must(t, read())
		if h := harm(t, tab); h != "" {
			t.Errorf("%s: %s", name, h)
		}
	}
}

// firstLog finds the first log that a commit tells of, and that commit.
func firstLog(t *testing.T, tab *Table) (key, instant string) {
	t.Helper()
	for _, i := range tab.Timeline().Completed() {
		c, err := tab.Commit(t.Context(), i)
		must(t, err)
		for _, list := range c.Stats {
			for _, w := range list {
				if strings.Contains(w.Path, ".log.") {
					return w.Path, i.Time
				}
			}
		}
	}
	t.Fatal("no log")
	return "", ""
}

// TestMissingFileIsToldOf takes a file of the newest commit away: neither readers
// nor writers go on with the file that it replaced.
func TestMissingFileIsToldOf(t *testing.T) {
	tab, m := validTable(t)
	done := tab.Timeline().Completed()
	must(t, tab.Close(t.Context()))
	c, err := tab.Commit(t.Context(), done[1])
	must(t, err)
	for _, list := range c.Stats {
		for _, w := range list {
			key := join(tab.Base(), w.Path)
			body := get(t, m, key)
			remove(t, m, key)
			fresh, err := Open(t.Context(), m, tab.Base(), Options{})
			must(t, err)
			_, err = fresh.AsOf(t.Context(), "")
			_, states := fresh.States(t.Context())
			for what, err := range map[string]error{"read": err, "states": states, "write": fresh.Lock(t.Context())} {
				if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), w.Path) || !strings.Contains(fault.Hint(err), "lakeq validate") {
					t.Errorf("%s: %v (%s)", what, err, fault.Hint(err))
				}
			}
			if _, err := fresh.AsOf(t.Context(), done[0].Time); err != nil {
				t.Errorf("before: %v", err)
			}
			if h := harm(t, fresh); !strings.Contains(h, "is missing") {
				t.Errorf("validate: %s", h)
			}
			put(t, m, key, body)
		}
	}
	must(t, tab.Lock(t.Context()))
	must(t, tab.Close(t.Context()))
}

// TestDamageMetByAWriter has an upsert meet a base file of which pages are damaged, and
// its footer is not: that does not heal by trying again.
func TestDamageMetByAWriter(t *testing.T) {
	tab, m := validTable(t)
	s, err := tab.AsOf(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Files() {
		text := bytes.Clone(get(t, m, f.Key))
		footer := int(binary.LittleEndian.Uint32(text[len(text)-8:])) + 8
		for i := 4; i < len(text)-footer; i += 7 {
			text[i] ^= 0x55
		}
		put(t, m, f.Key, text)
	}
	b := everyKind.NewBatch()
	everyRow(b, "key 1", 1000)
	_, err = tab.Upsert(t.Context(), Rows{Batch: b}, nil)
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v", err)
	}
}
