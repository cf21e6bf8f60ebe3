package postgres

import (
	"bytes"
	"context"
	"errors"

	"tributary/capture"
	"tributary/internal/fault"
)

// after is how much of a transaction Debezium has told: its changes up to a place in
// the log.
type after struct {
	XID  uint32
	LSN  lsn
	Kind byte // of the message there: it may be one of several
}

// wireAfter is after in JSON.
type wireAfter struct {
	XID  uint32 `json:"xid"`
	LSN  string `json:"lsn"`
	Kind string `json:"kind"`
}

// FromDebezium makes a position of an offset of Debezium's connector. It asks the
// server who it is.
//
// lsn is of the last message that was told, lsn_commit of the end of the last
// transaction before. The log has transactions in the order of their commits: those
// that committed before either are done, and the one with txId is up to lsn.
func (s *Source) FromDebezium(ctx context.Context, list []capture.DebeziumOffset) (capture.Position, error) {
	o, err := capture.OneDebezium(list, s.opts.Prefix)
	if err != nil {
		return nil, err
	}
	if o.Unfinished() {
		return nil, capture.ErrUnfinished()
	}
	last, err1 := o.Int("lsn")
	commit, err2 := o.Int("lsn_commit")
	xid, err3 := o.Int("txId")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if last == 0 {
		return nil, fault.Humanf("give the offset of a connector for PostgreSQL", "Debezium's offset has no lsn")
	}
	p := position{Slot: s.opts.Slot, LSN: max(lsn(last), lsn(commit)), LastCommit: lsn(commit)} //nolint:gosec // not below 0
	if kind := messageKinds[o.Text("messageType")]; kind != 0 && xid != 0 {
		p.After = &after{uint32(xid), lsn(last), kind} //nolint:gosec // the server has 32 bits for it
	}
	if p.System, err = s.systemID(ctx); err != nil {
		return nil, err
	}
	return p.append(nil)
}

// messageKinds are the messages within a transaction by Debezium's names.
var messageKinds = map[string]byte{"INSERT": msgInsert, "UPDATE": msgUpdate, "DELETE": msgDelete, "TRUNCATE": msgTruncate, "MESSAGE": msgMessage}

// systemID asks the server for its system identifier.
func (s *Source) systemID(ctx context.Context) (string, error) {
	srv := &server{opts: &s.opts}
	conn, err := srv.replication(ctx)
	if err != nil {
		return "", err
	}
	id, err := srv.system(ctx, conn)
	return id, errors.Join(err, conn.Close(ctx))
}

// told reports whether Debezium has told of a change of the transaction in work.
//
// Several may be at the very place up to which it has told, and it says which kind of
// message it was that it told last. A COPY has several rows at one place, and how many
// of them were told the offset does not say: then all of them come, first for the one
// that was held back.
func (d *decoder) told(at lsn, data []byte) (done bool, first []byte) {
	a := d.after
	if a == nil || a.XID != d.xid || d.skipping {
		return false, nil
	}
	switch {
	case at < a.LSN, at == a.LSN && d.heldBack == nil && data[0] != a.Kind:
		return true, nil
	case at == a.LSN && d.heldBack == nil:
		d.heldBack = bytes.Clone(data)
		return true, nil
	case at == a.LSN && data[0] == a.Kind:
		first = d.heldBack
	}
	d.after, d.heldBack = nil, nil
	return false, first
}
