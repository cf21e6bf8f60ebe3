package mssqltest

import (
	"errors"
	"strings"
	"time"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// exec runs a statement within the session's transaction.
func (s *session) exec(st tsql.Statement) error {
	switch st := st.(type) {
	case *tsql.Select:
		return s.query(st.Query)
	case *tsql.Insert:
		return s.insert(st)
	case *tsql.Update:
		return s.update(st)
	case *tsql.Delete:
		return s.delete(st)
	case *tsql.BeginTran:
		s.begin()
		if s.tranCount == 1 {
			return firstOf(s.out.transaction(tds.EnvBegin, s.tx.id), s.out.done(0xD4, -1))
		}
		return s.out.done(0xD4, -1)
	case *tsql.CommitTran:
		return firstOf(s.commit(), s.out.done(0xD5, -1))
	case *tsql.RollbackTran:
		return s.rollbackTran(st)
	case *tsql.SaveTran:
		if s.tranCount == 0 {
			return sqlError(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.")
		}
		s.tx.save(st.Name)
		return s.out.done(0xD6, -1)
	case *tsql.SetOption:
		return s.setOption(st)
	case *tsql.SetVar:
		v, x, err := s.value(st.X)
		if err != nil {
			return err
		}
		return s.assign(st.Name, v.typ, x)
	case *tsql.Declare:
		return s.declare(st)
	case *tsql.Exec:
		return s.execute(st)
	case *tsql.Use:
		return s.use(st.Database)
	case *tsql.Print:
		v, x, err := s.value(st.X)
		if err != nil || x == nil {
			return err
		}
		t, err := convert(x, v.typ, nmaxType, 0, false)
		if err != nil {
			return err
		}
		return s.out.message(&Error{Number: 0, State: 1, Text: t.(string)})
	case *tsql.WaitFor:
		return s.waitFor(st)
	case *tsql.Throw:
		return s.throw(st)
	case *tsql.Kill:
		if !s.onServer("ALTER ANY CONNECTION") {
			return sqlError(6102, "User does not have permission to use the KILL statement.")
		}
		_, x, err := s.value(st.Session)
		if err != nil {
			return err
		}
		id, ok := x.(int64)
		if !ok || !s.srv.Kill(int(id)) {
			return sqlError(6106, "Process ID %v is not an active process ID.", x)
		}
		return s.out.done(0, -1)
	}
	return s.define(st)
}

func (s *session) rollbackTran(st *tsql.RollbackTran) error {
	if s.tranCount == 0 {
		return sqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	if st.Name != "" {
		if err := s.tx.rollbackTo(st.Name); err != nil {
			return err
		}
	} else {
		s.rollback()
	}
	return s.out.done(0xD7, -1)
}

var levels = map[string]isolation{
	"READ UNCOMMITTED": readUncommitted, "READ COMMITTED": readCommitted, "REPEATABLE READ": repeatableRead, "SERIALIZABLE": serializable, "SNAPSHOT": snapshotLevel,
}

// setOption runs SET. Options that change what the model does are followed; those
// that it always behaves by may only be set to that; the rest is an error.
func (s *session) setOption(st *tsql.SetOption) error {
	num := func() (int64, error) {
		_, x, err := s.value(st.X)
		n, ok := x.(int64)
		if err == nil && !ok {
			err = sqlError(102, "Incorrect syntax near '%s'.", st.Option)
		}
		return n, err
	}
	for _, o := range strings.Split(st.Option, ",") {
		switch o {
		case "TRANSACTION ISOLATION LEVEL":
			level := levels[st.Value]
			if level == snapshotLevel && s.tranCount > 0 && s.level != snapshotLevel {
				// As a server, it says so when the data is accessed; the model says it at once.
				return sqlError(3951, "Transaction failed in database '%s' because the statement was run under snapshot isolation but the transaction did not start in snapshot isolation. You cannot change the isolation level of the transaction to snapshot after the transaction has started.", s.db.name)
			}
			s.isolate(level)
			if s.tx != nil {
				s.tx.level = level
			}
		case "LOCK_TIMEOUT":
			n, err := num()
			if err != nil {
				return err
			}
			s.lockTimeout = n
		case "IMPLICIT_TRANSACTIONS":
			s.implicit = st.Value == "ON"
		case "NOCOUNT":
			s.nocount = st.Value == "ON"
		case "XACT_ABORT":
			s.xactAbort = st.Value == "ON"
		case "IDENTITY_INSERT":
			s.identityIns = ""
			if st.Value == "ON" {
				s.identityIns = strings.ToLower(st.X.(*tsql.Col).Name.Last())
			}
		case "TEXTSIZE":
			if n, err := num(); err != nil || n != -1 && n < 1<<31-1-1 && n != 0 {
				return firstOf(err, notInModel("a TEXTSIZE that cuts"))
			}
		case "ROWCOUNT":
			if n, err := num(); err != nil || n != 0 {
				return firstOf(err, notInModel("SET ROWCOUNT"))
			}
		case "DATEFIRST", "DEADLOCK_PRIORITY":
		case "LANGUAGE":
			if !strings.EqualFold(st.Value, "us_english") && !strings.EqualFold(st.Value, "English") {
				return notInModel("the language %s", st.Value)
			}
		case "DATEFORMAT":
			if !strings.EqualFold(st.Value, "mdy") {
				return notInModel("the date format %s", st.Value)
			}
		case "ANSI_NULLS", "QUOTED_IDENTIFIER", "ANSI_PADDING", "ANSI_WARNINGS", "ARITHABORT", "CONCAT_NULL_YIELDS_NULL", "ANSI_NULL_DFLT_ON", "ANSI_DEFAULTS":
			if st.Value != "ON" {
				return notInModel("SET %s OFF", o)
			}
		case "NUMERIC_ROUNDABORT", "CURSOR_CLOSE_ON_COMMIT", "FMTONLY", "NOEXEC", "PARSEONLY", "ARITHIGNORE", "NO_BROWSETABLE", "SHOWPLAN_ALL":
			if st.Value != "OFF" && o != "NO_BROWSETABLE" {
				return notInModel("SET %s ON", o)
			}
		default:
			return withClass(sqlError(195, "'%s' is not a recognized SET option.", o), 15)
		}
	}
	return s.out.done(0xBE, -1)
}

func (s *session) declare(st *tsql.Declare) error {
	for _, d := range st.Vars {
		if d.Table != nil {
			t := &table{name: d.Name}
			for _, cd := range d.Table {
				if err := s.addColumn(s.db, t, cd); err != nil {
					return err
				}
			}
			s.vars[strings.ToLower(d.Name)] = &variable{tab: &tableVariable{tb: t}}
			continue
		}
		c := &compiler{s: s}
		t, err := c.typeOf(d.Type)
		if err != nil {
			return err
		}
		k := strings.ToLower(d.Name)
		if s.vars[k] != nil {
			return withClass(sqlError(134, "The variable name '%s' has already been declared. Variable names must be unique within a query batch or stored procedure.", d.Name), 15)
		}
		s.vars[k] = &variable{typ: t}
		if d.X != nil {
			v, x, err := s.value(d.X)
			if err != nil {
				return err
			}
			if err := s.assign(d.Name, v.typ, x); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) use(name string) error {
	db := s.srv.DB(name)
	if db == nil {
		return sqlError(911, "Database '%s' does not exist. Make sure that the name is entered correctly.", name)
	}
	if err := s.enter(db); err != nil {
		return err
	}
	if s.srv.azure() && db != s.db {
		return sqlError(40508, "USE statement is not supported to switch between databases. Use a new connection to connect to a different database.")
	}
	before := s.db.name
	s.db = db
	return firstOf(
		s.out.database(db.name, before),
		s.out.message(&Error{Number: 5701, State: 2, Text: "Changed database context to '" + db.name + "'."}),
		s.out.done(0xB7, -1))
}

func (s *session) waitFor(st *tsql.WaitFor) error {
	_, x, err := s.value(st.Delay)
	if err != nil {
		return err
	}
	text, _ := x.(string)
	d, err := time.Parse("15:04:05.999", text)
	if err != nil {
		return sqlError(148, "Incorrect time syntax in time string '%s' used with WAITFOR.", text)
	}
	select {
	case <-time.After(time.Duration(tds.ClockOf(d)) * 100):
		return nil
	case <-s.ctx.Done():
		return s.interrupted()
	}
}

func (s *session) throw(st *tsql.Throw) error {
	if st.Text == nil {
		if s.caught == nil {
			return sqlError(10704, "To rethrow an error, a THROW statement must be used inside a CATCH block.")
		}
		e := *s.caught
		return &e
	}
	e := &Error{Number: 50000, State: 1, Class: 16}
	_, x, err := s.value(st.Text)
	if err != nil {
		return err
	}
	e.Text, _ = x.(string)
	for _, p := range []struct {
		x   tsql.Expr
		set func(int64)
	}{
		{st.Number, func(n int64) { e.Number = int32(n) }}, {st.State, func(n int64) { e.State = byte(n) }}, {st.Severity, func(n int64) { e.Class = byte(n) }},
	} {
		if p.x == nil {
			continue
		}
		_, x, err := s.value(p.x)
		if err != nil {
			return err
		}
		if n, ok := x.(int64); ok {
			p.set(n)
		}
	}
	if e.Class <= 10 {
		return s.out.message(e)
	}
	return e
}

// execute runs EXEC: a procedure, or a text.
func (s *session) execute(st *tsql.Exec) error {
	if st.Text != nil {
		_, x, err := s.value(st.Text)
		if err != nil {
			return err
		}
		t, _ := x.(string)
		vars := s.vars
		s.vars = map[string]*variable{}
		defer func() { s.vars = vars }()
		return s.inner(t)
	}
	args := make([]arg, len(st.Args))
	for i, a := range st.Args {
		args[i].name = strings.ToLower(a.Name)
		if a.X == nil {
			args[i].absent = true
			continue
		}
		v, x, err := s.value(a.X)
		if err != nil {
			return err
		}
		args[i].typ, args[i].val, args[i].null = v.typ, x, v.null
		if vr, ok := a.X.(*tsql.Var); ok && a.Output {
			args[i].out = vr.Name
		}
	}
	status, err := s.procedure(st.Proc, args)
	if err != nil {
		return err
	}
	if st.Return != "" {
		return s.assign(st.Return, intType, int64(status))
	}
	return nil
}

// inner runs a text within a statement: its error is the statement's.
func (s *session) inner(text string) error {
	list, err := tsql.Parse(text)
	if err != nil {
		var se *tsql.SyntaxError
		if errors.As(err, &se) {
			return &Error{Number: int32(se.Number), State: 1, Class: 15, Text: se.Text, Line: int32(se.Line)}
		}
		return err
	}
	auto := s.tranCount == 0
	own := s.tx
	for _, st := range list {
		if auto && s.tranCount == 0 {
			// Each statement of the text commits by itself.
			s.tx = nil
		}
		if _, err := s.guarded(st); err != nil {
			return err
		}
	}
	if auto && s.tranCount == 0 {
		s.tx = own
	}
	return nil
}
