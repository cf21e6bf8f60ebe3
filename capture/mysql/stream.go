package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/fault"
)

// stream turns the events of a binary log into batches. One goroutine calls
// HandleEvent, with the events in order.
type stream struct {
	ctx  context.Context //nolint:containedctx // HandleEvent's caller has none to give
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
	skip   position // the transaction in work at which we resume, if Event or Row > 0

	begun   bool      // a transaction has come
	moved   bool      // the position went on and no batch has told so yet
	toldAt  time.Time // when a batch last told the position
	now     func() time.Time
	filePos uint64 // end of the last event of the file

	compress    payload
	payloadRows int64 // rows seen in the TRANSACTION_PAYLOAD in work
}

// transaction is the one in work.
type transaction struct {
	open    bool
	bracket bool // it goes on until COMMIT or XID
	gtid    gtid
	text    string // gtid as text
	tsNs    int64  // commit time, 0 = take the event's second
	thread  int64
	events  int64 // row events seen
	// changes is whether anything of ours was in it, skipped or not.
	changes bool
}

// newStream starts at a position. tables are the captured ones that are known.
func newStream(ctx context.Context, cfg *settings, cat catalog, pipe *capture.Pipe, log *slog.Logger, at position, gtids gtidSet, tables map[string]*table) *stream {
	s := &stream{
		ctx: ctx, cfg: cfg, cat: cat, pipe: pipe, log: log, at: at, gtids: gtids, tables: tables,
		bounds: make(map[uint64]*bound), idSize: 6, now: time.Now, filePos: at.Pos,
	}
	if at.Event > 0 || at.Row > 0 {
		s.skip = at
		s.at.Event, s.at.Row, s.at.GTID = 0, 0, ""
	}
	s.toldAt = s.now()
	return s
}

// HandleEvent takes one event of the replication client, which parses no more
// of it than the header, ROTATE and FORMAT_DESCRIPTION.
func (s *stream) HandleEvent(e *replication.BinlogEvent) error {
	h := e.Header
	switch ev := e.Event.(type) {
	case *replication.RotateEvent:
		s.rotate(string(ev.NextLogName), ev.Position)
		return nil
	case *replication.FormatDescriptionEvent:
		s.idSize = 6
		if n := binlog.TypeTableMap - 1; n < len(ev.EventTypeHeaderLengths) && ev.EventTypeHeaderLengths[n] == 6 {
			s.idSize = 4
		}
		clear(s.bounds)
		return nil
	case *replication.GenericEvent:
		header := binlog.Header{Timestamp: h.Timestamp, Type: byte(h.EventType), ServerID: h.ServerID, Size: h.EventSize, NextPos: h.LogPos, Flags: h.Flags}
		start, end := s.extent(&header)
		if err := s.event(&header, ev.Data, start, end, false); err != nil {
			return fmt.Errorf("binlog %s at %d: %w", s.at.File, start, err)
		}
	}
	return nil
}

// extent returns where an event of the file begins and ends. The header has 32
// bits for that; a file that a huge transaction has let grow past 4 GiB wraps.
func (s *stream) extent(h *binlog.Header) (start, end uint64) {
	switch {
	case h.Flags&binlog.FlagArtificial != 0 || h.Type == binlog.TypeHeartbeat || h.Type == binlog.TypeHeartbeatV2:
		return s.filePos, s.filePos
	case h.NextPos == 0: // MariaDB 11.4 leaves it out within transactions
		end = s.filePos + uint64(h.Size)
	default:
		end = s.filePos&^0xffffffff | uint64(h.NextPos)
		if end < s.filePos {
			end += 1 << 32
		}
	}
	s.filePos = end
	return end - uint64(h.Size), end
}

func (s *stream) rotate(file string, pos uint64) {
	s.filePos = pos
	if file == s.at.File { // the first event of a connection repeats where we are
		return
	}
	s.log.Debug("binlog file", "file", file)
	s.at.File, s.at.Pos = file, pos
	// With GTIDs a connection begins in whatever file the server searches from.
	s.moved = s.begun
}

