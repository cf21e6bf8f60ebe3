package mssqltest

import (
	"bufio"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"

	"tributary/internal/mssqltest/tds"
)

// conn is a client's connection. One goroutine runs its requests, another reads
// them, so that an attention reaches a request that runs.
type conn struct {
	srv     *Server
	nc      net.Conn
	session *session
	w       *tds.Writer
	login   atomic.Pointer[SessionInfo]
	// afterLogin leaves TLS where only the login is to be encrypted; nil otherwise.
	afterLogin func() io.Reader
	encrypted  bool // the login comes in TLS
}

// serve runs a connection to its end.
func (c *conn) serve(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errDropped)
	stop := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer stop()
	defer c.nc.Close()
	s := c.session
	s.ctx = ctx
	out := &clientOutput{c: c}
	s.out = out
	defer func() {
		s.out = nil
		s.rollback()
	}()
	r := io.Reader(bufio.NewReaderSize(c.nc, 1<<15))
	c.w = tds.NewWriter(c.nc, 4096, uint16(s.id))
	c.srv.work.begin()
	r, err := c.greet(r, out)
	c.srv.work.end()
	if err != nil {
		return
	}
	c.requests(ctx, cancel, r, out)
}

// request is a message that was read, or the error of reading.
type request struct {
	tds.Message
	err error
}

