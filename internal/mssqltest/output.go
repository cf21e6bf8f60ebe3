package mssqltest

import (
	"slices"

	"tributary/internal/mssqltest/tds"
)

// clientOutput sends results to a client. A DONE is held back until it is known
// whether another follows, which its status has to say.
type clientOutput struct {
	c       *conn
	buf     []byte
	cols    []tds.Column
	pending *doneToken
	inProc  bool
	utf8    bool // the client reads UTF-8
	drop    int  // bytes until the connection is cut, -1: it is not
}

type doneToken struct {
	status, command uint16
	count           uint64
}

func (o *clientOutput) begin() {
	o.buf, o.pending, o.inProc, o.drop = o.buf[:0], nil, false, -1
}

func (o *clientOutput) dropAfter(n int) { o.drop = n }

// flush sends what is in the buffer if it is much.
func (o *clientOutput) flush(all bool) error {
	if !all && len(o.buf) < 1<<14 {
		return nil
	}
	b := o.buf
	if o.drop >= 0 {
		if len(b) >= o.drop {
			_, _ = o.c.w.Write(b[:o.drop])
			_ = o.c.w.Flush()
			o.c.nc.Close()
			return errDropped
		}
		o.drop -= len(b)
	}
	_, err := o.c.w.Write(b)
	o.buf = o.buf[:0]
	return err
}

// settle appends the held-back DONE.
func (o *clientOutput) settle(more bool) {
	if o.pending == nil {
		return
	}
	token, status := byte(tds.TokenDone), o.pending.status
	if o.inProc {
		token = tds.TokenDoneInProc
	}
	if more || o.inProc {
		status |= tds.DoneMore
	}
	o.buf = tds.AppendDone(o.buf, token, status, o.pending.command, o.pending.count)
	o.pending = nil
}

// end sends the rest of the response, which has its last DONE.
func (o *clientOutput) end() error {
	o.settle(false)
	if err := o.flush(true); err != nil {
		return err
	}
	return o.c.w.End()
}

func (o *clientOutput) columns(cols []tds.Column) error {
	o.settle(true)
	o.cols = cols
	if !o.utf8 {
		o.cols = transcoded(cols)
	}
	o.buf = tds.AppendColumns(o.buf, o.cols)
	return nil
}

// transcoded are the columns for a client that does not read UTF-8: it gets
// UTF-16 instead.
func transcoded(cols []tds.Column) []tds.Column {
	out := cols
	for i, c := range cols {
		if !c.Type.UTF8 {
			continue
		}
		if &out[0] == &cols[0] {
			out = slices.Clone(cols)
		}
		t := &out[i].Type
		if t.Kind = tds.NVarChar; c.Type.Kind == tds.Char {
			t.Kind = tds.NChar
		}
		if t.Length > 4000 {
			t.Length = tds.Max
		} else if t.Length > 0 {
			t.Length *= 2
		}
	}
	return out
}

func (o *clientOutput) row(vals []any) error {
	b, err := tds.AppendRow(o.buf, o.cols, vals, o.c.srv.opts.CompactRows)
	if err != nil {
		return notInModel("sending a row: %v", err)
	}
	o.buf = b
	return o.flush(false)
}

func (o *clientOutput) done(command uint16, count int64) error {
	o.settle(true)
	d := &doneToken{command: command}
	switch {
	case count >= 0:
		d.status, d.count = tds.DoneCount, uint64(count)
	case count == -2:
		d.status = tds.DoneError
	}
	if o.c.session.tranCount > 0 {
		d.status |= tds.DoneInTx
	}
	o.pending = d
	return o.flush(false)
}

func (o *clientOutput) message(e *Error) error {
	o.settle(true)
	line := e.Line
	if line == 0 {
		line = 1
	}
	o.buf = tds.AppendMessage(o.buf, e.Number, e.State, e.Class, e.Text, serverName, e.Proc, line)
	return nil
}

func (o *clientOutput) database(now, before string) error {
	o.settle(true)
	o.buf = tds.AppendEnvText(o.buf, tds.EnvDatabase, now, before)
	return nil
}

func (o *clientOutput) transaction(kind byte, id uint64) error {
	o.settle(true)
	d := tds.TransactionBytes(id)
	if kind == tds.EnvBegin {
		o.buf = tds.AppendEnvBytes(o.buf, kind, d, nil)
	} else {
		o.buf = tds.AppendEnvBytes(o.buf, kind, nil, d)
	}
	return nil
}

// memoryOutput keeps the rows of the last result, for callers in this process.
type memoryOutput struct {
	cols  []tds.Column
	rows  [][]any
	err   *Error
	count int64
}

func (o *memoryOutput) columns(cols []tds.Column) error {
	o.cols, o.rows = cols, nil
	return nil
}

func (o *memoryOutput) row(vals []any) error {
	o.rows = append(o.rows, append([]any{}, vals...))
	return nil
}

func (o *memoryOutput) done(_ uint16, count int64) error {
	if count >= 0 {
		o.count = count
	}
	return nil
}

func (o *memoryOutput) message(e *Error) error {
	if e.Class > 10 && o.err == nil {
		o.err = e
	}
	return nil
}

func (o *memoryOutput) database(string, string) error  { return nil }
func (o *memoryOutput) transaction(byte, uint64) error { return nil }
