package capturetest

import (
	"strconv"
	"testing"

	"tributary/envelope"
)

// row is the value of the one column beside the key that the suite's tables
// have, with the order of the change that it is from.
type row struct {
	value   int64
	order   string
	deleted bool
}

// model is what a reader of the changes makes of them.
type model struct {
	rows map[int64]row
	// strict also checks that changes follow from each other: no row comes
	// twice, none is changed or deleted that is not there.
	strict bool
	order  func(c *envelope.Change) string
	done   bool // the end marker has come
}

func newModel(h Harness, strict bool) *model {
	return &model{rows: make(map[int64]row), strict: strict, order: h.Order}
}

func (m *model) apply(t *testing.T, c *envelope.Change) {
	t.Helper()
	if c.Table.ID.Name == "zend" {
		m.done = c.Op == envelope.Create // a resumed snapshot may see it too
		return
	}
	if c.OldKey != nil {
		half := *c
		half.Op, half.Key, half.OldKey, half.After = envelope.Delete, c.OldKey, nil, nil
		m.apply(t, &half)
		half = *c
		half.Op, half.OldKey = envelope.Create, nil
		m.apply(t, &half)
		return
	}
	id := long(t, c.Key)
	old, ok := m.rows[id]
	there := ok && !old.deleted
	order := m.order(c)
	if !m.strict && ok && order < old.order {
		return // older than what is known: it loses, as it does in the lake
	}
	if m.strict {
		switch created := c.Op == envelope.Create || c.Op == envelope.Read; {
		case created && there:
			t.Fatalf("%s of row %d, which is there already: an overlap", c.Op, id)
		case !created && !there:
			t.Fatalf("%s of row %d, which is not there: a gap", c.Op, id)
		}
	}
	m.rows[id] = row{order: order, deleted: c.Op == envelope.Delete}
	if c.Op != envelope.Delete {
		m.rows[id] = row{order: order, value: value(t, c.After)}
	}
}

// check compares the model with the table.
func (m *model) check(t *testing.T, h Harness) {
	t.Helper()
	want, err := h.DB.Query(t.Context(), "SELECT id, v FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		id, err := strconv.ParseInt(w[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := m.rows[id]
		if !ok || got.deleted || strconv.FormatInt(got.value, 10) != w[1] {
			t.Errorf("row %d is %+v (there: %v), the table has %s", id, got, ok, w[1])
		}
		delete(m.rows, id)
	}
	for id, r := range m.rows {
		if !r.deleted {
			t.Errorf("row %d is there, the table does not have it", id)
		}
	}
}

// long reads the first Avro long of b.
func long(t *testing.T, b []byte) int64 {
	t.Helper()
	v, _ := varint(t, b)
	return v
}

// value reads the row (id int, v int) and returns v. Both are NOT NULL.
func value(t *testing.T, b []byte) int64 {
	t.Helper()
	_, rest := varint(t, b)
	v, rest := varint(t, rest)
	if len(rest) > 0 {
		t.Fatalf("%d bytes after the row", len(rest))
	}
	return v
}

func varint(t *testing.T, b []byte) (int64, []byte) {
	t.Helper()
	var u uint64
	for i := range b {
		u |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), b[i+1:]
		}
	}
	t.Fatalf("no long in %x", b)
	return 0, nil
}
