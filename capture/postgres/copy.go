package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary/capture/snapshot"
	"tributary/envelope"
)

// copyReader reads chunks by COPY in the transaction of conn.
type copyReader struct {
	conn *pgx.Conn
	from map[envelope.TableID]string // what to read of a table where it is not the table alone
	// heaps are the tables that are read by the places of their rows.
	heaps map[envelope.TableID]*heap
}

// heap is a table without a key as it lies in its file. The place of a row is its
// ctid, and the file that this is of: another one has all rows in other places.
type heap struct {
	file  string // pg_relation_filenode
	pages int64  // as many as hold the rows of a chunk
	end   int64  // pages of the file
}

// Read implements snapshot.Reader.
func (r *copyReader) Read(ctx context.Context, c snapshot.Chunk, row func(cells [][]byte) error) error {
	n := len(c.Codec.Columns)
	h := r.heaps[c.Codec.Table.ID]
	if h != nil { // the file's name is the same for each row
		n++
		cells, all := make([][]byte, n+1), row
		cells[n] = []byte(h.file)
		row = func(read [][]byte) error {
			copy(cells, read)
			return all(cells)
		}
	}
	w := &copyRows{cells: make([][]byte, n), row: row}
	_, err := r.conn.PgConn().CopyTo(ctx, w, copyStatement(c, r.from[c.Codec.Table.ID], h != nil))
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return explain(fmt.Errorf("copy: %w", err))
	case len(w.partial) > 0:
		return errors.New("copy ended within a row")
	}
	return nil
}

// copyStatement writes the COPY of a chunk; from is what follows FROM, "" = the
// table alone, without those that inherit from it. Literals of unknown type take
// that of the column that they are compared with. With places, each row has its
// ctid as one more cell; rows come in the order of these.
func copyStatement(c snapshot.Chunk, from string, places bool) string {
	t := c.Codec.Table
	var b strings.Builder
	b.WriteString("COPY (SELECT ")
	for i := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteIdent(t.Columns[i].Name))
	}
	if places {
		if len(t.Columns) > 0 {
			b.WriteString(", ")
		}
		b.WriteString("ctid")
	}
	if from == "" {
		from = "ONLY " + tableName(t.ID)
	}
	if c.Filter != "" {
		from = "(SELECT * FROM " + from + " WHERE (" + c.Filter + ")) AS rows"
	}
	b.WriteString(" FROM " + from)
	if places && (c.After != nil || c.Upto != nil) {
		after := "(0,0)" // before the first row
		if c.After != nil {
			after = string(c.After[0])
		}
		b.WriteString(" WHERE ctid > " + quoteLiteral(after))
		if c.Upto != nil {
			b.WriteString(" AND ctid <= " + quoteLiteral(string(c.Upto[0])))
		}
	}
	if len(t.Key) > 0 {
		key := keyList(t)
		if c.After != nil {
			b.WriteString(" WHERE (" + key + ") > (" + literals(c.After) + ")")
		}
		if c.Upto != nil {
			word := " WHERE ("
			if c.After != nil {
				word = " AND ("
			}
			b.WriteString(word + key + ") <= (" + literals(c.Upto) + ")")
		}
		b.WriteString(" ORDER BY " + key)
		if c.Limit > 0 {
			b.WriteString(" LIMIT " + strconv.Itoa(c.Limit))
		}
	}
	b.WriteString(") TO STDOUT")
	return b.String()
}

func literals(cells [][]byte) string {
	out := make([]string, len(cells))
	for i, v := range cells {
		out[i] = quoteLiteral(string(v))
	}
	return strings.Join(out, ", ")
}

// Split implements snapshot.Splitter: it reads keys alone.
func (r *copyReader) Split(ctx context.Context, c snapshot.Chunk) ([][]byte, error) {
	t := c.Codec.Table
	if h := r.heaps[t.ID]; h != nil {
		return h.split(c.After)
	}
	from := r.from[t.ID]
	if from == "" {
		from = "ONLY " + tableName(t.ID)
	}
	key, where := keyList(t), ""
	if c.After != nil {
		where = " WHERE (" + key + ") > (" + literals(c.After) + ")"
	}
	var out [][]byte
	w := &copyRows{cells: make([][]byte, len(t.Key)), row: func(cells [][]byte) error {
		for _, v := range cells {
			out = append(out, bytes.Clone(v))
		}
		return nil
	}}
	_, err := r.conn.PgConn().CopyTo(ctx, w, fmt.Sprintf("COPY (SELECT %[1]s FROM %[2]s%[3]s ORDER BY %[1]s OFFSET %[4]d LIMIT 1) TO STDOUT", key, from, where, c.Limit-1))
	if err != nil {
		return nil, explain(fmt.Errorf("find the end of a chunk: %w", err))
	}
	return out, w.err
}

