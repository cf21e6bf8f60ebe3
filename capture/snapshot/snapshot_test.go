package snapshot

import (
	"context"
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
	rows  map[string][]int
	reads int
}

func (d *database) Read(_ context.Context, c Chunk, row func(cells [][]byte) error) error {
	d.reads++
	after, n := 0, 0
	if c.After != nil {
		after, _ = strconv.Atoi(string(c.After[0]))
	}
	for _, id := range d.rows[c.Codec.Table.ID.Name] {
		if id <= after || c.Limit > 0 && n == c.Limit {
			continue
		}
		n++
		if err := row([][]byte{[]byte(strconv.Itoa(id))}); err != nil {
			return err
		}
	}
	return nil
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
		s.out = append(s.out, fmt.Sprintf("%s %d %s", c.Table.ID, c.After[0]>>1, c.Source.Snapshot))
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
	for limit := 1; limit <= 4; limit++ {
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
			err := plan(progress).Run(t.Context(), newDatabase(), &envelope.Changes{}, s)
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

func TestErrorsNameTheTable(t *testing.T) {
	d := newDatabase()
	c := codec("a", 0)
	c.Columns[0] = func(dst, _ []byte) ([]byte, error) { return dst, errors.New("odd") }
	err := Plan{Tables: []*envelope.Codec{c}}.Run(t.Context(), d, &envelope.Changes{}, &sink{limit: 1, stop: 1})
	if err == nil || !strings.Contains(err.Error(), "snapshot of a") {
		t.Errorf("%v", err)
	}
}
