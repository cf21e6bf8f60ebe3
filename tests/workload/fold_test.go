package workload

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"tributary/internal/testdb"
	"tributary/internal/topic"
)

const placeholder = "__debezium_unavailable_value"

// folded is what the records of a table amount to.
type folded struct {
	t *table

	rows   map[string][]string // by key: the canonical values of t's columns
	bag    map[string]int      // without a key: how often each row is there
	places map[string]int64    // where records come from: their offsets
	faults []string

	// What a change of a key took away: the new row may lack values that it had.
	gone      []string
	gonePlace string
	snapshot  int

	// lenient: the snapshot was interrupted. What the log then repeats may
	// delete a row that the snapshot had no more.
	lenient bool
	// again: rows may be read again, by incremental snapshots.
	again bool
}

func newFolded(t *table, lenient, again bool) *folded {
	return &folded{t: t, lenient: lenient, again: again, rows: map[string][]string{}, bag: map[string]int{}, places: map[string]int64{}}
}

func (f *folded) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// image gives a record's row as one of the table's present columns. was is the
// row before, for values that the log does not carry.
func (f *folded) image(v fields, was []string) []string {
	out := make([]string, 0, len(f.t.cols)+2)
	for _, name := range []string{"id", "b"} {
		if text, ok := v[name].(string); ok {
			out = append(out, text)
		} else if name == "id" || f.t.pair {
			f.fault("a row without %s", name)
			out = append(out, "?")
		}
	}
	head := len(out)
	for i, c := range f.t.cols {
		text := c.missing
		found := 0
		for _, name := range c.names {
			cell, ok := v[name]
			if !ok {
				continue
			}
			found++
			text = null
			if s, ok := cell.(string); ok {
				text = s
			}
		}
		if found > 1 {
			f.fault("column %s under %d names in one record", c.name, found)
		}
		if text == placeholder || text == hex.EncodeToString([]byte(placeholder)) {
			switch {
			case was == nil && f.lenient: // it was gone when the snapshot was read, and goes again
				text = null
			case was == nil:
				f.fault("column %s was left out of the log, and there is no row before", c.name)
			default:
				text = was[head+i]
			}
		}
		out = append(out, canonical(c.kind, text))
	}
	return out
}

func (f *folded) add(topicName string, e event) {
	if e.tombstone {
		if _, ok := f.rows[e.key]; ok {
			f.fault("offset %d: a tombstone for key %s, which is still there", e.offset, e.key)
		}
		return
	}
	f.once(topicName, e)
	if !f.t.keyed {
		f.addUnkeyed(e)
		return
	}
	switch e.op {
	case "c", "r", "u":
		row := f.image(e.after, f.before(e))
		if key := strings.Join(row[:len(f.t.keyColumns())], "|"); key != e.key {
			f.fault("offset %d: key %s of a row with %s", e.offset, e.key, key)
		}
		f.rows[e.key] = row
	case "d":
		f.gone, f.gonePlace = f.rows[e.key], e.place
		if f.gone == nil && !f.lenient {
			f.fault("offset %d: key %s is deleted, and was not there", e.offset, e.key)
		}
		delete(f.rows, e.key)
	case "t":
		clear(f.rows)
	default:
		f.fault("offset %d: op %q", e.offset, e.op)
	}
}

// before is the row that e replaces: that of its key, or of the key that it had.
func (f *folded) before(e event) []string {
	if f.gone != nil && e.op == "c" && f.gonePlace == e.place {
		return f.gone
	}
	return f.rows[e.key]
}

// once checks that no record comes from where another came from.
func (f *folded) once(topicName string, e event) {
	place := topicName + " " + e.place + e.op + " " + e.key
	if e.op == "r" {
		f.snapshot++
		if !f.t.keyed || f.again {
			return // without a key all have the place at which the snapshot began
		}
		place = "r " + e.key
	}
	if first, ok := f.places[place]; ok {
		f.fault("offsets %d and %d (of %s) are both from %s", first, e.offset, e.at.UTC().Format(clock), place)
	}
	f.places[place] = e.offset
}

