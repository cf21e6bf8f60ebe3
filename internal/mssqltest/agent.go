package mssqltest

import (
	"time"
)

// SetAgent changes how often the agent captures: at each commit if interval is 0,
// never by itself if it is negative.
func (s *Server) SetAgent(interval time.Duration) {
	s.mu.Lock()
	s.interval = interval
	close(s.wake)
	s.wake = make(chan struct{})
	s.mu.Unlock()
	if interval == 0 {
		s.committed()
	}
}

// StopAgent stops the agent's service; StartAgent starts it again.
func (s *Server) StopAgent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// StartAgent is the reverse of StopAgent.
func (s *Server) StartAgent() {
	s.mu.Lock()
	s.stopped = false
	s.mu.Unlock()
	s.committed()
}

// FailCapture has the scans of the capture job end with an error, which leave the
// log as it is; with nil they work again.
func (db *Database) FailCapture(err *Error) {
	db.mu.Lock()
	db.failing = err
	db.mu.Unlock()
}

// idleAfter is how long nothing is captured until the capture job writes that down.
const idleAfter = 5 * time.Minute

// idle writes an idle mark if it is time to.
func (db *Database) idle() {
	st := db.st.Load()
	db.mu.Lock()
	failing := db.failing != nil
	db.mu.Unlock()
	if n := len(st.times); st.cdc && !failing && (n == 0 || db.srv.now().Sub(st.times[n-1].end) >= idleAfter) {
		db.Idle()
	}
}

func (s *Server) agentRuns() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped
}

// committed captures at once, where the agent does.
func (s *Server) committed() {
	if s.atOnce() {
		s.scan(false)
	}
}

// atOnce reports whether the agent captures at each commit.
func (s *Server) atOnce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped && s.interval == 0
}

// scan captures in all databases whose capture job runs; all says to do so where
// the log is empty too.
func (s *Server) scan(all bool) {
	for _, db := range s.databases() {
		if !db.st.Load().agentRunning {
			continue
		}
		db.mu.Lock()
		n := len(db.log)
		db.mu.Unlock()
		if all || n > 0 {
			db.capture()
		}
		if all && n == 0 {
			db.idle()
		}
	}
}

func (s *Server) agent() {
	for {
		s.mu.Lock()
		interval, wake := s.interval, s.wake
		s.mu.Unlock()
		var tick <-chan time.Time
		switch {
		case interval > 0:
			tick = time.After(interval)
		case interval == 0: // commits are captured at once; idle marks are not
			tick = time.After(idleAfter)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-wake:
		case <-tick:
			if s.agentRuns() {
				s.scan(true)
			}
		}
	}
}
