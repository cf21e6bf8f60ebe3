package snapshot

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/envelope"
)

// database holds tables of ids in order; table "bare" has no key.
type database struct {
	rows map[string][]int
}

func (d *database) Read(_ context.Context, c Chunk, row func(cells [][]byte) error) error {
	after, upto, n := 0, 1<<30, 0
	if c.After != nil {
		after, _ = strconv.Atoi(string(c.After[0]))
	}
	if c.Upto != nil {
		upto, _ = strconv.Atoi(string(c.Upto[0]))
	}
	for _, id := range d.rows[c.Codec.Table.ID.Name] {
		if id <= after || id > upto || c.Limit > 0 && n == c.Limit {
			continue
		}
		n++
		if err := row([][]byte{[]byte(strconv.Itoa(id))}); err != nil {
			return err
		}
	}
	return nil
}

// Split finds the end of a chunk.
func (d *database) Split(_ context.Context, c Chunk) ([][]byte, error) {
	after, n := 0, 0
	if c.After != nil {
		after, _ = strconv.Atoi(string(c.After[0]))
	}
	for _, id := range d.rows[c.Codec.Table.ID.Name] {
		if id > after {
			n++
		}
		if n == c.Limit {
			return [][]byte{[]byte(strconv.Itoa(id))}, nil
		}
	}
	return nil, nil
}

// together is the plan with three readers.
func together(p Plan, d *database) Plan {
	p.Readers, p.Splitter = []Reader{d, d}, d
	return p
}

func codec(name string, key ...int) *envelope.Codec {
	t := &envelope.Table{ID: envelope.TableID{Name: name}, Columns: []envelope.Column{{Name: "id", Type: envelope.TypeOf(envelope.Int)}}, Key: key}
	return &envelope.Codec{Table: t, Columns: []envelope.Append{func(dst, src []byte) ([]byte, error) {
		v, err := strconv.Atoi(string(src))
		return envelope.AppendLong(dst, int64(v)), err
	}}}
}

var errStop = errors.New("stop")

// sink collects; after stop flushes it fails, as a kill would.
type sink struct {
	limit int
	stop  int
	out   []string
	last  *Progress
	done  bool
}

func (s *sink) Full(c *envelope.Changes) bool { return len(c.List) >= s.limit }

func (s *sink) Flush(_ context.Context, c *envelope.Changes, after *Progress) (*envelope.Changes, error) {
	if s.stop == 0 {
		return nil, errStop
	}
	s.stop--
	for _, c := range c.List {
		s.out = append(s.out, fmt.Sprintf("%s %d %s", c.Table.ID, number(c.After), c.Source.Snapshot))
	}
	s.done, s.last = after == nil, nil
	if after != nil {
		text, err := json.Marshal(after) // as it is stored
		if err != nil {
			return nil, err
		}
		s.last = &Progress{}
		if err := json.Unmarshal(text, s.last); err != nil {
			return nil, err
		}
	}
	c.Reset()
	return c, nil
}

// number reads the one column of a row.
func number(row envelope.Row) int64 {
	v, _ := binary.Varint(row)
	return v
}

func plan(p Progress) Plan {
	return Plan{Tables: []*envelope.Codec{codec("a", 0), codec("empty", 0), codec("bare"), codec("b", 0), codec("end", 0)},
		Progress: p, ChunkRows: 3, Now: func() time.Time { return time.Unix(1, 0) }}
}

func newDatabase() *database {
	return &database{rows: map[string][]int{"a": {1, 2, 3, 4, 5, 6}, "bare": {1, 2}, "b": {7}}}
}

func TestMarksAndOrder(t *testing.T) {
	s := &sink{limit: 100, stop: 100}
	if err := plan(Progress{}).Run(t.Context(), newDatabase(), &envelope.Changes{}, s); err != nil {
		t.Fatal(err)
	}
	want := []string{"a 1 first", "a 2 true", "a 3 true", "a 4 true", "a 5 true", "a 6 last_in_data_collection",
		"bare 1 first_in_data_collection", "bare 2 last_in_data_collection", "b 7 last"}
	if !slices.Equal(s.out, want) || !s.done {
		t.Errorf("got %s, done %v", strings.Join(s.out, ", "), s.done)
	}
}

