package mysql

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

func tableName(id envelope.TableID) string { return identifier(id.Catalog) + "." + identifier(id.Name) }

// reader reads chunks of the view. It implements snapshot.Reader.
type reader struct {
	conn     *conn
	versions map[*envelope.Table]*version
	cfg      *settings
	of       *snapshot.Progress // of a blocking snapshot; nil = of none
}

// part is what is read of a table: a statement, "" = the table itself, and a
// condition.
func (r *reader) part(v *version) (override, filter string) {
	p, _ := r.of.Part(v.def.ID)
	return cmp.Or(p.Select, r.cfg.override(v.def.ID.String())), p.Filter
}

// Read implements snapshot.Reader.
func (r *reader) Read(ctx context.Context, c snapshot.Chunk, row func(cells [][]byte) error) error {
	v := r.versions[c.Codec.Table]
	none := make([]func([]byte) bool, len(v.codec.Columns))
	for i, at := range v.at {
		if at >= 0 {
			none[at] = v.types[i].none
		}
	}
	override, filter := r.part(v)
	c.Filter = cmp.Or(c.Filter, filter)
	return r.conn.rows(ctx, v.query(c, override), func(cells [][]byte) error {
		if len(none) == 0 {
			cells = nil
		}
		if len(cells) != len(none) {
			return fmt.Errorf("%d values for %d columns", len(cells), len(none))
		}
		for i, f := range none {
			if f != nil && cells[i] != nil && f(cells[i]) {
				cells[i] = nil
			}
		}
		return row(cells)
	})
}

// query selects a chunk's rows in the order of the key: of the table, or of the
// rows that a statement gives.
func (v *version) query(c snapshot.Chunk, override string) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	n := 0
	for i := range v.def.Columns {
		if v.at[i] < 0 {
			continue
		}
		if n++; n > 1 {
			b.WriteByte(',')
		}
		b.WriteString(v.selected(i))
	}
	if n == 0 { // all are left out
		b.WriteString("NULL")
	}
	if override == "" {
		b.WriteString(" FROM " + tableName(v.def.ID))
	} else {
		b.WriteString(" FROM (" + override + ") chosen")
	}
	var conditions []string
	if c.Filter != "" {
		conditions = append(conditions, "("+c.Filter+")")
	}
	if c.After != nil {
		conditions = append(conditions, "("+v.after(c.After)+")")
	}
	if c.Upto != nil {
		conditions = append(conditions, "("+v.upto(c.Upto)+")")
	}
	if len(conditions) > 0 {
		b.WriteString(" WHERE " + strings.Join(conditions, " AND "))
	}
	if len(v.def.Key) == 0 {
		return b.String()
	}
	b.WriteString(" ORDER BY " + v.keyList())
	if c.Limit > 0 {
		b.WriteString(" LIMIT " + strconv.Itoa(c.Limit))
	}
	return b.String()
}

// after is the condition for rows behind a key.
func (v *version) after(key [][]byte) string { return v.beside(key, " > ", " > ") }

// upto is the condition for rows up to a key.
func (v *version) upto(key [][]byte) string { return v.beside(key, " < ", " <= ") }

// beside is the condition for rows on a side of a key, in a form for which the server
// finds the range in the index: a >= 1 AND (a > 1 OR (a = 1 AND b > 2)). last compares
// the last column.
func (v *version) beside(key [][]byte, side, last string) string {
	cond := ""
	for i := len(v.def.Key) - 1; i >= 0; i-- {
		name, value := identifier(v.def.Key[i]), v.literal(v.def.Key[i], key[i])
		if cond == "" {
			cond = name + last + value
		} else {
			cond = name + strings.TrimRight(side, " ") + "= " + value + " AND (" + name + side + value + " OR (" + cond + "))"
		}
	}
	return cond
}

// keyList names the columns of the key.
func (v *version) keyList() string {
	names := make([]string, len(v.def.Key))
	for i, k := range v.def.Key {
		names[i] = identifier(k)
	}
	return strings.Join(names, ",")
}

// Split implements snapshot.Splitter: it reads keys alone.
func (r *reader) Split(ctx context.Context, c snapshot.Chunk) (key [][]byte, err error) {
	v := r.versions[c.Codec.Table]
	override, _ := r.part(v)
	err = r.conn.rows(ctx, v.lastKey(c, override), func(cells [][]byte) error {
		for _, cell := range cells {
			key = append(key, bytes.Clone(cell))
		}
		return nil
	})
	return key, err
}

// lastKey selects the key of a chunk's last row.
func (v *version) lastKey(c snapshot.Chunk, override string) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, k := range v.def.Key {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v.selected(v.def.index(k)))
	}
	if override == "" {
		b.WriteString(" FROM " + tableName(v.def.ID))
	} else {
		b.WriteString(" FROM (" + override + ") chosen")
	}
	if c.After != nil {
		b.WriteString(" WHERE " + v.after(c.After))
	}
	b.WriteString(" ORDER BY " + v.keyList() + " LIMIT " + strconv.Itoa(c.Limit-1) + ",1")
	return b.String()
}

// selected is the expression that selects a column.
func (v *version) selected(i int) string {
	name := identifier(v.def.Columns[i].Name)
	if v.types[i].sql != "" {
		return fmt.Sprintf(v.types[i].sql, name)
	}
	return name
}

// literal writes the text of a value of a column as SQL.
func (v *version) literal(column string, text []byte) string {
	switch d := v.def.column(column); d.DataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year":
		return string(text)
	case "enum": // compared as it is ordered: by its number
		return strconv.Itoa(slices.Index(d.Members, string(text)) + 1)
	case "set":
		mask := uint64(0)
		for m := range strings.SplitSeq(string(text), ",") {
			if i := slices.Index(d.Members, m); i >= 0 {
				mask |= 1 << i
			}
		}
		return strconv.FormatUint(mask, 10)
	case "bit":
		return "CAST(CONV(" + quote(hex.EncodeToString(text)) + ",16,10) AS UNSIGNED)"
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return "x'" + hex.EncodeToString(text) + "'"
	default:
		return quote(string(text))
	}
}

