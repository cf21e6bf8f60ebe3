package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"tributary/internal/fault"
)

// Config configures the server.
type Config struct {
	Listen  string `opt:"listen.address" default:"127.0.0.1:8080" doc:"host:port to serve the registry's APIs on"`
	File    string `opt:"data.file" required:"true" doc:"file that holds the registry; made if absent"`
	MaxBody int64  `opt:"request.max.bytes" default:"10485760" doc:"largest request body to take, bytes"`
}

// shutdownPatience is how long requests under way may take to end.
const shutdownPatience = 10 * time.Second

// Server is an open registry.
type Server struct {
	store   *store
	handler http.Handler
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
	h := &handler{store: s, log: log, maxBody: c.MaxBody}
	return &Server{store: s, handler: h.routes()}, nil
}

// ServeHTTP serves every API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close closes the file. No request may be under way.
func (s *Server) Close() error { return s.store.close() }

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
	log.Info("registry serves", "url", "http://"+lis.Addr().String()+v2Base, "file", c.File)
	return serve(ctx, lis, s)
}

func serve(ctx context.Context, lis net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
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
