package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/internal/config"
	"tributary/internal/fault"
)

// Config configures the server.
type Config struct {
	Listen        string        `opt:"listen.address" default:"127.0.0.1:8080" doc:"host:port to serve the registry's APIs and page on"`
	Management    string        `opt:"management.address" doc:"host:port to serve health and metrics on besides; none when empty"`
	File          string        `opt:"data.file" required:"true" doc:"file that holds the registry; made if absent"`
	Apicurio      string        `opt:"apicurio.version" default:"3.3" enum:"2.6,3.3" doc:"whose behaviour to have where Apicurio 2.6 and 3.3 differ"`
	MaxBody       int64         `opt:"request.max.bytes" default:"10485760" doc:"largest request body to take, bytes; archives to import excepted"`
	MaxImport     int64         `opt:"import.max.bytes" default:"1073741824" doc:"largest archive to import, bytes"`
	MaxSchema     int64         `opt:"schema.max.bytes" default:"5242880" doc:"largest schema to take, bytes"`
	MaxRequests   int           `opt:"requests.max" default:"1000" doc:"requests to serve at once; more are answered 429; 0 is no limit"`
	ReadOnly      bool          `opt:"read.only" doc:"refuse every change; the admin property cannot turn it off then"`
	Certificate   string        `opt:"tls.certificate.file" doc:"PEM file with the server's certificate chain; TLS when set"`
	Key           string        `opt:"tls.key.file" doc:"PEM file with the certificate's key"`
	Users         config.Secret `opt:"auth.users" doc:"name:password pairs that may log in by basic authentication, separated by commas"`
	Tokens        config.Secret `opt:"auth.tokens" doc:"bearer tokens that may log in, separated by commas"`
	AnonymousRead bool          `opt:"auth.anonymous.read" doc:"let who has not logged in read"`
}

// Validate returns what the tags cannot express.
func (c *Config) Validate() []config.Problem {
	var out []config.Problem
	if (c.Certificate == "") != (c.Key == "") {
		out = append(out, config.Problem{Key: "tls.certificate.file", Message: "needs tls.key.file, and the other way round"})
	}
	for key, address := range map[string]string{"listen.address": c.Listen, "management.address": c.Management} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			out = append(out, config.Problem{Key: key, Message: fmt.Sprintf("%q is not host:port, such as 127.0.0.1:8080", address)})
		}
	}
	// What is no user would leave the registry open.
	users := lines(c.Users)
	for i, entry := range users {
		if name, password, ok := strings.Cut(entry, ":"); !ok || name == "" || password == "" {
			out = append(out, config.Problem{Key: "auth.users", Message: fmt.Sprintf("entry %d is not name:password", i+1)})
		}
	}
	if c.Users != "" && len(users) == 0 {
		out = append(out, config.Problem{Key: "auth.users", Message: "names nobody"})
	}
	if c.Tokens != "" && len(lines(c.Tokens)) == 0 {
		out = append(out, config.Problem{Key: "auth.tokens", Message: "holds no token"})
	}
	if c.AnonymousRead && len(users) == 0 && c.Tokens == "" {
		out = append(out, config.Problem{Key: "auth.anonymous.read", Message: "says nothing without auth.users or auth.tokens: everybody may do everything"})
	}
	return out
}

// shutdownPatience is how long requests under way may take to end.
const shutdownPatience = 10 * time.Second

// Server is an open registry.
type Server struct {
	store   *store
	handler http.Handler
	manage  http.Handler
	slots   chan struct{}
}

// Open opens the registry's file, which no other process may have open.
func Open(c Config, log *slog.Logger) (*Server, error) {
	s, err := openStore(c.File)
	if err != nil {
		return nil, err
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 10 << 20
	}
	if c.MaxImport <= 0 {
		c.MaxImport = 1 << 30
	}
	if c.MaxSchema <= 0 {
		c.MaxSchema = 5 << 20
	}
	h := &handler{store: s, log: log, maxBody: c.MaxBody, maxImport: c.MaxImport, metrics: newMetrics(s)}
	if c.Apicurio == "2.6" {
		h.flavour = v26
	}
	s.flavour, s.maxText = h.flavour, c.MaxSchema
	if err := s.loadReadOnly(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if c.ReadOnly {
		s.keptReadOnly = true
		s.readOnly.Store(true)
	}
	if c.MaxRequests > 0 {
		h.slots = make(chan struct{}, c.MaxRequests)
	}
	return &Server{
		store: s, slots: h.slots, manage: h.management(),
		handler: h.metrics.measure(h.routes(newAuth(c))),
	}, nil
}

// ServeHTTP serves every API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close closes the file. No request may be under way.
func (s *Server) Close() error { return s.store.close() }

// MemoryLimit is what a process that only serves a registry should ask of the
// garbage collector (debug.SetMemoryLimit), bytes. What is in use stays far below
// it; without it, garbage of many look-ups may take twice as much.
const MemoryLimit = 48 << 20

// Run serves the registry until ctx ends, then lets the requests under way
// end.
func Run(ctx context.Context, c Config, log *slog.Logger) (err error) {
	s, err := Open(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	lis, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fault.Human(fmt.Errorf("listen for registry clients: %w", err), "free the address, or set listen.address to another")
	}
	scheme := "http"
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return fault.Human(errors.Join(fmt.Errorf("load the registry's certificate: %w", err), lis.Close()),
				"set tls.certificate.file and tls.key.file to PEM files that belong together")
		}
		lis = tls.NewListener(lis, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
		scheme = "https"
	}
	// Before anything is served: it is not there, or all of it is.
	var manage net.Listener
	if c.Management != "" {
		if manage, err = net.Listen("tcp", c.Management); err != nil {
			return fault.Human(errors.Join(fmt.Errorf("listen for probes: %w", err), lis.Close()), "free the address, or set management.address to another")
		}
	}
	log.Info("registry serves", "url", scheme+"://"+lis.Addr().String(), "file", c.File, "apicurio", c.Apicurio)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serve(gctx, lis, s) })
	g.Go(func() error { return s.store.trim(gctx) })
	if manage != nil {
		g.Go(func() error { return serve(gctx, manage, s.manage) })
	}
	return g.Wait()
}

func serve(ctx context.Context, lis net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       readPatience,
		WriteTimeout:      time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(lis) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve registry clients: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return errors.Join(fmt.Errorf("end registry requests: %w", err), srv.Close())
	}
	return nil
}
