package ingest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tributary/internal/avro"
	"tributary/internal/column"
)

// blockList yields blocks, and then an error.
type blockList struct {
	blocks []avro.Block
	end    error
	buf    []byte
}

func (l *blockList) Next() (avro.Block, error) {
	for i := range l.buf { // what was given before is not valid any more
		l.buf[i] = 0xff
	}
	if len(l.blocks) == 0 {
		return avro.Block{}, l.end
	}
	b := l.blocks[0]
	l.blocks = l.blocks[1:]
	l.buf = append(l.buf[:0], b.Data...)
	b.Data = l.buf
	return b, nil
}

const walkSchema = `{"type":"record","name":"r","fields":[{"name":"n","type":"long"},{"name":"t","type":["null","string"]},{"name":"f","type":["null","double"]}]}`

// TestWalkBySeveral holds what two goroutines walk of windows of blocks against what
// one does, in a batch that has rows already.
func TestWalkBySeveral(t *testing.T) {
	s, err := avro.Parse(walkSchema)
	must(t, err)
	plan, err := avro.Compile(s, []avro.Target{{Path: "n", Kind: column.Int}, {Path: "t", Kind: column.Bytes}, {Path: "f", Kind: column.Float}})
	must(t, err)
	d := &decoder{plan: plan}
	for _, c := range []struct{ blocks, records int }{{0, 0}, {1, 3000}, {2, 300}, {7, 90}, {40, 100}, {50, 1}, {33, 777}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var list []avro.Block
			one := plan.NewBatch()
			for b := range c.blocks {
				var data []byte
				for r := range c.records + b%3 {
					data = avro.AppendLong(data, int64(b*1000+r))
					if r%5 == 0 {
						data = avro.AppendLong(data, 0)
					} else {
						data = avro.AppendString(avro.AppendLong(data, 1), strings.Repeat("x", r%7))
					}
					data = avro.AppendLong(data, 0)
				}
				list = append(list, avro.Block{Offset: int64(b), Count: c.records + b%3, Data: data})
				must(t, plan.WalkAll(data, c.records+b%3, one))
			}
			// Twice, so that the second time there are rows, and memory to be used again.
			got := &changes{batch: plan.NewBatch(), width: 3}
			for n := range 2 {
				start := got.batch.Len
				must(t, d.walk(got, &blockList{blocks: list, end: io.EOF}, start))
				if got.batch.Len != (n+1)*one.Len {
					t.Fatalf("%d rows, want %d", got.batch.Len, (n+1)*one.Len)
				}
				for r := range one.Len {
					for i := range one.Cols {
						if diff := cmp.Diff(cellOf(&one.Cols[i], r), cellOf(&got.batch.Cols[i], start+r)); diff != "" {
							t.Fatalf("row %d, column %d: %s", r, i, diff)
						}
					}
				}
			}
			if c.blocks < 2 {
				return
			}
			torn := errors.New("torn")
			if err := d.walk(got, &blockList{blocks: list, end: torn}, got.batch.Len); !errors.Is(err, torn) {
				t.Errorf("a torn object: %v", err)
			}
			// A record at fault is named by its place, whoever meets it.
			for _, bad := range []int{0, c.blocks / 2, c.blocks - 1} {
				broken := append([]avro.Block(nil), list...)
				place := 0
				for _, b := range broken[:bad] {
					place += b.Count
				}
				last := broken[bad].Count - 1
				broken[bad].Data = broken[bad].Data[:len(broken[bad].Data)-1]
				start := got.batch.Len
				err := d.walk(got, &blockList{blocks: broken, end: io.EOF}, start)
				if want := fmt.Sprintf("record %d, in the block at byte %d: ", place+last, bad); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("block %d: %v, want %s", bad, err, want)
				}
				got.batch.Truncate(start)
			}
		})
	}
}

func cellOf(c *column.Column, r int) any {
	switch {
	case c.IsNull(r):
		return nil
	case c.Kind == column.Int:
		return c.Ints[r]
	case c.Kind == column.Float:
		return c.Floats[r]
	}
	return string(c.Value(r))
}

// TestFewTopicsKeepLargeBatches lets no more topics keep the memory of a large batch
// than there are places, and those alone that have more to read.
func TestFewTopicsKeepLargeBatches(t *testing.T) {
	set := &Settings{spares: make(chan struct{}, 1), Log: slog.New(slog.DiscardHandler)}
	var topics []*Topic
	fill := func(n int) {
		for len(topics) <= n {
			topics = append(topics, NewTopic(set, fmt.Sprint("t", len(topics))))
		}
		topics[n].batch = &changes{batch: column.NewBatch(column.Int), width: 1}
		topics[n].batch.batch.Cols[0].Ints = make([]int64, spareBytes/8+1)
	}
	kept := func(n int, more bool) bool {
		topics[n].release(more)
		return topics[n].batch != nil
	}
	fill(0)
	fill(1)
	if !kept(0, true) || kept(1, true) {
		t.Error("the first is to keep its memory, the second not")
	}
	if !kept(0, true) {
		t.Error("the first is to go on keeping it")
	}
	if kept(0, false) {
		t.Error("with nothing more to read it keeps its memory")
	}
	if fill(1); !kept(1, true) {
		t.Error("the place is free again")
	}
	topics[1].Close(t.Context())
	if fill(0); !kept(0, true) {
		t.Error("a topic that is closed gives its place back")
	}
}
