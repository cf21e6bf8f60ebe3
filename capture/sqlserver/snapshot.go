package sqlserver

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
)

var levels = map[string]sql.IsolationLevel{
	isolationSnapshot: sql.LevelSnapshot, isolationExclusive: sql.LevelRepeatableRead, isolationRepeatable: sql.LevelRepeatableRead,
	"read_committed": sql.LevelReadCommitted, "read_uncommitted": sql.LevelReadUncommitted,
}

// begin has a first start read the rows. Without rows to read it tells of the
// tables and of the position.
func (n *session) begin(ctx context.Context) error {
	if n.cfg.readsRows() {
		n.at.Snapshot = &snapshot.Progress{}
		return nil
	}
	b := n.pipe.Batch()
	for _, d := range n.databases {
		if err := d.tell(ctx, b, lsn(n.at.Databases[d.name].Commit)); err != nil {
			return err
		}
	}
	var err error
	if b.End, err = n.at.append(b.End[:0]); err != nil {
		return err
	}
	_, err = n.pipe.Put(ctx, b)
	return err
}

// start makes a place the present end of what the database has captured.
func (d *database) start(ctx context.Context, p *place) error {
	v, err := d.conn.one(ctx, "SELECT sys.fn_cdc_get_max_lsn()")
	if err != nil {
		return fmt.Errorf("read the end of the log of database %s: %w", d.name, err)
	}
	*p = place{Commit: lsnText(asLSN(v)), Instances: objects(d.list, asLSN(v))}
	return nil
}

// objects are the instances that are to be read on after an LSN: without those that
// a newer one had taken the place of by then, which may be dropped, and those that
// begin later, or that the capture job has not begun, of which nothing can be missing
// yet.
func objects(list []*instance, after lsn) (out []int64) {
	for _, in := range list {
		if in.start != (lsn{}) && compareLSN(in.start, after) <= 0 && (in.stop == (lsn{}) || compareLSN(after, in.stop) < 0) {
			out = append(out, in.object)
		}
	}
	slices.Sort(out)
	return out
}

// current are the versions that a snapshot reads: of each table that of its newest
// capture instance, in the order of table.include.list and of their names.
func (d *database) current() []*table {
	var out []*table
	for i, in := range d.list {
		if i+1 == len(d.list) || d.list[i+1].id != in.id {
			out = append(out, in.table)
		}
	}
	slices.SortStableFunc(out, func(a, b *table) int { return d.cfg.rank(a.id) - d.cfg.rank(b.id) })
	return out
}

