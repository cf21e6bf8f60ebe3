package topic_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"tributary/internal/topic"
)

// TestEveryCompression: what is written comes back, in batches of several blocks
// too, whether it can be compressed or not.
func TestEveryCompression(t *testing.T) {
	b := start(t, t.TempDir())
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		o := options(b.Addr())
		o.Compression = name
		a := admin(t, o, topic.Spec{Name: name, Partitions: 1, Config: topic.Compacted()})
		random := make([]byte, 900_000)
		for i := range random {
			random[i] = byte(rand.Uint32())
		}
		want := map[string][]byte{"random": random, "zeros": make([]byte, 900_000), "mixed": append(make([]byte, 400_000), random[:500_000]...), "small": []byte("x")}
		for i := range 20_000 {
			want[fmt.Sprint(i)] = fmt.Appendf(nil, "row %d", i)
		}
		var records []topic.Record
		for key, value := range want {
			records = append(records, topic.Record{Topic: name, Key: []byte(key), Value: value})
		}
		write(t, writer(t, o, "w-"+name), records...)
		got, err := a.ReadCompacted(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if !bytes.Equal(got[key].Value, value) {
				t.Errorf("%s: %s is %d bytes, want %d", name, key, len(got[key].Value), len(value))
			}
		}
	}
}
