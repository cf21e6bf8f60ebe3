package mssqltest

import (
	"errors"
	"strings"

	"tributary/internal/mssqltest/tds"
	"tributary/internal/mssqltest/tsql"
)

// Procedures that clients call by number.
var procNumbers = map[uint16]string{
	1: "sp_cursor", 2: "sp_cursoropen", 3: "sp_cursorprepare", 4: "sp_cursorexecute", 5: "sp_cursorprepexec", 6: "sp_cursorunprepare",
	7: "sp_cursorfetch", 8: "sp_cursoroption", 9: "sp_cursorclose", 10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute",
	13: "sp_prepexec", 14: "sp_prepexecrpc", 15: "sp_unprepare",
}

// call is a call of a procedure as it came.
type call struct {
	name   string
	params []tds.Param
}

func parseRPC(data []byte) ([]call, error) {
	d := tds.NewDecoder(data)
	d.SkipHeaders()
	var out []call
	for {
		var k call
		n := d.U16()
		if n == 0xFFFF {
			id := d.U16()
			if k.name = procNumbers[id]; k.name == "" && d.Err() == nil {
				return nil, notInModel("the procedure number %d", id)
			}
		} else {
			k.name = d.UCS2(int(n))
		}
		d.U16() // options: recompile, no metadata
		more := false
		for d.Err() == nil && d.Len() > 0 {
			// 0xFF, or 0x80 of older versions, ends the call and begins another.
			if b := d.Peek(); b == 0xFF || b == 0x80 {
				d.U8()
				more = d.Len() > 0
				break
			}
			k.params = append(k.params, d.Param())
		}
		if d.Err() != nil {
			return nil, d.Err()
		}
		out = append(out, k)
		if !more {
			return out, nil
		}
	}
}

