package main

import (
	"bufio"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A renderer writes a result in one form. begin comes first, end last; row may
// keep nothing of the slice that it is given.
type renderer interface {
	begin(cols []resultColumn) error
	row(vals []any) error
	end(rows int64, took time.Duration) error
}

// resultColumn is a column of a result: its name and DuckDB's name of its type.
type resultColumn struct {
	Name string
	Type string
}

// newRenderer returns the renderer of format; width is that of the terminal in
// cells, 0 when there is none to respect.
func newRenderer(format string, w io.Writer, width int) (renderer, error) {
	switch format {
	case "table":
		return &tableRenderer{w: bufio.NewWriter(w), width: width}, nil
	case "csv":
		return &csvRenderer{w: csv.NewWriter(w)}, nil
	case "json":
		return &jsonRenderer{w: bufio.NewWriterSize(w, 64<<10)}, nil
	default:
		return nil, fmt.Errorf("unknown output format %q", format)
	}
}

// render writes all rows through r and returns how many there were.
func render(rows *sql.Rows, r renderer, start time.Time) (int64, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return 0, fmt.Errorf("read the result's columns: %w", err)
	}
	cols := make([]resultColumn, len(types))
	vals := make([]any, len(types))
	ptrs := make([]any, len(types))
	for i, t := range types {
		cols[i] = resultColumn{Name: t.Name(), Type: t.DatabaseTypeName()}
		ptrs[i] = &vals[i]
	}
	if err := r.begin(cols); err != nil {
		return 0, err
	}
	var n int64
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return n, fmt.Errorf("read row %d of the result: %w", n+1, err)
		}
		if err := r.row(vals); err != nil {
			return n, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return n, fmt.Errorf("read the result: %w", err)
	}
	return n, r.end(n, time.Since(start))
}

// csvRenderer writes RFC 4180 with a header line. Null is an empty field.
type csvRenderer struct {
	w    *csv.Writer
	cols []resultColumn
	rec  []string
}

func (c *csvRenderer) begin(cols []resultColumn) error {
	c.cols = cols
	c.rec = make([]string, len(cols))
	for i, col := range cols {
		c.rec[i] = col.Name
	}
	return c.w.Write(c.rec)
}

func (c *csvRenderer) row(vals []any) error {
	for i, v := range vals {
		c.rec[i] = ""
		if v != nil {
			c.rec[i] = formatValue(v, c.cols[i].Type)
		}
	}
	return c.w.Write(c.rec)
}

func (c *csvRenderer) end(int64, time.Duration) error {
	c.w.Flush()
	return c.w.Error()
}

// jsonRenderer writes an array of objects, one a line. Numbers keep all their
// digits; what JSON has no form for (times, blobs, NaN) is text.
type jsonRenderer struct {
	w    *bufio.Writer
	cols []resultColumn
	keys [][]byte
	buf  []byte
	n    int64
}

func (j *jsonRenderer) begin(cols []resultColumn) error {
	j.cols = cols
	for _, c := range cols {
		k, err := json.Marshal(c.Name)
		if err != nil {
			return fmt.Errorf("encode column name: %w", err)
		}
		j.keys = append(j.keys, k)
	}
	_, err := j.w.WriteString("[")
	return err
}

func (j *jsonRenderer) row(vals []any) error {
	b := j.buf[:0]
	if j.n > 0 {
		b = append(b, ',')
	}
	b = append(b, "\n{"...)
	for i, v := range vals {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, j.keys[i]...)
		b = append(b, ':')
		b = appendJSON(b, v, j.cols[i].Type)
	}
	b = append(b, '}')
	j.buf = b
	j.n++
	_, err := j.w.Write(b)
	return err
}

func (j *jsonRenderer) end(int64, time.Duration) error {
	if _, err := j.w.WriteString("\n]\n"); err != nil {
		return err
	}
	return j.w.Flush()
}

// widthSample is the number of rows that decide the widths of a table; longer
// results stream past them.
const widthSample = 500

// maxCell is the width to which columns are aligned, in cells of the terminal. What is
// longer is cut there; in a pipe it stays whole.
const maxCell = 60

// tableRenderer writes an aligned table. Numbers are set to the right. On a
// terminal, columns that do not fit are left out and counted.
type tableRenderer struct {
	w      *bufio.Writer
	width  int
	cols   []resultColumn
	held   [][]string
	widths []int
	shown  int
}

func (t *tableRenderer) begin(cols []resultColumn) error {
	t.cols = cols
	return nil
}

func (t *tableRenderer) row(vals []any) error {
	rec := make([]string, len(vals))
	for i, v := range vals {
		rec[i] = "NULL"
		if v != nil {
			rec[i] = printable(formatValue(v, t.cols[i].Type))
		}
	}
	if t.widths == nil {
		t.held = append(t.held, rec)
		if len(t.held) < widthSample {
			return nil
		}
		return t.release()
	}
	return t.line(rec)
}

func (t *tableRenderer) end(rows int64, took time.Duration) error {
	if t.widths == nil {
		if err := t.release(); err != nil {
			return err
		}
	}
	unit := "rows"
	if rows == 1 {
		unit = "row"
	}
	fmt.Fprintf(t.w, "(%d %s, %.3f s", rows, unit, took.Seconds())
	if n := len(t.cols) - t.shown; n > 0 {
		fmt.Fprintf(t.w, "; %d of %d columns did not fit: %s", n, len(t.cols), t.hiddenNames())
	}
	fmt.Fprintln(t.w, ")")
	return t.w.Flush()
}

func (t *tableRenderer) hiddenNames() string {
	var names []string
	for _, c := range t.cols[t.shown:] {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// release fixes the widths by the rows held so far, and writes them.
func (t *tableRenderer) release() error {
	t.widths = make([]int, len(t.cols))
	for i, c := range t.cols {
		t.widths[i] = utf8.RuneCountInString(c.Name)
	}
	for _, rec := range t.held {
		for i, s := range rec {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(s))
		}
	}
	total := 0
	for i := range t.widths {
		t.widths[i] = min(t.widths[i], maxCell)
		total += t.widths[i] + 2
		if t.width == 0 || total-2 <= t.width || i == 0 {
			t.shown = i + 1
		}
	}
	head := make([]string, len(t.cols))
	rule := make([]string, len(t.cols))
	for i, c := range t.cols {
		head[i] = c.Name
		rule[i] = strings.Repeat("-", t.widths[i])
	}
	for _, rec := range append([][]string{head, rule}, t.held...) {
		if err := t.line(rec); err != nil {
			return err
		}
	}
	t.held = nil
	return nil
}

func (t *tableRenderer) line(rec []string) error {
	for i, s := range rec[:t.shown] {
		if i > 0 {
			t.w.WriteString("  ")
		}
		if t.width > 0 {
			s = clip(s, t.widths[i])
		}
		pad := max(0, t.widths[i]-utf8.RuneCountInString(s))
		right := isNumeric(t.cols[i].Type)
		if right {
			t.w.WriteString(strings.Repeat(" ", pad))
		}
		t.w.WriteString(s)
		if !right && i < t.shown-1 {
			t.w.WriteString(strings.Repeat(" ", pad))
		}
	}
	return t.w.WriteByte('\n')
}

// clip shortens s to n runes, the last of which then is an ellipsis.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// printable makes s fit for a line: control characters become their escapes.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