// flusher hands the lists of a snapshot to the pipe. It implements
// snapshot.Flush.
type flusher struct {
	pipe  *capture.Pipe
	batch *capture.Batch
	from  position // where the log is followed from when the snapshot is done
}

// Full implements snapshot.Flush.
func (f *flusher) Full(*envelope.Changes) bool { return f.pipe.Limits().Full(f.batch) }

// Flush implements snapshot.Flush.
func (f *flusher) Flush(ctx context.Context, _ *envelope.Changes, after *snapshot.Progress) (*envelope.Changes, error) {
	p := f.from
	p.Snapshot = after
	f.batch.Snapshot, f.batch.End = true, p.encode()
	next, err := f.pipe.Put(ctx, f.batch)
	if err != nil {
		return nil, err
	}
	f.batch = next
	return &next.Changes, nil
}

// parallelChunk is the greatest number of rows of a chunk where several are read
// at a time: small enough that a reader can be a whole chunk ahead.
const parallelChunk = 20_000

// snapshot reads what is left of the snapshot that p is in, and returns p with
// the snapshot done. A nil Snapshot in p begins one, at a position of its own. One
// that waits has the log followed to its view first.
func (s *session) snapshot(ctx context.Context, p *position) error {
	v, err := openView(ctx, s.cfg, s.server, s.ids, s.log)
	if err != nil {
		return fmt.Errorf("open a consistent view: %w", err)
	}
	defer func() { _ = v.close() }()
	if p.Snapshot != nil && p.Snapshot.Waits {
		if err := s.followTo(ctx, p, &v.at); err != nil {
			return err
		}
	}
	f := &flusher{pipe: s.pipe, batch: s.pipe.Batch(), from: *p}
	plan := snapshot.Plan{
		Aside:  s.cfg.KeepsFailures(),
		GiveUp: ofStatement, Log: s.log,
		ChunkRows: s.cfg.FetchSize, ListBytes: s.cfg.BatchBytes,
		Source: envelope.Source{TsNs: time.Now().Unix() * 1e9, File: told(v.at.File, p.Epoch), Pos: int64(v.at.Pos)}, //nolint:gosec // offsets fit
	}
	if p.Snapshot == nil {
		v.at.Server, v.at.Epoch = s.server.id, p.Epoch
		*p, f.from = v.at, v.at
		if err := s.settled(ctx); err != nil {
			return err
		}
		if err := s.tell(ctx, f.batch, p); err != nil {
			return err
		}
	} else {
		plan.Progress = *p.Snapshot
		s.log.Info("snapshot goes on", "rows", plan.Progress.Rows, "tables_done", len(plan.Progress.Done))
	}
	if p.Tables == "" {
		if p.Tables, err = s.history.carried(s.server.described(), s.cfg); err != nil {
			return err
		}
	}
	f.from.Tables = p.Tables
	r := &reader{conn: v.conn, versions: make(map[*envelope.Table]*version), cfg: s.cfg, of: &plan.Progress}
	if n := len(v.more); n > 0 { // the last one finds chunks
		plan.ChunkRows = min(plan.ChunkRows, parallelChunk)
		plan.Splitter = &reader{conn: v.more[n-1], versions: r.versions, cfg: s.cfg, of: r.of}
		for _, c := range v.more[:n-1] {
			plan.Readers = append(plan.Readers, &reader{conn: c, versions: r.versions, cfg: s.cfg, of: r.of})
		}
	}
	// As Debezium's, in the order of table.include.list.
	ids := slices.Clone(s.ids)
	slices.SortStableFunc(ids, func(a, b envelope.TableID) int { return s.cfg.tables.Rank(a) - s.cfg.tables.Rank(b) })
	for _, id := range ids {
		if _, ok := plan.Progress.Part(id); !ok || !s.cfg.snapshots.Table(id) {
			continue
		}
		ver := s.tables[id.String()].current()
		plan.Tables = append(plan.Tables, ver.codec)
		r.versions[ver.codec.Table] = ver
	}
	if err := s.estimate(ctx, &plan); err != nil {
		return err
	}
	began := time.Now()
	s.log.Info("snapshot begins", "tables", len(plan.Tables), "file", v.at.File, "pos", v.at.Pos)
	if err := plan.Run(ctx, r, &f.batch.Changes, f); err != nil {
		return err
	}
	s.log.Info("snapshot read", "took", time.Since(began).Round(time.Millisecond).String())
	p.Snapshot = nil
	return nil
}

// estimate tells what the snapshot has to read.
func (s *session) estimate(ctx context.Context, plan *snapshot.Plan) error {
	out := &capture.SnapshotPlan{Tables: plan.Names(), Done: plan.Progress.Rows}
	var err error
	if out.Rows, err = estimate(ctx, s.conn, out.Tables); err != nil {
		return err
	}
	s.planned.Store(out)
	return nil
}

// estimate is about how many rows tables have, as the server's statistics say.
func estimate(ctx context.Context, c *conn, names []string) (rows int64, err error) {
	query := "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_ROWS > 0 AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')"
	err = c.rows(ctx, query, func(cells [][]byte) error {
		if n, err := strconv.ParseInt(string(cells[2]), 10, 64); err == nil && slices.Contains(names, string(cells[0])+"."+string(cells[1])) {
			rows += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("estimate rows: %w", err)
	}
	return rows, nil
}