// event takes the event that lies from start to end in the file; inner is
// whether it comes out of a TRANSACTION_PAYLOAD that lies there.
func (s *stream) event(h *binlog.Header, body []byte, start, end uint64, inner bool) error {
	switch h.Type {
	case binlog.TypeTableMap:
		return s.tableMap(body)
	case binlog.TypeGTID, binlog.TypeAnonymousGTID, binlog.TypeGTIDTagged:
		return s.mysqlGTID(h.Type, body, start)
	case binlog.TypeMariaGTID:
		return s.mariaGTID(h, body, start)
	case binlog.TypeXID:
		return s.commit(end)
	case binlog.TypeQuery, binlog.TypeMariaQueryCompr:
		return s.query(h, body, start, end)
	case binlog.TypeXAPrepare:
		return s.xaPrepare(body, end)
	case binlog.TypeTransactionPayload:
		s.payloadRows = 0
		return s.compress.each(body, func(h *binlog.Header, body []byte) error {
			return s.event(h, body, start, end, true)
		})
	case binlog.TypeIncident:
		return fault.Humanf("take a new snapshot: start with an offset of another name", "the server reports that events are missing from its log")
	case binlog.TypeHeartbeat, binlog.TypeHeartbeatV2:
		return s.tell(0)
	}
	if binlog.IsRows(h.Type) {
		return s.rows(h, body, start, inner)
	}
	return nil
}

func (s *stream) begin(g gtid, start uint64, tsNs int64) {
	s.tx = transaction{open: true, gtid: g, text: g.String(), tsNs: tsNs}
	s.begun = true
	s.at.Pos = start
}

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

// mariaStandalone is the flag of MariaDB's GTID event that the event after it
// is all of the transaction.
const mariaStandalone = 1

func (s *stream) mariaGTID(h *binlog.Header, body []byte, start uint64) error {
	var e replication.MariadbGTIDEvent
	if err := decodeCold(&e, body); err != nil {
		return err
	}
	s.begin(gtid{domain: e.GTID.DomainID, server: h.ServerID, seq: e.GTID.SequenceNumber}, start, 0)
	s.tx.bracket = e.Flags&mariaStandalone == 0
	return nil
}

// commit ends the transaction in work; the next one begins at end.
func (s *stream) commit(end uint64) error {
	if s.skipping() {
		if s.tx.events < s.skip.Event || s.tx.events == s.skip.Event && s.skip.Row > 0 {
			return fault.Humanf("take a new snapshot: start with an offset of another name",
				"the transaction at %s:%d has fewer rows than were read of it before", s.skip.File, s.skip.Pos)
		}
		s.skip = position{}
	}
	s.gtids.add(s.tx.gtid)
	changes := s.tx.changes
	s.tx = transaction{}
	s.at.Pos, s.moved = end, true
	if !changes {
		return s.tell(s.cfg.Heartbeat)
	}
	return s.release()
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
	if !s.moved || s.tx.open || s.cfg.Heartbeat == 0 || s.now().Sub(s.toldAt) < unless {
		return nil
	}
	return s.release()
}

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
	if events > 0 || rows > 0 {
		p.Event, p.Row, p.GTID = events, rows, s.tx.text
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

// xaPrepare ends a transaction that was prepared for two-phase commit.
func (s *stream) xaPrepare(body []byte, end uint64) error {
	if len(body) < 1 {
		return fmt.Errorf("%w: XA prepare", binlog.ErrMalformed)
	}
	onePhase := body[0] != 0
	if !onePhase && s.tx.changes {
		return fault.Humanf("use ordinary transactions on captured tables",
			"an XA transaction changed captured tables: whether it commits is not known yet, and this cannot be captured yet")
	}
	return s.commit(end)
}

// query takes a statement: the brackets of a transaction, or DDL.
func (s *stream) query(h *binlog.Header, body []byte, start, end uint64) error {
	q, err := parseQuery(h.Type, body)
	if err != nil {
		return err
	}
	text := trimComments(q.Query)
	switch {
	case bytes.Equal(text, []byte("BEGIN")):
		if !s.tx.open { // a server without GTIDs, not even anonymous ones
			s.begin(gtid{}, start, 0)
		}
		s.tx.bracket = true
		if s.tx.gtid.seq == 0 { // Debezium does not tell MariaDB's
			s.tx.thread = int64(q.SlaveProxyID)
		}
		return nil
	case bytes.Equal(text, []byte("COMMIT")):
		return s.commit(end)
	case hasWord(text, "ROLLBACK"):
		if s.tx.changes {
			return fault.Humanf("let transactions that change captured tables use InnoDB tables only",
				"a transaction was rolled back in the log after it changed captured tables")
		}
		if bytes.EqualFold(text, []byte("ROLLBACK")) {
			return s.commit(end)
		}
		return nil
	case hasWord(text, "SAVEPOINT"):
		return nil
	case hasWord(text, "XA"):
		return s.xaStatement(text, end)
	}
	if isDML(text) {
		return s.statement(text)
	}
	if hasWord(text, "TRUNCATE") {
		s.truncate(h, string(q.Schema), text, start)
	}
	s.noteDDL(string(q.Schema), text)
	if bytes.HasSuffix(text, []byte("START TRANSACTION")) { // CREATE TABLE … SELECT: rows follow
		s.tx.bracket = true
	}
	if s.tx.bracket {
		return nil
	}
	return s.commit(end)
}

// truncate tells of a captured table's truncation.
func (s *stream) truncate(h *binlog.Header, schema string, text []byte, start uint64) {
	id := truncated(schema, string(text[len("TRUNCATE"):]))
	t := s.tables[id.String()]
	if t == nil || s.cfg.skipOp[envelope.Truncate] {
		return
	}
	batch := s.pipe.Acquire()
	c := batch.Next()
	c.Op, c.Table, c.TsNs = envelope.Truncate, t.current().codec.Table, s.now().UnixNano()
	c.Source = s.source(h, start)
	s.tx.changes = true
	s.pipe.Release(false)
}

// truncated finds the table's name in what follows TRUNCATE.
func truncated(schema, rest string) envelope.TableID {
	rest = strings.TrimSpace(rest)
	if hasWord([]byte(rest), "TABLE") {
		rest = strings.TrimSpace(rest[len("TABLE"):])
	}
	name := func() string {
		if strings.HasPrefix(rest, "`") {
			end := 1
			for end < len(rest) && (rest[end] != '`' || strings.HasPrefix(rest[end:], "``")) {
				if rest[end] == '`' {
					end++
				}
				end++
			}
			v := strings.ReplaceAll(rest[1:min(end, len(rest))], "``", "`")
			rest = strings.TrimSpace(rest[min(end+1, len(rest)):])
			return v
		}
		end := strings.IndexAny(rest, ". \t\n;`/")
		if end < 0 {
			end = len(rest)
		}
		v := rest[:end]
		rest = strings.TrimSpace(rest[end:])
		return v
	}
	first := name()
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimSpace(rest[1:])
		return envelope.TableID{Catalog: first, Name: name()}
	}
	return envelope.TableID{Catalog: schema, Name: first}
}

