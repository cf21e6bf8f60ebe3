package mysql

import (
	"context"
	"errors"
	"fmt"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/internal/fault"
)

// foreign is how much of the transaction that comes next Debezium has told. It
// counts all events, from MySQL's BEGIN or MariaDB's GTID on, and the rows of the
// event after them. Which of the events have rows only the log tells.
type foreign struct {
	Events int64 `json:"events,omitempty"`
	Rows   int64 `json:"rows,omitempty"`
}

// FromDebezium makes a position of an offset of Debezium's connector for MySQL or
// MariaDB.
func (s *Source) FromDebezium(_ context.Context, list []capture.DebeziumOffset) (capture.Position, error) {
	o, err := capture.OneDebezium(list, s.cfg.Prefix)
	if err != nil {
		return nil, err
	}
	if o.Unfinished() {
		return nil, capture.ErrUnfinished()
	}
	p := position{File: o.Text("file")}
	pos, err1 := o.Int("pos")
	events, err2 := o.Int("event")
	rows, err3 := o.Int("row")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if p.File == "" || pos < 4 {
		return nil, fault.Humanf("give the offset of a connector for MySQL or MariaDB", "Debezium's offset has no binlog file and position")
	}
	p.Pos = uint64(pos) //nolint:gosec // not below 4
	if text := o.Text("gtids"); text != "" {
		if _, err := parseGTIDs(s.cfg.maria(), text); err != nil {
			return nil, fault.Human(fmt.Errorf("read Debezium's offset: %w", err), "set connector.class to that of the connector")
		}
		p.GTIDs = &text
	}
	p.Foreign = &foreign{Events: events, Rows: rows}
	return p.encode(), nil
}

// everything is a number of events that no transaction has.
const everything = 1 << 62

// foreignBegins skips what Debezium has told of the transaction that begins, if it
// is the first one.
func (s *stream) foreignBegins() {
	f := s.at.Foreign
	if f == nil {
		s.upTo = nil
		return
	}
	s.at.Foreign = nil
	if f.Events == 0 && f.Rows == 0 {
		return
	}
	s.upTo = nil
	s.foreign, s.foreignSeen = f, 1 // the event that begins it
	s.skip = position{File: s.at.File, Pos: s.at.Pos, GTID: s.tx.text, Event: everything}
}

// foreignEvent counts an event of the transaction that Debezium was in, and says
// with the first that it has not told what there is to skip.
func (s *stream) foreignEvent(h *binlog.Header, inner bool) {
	if s.foreign == nil || !s.tx.open {
		return
	}
	f := s.foreign
	switch h.Type {
	case binlog.TypeGTID, binlog.TypeAnonymousGTID, binlog.TypeGTIDTagged:
		return // before BEGIN
	case binlog.TypeMariaAnnotateRows:
		if !s.cfg.Queries { // it has not asked for them
			return
		}
	}
	if inner && f.Events == 0 {
		s.log.Warn("Debezium was in a compressed transaction, of which its offset does not tell enough: the transaction is told from its beginning")
		s.foreign, s.skip = nil, position{}
		return
	}
	if s.foreignSeen < f.Events {
		s.foreignSeen++
		return
	}
	s.foreign = nil
	if !s.tx.bracket { // a statement that changes tables, which the offset is of
		s.old, s.skip = true, position{}
		return
	}
	s.skip.Event, s.skip.Row = s.tx.events, 0
	if binlog.IsRows(h.Type) {
		s.skip.Row = f.Rows
	}
	if s.skip.Event == 0 && s.skip.Row == 0 {
		s.skip = position{}
	}
}

// foreignEnds is called where a transaction ends: an offset within it may have been
// that of its last event.
func (s *stream) foreignEnds() {
	if f := s.foreign; f != nil && s.foreignSeen >= f.Events {
		s.skip = position{}
	}
	s.foreign = nil
}

// foreignTold reports whether Debezium has told of the statement that ends there: it
// leaves its GTID out of the offset.
func (s *stream) foreignTold(end uint64) bool {
	return s.upTo != nil && s.upTo.File == s.at.File && s.upTo.Pos == end
}