func (c *conn) requests(ctx context.Context, cancel context.CancelCauseFunc, r io.Reader, out *clientOutput) {
	var current atomic.Pointer[context.CancelCauseFunc]
	incoming := make(chan request)
	go func() {
		defer close(incoming)
		for {
			m, err := tds.ReadMessage(r)
			if err != nil {
				cancel(errDropped) // whatever runs ends
			} else if m.Type == tds.PacketCancel {
				if stop := current.Load(); stop != nil {
					(*stop)(errCancelled)
				}
			}
			select {
			case incoming <- request{m, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		var q request
		select {
		case q = <-incoming:
		case <-ctx.Done():
			return
		}
		if q.err != nil {
			return
		}
		rctx, stop := context.WithCancelCause(ctx)
		c.session.ctx = rctx //nolint:fatcontext // for the request: it is put back below
		current.Store(&stop)
		c.srv.work.begin()
		err := c.handle(q.Message, out)
		c.srv.work.end()
		current.Store(nil)
		stop(nil)
		c.session.ctx = ctx
		if errors.Is(err, errCancelled) {
			// The attention that ended it is the next message.
			if q = <-incoming; q.Type != tds.PacketCancel {
				return
			}
			c.srv.work.begin()
			err = c.attention(out)
			c.srv.work.end()
		}
		if err != nil {
			return
		}
	}
}

// attention acknowledges an attention: all that was pending is void.
func (c *conn) attention(out *clientOutput) error {
	out.pending = nil
	out.buf = tds.AppendDone(out.buf, tds.TokenDone, tds.DoneAttn, 0, 0)
	return out.end()
}

// handle runs a request and ends its response.
func (c *conn) handle(m tds.Message, out *clientOutput) error {
	s := c.session
	out.begin()
	if m.Reset {
		s.reset()
		db := s.db.name
		if l := c.startDB(); l != nil {
			s.db = l
		}
		out.buf = tds.AppendEnvBytes(out.buf, tds.EnvReset, nil, nil)
		out.buf = tds.AppendEnvText(out.buf, tds.EnvDatabase, s.db.name, db)
	}
	var err error
	switch m.Type {
	case tds.PacketBatch:
		err = c.batch(m.Data)
	case tds.PacketRPC:
		err = c.rpc(m.Data, out)
	case tds.PacketTransMgr:
		err = c.transactionManager(m.Data)
	case tds.PacketCancel:
		return c.attention(out)
	default:
		return fmt.Errorf("a message of type %#x", m.Type)
	}
	if err != nil {
		return err
	}
	if m.Type != tds.PacketRPC && out.pending == nil {
		out.pending = &doneToken{} // the last statement had none
	}
	return out.end()
}

func (c *conn) batch(data []byte) error {
	d := tds.NewDecoder(data)
	d.SkipHeaders()
	if d.Err() != nil {
		return d.Err()
	}
	text := d.UCS2(d.Len() / 2)
	c.session.vars = map[string]*variable{}
	return c.session.run(text)
}

// transactionManager runs begin, commit, rollback and save of the driver's own
// transactions.
func (c *conn) transactionManager(data []byte) error {
	d := tds.NewDecoder(data)
	d.SkipHeaders()
	s := c.session
	kind := d.U16()
	name := func() string {
		n := int(d.U8())
		return d.UCS2(n / 2)
	}
	again := func(flags byte) error {
		if flags&1 == 0 {
			return nil
		}
		level := isolation(d.U8())
		_ = name()
		return c.beginTransaction(level)
	}
	var err error
	switch kind {
	case 5:
		level := isolation(d.U8())
		_ = name()
		if d.Err() == nil {
			err = c.beginTransaction(level)
		}
	case 7:
		_ = name()
		flags := d.U8()
		if d.Err() == nil {
			if err = s.commit(); err == nil {
				err = again(flags)
			}
		}
	case 8:
		n := name()
		flags := d.U8()
		switch {
		case d.Err() != nil:
		case s.tranCount == 0:
			err = sqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
		case n != "":
			err = s.tx.rollbackTo(n)
		default:
			s.rollback()
			err = again(flags)
		}
	case 9:
		n := name()
		if s.tranCount == 0 {
			err = sqlError(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.")
		} else {
			s.tx.save(n)
		}
	default:
		err = notInModel("the transaction manager's request %d", kind)
	}
	if d.Err() != nil {
		return d.Err()
	}
	var e *Error
	if errors.As(err, &e) {
		return firstOf(s.failed(e), s.out.done(0, -2))
	}
	return firstOf(err, s.out.done(0xFD, -1))
}

func (c *conn) beginTransaction(level isolation) error {
	s := c.session
	if level > snapshotLevel {
		return fmt.Errorf("isolation level %d", level)
	}
	if level != 0 {
		s.isolate(level)
	}
	s.begin()
	return s.out.transaction(tds.EnvBegin, s.tx.id)
}

// startDB is the database that the login asked for.
func (c *conn) startDB() *Database { return c.srv.DB(c.session.startDB) }

// greet runs the prelogin and the login.
func (c *conn) greet(r io.Reader, out *clientOutput) (io.Reader, error) {
	m, err := tds.ReadMessage(r)
	if err != nil {
		return nil, err
	}
	if m.Type == tds.PacketPrelogin {
		want, err := tds.PreloginEncryption(m.Data)
		if err != nil {
			return nil, err
		}
		if r, err = c.secure(r, want); err != nil {
			return nil, err
		}
		if m, err = tds.ReadMessage(r); err != nil {
			return nil, err
		}
	}
	if m.Type != tds.PacketLogin {
		return nil, fmt.Errorf("a message of type %#x instead of a login", m.Type)
	}
	if c.afterLogin != nil {
		// Only the login was encrypted.
		r = c.afterLogin()
	}
	l, err := tds.ParseLogin(m.Data)
	if err != nil {
		return nil, err
	}
	return r, c.logIn(l, out)
}

func (c *conn) logIn(l tds.Login, out *clientOutput) error {
	s := c.session
	refuse := func(e *Error) error {
		out.begin()
		out.pending = nil
		out.buf = tds.AppendMessage(out.buf, e.Number, e.State, e.Class, e.Text, serverName, "", 1)
		out.buf = tds.AppendDone(out.buf, tds.TokenDone, tds.DoneError, 0, 0)
		return firstOf(out.end(), e)
	}
	if l.Version < 0x72090002 {
		return refuse(notInModel("TDS before 7.2 (the client speaks %#x)", l.Version))
	}
	p := c.srv.security.Load().find(l.User)
	if l.Integrated || p == nil || p.role || subtle.ConstantTimeCompare([]byte(l.Password), []byte(p.password)) != 1 {
		return refuse(&Error{Number: 18456, State: 1, Class: 14, Text: "Login failed for user '" + l.User + "'."})
	}
	if p.disabled {
		return refuse(&Error{Number: 18470, State: 1, Class: 14, Text: "Login failed for user '" + l.User + "'. Reason: The account is disabled."})
	}
	name := l.Database
	defaulted(&name, p.database)
	db := c.srv.DB(name)
	s.user = p.name
	if db == nil || s.enter(db) != nil {
		_ = refuse(&Error{Number: 4060, State: 1, Class: 11, Text: "Cannot open database \"" + name + "\" requested by the login. The login failed."})
		return errDropped
	}
	s.user, s.host, s.app, s.readOnly, s.db, s.startDB = p.name, l.Host, l.App, l.ReadOnly, db, db.name
	c.login.Store(&SessionInfo{ID: s.id, User: s.user, Host: s.host, App: s.app, Since: s.since, ReadOnly: s.readOnly, Encrypted: c.encrypted})
	size := l.PacketSize
	if size < 512 || size > 32767 {
		size = 4096
	}
	out.begin()
	b := tds.AppendEnvText(out.buf, tds.EnvDatabase, db.name, "master")
	b = tds.AppendMessage(b, 5701, 2, 10, "Changed database context to '"+db.name+"'.", serverName, "", 1)
	b = tds.AppendEnvCollation(b)
	b = tds.AppendEnvText(b, 2, "us_english", "")
	b = tds.AppendMessage(b, 5703, 1, 10, "Changed language setting to us_english.", serverName, "", 1)
	b = tds.AppendLoginAck(b)
	b = tds.AppendEnvText(b, tds.EnvPacketSize, strconv.Itoa(size), "4096")
	if l.UTF8 {
		out.utf8 = true
		b = tds.AppendFeatureUTF8(b)
	}
	out.buf = tds.AppendDone(b, tds.TokenDone, 0, 0, 0)
	if err := out.end(); err != nil {
		return err
	}
	c.w.Resize(size)
	return nil
}
