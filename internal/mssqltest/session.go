package mssqltest

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// output takes a session's results: to a client, or into memory.
type output interface {
	columns(cols []tds.Column) error
	row(vals []any) error
	// done ends a statement; count is -1 where it has none.
	done(command uint16, count int64) error
	message(e *Error) error
	database(now, before string) error
	transaction(kind byte, id uint64) error
}

type variable struct {
	typ tds.Type
	val any
	tab *tableVariable // of a table variable, which has nothing else
}

// tableVariable is a table that lives in a batch. Transactions do not concern it.
type tableVariable struct {
	tb   *table
	rows [][]any
}

func (s *session) tableVariable(name string) (*tableVariable, error) {
	v := s.vars[strings.ToLower(name)]
	if v == nil || v.tab == nil {
		return nil, sqlError(1087, "Must declare the table variable \"%s\".", name)
	}
	return v.tab, nil
}

// session is a connection's state. One goroutine runs it.
type session struct {
	srv             *Server
	id              int
	user, host, app string
	since           time.Time
	readOnly        bool

	ctx context.Context // of the request that runs
	out output

	db          *Database
	tx          *tx // the transaction, or that of the statement alone
	tranCount   int64
	level       isolation
	shown       atomic.Int32 // level, for other sessions
	lockTimeout int64
	implicit    bool
	nocount     bool
	xactAbort   bool
	identityIns string
	vars        map[string]*variable
	rowCount    int64
	lastError   int64
	identity    *int64
	caught      *Error
	states      map[*Database]*state // what the statement sees
	prepared    map[int32]*prepared
	handles     int32
	procDepth   int
	rpcFailed   bool
	startDB     string
}

// prepared is a text with its parameters' declaration.
type prepared struct{ params, text string }

func (s *session) reset() {
	s.rollback()
	s.db = s.srv.DB("master")
	s.isolate(readCommitted)
	s.lockTimeout = -1
	s.implicit, s.nocount, s.xactAbort, s.identityIns = false, false, false, ""
	s.rowCount, s.lastError, s.identity, s.caught = 0, 0, nil, nil
	s.prepared = map[int32]*prepared{}
	s.vars = map[string]*variable{}
}

// isolate sets the level of the session: it stays until it is set again, whatever
// transactions end.
func (s *session) isolate(level isolation) {
	s.level = level
	s.shown.Store(int32(level))
}

// interrupted says whether the request is to end.
func (s *session) interrupted() error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return nil
}

func (s *session) begin() {
	s.tranCount++
	if s.tranCount == 1 {
		s.tx = s.srv.newTx(s.level)
	}
}

