package mssqltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a server is like. The zero value is a server with the user sa
// and an empty password, of version 2022, that captures at each commit.
type Options struct {
	Addr     string // to listen on; 127.0.0.1:0 if empty
	User     string // sa if empty
	Password string
	// Databases are made at the start, besides master, tempdb, model and msdb.
	Databases []string
	// AgentInterval is how often the agent moves the log into the change tables: at
	// each commit if it is 0, never by itself if it is negative.
	AgentInterval time.Duration
	// Version is @@VERSION, ProductVersion and Edition what SERVERPROPERTY says.
	Version        string
	ProductVersion string
	Edition        string
	// EngineEdition is 3 for a server, 5 for Azure SQL Database, where there are no
	// agent, no view of services and no USE, and 8 for a Managed Instance.
	EngineEdition int64
	// ReadOnlyReplica makes all databases read-only, as on a readable secondary;
	// SetReadOnly does so later.
	ReadOnlyReplica bool
	// RDS adds Amazon's procedures in msdb.
	RDS bool
	// MaskLowFirst turns the bytes of __$update_mask around.
	MaskLowFirst bool
	// SeqvalsReversed has the sequence values of a transaction fall while its commands
	// go on, so that only __$command_id has their order.
	SeqvalsReversed bool
	// CompactRows sends rows with the absent values as bits (NBCROW).
	CompactRows bool
	// Denied is what User lacks, although it is sysadmin: for tests that take away one
	// thing and leave the rest as it is. (What the statements give and take is for
	// other logins.) It has permissions as HAS_PERMS_BY_NAME knows them
	// ("VIEW SERVER STATE"), those on an object ("SELECT cdc.change_tables",
	// "SELECT dbo.customer") or on a column ("SELECT dbo.customer.name"), "VIEW
	// DEFINITION dbo.customer" for a table that the catalog does not show, "role
	// NAME" for memberships, and "sysadmin". SetDenied changes it.
	Denied []string
	// Encrypt makes a certificate and offers TLS.
	Encrypt bool
	// Clock gives the time; time.Now if nil.
	Clock func() time.Time
}

// Server is a running model of SQL Server.
type Server struct {
	opts     Options
	listener net.Listener
	locks    *locks
	views    map[string]*view
	procs    map[string]procedure
	tls      *tlsKeys

	cancel context.CancelCauseFunc
	ctx    context.Context
	wg     sync.WaitGroup

	txs      atomic.Uint64
	work     work
	denied   atomic.Pointer[[]string]
	security atomic.Pointer[security] // logins, roles of the server and rights; changes hold mu
	readOnly atomic.Bool

	mu       sync.Mutex
	dbs      []*Database
	conns    map[int]*conn
	nextID   int
	faults   []*Fault
	texts    []string
	stopped  bool // the agent
	interval time.Duration
	wake     chan struct{} // closed when the agent's interval changes
}

// Start starts a server. It ends with the context or with Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	defaulted(&opts.Addr, "127.0.0.1:0")
	defaulted(&opts.User, "sa")
	defaulted(&opts.ProductVersion, "16.0.1000.6")
	defaulted(&opts.Edition, "Developer Edition (64-bit)")
	defaulted(&opts.Version, "Microsoft SQL Server 2022 (RTM) - "+opts.ProductVersion+" (X64) \n\ta model of it for tests, not the product")
	if opts.EngineEdition == 0 {
		opts.EngineEdition = 3
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s := &Server{opts: opts, locks: newLocks(), views: allViews(), procs: procedures(), conns: map[int]*conn{}, nextID: 50, interval: opts.AgentInterval, wake: make(chan struct{})}
	s.txs.Store(0x0A00)
	s.SetDenied(opts.Denied...)
	s.security.Store(newServerSecurity(&opts, s.now()))
	s.readOnly.Store(opts.ReadOnlyReplica)
	if opts.Encrypt {
		k, err := newTLSKeys()
		if err != nil {
			return nil, fmt.Errorf("make a certificate: %w", err)
		}
		s.tls = k
	}
	for _, n := range append([]string{"master", "tempdb", "model", "msdb"}, opts.Databases...) {
		if _, err := s.CreateDatabase(n); err != nil {
			return nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for TDS: %w", err)
	}
	s.listener = l
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { l.Close() })
	s.wg.Add(2)
	go func() {
		defer s.wg.Done()
		defer stop()
		s.accept()
	}()
	go func() {
		defer s.wg.Done()
		s.agent()
	}()
	return s, nil
}

