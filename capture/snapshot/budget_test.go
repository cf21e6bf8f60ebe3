package snapshot

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"tributary/envelope"
)

// large is a table of rows of one size; it counts what has been read.
type large struct {
	database
	width int
	read  *atomic.Int64 // bytes
}

func (l *large) Read(ctx context.Context, c Chunk, row func(cells [][]byte) error) error {
	wide := make([]byte, l.width)
	return l.database.Read(ctx, c, func(cells [][]byte) error {
		l.read.Add(int64(l.width))
		return row([][]byte{cells[0], wide})
	})
}

// slow is a consumer that looks how far the readers are ahead of it.
type slow struct {
	read           *atomic.Int64
	taken          int64
	most, largest  int64
	lists, flushed int
}

func (s *slow) Full(*envelope.Changes) bool { return false }

func (s *slow) Flush(_ context.Context, c *envelope.Changes, _ *Progress) (*envelope.Changes, error) {
	if s.lists++; s.lists%8 == 1 {
		s.settle()
	}
	s.taken += int64(len(c.Buf))
	s.most, s.largest = max(s.most, s.read.Load()-s.taken), max(s.largest, int64(len(c.Buf)))
	s.flushed += len(c.List)
	c.Reset()
	return c, nil
}

// settle waits until the readers stand still, as far ahead as they go.
func (s *slow) settle() {
	for last, same := int64(-1), 0; same < 5; time.Sleep(time.Millisecond) {
		if n := s.read.Load(); n == last {
			same++
		} else {
			last, same = n, 0
		}
	}
}

// TestReadersAheadAreBoundedByBytes holds what is read and not delivered to the
// budget, whatever rows and readers there are, and every row arrives.
func TestReadersAheadAreBoundedByBytes(t *testing.T) {
	for _, x := range []struct{ width, rows, readers int }{
		{100, 40_000, 3}, {1000, 40_000, 1}, {1000, 40_000, 7}, {1 << 20, 100, 3}, {12 << 20, 12, 4},
	} {
		t.Run(strconv.Itoa(x.width)+" bytes", func(t *testing.T) {
			c := codec("wide", 0)
			c.Table.Columns = append(c.Table.Columns, envelope.Column{Name: "body", Type: envelope.TypeOf(envelope.Bytes)})
			c.Columns = append(c.Columns, func(dst, src []byte) ([]byte, error) { return append(dst, src...), nil })
			var ids []int
			for id := range x.rows {
				ids = append(ids, id+1)
			}
			var read atomic.Int64
			d := &large{database{map[string][]int{"wide": ids}}, x.width, &read}
			p := Plan{Tables: []*envelope.Codec{c}, ChunkRows: max(x.rows/20, 1), ListBytes: 1 << 20, Splitter: d}
			for range x.readers - 1 {
				p.Readers = append(p.Readers, d)
			}
			out := &slow{read: &read}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := p.Run(ctx, d, &envelope.Changes{}, out); err != nil {
				t.Fatal(err)
			}
			if out.flushed != x.rows {
				t.Errorf("%d rows arrived, want %d", out.flushed, x.rows)
			}
			// A row in work each, a part in work each, one that is delivered.
			if most := int64(aheadMost + (x.readers+1)*(partBytes+2*x.width)); out.most > most {
				t.Errorf("%d bytes ahead, at most %d are allowed", out.most, most)
			}
			if most := int64(max(p.ListBytes, x.width+16)); out.largest > most {
				t.Errorf("a list of %d bytes, at most %d are allowed", out.largest, most)
			}
		})
	}
}
