package mssqltest

import (
	"errors"
	"slices"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// batchFault is an error that ends the batch and not only the statement.
func batchFault(e *Error) bool {
	switch e.Number {
	case 2627, 2601, 515, 547, 1222, 2628, 8115, 220, 3902, 3903, 50000, 8134:
		return false
	}
	return true
}

// run runs a text: its statements one after another.
func (s *session) run(text string) error {
	if err := s.srv.note(s, text); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return s.failed(e)
		}
		return err
	}
	list, err := tsql.Parse(text)
	if err != nil {
		var se *tsql.SyntaxError
		if errors.As(err, &se) {
			return s.failed(&Error{Number: int32(se.Number), State: 1, Class: 15, Text: se.Text, Line: int32(se.Line)})
		}
		return err
	}
	_, err = s.statements(list)
	return err
}

// failed tells the client of an error, which ends the statement.
func (s *session) failed(e *Error) error {
	s.lastError = int64(e.Number)
	if e.Number == 1205 || e.Number == 3960 || e.Number == 3952 || s.xactAbort && e.Class > 10 {
		s.rollback()
	}
	if err := s.out.message(e); err != nil {
		return err
	}
	if e.Class >= 20 {
		return errDropped
	}
	return nil
}

// statements runs statements until one ends the batch. ended is true then.
func (s *session) statements(list []tsql.Statement) (ended bool, err error) {
	for _, st := range list {
		if err := s.interrupted(); err != nil {
			return true, err
		}
		ended, err := s.statement(st)
		if ended || err != nil {
			return ended, err
		}
	}
	return false, nil
}

// statement runs a statement, and tells the client of its error.
func (s *session) statement(st tsql.Statement) (ended bool, err error) {
	ended, err = s.guarded(st)
	var e *Error
	if err == nil || !errors.As(err, &e) {
		return ended, err
	}
	if err := s.failed(e); err != nil {
		return true, err
	}
	if s.procDepth == 0 {
		if err := s.out.done(0, -2); err != nil {
			return true, err
		}
	}
	return batchFault(e) || s.xactAbort, nil
}

// guarded runs a statement; those that hold statements handle their errors themselves.
func (s *session) guarded(st tsql.Statement) (ended bool, err error) {
	switch st := st.(type) {
	case *tsql.Block:
		return s.statements(st.Body)
	case *tsql.If:
		ok, err := s.condition(st.Cond)
		if err != nil {
			return false, err
		}
		if ok {
			return s.statement(st.Then)
		} else if st.Else != nil {
			return s.statement(st.Else)
		}
		return false, nil
	case *tsql.Try:
		return s.try(st)
	}
	s.states = nil
	auto := s.tranCount == 0
	if auto && s.implicit && startsTransaction(st) {
		s.begin()
		auto = false
		if err := s.out.transaction(tds.EnvBegin, s.tx.id); err != nil {
			return true, err
		}
	}
	if auto {
		s.tx = s.srv.newTx(s.level)
		own := s.tx
		defer func() {
			// The statement may have begun or ended a transaction of its own.
			if s.tx == own && s.tranCount == 0 {
				s.tx = nil
				own.end(err == nil)
			} else if s.tx != own {
				own.end(err == nil)
			}
		}()
	}
	if s.tx != nil {
		s.tx.save("\x00statement")
		depth := len(s.tx.saves)
		t := s.tx
		defer func() {
			if s.tx != t {
				return
			}
			if err != nil && len(t.saves) >= depth {
				t.saves = t.saves[:depth]
				_ = t.rollbackTo("\x00statement")
			}
			t.saves = slices.DeleteFunc(t.saves, func(p savepoint) bool { return p.name == "\x00statement" })
		}()
	}
	err = s.exec(st)
	for errors.Is(err, errAltered) { // it has written nothing: compile it anew
		s.states = nil
		err = s.exec(st)
	}
	if err == nil {
		s.lastError = 0
	}
	return false, err
}

// startsTransaction: the statements that begin a transaction under IMPLICIT_TRANSACTIONS.
func startsTransaction(st tsql.Statement) bool {
	switch st := st.(type) {
	case *tsql.Insert, *tsql.Update, *tsql.Delete, *tsql.Truncate:
		return true
	case *tsql.Select:
		b, ok := st.Query.Body.(*tsql.Spec)
		return !ok || len(b.From) > 0
	}
	return false
}

func (s *session) condition(x tsql.Expr) (bool, error) {
	s.states = nil
	auto := s.tx == nil
	if auto {
		s.tx = s.srv.newTx(s.level)
		defer func() { s.tx.end(false); s.tx = nil }()
	}
	var k cond
	err := s.compile(func(c *compiler) (err error) { k, err = c.cond(x); return })
	if err != nil {
		return false, err
	}
	t, err := k(&env{})
	return t == yes, err
}

func (s *session) try(st *tsql.Try) (ended bool, err error) {
	outer := s.out
	probe := &tryOutput{output: outer}
	s.out = probe
	ended, err = s.statements(st.Body)
	s.out = outer
	if err != nil || probe.err == nil {
		return ended, err
	}
	before := s.caught
	s.caught = probe.err
	defer func() { s.caught = before }()
	return s.statements(st.Catch)
}

// tryOutput keeps the first error instead of sending it. Statements after it in
// the block are not run, as their output is refused.
type tryOutput struct {
	output
	err *Error
}

func (o *tryOutput) message(e *Error) error {
	if e.Class > 10 {
		if o.err == nil {
			o.err = e
		}
		return nil
	}
	return o.output.message(e)
}

func (o *tryOutput) done(command uint16, count int64) error {
	if count == -2 {
		return nil
	}
	return o.output.done(command, count)
}
