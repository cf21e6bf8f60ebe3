package mysql

import (
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture/mysql/binlog"
)

// What precedes the rows of a transaction.

func (s *stream) mysqlGTID(typ byte, body []byte, start uint64) error {
	var e replication.GTIDEvent
	var err error
	if typ == binlog.TypeGTIDTagged {
		var t replication.GtidTaggedLogEvent
		err = decodeCold(&t, body)
		e = t.GTIDEvent
	} else {
		err = decodeCold(&e, body)
	}
	if err != nil {
		return err
	}
	var g gtid
	if typ != binlog.TypeAnonymousGTID && len(e.SID) == len(g.sid) {
		copy(g.sid[:], e.SID)
		g.gno, g.tag = e.GNO, e.Tag
	}
	micros := e.OriginalCommitTimestamp
	if micros == 0 {
		micros = e.ImmediateCommitTimestamp
	}
	s.begin(g, start, int64(micros)*1000)
	s.foreignSeen = 0 // BEGIN is the first event that Debezium counts
	return nil
}

// decodeCold has the library decode a rare event. It indexes without looking.
func decodeCold(e replication.Event, body []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: %T", binlog.ErrMalformed, e)
		}
	}()
	return e.Decode(body)
}

// Flags of MariaDB's GTID event.
const (
	mariaStandalone = 1  // the event after it is all of the transaction
	mariaPrepared   = 64 // an XA transaction that ends prepared
)

func (s *stream) mariaGTID(h *binlog.Header, body []byte, start uint64) error {
	var e replication.MariadbGTIDEvent
	if err := decodeCold(&e, body); err != nil {
		return err
	}
	s.begin(gtid{domain: e.GTID.DomainID, server: h.ServerID, seq: e.GTID.SequenceNumber}, start, 0)
	s.tx.bracket, s.tx.xa = e.Flags&mariaStandalone == 0, e.Flags&mariaPrepared != 0
	return nil
}

// rowsQuery notes the statement of the rows that follow. In MySQL a byte that
// cannot hold its length comes before it.
func (s *stream) rowsQuery(typ byte, body []byte) {
	if !s.cfg.Queries || s.tx.xa {
		return
	}
	if typ == binlog.TypeRowsQuery {
		body = body[min(1, len(body)):]
	}
	s.tx.query = strings.ToValidUTF8(string(body), "\uFFFD")
}