// split is the last place of a chunk after a place, nil at the end of the file.
func (h *heap) split(after [][]byte) ([][]byte, error) {
	var page int64
	if after != nil {
		if _, err := fmt.Sscanf(string(after[0]), "(%d,", &page); err != nil {
			return nil, fmt.Errorf("place of a row: %w", err)
		}
		page++
	}
	if page += h.pages; page >= h.end {
		return nil, nil
	}
	return [][]byte{fmt.Appendf(nil, "(%d,65535)", page-1), []byte(h.file)}, nil
}

func tableName(id envelope.TableID) string {
	return quoteIdent(id.Schema) + "." + quoteIdent(id.Name)
}

func keyList(t *envelope.Table) string {
	names := make([]string, len(t.Key))
	for i, k := range t.Key {
		names[i] = quoteIdent(t.Columns[k].Name)
	}
	return strings.Join(names, ", ")
}

// copyRows splits the text format of COPY (PostgreSQL manual, "COPY", Text
// Format): a line a row, cells separated by tabs, \N for NULL, and \b \f \n \r
// \t \v \\ for those characters.
type copyRows struct {
	cells   [][]byte
	row     func(cells [][]byte) error
	partial []byte // begin of a row whose end has not come yet
	scratch []byte // unescaped cells of the row
	err     error
}

// Write takes a piece of the stream. The server sends whole rows, each in a
// message of its own, but the protocol does not promise it.
func (w *copyRows) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.partial = append(w.partial, p...)
			break
		}
		line := p[:i]
		if len(w.partial) > 0 {
			w.partial = append(w.partial, line...)
			line = w.partial
		}
		if w.err = w.line(line); w.err != nil {
			return 0, w.err
		}
		w.partial = w.partial[:0]
		p = p[i+1:]
	}
	return n, nil
}

func (w *copyRows) line(line []byte) error {
	w.scratch = w.scratch[:0]
	escaped := bytes.IndexByte(line, '\\') >= 0
	if escaped && cap(w.scratch) < len(line) {
		w.scratch = make([]byte, 0, len(line))
	}
	n := 0
	for {
		cell := line
		end := bytes.IndexByte(line, '\t')
		if end >= 0 {
			cell = line[:end]
		}
		if n == len(w.cells) {
			if n == 0 && len(line) == 0 {
				break // a table without columns
			}
			return fmt.Errorf("row of more than %d columns", n)
		}
		switch {
		case !escaped:
			w.cells[n] = cell[:len(cell):len(cell)]
		case len(cell) == 2 && cell[0] == '\\' && cell[1] == 'N':
			w.cells[n] = nil
		default:
			w.cells[n] = w.unescape(cell)
		}
		n++
		if end < 0 {
			break
		}
		line = line[end+1:]
	}
	if n != len(w.cells) {
		return fmt.Errorf("row of %d columns where %d were asked for", n, len(w.cells))
	}
	return w.row(w.cells)
}

// unescape returns the cell's text; it is never nil. scratch may move while a
// row is read: earlier cells keep the old array.
func (w *copyRows) unescape(cell []byte) []byte {
	if bytes.IndexByte(cell, '\\') < 0 {
		return cell[:len(cell):len(cell)]
	}
	start := len(w.scratch)
	for i := 0; i < len(cell); i++ {
		b := cell[i]
		if b == '\\' && i+1 < len(cell) {
			i++
			switch b = cell[i]; b {
			case 'b':
				b = '\b'
			case 'f':
				b = '\f'
			case 'n':
				b = '\n'
			case 'r':
				b = '\r'
			case 't':
				b = '\t'
			case 'v':
				b = '\v'
			}
		}
		w.scratch = append(w.scratch, b)
	}
	return w.scratch[start:len(w.scratch):len(w.scratch)]
}
