package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// An XA transaction may be prepared before the moment at which the capture
// begins, and be committed after: its rows are in the log before where we read,
// and in no snapshot. They are looked for when it is committed, file by file,
// from there back.

// lookBack implements what stream wants of that name.
func (n *session) lookBack(ctx context.Context, xid string, at *position) (*held, error) {
	logs, err := n.conn.table(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, fmt.Errorf("look for XA transaction %s: %w", xid, err)
	}
	slices.Reverse(logs)
	last := ""
	for _, l := range logs {
		if a, b := fileNumber(l[0]), fileNumber(at.File); a > b {
			continue
		}
		f := finder{cfg: n.cfg, xid: xid, file: l[0], idSize: 6}
		if last = l[0]; last == at.File {
			f.until = at.Pos
		}
		n.log.Info("looking for the rows of an XA transaction that was prepared before the capture began", "xid", xid, "file", l[0])
		if err := n.searchLog(ctx, &f); err != nil {
			return nil, errors.Join(fmt.Errorf("look for XA transaction %s in %s: %w", xid, l[0], explainDump(err)), f.found.close())
		}
		if f.prepared {
			return f.found, nil
		}
	}
	if n.cfg.KeepsFailures() {
		n.log.Warn("the rows of an XA transaction are not in the log any more: read the tables that it changed again (cdc-source signal execute-snapshot)", "xid", xid)
		return nil, nil //nolint:nilnil // as the options want it
	}
	return nil, fault.Humanf(
		"start once with event.processing.failure.handling.mode warn, and have the tables that it changed read again: cdc-source signal execute-snapshot",
		"XA transaction %s was committed, and its rows are in no log that the server still has (the oldest is %s): it was prepared before", xid, last)
}

// searchLog reads one file of the log.
func (n *session) searchLog(ctx context.Context, f *finder) error {
	d, err := openDump(ctx, n.cfg, n.server.maria, n.beat())
	if err != nil {
		return err
	}
	defer n.hangUp(ctx, d)
	flags := uint16(dumpNonBlock)
	if n.server.maria {
		flags |= dumpAnnotate // as openLog has it
	}
	// As a replica with an id of its own: servers end older ones of the same.
	if err := d.fromFile(f.file, 4, rand.Uint32()|1<<31, flags); err != nil {
		return err
	}
	if err := d.run(ctx, f); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// finder collects the events of a prepared transaction. It is a taker.
type finder struct {
	cfg   *settings
	xid   string
	file  string
	until uint64 // offset before which it must be prepared, 0 = the end of the file

	compress payload
	idSize   int
	pos      offset
	in       bool            // it is an XA transaction
	ours     map[uint64]bool // tables of it by id, whether they are captured
	work     *held           // its events

	found    *held // of the last one of that name, nil = none is ours
	prepared bool  // it is not decided
}

// take implements taker.
func (f *finder) take(h *binlog.Header, body []byte) error {
	switch {
	case h.Type != binlog.TypeRotate:
	case len(body) < 8:
		return fmt.Errorf("%w: rotate event", binlog.ErrMalformed)
	case string(body[8:]) != f.file: // the end of ours
		return io.EOF
	default:
		f.pos = offset(binary.LittleEndian.Uint64(body))
		return nil
	}
	if f.past(h) {
		return io.EOF
	}
	if h.Type == binlog.TypeFormatDescription {
		f.idSize = idSize(body)
		return nil
	}
	return f.event(h, body)
}

// takeCompressed implements taker.
func (f *finder) takeCompressed(h *binlog.Header, body io.Reader) error {
	if f.past(h) {
		return io.EOF
	}
	return f.compress.each(body, f.event)
}

// past moves on by an event, and reports whether it is one that does not count.
func (f *finder) past(h *binlog.Header) bool {
	start, _ := f.pos.extent(h)
	return f.until > 0 && start >= f.until
}

func (f *finder) event(h *binlog.Header, body []byte) error {
	switch {
	case h.Type == binlog.TypeMariaGTID:
		const flags = 8 + 4
		return f.begin(len(body) > flags && body[flags]&mariaPrepared != 0)
	case h.Type == binlog.TypeGTID, h.Type == binlog.TypeAnonymousGTID, h.Type == binlog.TypeGTIDTagged:
		return f.begin(false)
	case h.Type == binlog.TypeQuery, h.Type == binlog.TypeMariaQueryCompr:
		q, err := parseQuery(h.Type, body)
		if err != nil {
			return err
		}
		return f.statement(trimComments(q.Query))
	case h.Type == binlog.TypeTableMap && f.in:
		m, err := binlog.ParseTableMap(body, f.idSize, f.cfg.maria())
		if err != nil {
			return err
		}
		f.ours[m.ID] = f.cfg.include(envelope.TableID{Catalog: string(m.Schema), Name: string(m.Table)})
		return f.hold(h, body, m.ID)
	case binlog.IsRows(h.Type) && f.in:
		r, err := binlog.ParseRows(h.Type, body, f.idSize)
		if err != nil {
			return err
		}
		return f.hold(h, body, r.TableID)
	case h.Type == binlog.TypeXAPrepare:
		xid, onePhase, ok := parseXID(body)
		if !ok {
			return fmt.Errorf("%w: XA prepare", binlog.ErrMalformed)
		}
		if xid != f.xid || onePhase {
			return f.begin(false)
		}
		err := f.found.close()
		f.found, f.prepared, f.work, f.in = f.work, true, nil, false
		return err
	}
	return nil
}

func (f *finder) begin(xa bool) error {
	err := f.work.close()
	f.work, f.in, f.ours = nil, xa, make(map[uint64]bool)
	return err
}

// statement takes XA START, and verdicts.
func (f *finder) statement(text []byte) error {
	if !hasWord(text, "XA") {
		return nil
	}
	verb := text[min(3, len(text)):]
	xid, ok := xidOf(verb)
	switch {
	case !ok || xid != f.xid:
		return nil
	case hasWord(verb, "START"), hasWord(verb, "BEGIN"):
		return f.begin(true)
	case hasWord(verb, "COMMIT"), hasWord(verb, "ROLLBACK"):
		err := f.found.close()
		f.found, f.prepared = nil, false
		return err
	}
	return nil
}

func (f *finder) hold(h *binlog.Header, body []byte, table uint64) error {
	if !f.ours[table] {
		return nil
	}
	if f.work == nil {
		f.work = &held{}
	}
	return f.work.add(h, body)
}
