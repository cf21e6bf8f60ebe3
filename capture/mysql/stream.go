package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// stream turns the events of a binary log into batches. It is a taker.
type stream struct {
	ctx  context.Context //nolint:containedctx // of all that it is told
	cfg  *settings
	cat  catalog
	pipe *capture.Pipe
	log  *slog.Logger

	tables map[string]*table // captured tables by "db.table"; nil = not captured
	bounds map[uint64]*bound // by table id in the log; nil = not captured

	idSize int // of table ids
	at     position
	gtids  gtidSet
	tx     transaction
	count  envelope.Transaction
	hurry  *atomic.Bool // tell positions as soon as the log moves; nil = never
	skip   position     // the transaction in work at which we resume, if Event or Row > 0

	foreign     *foreign // of the transaction in work, until it is known where to go on in it
	foreignSeen int64    // events that were counted for it
	upTo        *anchor  // where Debezium's offset was, during the first transaction

	prepared []prepared // XA transactions that are not decided, in order
	idle     xids       // others that changed nothing of ours
	// lookBack finds the events of one that was prepared before the capture
	// began, nil if none is of ours; at is where it is committed.
	lookBack func(ctx context.Context, xid string, at *position) (*held, error)
	// lookAhead reads the log from a place to its end; nil = it cannot be done.
	lookAhead func(ctx context.Context, t taker, file string, pos uint64) error
	// reached is how far the log was delivered before, while it is read anew
	// for the sake of prepared transactions; old is whether the transaction
	// in work lies before that.
	reached *reached
	old     bool
	file    string // at.File as events tell it

	until *position // stop with errThere where all before it has come; nil = never
	there bool      // it has

	history   *history // what tables look like here
	described bool     // the log has the names of columns
	defs      *string  // of the tables, for the position; nil = to be made anew

	begun   bool      // a transaction has come
	moved   bool      // the position went on and no batch has told so yet
	toldAt  time.Time // when a batch last told the position
	now     func() time.Time
	filePos offset // end of the last event of the file

	compress    payload
	payloadRows int64 // rows seen in the TRANSACTION_PAYLOAD in work
}

// transaction is the one in work.
type transaction struct {
	open    bool
	bracket bool   // it goes on until COMMIT or XID
	xa      bool   // it may yet be prepared only, and rolled back later
	held    *held  // its events, if xa
	query   string // the statement that the rows are of
	foreign bool   // from a server that gtid.source.* leaves out
	gtid    gtid
	text    string // gtid as text
	tsNs    int64  // commit time, 0 = take the event's second
	thread  int64
	events  int64           // row events seen
	rows    int64           // rows of ours in them
	last    envelope.Source // of the row event before, for counting
	// changes is whether anything of ours was in it, skipped or not.
	changes bool
}

// newStream starts at a position. tables are the captured ones that are known.
func newStream(ctx context.Context, cfg *settings, cat catalog, pipe *capture.Pipe, log *slog.Logger, at position, gtids gtidSet, tables map[string]*table, h *history) *stream {
	s := &stream{
		ctx: ctx, cfg: cfg, cat: cat, pipe: pipe, log: log, at: at, gtids: gtids, tables: tables, history: h,
		bounds: make(map[uint64]*bound), idle: make(xids), idSize: 6, now: time.Now, filePos: offset(at.Pos),
		count: envelope.NewTransaction(cfg.Transactions),
	}
	if at.Event > 0 || at.Row > 0 {
		s.skip = at
		s.at.Event, s.at.Row, s.at.GTID, s.at.Done = 0, 0, "", 0
	}
	s.at.Undecided, s.at.Tables = nil, ""
	if at.Prepared != nil {
		s.reached = &reached{at: at, gtids: gtids}
		s.at.File, s.at.Pos, s.filePos, s.at.Prepared = at.Prepared.File, at.Prepared.Pos, offset(at.Prepared.Pos), nil
		s.gtids = gtidSet{}
		if gtids.valid && at.Prepared.GTIDs != nil {
			s.gtids, _ = parseGTIDs(gtids.maria != nil, *at.Prepared.GTIDs) // invalid: by file and offset
		}
	}
	if at.Foreign != nil {
		s.upTo = &anchor{File: at.File, Pos: at.Pos}
	}
	s.file = told(s.at.File, s.at.Epoch)
	s.toldAt = s.now()
	return s
}

// reached is a position that the stream has not come to yet.
type reached struct {
	at    position
	gtids gtidSet
}

// before reports whether the transaction that begins at p lies before it.
func (r *reached) before(p *position, g gtid) bool {
	if r.gtids.valid {
		return r.gtids.contains(g)
	}
	if a, b := fileNumber(p.File), fileNumber(r.at.File); a != b {
		return a < b
	}
	return p.Pos < r.at.Pos
}