// source is the source block of an event that begins at start.
func (s *stream) source(h *binlog.Header, start uint64) envelope.Source {
	source := envelope.Source{
		TsNs: s.tx.tsNs, File: s.at.File, Pos: int64(start), //nolint:gosec // offsets fit
		ServerID: int64(h.ServerID), Thread: s.tx.thread, GTID: s.tx.text,
	}
	if source.TsNs == 0 {
		source.TsNs = int64(h.Timestamp) * 1e9
	}
	return source
}

// statement takes a change that the log has as the statement that made it.
func (s *stream) statement(text []byte) error {
	lower := bytes.ToLower(text)
	for name, t := range s.tables {
		if t != nil && bytes.Contains(lower, bytes.ToLower([]byte(t.current().def.ID.Name))) {
			return fault.Humanf("set binlog_format=ROW on the server and in all sessions, then take a new snapshot",
				"a statement that may change %s is logged as a statement, not as rows", name)
		}
	}
	return nil
}

func isDML(text []byte) bool {
	for _, w := range []string{"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH"} {
		if hasWord(text, w) {
			return true
		}
	}
	return false
}

// trimComments drops white space and comments before a statement.
func trimComments(text []byte) []byte {
	for {
		text = bytes.TrimSpace(text)
		switch {
		case bytes.HasPrefix(text, []byte("/*")) && !bytes.HasPrefix(text, []byte("/*!")):
			_, rest, ok := bytes.Cut(text, []byte("*/"))
			if !ok {
				return text
			}
			text = rest
		case bytes.HasPrefix(text, []byte("-- ")), bytes.HasPrefix(text, []byte("#")):
			_, rest, ok := bytes.Cut(text, []byte("\n"))
			if !ok {
				return text
			}
			text = rest
		default:
			return text
		}
	}
}

