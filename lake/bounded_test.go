package lake

import (
	"runtime/metrics"
	"testing"
)

// bounded fails the test if reading size bytes of input allocates memory out of
// all proportion: a length in the input must not be believed before it is there.
func bounded(t *testing.T, size int, read func()) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	read()
	metrics.Read(sample)
	if used, most := sample[0].Value.Uint64()-before, uint64(32<<20+1024*size); used > most {
		t.Fatalf("%d bytes of input allocate %d bytes", size, used)
	}
}