func (f *folded) addUnkeyed(e event) {
	if e.key != "" {
		f.fault("offset %d: key %s in a table without one", e.offset, e.key)
	}
	join := func(v fields) string { return strings.Join(f.image(v, nil), "\x01") }
	if e.op == "u" || e.op == "d" {
		row := join(e.before)
		if f.bag[row] == 0 {
			f.fault("offset %d: %s of a row that is not there: %.200q", e.offset, e.op, row)
		}
		if f.bag[row]--; f.bag[row] <= 0 {
			delete(f.bag, row)
		}
	}
	switch e.op {
	case "c", "r", "u":
		f.bag[join(e.after)]++
	case "t":
		clear(f.bag)
	}
}

// longTexts returns at most n texts of rows that are long enough to be nowhere
// else by chance, and that no default value has.
func (f *folded) longTexts(n int) []string {
	var out []string
	for _, row := range f.rows {
		for i, c := range f.t.cols {
			text := row[len(row)-len(f.t.cols)+i]
			if (c.kind == "str" || c.kind == "text") && len(text) >= 16 && text != c.missing {
				out = append(out, text)
			}
			if len(out) == n {
				return out
			}
		}
	}
	return out
}

// fold reads the records of one table, from all topics that it had.
func fold(ctx context.Context, d *decoder, t *table, lang dialect, lenient, again bool, records map[string][]topic.Record) (*folded, error) {
	f := newFolded(t, lenient, again)
	for _, name := range t.topics(lang) {
		for _, r := range records[name] {
			e, err := d.event(ctx, r, func(string) []string { return t.keyColumns() })
			if err != nil {
				return nil, fmt.Errorf("%s, offset %d: %w", name, r.Offset, err)
			}
			f.add(name, e)
		}
	}
	return f, nil
}

// compare holds the folded records against the database, and returns at most a
// few differences in words, and their number.
func (f *folded) compare(ctx context.Context, s *testdb.Server, databaseName string) ([]string, int, error) {
	var out []string
	differences := 0
	differ := func(format string, args ...any) {
		if differences++; differences <= 5 {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	exprs := []string{"id"}
	if f.t.pair {
		exprs = append(exprs, "b")
	}
	head := len(exprs)
	for _, c := range f.t.cols {
		format := kindOf(c.kind).readMy
		switch dialectOf(s.Kind) {
		case transact:
			format = "%s"
		case postgres:
			format = kindOf(c.kind).readPG
			if c.kind == "num" || c.kind == "bignum" {
				format = "%s"
			}
		}
		exprs = append(exprs, fmt.Sprintf(format, c.name))
	}
	seen := 0
	err := s.Scan(ctx, databaseName, "SELECT "+strings.Join(exprs, ", ")+" FROM "+f.t.name, func(values [][]byte) error {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = null
			if v != nil {
				row[i] = string(v)
			}
			if i >= head {
				row[i] = canonical(f.t.cols[i-head].kind, fromServer(s.Kind, f.t.cols[i-head].kind, row[i]))
			}
		}
		seen++
		if !f.t.keyed {
			joined := strings.Join(row, "\x01")
			if f.bag[joined]--; f.bag[joined] < 0 {
				differ("in the database only: %.200q", joined)
			}
			return nil
		}
		key := strings.Join(row[:len(f.t.keyColumns())], "|")
		have, ok := f.rows[key]
		if !ok {
			differ("key %s is in the database only", key)
			return nil
		}
		delete(f.rows, key)
		for i := range row {
			if row[i] != have[i] {
				name := "key"
				if i >= head {
					name = fmt.Sprintf("%s (%s, was %v)", f.t.cols[i-head].name, f.t.cols[i-head].kind, f.t.cols[i-head].names)
				}
				differ("key %s, column %s: %.80q in the database, %.80q in the topic", key, name, row[i], have[i])
			}
		}
		return nil
	})
	for key := range f.rows {
		differ("key %s is in the topic only", key)
	}
	for row, n := range f.bag {
		if n > 0 {
			differ("%d times in the topic only: %.200q", n, row)
		}
	}
	return out, differences, err
}