// snapshot reads the rows that are left, database after database.
func (n *session) snapshot(ctx context.Context) error {
	var names []string
	for _, d := range n.databases {
		for _, t := range d.current() {
			names = append(names, t.id.String())
		}
	}
	n.planned.Store(&capture.SnapshotPlan{Tables: names, Rows: n.estimate(ctx), Done: n.at.Snapshot.Rows})
	began := time.Now()
	for i, d := range n.databases {
		if d.complete(n.at.Snapshot) && i+1 < len(n.databases) {
			continue
		}
		if err := n.snapshotOf(ctx, d, i+1 < len(n.databases)); err != nil {
			return err
		}
	}
	n.log.Info("snapshot read", "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// complete reports whether nothing is left to read of the database.
func (d *database) complete(p *snapshot.Progress) bool {
	for _, t := range d.current() {
		if d.reads(t.id, p) && !slices.Contains(p.Done, t.id.String()) {
			return false
		}
	}
	return true
}

// reads reports whether a snapshot reads the table.
func (d *database) reads(id envelope.TableID, p *snapshot.Progress) bool {
	_, ok := p.Part(id)
	return ok && d.cfg.snapshotOf(id)
}

// touched reports whether rows of the database have been read.
func (d *database) touched(p *snapshot.Progress) bool {
	for _, t := range d.current() {
		if slices.Contains(p.Done, t.id.String()) || p.Table == t.id.String() {
			return true
		}
	}
	return false
}

func (n *session) snapshotOf(ctx context.Context, d *database, more bool) (err error) {
	p := n.at.Databases[d.name]
	fresh := n.at.Snapshot.Only == nil && !d.touched(n.at.Snapshot)
	if err := d.view(ctx, p, fresh); err != nil {
		return err
	}
	defer func() {
		if e := d.conn.end(); e != nil && err == nil {
			err = e
		}
	}()
	f := &flusher{n: n, batch: n.pipe.Batch()}
	plan := snapshot.Plan{Progress: *n.at.Snapshot, ChunkRows: n.cfg.FetchSize, ListBytes: n.cfg.BatchBytes, Aside: n.cfg.KeepsFailures(), GiveUp: ofStatement, Log: n.log}
	plan.Source.CommitLSN = lsn(p.Commit)
	v, err := d.conn.one(ctx, "SELECT SYSDATETIMEOFFSET()")
	if err != nil {
		return fmt.Errorf("read the time: %w", err)
	}
	if t, ok := v.(time.Time); ok {
		plan.Source.TsNs = t.UnixNano()
	}
	r := &reader{d: d, tables: make(map[*envelope.Table]*table), of: n.at.Snapshot}
	for _, t := range d.current() {
		if d.reads(t.id, n.at.Snapshot) {
			plan.Tables = append(plan.Tables, t.codec)
			r.tables[t.codec.Table] = t
		}
	}
	team, err := d.team(ctx, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(team)) }()
	for i, x := range team {
		if i == 0 {
			plan.Splitter = x
		} else {
			plan.Readers = append(plan.Readers, x)
		}
	}
	if fresh {
		if err := d.tell(ctx, f.batch, lsn(p.Commit)); err != nil {
			return err
		}
	}
	if more { // the progress goes on with the next database
		f.done = append(slices.Clone(n.at.Snapshot.Done), plan.Names()...)
	}
	l := lsn(p.Commit)
	d.log.Info("snapshot begins", "tables", len(plan.Tables), "commit_lsn", l.String(), "isolation", d.cfg.isolation())
	return plan.Run(ctx, r, &f.batch.Changes, f)
}

// view begins the transaction in which the snapshot is read. A fresh one also
// finds the place from which the changes are read afterwards.
func (d *database) view(ctx context.Context, p *place, fresh bool) error {
	mode := d.cfg.isolation()
	if err := d.conn.begin(ctx, levels[mode]); err != nil {
		return err
	}
	locks := d.cfg.locks()
	if locks {
		if err := d.lock(ctx); err != nil {
			return err
		}
	}
	if fresh {
		if err := d.start(ctx, p); err != nil {
			return err
		}
	}
	if !locks || mode == isolationExclusive {
		return nil
	}
	// The locks were for the moment. They end with the transaction for certain: of
	// going back to a savepoint the documents say both.
	if err := d.conn.end(); err != nil {
		return err
	}
	return d.conn.begin(ctx, levels[mode])
}

// lock takes the tables for itself, so that what is captured until then and what
// is read from then on has nothing between.
func (d *database) lock(ctx context.Context) error {
	if err := d.conn.exec(ctx, fmt.Sprintf("SET LOCK_TIMEOUT %d", d.cfg.LockTimeout.Milliseconds())); err != nil {
		return fmt.Errorf("prepare to lock tables: %w", err)
	}
	for _, t := range d.current() {
		if !d.cfg.snapshotOf(t.id) {
			continue
		}
		if _, err := d.conn.one(ctx, "SELECT TOP (1) 1 FROM "+tableName(t.id)+" WITH (TABLOCKX)"); err != nil {
			if number(err) == errLockTimeout {
				return fmt.Errorf("lock table %s for the moment at which the snapshot begins: others hold it for longer than snapshot.lock.timeout.ms; snapshot.isolation.mode snapshot and snapshot.locking.mode none lock nothing: %w", t.id, err)
			}
			return fmt.Errorf("lock table %s: %w", t.id, err)
		}
	}
	if err := d.conn.exec(ctx, "SET LOCK_TIMEOUT -1"); err != nil {
		return fmt.Errorf("lock tables: %w", err)
	}
	return nil
}

func tableName(id envelope.TableID) string { return quoted(id.Schema) + "." + quoted(id.Name) }

// estimate is about how many rows the tables have, as the server's statistics say;
// 0 where it does not.
func (n *session) estimate(ctx context.Context) (rows int64) {
	for _, d := range n.databases {
		for _, t := range d.current() {
			rows += estimate(ctx, d.conn, t.id)
		}
	}
	return rows
}

func estimate(ctx context.Context, c *conn, id envelope.TableID) int64 {
	v, err := c.one(ctx, "SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = OBJECT_ID(@p1) AND p.index_id < 2", tableName(id))
	if err != nil {
		return 0 // it is only to tell how far a snapshot is
	}
	return asInt(v)
}

// reader reads chunks of tables. It implements snapshot.Reader.
type reader struct {
	d         *database
	conn      *conn // nil = that of d
	tables    map[*envelope.Table]*table
	recompile bool
	of        *snapshot.Progress // of a blocking snapshot; nil = of none

	cells [][]byte
	buf   []byte
}

// Read implements snapshot.Reader.
func (r *reader) Read(ctx context.Context, c snapshot.Chunk, row func(cells [][]byte) error) error {
	t := r.tables[c.Codec.Table]
	query, args := r.query(t, c)
	if r.recompile {
		query += " OPTION (RECOMPILE)"
	}
	return r.from().rows(ctx, query, args, func(v []driver.Value) error {
		var err error
		if r.cells, r.buf, err = t.row(r.cells, r.buf[:0], v); err != nil {
			return err
		}
		return row(r.cells)
	})
}

func (r *reader) from() *conn {
	if r.conn == nil {
		return r.d.conn
	}
	return r.conn
}

// query selects a chunk's rows in the order of the key.
func (r *reader) query(t *table, c snapshot.Chunk) (string, []any) {
	var b strings.Builder
	var args []any
	b.WriteString("SELECT ")
	if c.Limit > 0 {
		fmt.Fprintf(&b, "TOP (%d) ", c.Limit)
	}
	b.WriteString(t.list(""))
	r.chunk(&b, t, c, &args)
	return b.String(), args
}

// chunk writes FROM, WHERE and ORDER BY: of the table, or of the rows that a
// statement gives.
func (r *reader) chunk(b *strings.Builder, t *table, c snapshot.Chunk, args *[]any) {
	part, _ := r.of.Part(t.id)
	if override := cmp.Or(part.Select, r.d.cfg.override(t.id)); override == "" {
		b.WriteString(" FROM " + tableName(t.id))
	} else {
		b.WriteString(" FROM (" + override + ") AS chosen")
	}
	var conditions []string
	if filter := cmp.Or(c.Filter, part.Filter); filter != "" {
		conditions = append(conditions, "("+filter+")")
	}
	switch key := c.Codec.Table.Key; {
	case c.After == nil:
	case !t.fits(key, c.After):
		r.d.log.Warn("the key of the table is another than where the snapshot stopped: it is read anew", "table", t.id.String())
	default:
		conditions = append(conditions, "("+t.beside(key, c.After, args, ">", ">")+")")
	}
	if c.Upto != nil {
		conditions = append(conditions, "("+t.beside(c.Codec.Table.Key, c.Upto, args, "<", "<=")+")")
	}
	if len(conditions) > 0 {
		b.WriteString(" WHERE " + strings.Join(conditions, " AND "))
	}
	for i, k := range c.Codec.Table.Key {
		if i == 0 {
			b.WriteString(" ORDER BY ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(quoted(t.columns[k].name))
	}
}

// fits reports whether cells can be those of a key.
func (t *table) fits(key []int, cells [][]byte) bool {
	if len(cells) != len(key) {
		return false
	}
	for i, k := range key {
		if !fits(t.columns[k], cells[i]) {
			return false
		}
	}
	return true
}

// beside is the condition for rows on a side of a key, in a form for which the
// server finds the range in the index: a >= 1 AND (a > 1 OR (a = 1 AND b > 2)). last
// is the comparison of the last column.
func (t *table) beside(key []int, cells [][]byte, args *[]any, op, last string) string {
	exprs := make([]string, len(key))
	for i, k := range key {
		value, expr := argument(t.columns[k], cells[i], fmt.Sprintf("@p%d", len(*args)+1))
		*args = append(*args, value)
		exprs[i] = expr
	}
	cond := ""
	for i := len(key) - 1; i >= 0; i-- {
		name := quoted(t.columns[key[i]].name)
		if cond == "" {
			cond = name + " " + last + " " + exprs[i]
			continue
		}
		cond = name + " " + op + "= " + exprs[i] + " AND (" + name + " " + op + " " + exprs[i] + " OR (" + name + " = " + exprs[i] + " AND " + cond + "))"
	}
	return cond
}

// tell appends what a snapshot finds of the database's tables, if that is wanted.
func (d *database) tell(ctx context.Context, b *capture.Batch, at lsn) error {
	if !d.cfg.SchemaChanges {
		return nil
	}
	all, err := d.sourceTables(ctx, d.conn)
	if err != nil {
		return err
	}
	captured := make(map[envelope.TableID]*table)
	for _, t := range d.current() {
		captured[t.id] = t
	}
	for _, s := range all {
		t := captured[s.id]
		if t == nil {
			if d.cfg.OnlyTables {
				continue
			}
			list, err := columns(ctx, d.conn, s.object)
			if err != nil {
				return err
			}
			key, err := keyOf(ctx, d.conn, s.object)
			if err != nil {
				return err
			}
			t = &table{id: s.id, all: list, key: key}
		}
		source := envelope.Source{Snapshot: envelope.SnapshotTrue, CommitLSN: at, TsNs: time.Now().UnixNano()}
		appendSchemaChange(&b.Changes, t, "CREATE", "", source)
	}
	return nil
}

func appendSchemaChange(out *envelope.Changes, t *table, kind, text string, source envelope.Source) {
	name := t.id.Name
	c := out.Next()
	c.Op, c.Source, c.TsNs = envelope.DDL, source, time.Now().UnixNano()
	c.Event = &envelope.Event{Schema: &envelope.SchemaChange{
		Database: t.id.Catalog, Schema: t.id.Schema, Table: &name, DDL: text,
		Changes: []envelope.TableChange{{Type: kind, ID: t.id, Table: t.schema()}},
	}}
}