func defaulted(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server and all its connections.
func (s *Server) Close() error {
	s.cancel(errDropped)
	err := s.listener.Close()
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.nextID++
		c := &conn{srv: s, nc: &pausing{nc, &s.work}}
		c.session = s.newSession(s.nextID)
		s.conns[s.nextID] = c
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			c.serve(s.ctx)
			s.mu.Lock()
			delete(s.conns, c.session.id)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) newSession(id int) *session {
	n := &session{srv: s, id: id, since: s.now(), ctx: s.ctx}
	if n.ctx == nil {
		n.ctx = context.Background() //nolint:forbidigo // what makes the first tables, before a client can come
	}
	n.db = s.dbs[0]
	n.isolate(readCommitted)
	n.lockTimeout = -1
	n.vars, n.prepared = map[string]*variable{}, map[int32]*prepared{}
	return n
}

func (s *Server) now() time.Time { return s.opts.Clock().UTC() }

func (s *Server) newTx(level isolation) *tx {
	return &tx{srv: s, id: s.txs.Add(1), level: level, began: s.now(), writes: map[*Database]*writes{}}
}

func (s *Server) databases() []*Database {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dbs)
}

// DB finds a database by its name; nil if there is none.
func (s *Server) DB(name string) *Database {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, db := range s.dbs {
		if strings.EqualFold(db.name, name) {
			return db
		}
	}
	return nil
}

// CreateDatabase makes a database.
func (s *Server) CreateDatabase(name string) (*Database, error) {
	if s.DB(name) != nil {
		return nil, sqlError(1801, "Database '%s' already exists. Choose a different database name.", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := int64(1)
	if n := len(s.dbs); n > 0 {
		id = s.dbs[n-1].id + 1
	}
	db := newDatabase(s, id, name)
	s.dbs = append(s.dbs, db)
	return db, nil
}

func (s *Server) dropDatabase(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.dbs)
	s.dbs = slices.DeleteFunc(slices.Clone(s.dbs), func(db *Database) bool { return strings.EqualFold(db.name, name) && db.id > 4 })
	return len(s.dbs) < n
}

// SetReadOnly makes all databases read-only, as on a readable secondary, or not.
func (s *Server) SetReadOnly(on bool) { s.readOnly.Store(on) }

// azure says whether this is Azure SQL Database.
func (s *Server) azure() bool { return s.opts.EngineEdition == 5 }

// SessionInfo is a connection.
type SessionInfo struct {
	ID        int
	User      string
	Host, App string
	Since     time.Time
	ReadOnly  bool // it asked for a replica that may be read only
	Encrypted bool // its login came in TLS
	// Isolation is the level of the session, as sys.dm_exec_sessions numbers it: 1
	// read uncommitted, 2 read committed, 3 repeatable read, 4 serializable, 5
	// snapshot.
	Isolation int
}

// Sessions are the connections that have logged in.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SessionInfo
	for _, c := range s.conns {
		if l := c.login.Load(); l != nil {
			info := *l
			info.Isolation = int(c.session.shown.Load())
			out = append(out, info)
		}
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return a.ID - b.ID })
	return out
}

// Kill cuts a connection off, as KILL does. It says whether there was one.
func (s *Server) Kill(id int) bool {
	s.mu.Lock()
	c := s.conns[id]
	s.mu.Unlock()
	if c != nil {
		c.nc.Close()
	}
	return c != nil
}

// KillAll cuts all connections off.
func (s *Server) KillAll() {
	for _, x := range s.Sessions() {
		s.Kill(x.ID)
	}
}
