package mssqltest

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
)

// session is one in this process, in the database.
func (db *Database) session() (*session, *memoryOutput) {
	out := &memoryOutput{count: -1}
	s := db.srv.newSession(0)
	s.user, s.db, s.out = db.srv.opts.User, db, out
	return s, out
}

// Exec runs a text in the database, with @p1, @p2, … as its parameters.
func (db *Database) Exec(text string, args ...any) error {
	_, err := db.Query(text, args...)
	return err
}

// Query runs a text and gives the rows of its last result, in the server's own
// forms of values (see package tds).
func (db *Database) Query(text string, args ...any) ([][]any, error) {
	s, out := db.session()
	return s.queryText(out, text, args)
}

func (s *session) queryText(out *memoryOutput, text string, args []any) ([][]any, error) {
	out.err, out.rows, out.count = nil, nil, -1
	s.vars = map[string]*variable{}
	for i, a := range args {
		t, v, err := valueOf(a)
		if err != nil {
			return nil, err
		}
		s.vars[fmt.Sprintf("@p%d", i+1)] = &variable{typ: t, val: v}
	}
	if err := s.run(text); err != nil {
		return nil, err
	}
	if out.err != nil {
		return nil, out.err
	}
	return out.rows, nil
}

// valueOf gives a Go value its type in SQL.
func valueOf(a any) (tds.Type, any, error) {
	switch x := a.(type) {
	case nil:
		return nvarchar(1), nil, nil
	case bool:
		return bitType, x, nil
	case int:
		return bigType, int64(x), nil
	case int32:
		return bigType, int64(x), nil
	case int64:
		return bigType, x, nil
	case float64:
		return floatType, x, nil
	case string:
		return nmaxType, x, nil
	case []byte:
		return binMaxType, x, nil
	case LSN:
		return lsnType, x.Bytes(), nil
	case tds.GUID:
		return guidType, x, nil
	case tds.Dec:
		p := max(len(new(big.Int).Abs(x.Unscaled).String()), x.Scale, 1)
		return tds.Type{Kind: tds.Numeric, Precision: p, Scale: x.Scale}, x, nil
	case tds.Clock:
		return tds.Type{Kind: tds.Time, Scale: 7}, x, nil
	case time.Time:
		return dtoType, x, nil
	}
	return tds.Type{}, nil, fmt.Errorf("no type of SQL for a %T", a)
}

// EnableCDC enables change data capture in the database.
func (db *Database) EnableCDC() error { return db.Exec("EXEC sys.sp_cdc_enable_db") }

// EnableTable makes a capture instance of a table: of all its columns if none are
// named, under the usual name if instance is empty.
func (db *Database) EnableTable(schema, table, instance string, columns ...string) error {
	if instance == "" {
		instance = schema + "_" + table
	}
	var list any
	if len(columns) > 0 {
		list = strings.Join(columns, ",")
	}
	return db.Exec("EXEC sys.sp_cdc_enable_table @source_schema=@p1, @source_name=@p2, @role_name=NULL, @capture_instance=@p3, @supports_net_changes=0, @captured_column_list=@p4",
		schema, table, instance, list)
}

// DisableTable removes a capture instance.
func (db *Database) DisableTable(instance string) error {
	st := db.st.Load()
	in := st.instance(instance)
	if in == nil {
		return fmt.Errorf("there is no capture instance %s", instance)
	}
	t := st.tables[in.sourceID]
	return db.Exec("EXEC sys.sp_cdc_disable_table @source_schema=@p1, @source_name=@p2, @capture_instance=@p3", t.schema, t.name, in.name)
}

// AllowSnapshot sets ALLOW_SNAPSHOT_ISOLATION.
func (db *Database) AllowSnapshot(on bool) error {
	return db.change(func(st *state) error { st.snapshot = on; return nil })
}

// RunCapture moves the log into the change tables now, whatever the agent does,
// and gives the greatest LSN that is there then.
func (db *Database) RunCapture() LSN {
	db.capture()
	return db.MaxLSN()
}

// MaxLSN is what fn_cdc_get_max_lsn gives; zero for NULL.
func (db *Database) MaxLSN() LSN { return db.st.Load().maxLSN() }

// MinLSN is what fn_cdc_get_min_lsn gives.
func (db *Database) MinLSN(instance string) LSN { return db.st.Load().minLSN(instance) }

// Idle writes an idle mark into lsn_time_mapping, as the capture job does while
// nothing happens, and gives its LSN.
func (db *Database) Idle() LSN {
	db.mu.Lock()
	defer db.mu.Unlock()
	st := db.st.Load().clone()
	db.head.flush()
	l := db.head.next()
	now := datetime(db.srv.now())
	st.times = append(st.times, timeRow{lsn: l, begin: now, end: now, tranID: []byte{0}})
	db.st.Store(st)
	return l
}

// Cleanup raises the low end of an instance (of all, if its name is empty) and
// removes what is below, as the clean-up job does.
func (db *Database) Cleanup(instance string, low LSN) error { return db.cleanup(instance, low) }

// Tx is a transaction of this process.
type Tx struct {
	s   *session
	out *memoryOutput
}

// Begin starts a transaction.
func (db *Database) Begin() *Tx {
	s, out := db.session()
	s.begin()
	return &Tx{s, out}
}

// Exec runs a text in the transaction.
func (t *Tx) Exec(text string, args ...any) error {
	_, err := t.s.queryText(t.out, text, args)
	return err
}

// Insert adds a row to a table, whose name may have a schema: the values of all
// columns in order, but for rowversion, computed and identity columns.
func (t *Tx) Insert(table string, values ...any) error {
	marks := make([]string, len(values))
	for i := range values {
		marks[i] = fmt.Sprintf("@p%d", i+1)
	}
	return t.Exec("INSERT INTO "+table+" VALUES ("+strings.Join(marks, ", ")+")", values...)
}

// Update sets columns (as SQL, with @p1, …) of the rows for which where holds.
func (t *Tx) Update(table, set, where string, args ...any) error {
	return t.Exec("UPDATE "+table+" SET "+set+" WHERE "+where, args...)
}

// Delete removes the rows for which where holds.
func (t *Tx) Delete(table, where string, args ...any) error {
	return t.Exec("DELETE FROM "+table+" WHERE "+where, args...)
}

// Commit commits, and gives the commit's LSN: zero if nothing was written.
func (t *Tx) Commit() (LSN, error) {
	if t.s.tranCount == 0 {
		return LSN{}, sqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	lsn := t.s.tx.end(true)
	t.s.tx, t.s.tranCount = nil, 0
	return lsn, nil
}

// Rollback ends the transaction without its changes.
func (t *Tx) Rollback() { t.s.rollback() }

// WithContext bounds the waits of the transaction.
func (t *Tx) WithContext(ctx context.Context) { t.s.ctx = ctx }