// TestResumeAfterEveryFlush kills the snapshot after each flush: every row of
// a table with a key comes once, in order, marked as if nothing had happened.
func TestResumeAfterEveryFlush(t *testing.T) {
	whole := &sink{limit: 100, stop: 100}
	if err := plan(Progress{}).Run(t.Context(), newDatabase(), &envelope.Changes{}, whole); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		limit, parallel := i%4+1, i >= 4
		var got []string
		progress := Progress{}
		for runs := 0; ; runs++ {
			if runs > 30 {
				t.Fatal("no end in sight")
			}
			s := &sink{limit: limit, stop: 1}
			if progress.Table == "bare" {
				s.stop = 2 // it begins again each time: let it come to its end
			}
			p, d := plan(progress), newDatabase()
			if parallel {
				p = together(p, d)
			}
			err := p.Run(t.Context(), d, &envelope.Changes{}, s)
			got = append(got, s.out...)
			if err == nil && s.done {
				break
			}
			if !errors.Is(err, errStop) {
				t.Fatal(err)
			}
			progress = *s.last
		}
		// A table without a key is begun again: leave the repeats out.
		var once []string
		for _, row := range got {
			if !slices.ContainsFunc(once, func(o string) bool { return strings.HasPrefix(row, o[:strings.LastIndexByte(o, ' ')+1]) }) {
				once = append(once, row)
			}
		}
		if !slices.Equal(once, whole.out) {
			t.Errorf("limit %d:\n got %v\nwant %v", limit, once, whole.out)
		}
		if repeats := len(got) - len(once); limit > 2 && repeats > 2 {
			t.Errorf("limit %d: %d rows came again", limit, repeats)
		}
	}
}

// TestManyReaders: large tables are delivered in order and once, whatever the
// readers do at the same time, and more rows than can wait are no deadlock.
func TestManyReaders(t *testing.T) {
	d := &database{rows: map[string][]int{}}
	for i := range 50_000 {
		d.rows["a"], d.rows["bare"] = append(d.rows["a"], i+1), append(d.rows["bare"], i+1)
	}
	for _, chunk := range []int{700, 40_000} {
		p := together(plan(Progress{}), d)
		p.ChunkRows = chunk
		s := &sink{limit: 1000, stop: 1 << 30}
		if err := p.Run(t.Context(), d, &envelope.Changes{}, s); err != nil {
			t.Fatal(err)
		}
		if len(s.out) != 100_000 {
			t.Fatalf("%d rows", len(s.out))
		}
		for i, line := range s.out {
			table, id := "a", i+1
			if i >= 50_000 {
				table, id = "bare", i+1-50_000
			}
			if !strings.HasPrefix(line, fmt.Sprintf("%s %d ", table, id)) {
				t.Fatalf("row %d is %s", i, line)
			}
		}
	}
}

func TestReadersEndWithTheFirstFault(t *testing.T) {
	d := newDatabase()
	c := codec("a", 0)
	c.Columns[0] = func(dst, src []byte) ([]byte, error) {
		if string(src) == "5" {
			return dst, errors.New("odd")
		}
		return envelope.AppendLong(dst, 1), nil
	}
	p := together(Plan{Tables: []*envelope.Codec{codec("b", 0), c}, ChunkRows: 2}, d)
	if err := p.Run(t.Context(), d, &envelope.Changes{}, &sink{limit: 1, stop: 100}); err == nil || !strings.HasPrefix(err.Error(), "snapshot of a: ") || !strings.HasSuffix(err.Error(), "odd") {
		t.Errorf("%v", err)
	}
	if err := together(plan(Progress{}), d).Run(t.Context(), d, &envelope.Changes{}, &sink{limit: 1}); !errors.Is(err, errStop) {
		t.Errorf("%v", err)
	}
}

func TestErrorsNameTheTable(t *testing.T) {
	d := newDatabase()
	c := codec("a", 0)
	c.Columns[0] = func(dst, _ []byte) ([]byte, error) { return dst, errors.New("odd") }
	err := Plan{Tables: []*envelope.Codec{c}}.Run(t.Context(), d, &envelope.Changes{}, &sink{limit: 1, stop: 1})
	if err == nil || !strings.Contains(err.Error(), "snapshot of a") {
		t.Errorf("%v", err)
	}
}
