package mssqltest

import (
	"net"
	"sync"
	"time"
)

// work counts the requests that are worked on, to know for how long there was none.
type work struct {
	mu     sync.Mutex
	active int
	since  time.Time // when the last one ended; zero before the first
	idle   time.Duration
}

func (w *work) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active++; w.active == 1 && !w.since.IsZero() {
		w.idle += time.Since(w.since)
	}
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active--; w.active == 0 {
		w.since = time.Now()
	}
}

// Idle is for how long the server had nothing to do since its first request: no client
// had asked for anything, or what was written was yet to be taken.
func (s *Server) Idle() time.Duration {
	w := &s.work
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active == 0 && !w.since.IsZero() {
		return w.idle + time.Since(w.since)
	}
	return w.idle
}

// pausing does not count as work what it takes a client to take what is written.
type pausing struct {
	net.Conn
	work *work
}

func (p *pausing) Write(b []byte) (int, error) {
	p.work.end()
	defer p.work.begin()
	return p.Conn.Write(b)
}
