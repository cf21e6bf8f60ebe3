package mssqltest

import (
	"slices"
	"strings"
	"time"
)

// Fault is something that goes wrong with a statement.
type Fault struct {
	// Match is a part of the statement's text.
	Match string
	// Skip is how many times that text runs well first.
	Skip int
	// Times is how often it goes wrong: once if it is 0, always if negative.
	Times int
	// One of: an error instead of the result; a delay before it; the connection
	// closed after so many bytes of the response's rows (in the middle of a row).
	Err       *Error
	Delay     time.Duration
	DropAfter int
}

// Inject lets a statement go wrong.
func (s *Server) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Statements are the texts that clients have run, in order.
func (s *Server) Statements() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.texts)
}

// keptTexts bounds the list of texts: the newest are kept.
const keptTexts = 20000

// note keeps a text, and does what Inject asked for.
func (s *Server) note(n *session, text string) error {
	s.mu.Lock()
	if len(s.texts) >= 2*keptTexts {
		s.texts = slices.Clone(s.texts[keptTexts:])
	}
	s.texts = append(s.texts, text)
	var hit *Fault
	for i, f := range s.faults {
		if !strings.Contains(text, f.Match) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		hit = f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		break
	}
	s.mu.Unlock()
	switch {
	case hit == nil:
		return nil
	case hit.Err != nil:
		e := *hit.Err
		return &e
	case hit.Delay > 0:
		select {
		case <-time.After(hit.Delay):
		case <-n.ctx.Done():
			return n.interrupted()
		}
	default:
		if d, ok := n.out.(interface{ dropAfter(n int) }); ok {
			d.dropAfter(hit.DropAfter)
		}
	}
	return nil
}
