package mysql

import (
	"bytes"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture/mysql/binlog"
)

// HandleEvent takes an event of the library's parser of files, which parses no
// more of it than the header, ROTATE and FORMAT_DESCRIPTION.
func (s *stream) HandleEvent(e *replication.BinlogEvent) error {
	if ev, ok := e.Event.(*replication.RotateEvent); ok {
		s.rotate(string(ev.NextLogName), ev.Position)
	}
	ev, ok := e.Event.(*replication.GenericEvent)
	if !ok {
		return nil
	}
	h := e.Header
	header := binlog.Header{Timestamp: h.Timestamp, Type: byte(h.EventType), ServerID: h.ServerID, Size: h.EventSize, NextPos: h.LogPos, Flags: h.Flags}
	if header.Type == binlog.TypeTransactionPayload {
		return s.takeCompressed(&header, bytes.NewReader(ev.Data))
	}
	return s.take(&header, ev.Data)
}