func (s *session) commit() error {
	if s.tranCount == 0 {
		return sqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	s.tranCount--
	if s.tranCount > 0 {
		return nil
	}
	id := s.tx.id
	s.tx.end(true)
	s.tx = nil
	return s.out.transaction(tds.EnvCommit, id)
}

// rollback ends the transaction, if there is one, without its changes.
func (s *session) rollback() bool {
	if s.tx == nil {
		return false
	}
	open := s.tranCount > 0
	id := s.tx.id
	s.tx.end(false)
	s.tx, s.tranCount = nil, 0
	if open && s.out != nil {
		_ = s.out.transaction(tds.EnvRollback, id)
	}
	return open
}

func (s *session) xactState() any {
	if s.tranCount > 0 {
		return int64(1)
	}
	return int64(0)
}

func (s *session) caughtPart(f func(*Error) any) any {
	if s.caught == nil {
		return nil
	}
	return f(s.caught)
}

// state is what the statement that runs sees of a database.
func (s *session) state(db *Database) (*state, error) {
	if s.level == snapshotLevel && s.tx != nil {
		if s.tx.snapshot == nil {
			s.tx.snapshot = map[*Database]*state{}
			for _, d := range s.srv.databases() {
				s.tx.snapshot[d] = d.st.Load()
			}
		}
		if st := s.tx.snapshot[db]; st != nil {
			return st, nil
		}
	}
	st := s.states[db]
	if st == nil {
		st = db.st.Load()
		if s.states == nil {
			s.states = map[*Database]*state{}
		}
		s.states[db] = st
	}
	return st, nil
}

// snapshotAllowed is the error of a snapshot transaction where there may be none.
func (s *session) snapshotAllowed(db *Database) error {
	if s.level == snapshotLevel && !db.st.Load().snapshot {
		return sqlError(3952, "Snapshot isolation transaction failed accessing database '%s' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation.", db.name)
	}
	return nil
}

// readLock takes the locks that reading a table needs.
func (s *session) readLock(db *Database, tb *table, hints []string) (waited bool, err error) {
	level := s.level
	exclusive := false
	for _, h := range hints {
		switch h {
		case "TABLOCKX", "XLOCK", "UPDLOCK":
			exclusive = true
		case "NOLOCK", "READUNCOMMITTED":
			level = readUncommitted
		case "REPEATABLEREAD":
			level = repeatableRead
		case "HOLDLOCK", "SERIALIZABLE":
			level = serializable
		case "READPAST":
			return false, notInModel("READPAST")
		}
	}
	l := s.srv.locks
	switch {
	case exclusive:
		waited, err = l.lockTable(s.ctx, s.tx, s.lockTimeout, db, tb.id)
	case level == snapshotLevel:
		return false, s.snapshotAllowed(db)
	case level == readCommitted:
		waited, err = l.waitReadable(s.ctx, s.tx, s.lockTimeout, db, tb.id)
	case level == repeatableRead:
		waited, err = l.lockShared(s.ctx, s.tx, s.lockTimeout, db, tb.id, false)
	case level == serializable:
		waited, err = l.lockShared(s.ctx, s.tx, s.lockTimeout, db, tb.id, true)
	}
	locked := exclusive || level == repeatableRead || level == serializable
	if locked && db.st.Load().tables[tb.id] != tb {
		waited = true // others committed between the reading and the lock, which then was free
	}
	if waited {
		s.states = nil
	}
	return waited, err
}

// objectName splits a name into database, schema and object.
func (s *session) objectName(n tsql.Name) (*Database, string, string, error) {
	db, schema := s.db, "dbo"
	switch len(n) {
	case 4:
		return nil, "", "", notInModel("linked servers")
	case 3:
		if n[0] != "" {
			if db = s.srv.DB(n[0]); db == nil {
				return nil, "", "", invalidObject(strings.Join(n, "."))
			}
		}
		schema = n[1]
	case 2:
		schema = n[0]
	}
	if schema == "" {
		schema = "dbo"
	}
	return db, schema, n.Last(), nil
}

// compile runs f until no lock had to be waited for: after a wait, what was read
// before may be old.
func (s *session) compile(f func(c *compiler) error) error {
	for {
		c := &compiler{s: s, scope: &scope{}}
		if err := f(c); err != nil {
			return err
		}
		if !c.waited {
			return nil
		}
	}
}

// value evaluates an expression outside a query.
func (s *session) value(x tsql.Expr) (value, any, error) {
	var v value
	err := s.compile(func(c *compiler) (err error) { v, err = c.expr(x); return })
	if err != nil {
		return v, nil, err
	}
	a, err := v.eval(&env{})
	return v, a, err
}

// assign gives a variable a value, in its type.
func (s *session) assign(name string, from tds.Type, val any) error {
	v := s.vars[strings.ToLower(name)]
	if v == nil {
		return withClass(sqlError(137, "Must declare the scalar variable \"%s\".", name), 15)
	}
	if val != nil && from != v.typ && !implicit(from, v.typ) {
		return sqlError(257, "Implicit conversion from data type %s to %s is not allowed. Use the CONVERT function to run this query.", from.Kind, v.typ.Kind)
	}
	x, err := convert(val, from, v.typ, 0, false)
	if err == nil {
		v.val = x
	}
	return err
}

func (s *session) query(q *tsql.Query) error {
	var p *plan
	err := s.compile(func(c *compiler) (err error) { c.top = true; p, err = c.query(q); return })
	if err != nil {
		return err
	}
	if len(p.cols) > 0 && p.cols[0].assign != "" {
		return s.assignRows(p)
	}
	cols := make([]tds.Column, len(p.cols))
	for i, c := range p.cols {
		if c.assign != "" {
			return sqlError(141, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.")
		}
		cols[i] = c.Column
	}
	if err := s.out.columns(cols); err != nil {
		return err
	}
	n := int64(0)
	var bad error
	err = p.run(nil, func(row []any) bool {
		n++
		bad = s.out.row(row)
		return bad == nil
	})
	s.rowCount = n
	if err = firstOf(bad, err); err != nil {
		return err
	}
	return s.out.done(0xC1, s.counted(n))
}

// counted is the number of rows to tell: none after SET NOCOUNT ON.
func (s *session) counted(n int64) int64 {
	if s.nocount {
		return -1
	}
	return n
}

func (s *session) assignRows(p *plan) error {
	var bad error
	n := int64(0)
	err := p.run(nil, func(row []any) bool {
		n++
		for i, c := range p.cols {
			if c.assign == "" {
				bad = sqlError(141, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.")
			} else if bad == nil {
				bad = s.assign(c.assign, c.Type, row[i])
			}
		}
		return bad == nil
	})
	s.rowCount = n
	return firstOf(bad, err)
}