// take implements taker.
func (s *stream) take(h *binlog.Header, body []byte) error {
	switch h.Type {
	case binlog.TypeRotate:
		if len(body) < 8 {
			return fmt.Errorf("%w: rotate event", binlog.ErrMalformed)
		}
		s.rotate(string(body[8:]), binary.LittleEndian.Uint64(body))
		return nil
	case binlog.TypeFormatDescription:
		s.idSize = idSize(body)
		clear(s.bounds)
		return nil
	}
	start, end := s.extent(h)
	return s.within(start, end, func() error { return s.event(h, body, start, end, false) })
}

// within takes what lies from start to end in the file.
func (s *stream) within(start, end uint64, take func() error) error {
	if s.past(start) {
		return errThere
	}
	if err := take(); err != nil {
		return fmt.Errorf("binlog %s at %d: %w", s.at.File, start, err)
	}
	if s.past(end) {
		return errThere
	}
	return nil
}

// takeCompressed implements taker.
func (s *stream) takeCompressed(h *binlog.Header, body io.Reader) error {
	start, end := s.extent(h)
	s.payloadRows = 0
	return s.within(start, end, func() error {
		return s.compress.each(body, func(h *binlog.Header, body []byte) error {
			return s.event(h, body, start, end, true)
		})
	})
}

// idSize is how many bytes ids of tables have in a file that begins with such a
// description.
func idSize(description []byte) int {
	const lengths = 2 + 50 + 4 + 1 // of the events' own headers, by type
	if n := lengths + binlog.TypeTableMap - 1; n < len(description) && description[n] == 6 {
		return 4
	}
	return 6
}

// extent returns where an event of the file begins and ends.
func (s *stream) extent(h *binlog.Header) (start, end uint64) { return s.filePos.extent(h) }

// offset is where the last event of a file ended.
type offset uint64

// extent moves on by an event and returns where it begins and ends. The header
// has 32 bits for that; a file that a huge transaction has let grow past 4 GiB
// wraps.
func (o *offset) extent(h *binlog.Header) (start, end uint64) {
	at := uint64(*o)
	switch {
	case h.Flags&binlog.FlagArtificial != 0 || h.Type == binlog.TypeHeartbeat || h.Type == binlog.TypeHeartbeatV2:
		return at, at
	case h.NextPos == 0: // MariaDB 11.4 leaves it out within transactions
		end = at + uint64(h.Size)
	default:
		end = at&^0xffffffff | uint64(h.NextPos)
		if end < at {
			end += 1 << 32
		}
	}
	*o = offset(end)
	return end - uint64(h.Size), end
}

func (s *stream) rotate(file string, pos uint64) {
	s.filePos = offset(pos)
	if file == s.at.File { // the first event of a connection repeats where we are
		return
	}
	s.log.Debug("binlog file", "file", file)
	s.at.File, s.at.Pos = file, pos
	s.file = told(file, s.at.Epoch)
	// With GTIDs a connection begins in whatever file the server searches from.
	s.moved = s.begun
}

// event takes the event that lies from start to end in the file; inner is
// whether it comes out of a TRANSACTION_PAYLOAD that lies there.
func (s *stream) event(h *binlog.Header, body []byte, start, end uint64, inner bool) error {
	if s.foreign != nil {
		s.foreignEvent(h, inner)
	}
	switch h.Type {
	case binlog.TypeTableMap:
		if s.tx.xa {
			return s.hold(h, body)
		}
		return s.tableMap(body)
	case binlog.TypeGTID, binlog.TypeAnonymousGTID, binlog.TypeGTIDTagged:
		return s.mysqlGTID(h.Type, body, start)
	case binlog.TypeMariaGTID:
		return s.mariaGTID(h, body, start)
	case binlog.TypeXID:
		return s.commit(end)
	case binlog.TypeRowsQuery, binlog.TypeMariaAnnotateRows:
		s.rowsQuery(h.Type, body)
		return nil
	case binlog.TypeQuery, binlog.TypeMariaQueryCompr:
		return s.query(h, body, start, end)
	case binlog.TypeXAPrepare:
		return s.xaPrepare(body, start, end)
	case binlog.TypeIncident:
		return fault.Humanf(capture.WayOut, "the server reports that events are missing from its log")
	case binlog.TypeHeartbeat, binlog.TypeHeartbeatV2:
		return s.tell(0)
	}
	if binlog.IsRows(h.Type) {
		if s.tx.xa {
			return s.hold(h, body)
		}
		return s.rows(h, body, start, inner)
	}
	return nil
}

