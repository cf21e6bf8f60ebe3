package lake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tributary/lake/basefile"
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

// TestWhatEnginesInsistOn holds what real engines fail over, or read wrong rows
// without, one by one.
func TestWhatEnginesInsistOn(t *testing.T) {
	tab, m := validTable(t)
	s, err := tab.AsOf(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("properties", func(t *testing.T) {
		p := parseProperties(get(t, m, join(tab.Base(), propertiesFile)))
		for key, want := range map[string]string{
			propVersion: "6", propLayout: "1", propType: "COPY_ON_WRITE", propKeys: "k", propPartitions: "part",
			propChecksum: tableChecksum(p[propDatabase], p[propName]), propTimezone: "UTC", propMetadata: "", propDropPartitions: "false",
		} {
			if p[key] != want {
				t.Errorf("%s=%s, want %s", key, p[key], want)
			}
		}
	})
	t.Run("timeline", func(t *testing.T) {
		for _, i := range tab.Timeline().Completed() {
			name := join(tab.Base(), ".hoodie/"+i.Time)
			if b := get(t, m, name+".commit.requested"); len(b) != 0 {
				t.Errorf("requested has %d bytes", len(b))
			}
			get(t, m, name+".inflight")
			var doc struct {
				Stats map[string][]struct {
					FileID, Path, PartitionPath string
					FileSizeInBytes, NumWrites  int64
				} `json:"partitionToWriteStats"`
				Compacted     *bool
				OperationType string
				Extra         map[string]string `json:"extraMetadata"`
			}
			if err := json.Unmarshal(get(t, m, name+".commit"), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Compacted == nil || doc.OperationType != "UPSERT" || doc.Extra["schema"] == "" || len(doc.Stats) == 0 {
				t.Errorf("commit %s is %+v", i, doc)
			}
			for p, list := range doc.Stats {
				for _, st := range list {
					if st.FileID == "" || st.PartitionPath != p || !strings.HasPrefix(st.Path, p+"/"+st.FileID+"_") || st.NumWrites == 0 ||
						st.FileSizeInBytes != int64(len(get(t, m, join(tab.Base(), st.Path)))) {
						t.Errorf("write stat %+v of partition %q", st, p)
					}
				}
			}
		}
	})
	for _, f := range s.Files() {
		file, done, err := tab.openFile(t.Context(), f.Key)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		t.Run("footer", func(t *testing.T) {
			for _, k := range []string{footerBloom, footerCode, footerMinKey, footerMaxKey, "parquet.avro.schema"} {
				if v, ok := file.Lookup(k); !ok || v == "" {
					t.Errorf("no %s", k)
				}
			}
		})
		t.Run("columns", func(t *testing.T) {
			for i, n := range metaNames {
				if c := file.Columns()[i]; c.Name != n || c.Annotation != basefile.UTF8 {
					t.Errorf("column %d is %+v, want %s", i, c, n)
				}
			}
			for _, c := range file.Columns() {
				if c.Annotation == basefile.Decimal && (c.Physical != basefile.FixedLen || c.Size != decimalSize(c.Precision)) ||
					c.Annotation == basefile.TimestampMillis || c.Physical == basefile.Int96 {
					t.Errorf("column %+v", c)
				}
			}
		})
	}
	t.Run("rows", func(t *testing.T) {
		if h := harm(t, tab); h != "" {
			t.Error(h)
		}
	})
}