// rpc runs a request of calls.
func (c *conn) rpc(data []byte, out *clientOutput) error {
	calls, err := parseRPC(data)
	var e *Error
	if errors.As(err, &e) {
		return firstOf(c.session.failed(e), out.done(0, -2))
	}
	if err != nil {
		return err
	}
	for i, k := range calls {
		if err := c.call(k, out, i < len(calls)-1); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) call(k call, out *clientOutput, more bool) error {
	s := c.session
	s.vars = map[string]*variable{}
	out.inProc = true
	status, returns, err := s.remote(k)
	var e *Error
	if err != nil {
		if !errors.As(err, &e) {
			return err
		}
		if err := s.failed(e); err != nil {
			return err
		}
	}
	out.settle(true)
	out.inProc = false
	out.buf = tds.AppendReturnStatus(out.buf, status)
	for _, r := range returns {
		b, err := tds.AppendReturnValue(out.buf, r.ordinal, r.name, r.typ, r.val)
		if err != nil {
			return err
		}
		out.buf = b
	}
	done := uint16(0)
	if e != nil || s.rpcFailed {
		done |= tds.DoneError
	}
	if more {
		done |= tds.DoneMore
	}
	if s.tranCount > 0 {
		done |= tds.DoneInTx
	}
	out.buf = tds.AppendDone(out.buf, tds.TokenDoneProc, done, 0xE0, 0)
	return out.flush(false)
}

// returned is an output parameter's value.
type returned struct {
	ordinal uint16
	name    string
	typ     tds.Type
	val     any
}

// remote runs a call.
func (s *session) remote(k call) (status int32, out []returned, err error) {
	s.rpcFailed = false
	need := func(n int) error {
		if len(k.params) < n {
			return sqlError(201, "Procedure or function '%s' expects more parameters than were supplied.", k.name)
		}
		return nil
	}
	name := strings.ToLower(k.name)
	switch strings.TrimPrefix(name, "sys.") {
	case "sp_executesql":
		if err := need(1); err != nil {
			return 0, nil, err
		}
		decl := ""
		if len(k.params) > 1 {
			decl, _ = k.params[1].Value.(string)
		}
		text, _ := k.params[0].Value.(string)
		out, err := s.runPrepared(prepared{decl, text}, k.params[min(2, len(k.params)):], min(2, len(k.params)))
		return 0, out, err
	case "sp_prepare", "sp_prepexec":
		if err := need(3); err != nil {
			return 0, nil, err
		}
		p := prepared{}
		p.params, _ = k.params[1].Value.(string)
		p.text, _ = k.params[2].Value.(string)
		if _, err := tsql.Parse(p.text); err != nil {
			return 0, nil, sqlError(8180, "Statement(s) could not be prepared: %s", err.Error())
		}
		s.handles++
		s.prepared[s.handles] = &p
		out := []returned{{0, k.params[0].Name, intType, int64(s.handles)}}
		if name == "sp_prepexec" {
			more, err := s.runPrepared(p, k.params[3:], 3)
			return 0, append(out, more...), err
		}
		return 0, out, nil
	case "sp_execute", "sp_unprepare":
		if err := need(1); err != nil {
			return 0, nil, err
		}
		h, _ := k.params[0].Value.(int64)
		p := s.prepared[int32(h)]
		if p == nil {
			return 0, nil, sqlError(8179, "Could not find prepared statement with handle %d.", h)
		}
		if name == "sp_unprepare" {
			delete(s.prepared, int32(h))
			return 0, nil, nil
		}
		out, err := s.runPrepared(*p, k.params[1:], 1)
		return 0, out, err
	case "sp_cursoropen", "sp_cursorfetch", "sp_cursorclose", "sp_cursoroption", "sp_cursorprepexec", "sp_cursorexecute", "sp_cursorunprepare", "sp_cursorprepare", "sp_cursor":
		return s.cursorCall(name, k)
	}
	n, err := tsql.ParseName(k.name)
	if err != nil {
		return 0, nil, sqlError(2812, "Could not find stored procedure '%s'.", k.name)
	}
	args := make([]arg, len(k.params))
	for i, p := range k.params {
		args[i] = arg{name: strings.ToLower(p.Name), typ: p.Type, val: p.Value}
	}
	s.states = nil
	if s.tx, err = s.ownTx(); err != nil {
		return 0, nil, err
	}
	status, err = s.procedure(n, args)
	s.endOwn(err)
	return status, nil, err
}

// ownTx is the session's transaction, or one for the call alone.
func (s *session) ownTx() (*tx, error) {
	if s.tranCount > 0 {
		return s.tx, nil
	}
	return s.srv.newTx(s.level), nil
}

func (s *session) endOwn(err error) {
	if s.tranCount == 0 && s.tx != nil {
		s.tx.end(err == nil)
		s.tx = nil
	}
}

// runPrepared runs a text with parameters; from is the ordinal of the first.
func (s *session) runPrepared(p prepared, in []tds.Param, from int) ([]returned, error) {
	args := make([]arg, len(in))
	for i, x := range in {
		args[i] = arg{name: strings.ToLower(x.Name), typ: x.Type, val: x.Value}
	}
	vars, err := s.declared(p.params, args)
	if err != nil {
		return nil, err
	}
	s.vars = vars
	probe := &failProbe{output: s.out}
	s.out = probe
	err = s.run(p.text)
	s.out = probe.output
	s.rpcFailed = probe.failed
	if err != nil {
		return nil, err
	}
	list, _ := tsql.ParseParams(p.params)
	var out []returned
	for i, x := range in {
		if !x.Output {
			continue
		}
		n := strings.ToLower(x.Name)
		if n == "" && i < len(list) {
			n = strings.ToLower(list[i].Name)
		}
		if v := vars[n]; v != nil {
			out = append(out, returned{uint16(from + i), x.Name, v.typ, v.val})
		}
	}
	return out, nil
}

// failProbe notes whether an error was sent.
type failProbe struct {
	output
	failed bool
}

func (o *failProbe) message(e *Error) error {
	o.failed = o.failed || e.Class > 10
	return o.output.message(e)
}

func (o *failProbe) dropAfter(n int) {
	if d, ok := o.output.(interface{ dropAfter(n int) }); ok {
		d.dropAfter(n)
	}
}

// cursorCall runs the procedures of server cursors, as mssql-jdbc uses them with a
// fetch size: forward only and read only.
func (s *session) cursorCall(name string, k call) (int32, []returned, error) {
	return 0, nil, notInModel("%s", name)
}