func (s *stream) begin(g gtid, start uint64, tsNs int64) {
	s.tx = transaction{open: true, gtid: g, text: g.String(), tsNs: tsNs}
	s.begun = true
	s.at.Pos = start
	s.tx.foreign = !s.cfg.fromSource(g)
	s.old = false
	if s.reached != nil {
		if s.old = s.reached.before(&s.at, g); !s.old {
			s.reached = nil
		}
	}
	if s.upTo != nil {
		s.foreignBegins()
	}
}

// commit ends the transaction in work; the next one begins at end.
func (s *stream) commit(end uint64) error {
	s.foreignEnds()
	if s.skipping() {
		short := s.tx.events < s.skip.Event || s.tx.events == s.skip.Event && s.skip.Row > 0
		if s.skip.elsewhere {
			short = s.tx.rows < s.skip.Done
		}
		if short {
			return fault.Humanf(capture.WayOut,
				"the transaction at %s:%d has fewer rows than were read of it before", s.skip.File, s.skip.Pos)
		}
		s.skip = position{}
	}
	s.gtids.add(s.tx.gtid)
	changes, last := s.tx.changes, s.tx.last
	s.tx = transaction{}
	s.at.Pos, s.moved = end, true
	if s.reached != nil { // not there yet: what was told goes further
		return nil
	}
	if !changes {
		return s.tell(s.cfg.Moves())
	}
	if s.count.On() && last.File != "" {
		b := s.pipe.Acquire()
		s.count.End(&b.Changes, last, s.now().UnixNano())
		s.pipe.Release(false)
	}
	return s.release()
}

// countFrom begins to count the events of the transaction in work, at its
// first change of ours.
func (s *stream) countFrom(source envelope.Source) {
	if !s.count.On() || s.tx.last.File != "" {
		s.tx.last = source
		return
	}
	s.tx.last = source
	if s.skipping() { // its beginning was delivered before
		s.count.Begin(nil, source, 0)
		return
	}
	b := s.pipe.Acquire()
	s.count.Begin(&b.Changes, source, s.now().UnixNano())
	s.pipe.Release(false)
}

// release makes the waiting batch ready, with the position that we are at.
func (s *stream) release() error {
	b := s.pipe.Acquire()
	b.End = s.position(0, 0).encode()
	s.moved, s.toldAt = false, s.now()
	return s.settle(s.pipe.Release(true))
}

// tell has an otherwise empty batch tell the position, if it moved and none
// has done so for that long.
func (s *stream) tell(unless time.Duration) error {
	if !s.moved || s.tx.open || s.reached != nil || s.now().Sub(s.toldAt) < unless && !s.hurried() {
		return nil
	}
	return s.release()
}

// hurried reports whether somebody waits for positions.
func (s *stream) hurried() bool { return s.hurry != nil && s.hurry.Load() }

// settle waits for a full batch to be taken.
func (s *stream) settle(full bool) error {
	for full {
		taken, err := s.pipe.Wait(s.ctx, time.Minute)
		if err != nil {
			return err
		}
		full = !taken
	}
	return nil
}

// position is where we are, with so many row events of the transaction done
// and so many rows of the next.
func (s *stream) position(events, rows int64) *position {
	p := s.at
	p.setGTIDs(&s.gtids)
	p.Tables = s.definitions()
	if len(s.prepared) > 0 {
		p.Prepared = &s.prepared[0].from
	}
	if events > 0 || rows > 0 {
		p.Event, p.Row, p.GTID, p.Done = events, rows, s.tx.text, s.tx.rows
	}
	return &p
}

// skipping reports whether the transaction in work is the one at which we
// resume.
func (s *stream) skipping() bool {
	if s.skip.Event == 0 && s.skip.Row == 0 {
		return false
	}
	if s.gtids.valid && s.skip.GTID != "" {
		return s.skip.GTID == s.tx.text
	}
	return s.skip.File == s.at.File && s.skip.Pos == s.at.Pos
}

// close lets go of what is held of XA transactions.
func (s *stream) close() error {
	err := s.tx.held.close()
	for _, p := range s.prepared {
		err = errors.Join(err, p.events.close())
	}
	return err
}

// source is the source block of an event that begins at start.
func (s *stream) source(h *binlog.Header, start uint64) envelope.Source {
	source := envelope.Source{
		TsNs: s.tx.tsNs, File: s.file, Pos: int64(start), //nolint:gosec // offsets fit
		ServerID: int64(h.ServerID), Thread: s.tx.thread, GTID: s.tx.text, Query: s.tx.query,
	}
	if source.TsNs == 0 {
		source.TsNs = int64(h.Timestamp) * 1e9
	}
	return source
}