// xaStatement takes XA START (which opens like BEGIN), XA END, and the verdict
// on a prepared transaction, which for us never had changes.
func (s *stream) xaStatement(text []byte, end uint64) error {
	verb := bytes.TrimSpace(text[2:])
	if hasWord(verb, "START") || hasWord(verb, "BEGIN") || hasWord(verb, "END") {
		s.tx.bracket = true
		return nil
	}
	return s.commit(end)
}

func parseQuery(typ byte, body []byte) (q *replication.QueryEvent, err error) {
	q = &replication.QueryEvent{}
	if err := decodeCold(q, body); err != nil || typ != binlog.TypeMariaQueryCompr {
		return q, err
	}
	q.Query, err = binlog.Decompress(q.Query)
	return q, err
}

// hasWord reports whether text begins with an upper-case word, in any case.
func hasWord(text []byte, word string) bool {
	if len(text) < len(word) || !bytes.EqualFold(text[:len(word)], []byte(word)) {
		return false
	}
	return len(text) == len(word) || text[len(word)] == ' ' || text[len(word)] == '\n' || text[len(word)] == '\t'
}

// noteDDL marks the captured tables that a statement may have changed: those
// whose name is in it, and all of a database whose name is.
func (s *stream) noteDDL(schema string, text []byte) {
	text = bytes.ToLower(text)
	for name, t := range s.tables {
		if t == nil { // may have become one of ours
			delete(s.tables, name)
			continue
		}
		id := t.current().def.ID
		if bytes.Contains(text, bytes.ToLower([]byte(id.Name))) ||
			bytes.Contains(text, []byte("database")) || bytes.Contains(text, []byte("schema")) {
			s.log.Debug("statement may change a table", "table", id.String(), "database", schema)
			t.stale = true
		}
	}
	clear(s.bounds)
}

// tableMap notes what the row events that follow are of.
func (s *stream) tableMap(body []byte) error {
	m, err := binlog.ParseTableMap(body, s.idSize)
	if err != nil {
		return err
	}
	if b, ok := s.bounds[m.ID]; ok && (b == nil || bytes.Equal(b.raw, body)) {
		return nil
	}
	if len(s.bounds) > 4096 {
		clear(s.bounds)
	}
	id := envelope.TableID{Catalog: string(m.Schema), Name: string(m.Table)}
	t, err := s.table(id, m)
	if err != nil {
		return err
	}
	if t == nil {
		s.bounds[m.ID] = nil
		return nil
	}
	b, err := t.bind(m, body, s.cat, s.cfg)
	if ue := (unfitError{}); errors.As(err, &ue) {
		// Perhaps it changed without a statement that we understood.
		if err2 := s.reread(t, id, m); err2 != nil {
			return err2
		}
		b, err = t.bind(m, body, s.cat, s.cfg)
	}
	if err != nil {
		return err
	}
	s.bounds[m.ID] = b
	return nil
}

// table returns the captured table of that name, nil if it is not captured.
func (s *stream) table(id envelope.TableID, m *binlog.TableMap) (*table, error) {
	name := id.String()
	t, known := s.tables[name]
	if known && (t == nil || !t.stale) {
		return t, nil
	}
	if t == nil {
		if !s.cfg.include(id) {
			s.tables[name] = nil
			return nil, nil //nolint:nilnil // not captured
		}
		s.log.Info("table found in the log", "table", name)
		t = &table{}
	}
	if err := s.reread(t, id, m); err != nil {
		return nil, err
	}
	s.tables[name] = t
	return t, nil
}

// reread asks the server what the table looks like now. Of a table that is
// gone, the log's own metadata must do.
func (s *stream) reread(t *table, id envelope.TableID, m *binlog.TableMap) error {
	def, err := s.cat.table(s.ctx, id)
	if err != nil {
		return fmt.Errorf("read the definition of table %s: %w", id, err)
	}
	t.stale = false
	if def != nil {
		def.exclude(s.cfg)
	}
	if def == nil {
		if len(t.versions) > 0 {
			return nil
		}
		if m.Names == nil {
			return fault.Humanf("leave it out of table.include.list, or set binlog_row_metadata=FULL on the server",
				"table %s is in the log but no longer on the server", id)
		}
		def = &tableDef{ID: id}
		for i := range m.Types {
			d, err := synthesize(m, i, s.cat, id)
			if err != nil {
				return err
			}
			def.Columns = append(def.Columns, d)
		}
	}
	return t.use(def, s.cfg)
}
