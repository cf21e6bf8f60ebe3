package lake

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// fileSlice is a file group of a merge-on-read table as of an instant: a base
// file, or none, and the log files with what changed since.
type fileSlice struct {
	base BaseFile // without a Key: none
	logs []LogFile
}

// listLogFiles returns the log files of the table.
func listLogFiles(ctx context.Context, store blob.Store, base string) ([]LogFile, error) {
	var out []LogFile
	err := listData(ctx, store, base, func(path string, info blob.Info) {
		partition, name := "", path
		if i := strings.LastIndexByte(path, '/'); i >= 0 {
			partition, name = path[:i], path[i+1:]
		}
		if f, ok := parseLogFile(name); ok {
			f.Key, f.Partition, f.Size = info.Key, partition, info.Size
			out = append(out, f)
		}
	})
	return out, err
}

// logsUpTo leaves out the logs that only writes after the instant have written to.
func (t *Table) logsUpTo(ctx context.Context, tl *Timeline, logs []LogFile, at string) ([]LogFile, error) {
	if at >= tl.Newest().Time {
		return logs, nil
	}
	then, since := map[string]bool{}, map[string]bool{}
	for _, i := range tl.Completed() {
		c, err := t.Commit(ctx, i)
		if err != nil {
			return nil, err
		}
		to := then
		if i.Time > at {
			to = since
		}
		for _, list := range c.Stats {
			for n := range list {
				to[join(t.base, list[n].Path)] = true
			}
		}
	}
	out := make([]LogFile, 0, len(logs))
	for _, l := range logs {
		if then[l.Key] || !since[l.Key] {
			out = append(out, l)
		}
	}
	return out, nil
}

// logSlices joins the newest base files with their logs. A log belongs to the
// slice whose instant it names. Where that slice has no base file yet, because
// its compaction is not completed, the slice before it counts too. From table
// version 8 on a log names the write that made it, whose completion, which done
// gives, tells what it comes after; before that done is nil.
func logSlices(bases []BaseFile, logs []LogFile, at string, replaced map[groupKey]bool, done func(instant string) string) []fileSlice {
	groups := map[groupKey]*fileSlice{}
	for _, b := range bases {
		groups[groupKey{b.Partition, b.FileID}] = &fileSlice{base: b}
	}
	for _, l := range logs {
		k := groupKey{l.Partition, l.FileID}
		if replaced[k] || l.Instant > at {
			continue
		}
		g := groups[k]
		if g == nil {
			g = &fileSlice{}
			groups[k] = g
		}
		since := l.Instant
		if done != nil {
			since = done(l.Instant)
		}
		if since != "" && since >= g.base.Instant {
			g.logs = append(g.logs, l)
		}
	}
	out := make([]fileSlice, 0, len(groups))
	for _, g := range groups {
		if g.base.Key == "" && len(g.logs) == 0 {
			continue
		}
		sort.Slice(g.logs, func(i, j int) bool {
			a, b := g.logs[i], g.logs[j]
			if a.Instant != b.Instant {
				return a.Instant < b.Instant
			}
			if a.Version != b.Version {
				return a.Version < b.Version
			}
			return a.Token < b.Token
		})
		out = append(out, *g)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key() < out[j].key() })
	return out
}

func (s *fileSlice) key() string {
	if s.base.Key != "" {
		return s.base.Key
	}
	return s.logs[0].Key
}

// mergeRule is how the rows of logs come over each other and over the stored
// rows.
type mergeRule struct {
	byOrder  bool // of two log rows the one of the greater order wins, the later on a tie; else the later
	byStored bool // a stored row of a greater order stays
	// A deletion has its order like a row. Else the row after a deletion always
	// wins, and a stored row never stands against a deletion.
	deletions bool
	// A cell of the row that wins that is null is that of the other row.
	partial bool
	// A text of the winning log row that a database did not send is the stored one.
	unsent bool
}

// unsentText stands for a value that PostgreSQL did not send, in Debezium.
const unsentText = "__debezium_unavailable_value"

// payloads are the classes that are understood, with how Hudi before 1.0 merges
// by them.
var payloads = map[string]mergeRule{
	"": {byOrder: true},
	"org.apache.hudi.common.model.OverwriteWithLatestAvroPayload": {byOrder: true},
	"org.apache.hudi.common.model.DefaultHoodieRecordPayload":     {byOrder: true, byStored: true},
	"org.apache.hudi.common.model.EventTimeAvroPayload":           {byOrder: true, byStored: true},
	"org.apache.hudi.common.model.AWSDmsAvroPayload":              {byOrder: true},
	"org.apache.hudi.common.model.PartialUpdateAvroPayload":       {byOrder: true, partial: true},

	"org.apache.hudi.common.model.debezium.PostgresDebeziumAvroPayload": {byOrder: true, byStored: true, unsent: true},
}

// The two orders of Hudi 1.x, by the names of the modes and by the strategies'
// ids, which tables of version 6 have instead.
var mergeModes = map[string]mergeRule{
	"COMMIT_TIME_ORDERING": {},
	strategyCommitTime:     {},
	"EVENT_TIME_ORDERING":  {byOrder: true, byStored: true, deletions: true},
	strategyEventTime:      {byOrder: true, byStored: true, deletions: true},
}

// strategyPayload is the strategy that merges by the payload's class.
const strategyPayload = "00000000-0000-0000-0000-000000000000"

// mergeRule returns how the table's rows are merged.
func (p properties) mergeRule() (mergeRule, error) {
	for _, key := range []string{"hoodie.table.partial.update.mode", "hoodie.record.merge.property.hoodie.payload.delete.field"} {
		if p[key] != "" {
			return mergeRule{}, fault.Humanf(mergeHint, "%s=%s is not supported", key, p[key])
		}
	}
	mode := or(p[propMergeMode], p[propMergeStrategy])
	if mode != "" && p[propMergeStrategy] != strategyPayload {
		if r, ok := mergeModes[mode]; ok {
			return r, nil
		}
		return mergeRule{}, fault.Humanf(mergeHint, "rows are merged in the way %s, which is not supported", mode)
	}
	r, ok := payloads[p[propPayload]]
	if !ok {
		return r, fault.Humanf(mergeHint, "rows are merged by %s, which is not supported", p[propPayload])
	}
	return r, nil
}

const mergeHint = "read the table's base files alone, or compact it with Spark first"

// logMerge is the rows of a slice's logs, the newest of each key.
type logMerge struct {
	rows   *column.Batch // fields, as told by newLogMerge
	fields []Field
	key    int // place of the record key among fields
	order  int // of the ordering column; -1
	gone   int // of _hoodie_is_deleted; -1

	names   *renames
	rule    mergeRule
	newest  map[string]*logState
	inOrder []*logState
}

// logState is what the logs say about a key.
type logState struct {
	row     int // -1: deleted
	order   ordering
	visited bool
}

const deletedColumn = "_hoodie_is_deleted"

// newLogMerge prepares a merge that yields fields.
func (s *Snapshot) newLogMerge(fields []Field) (*logMerge, error) {
	rule, err := s.props.mergeRule()
	if err != nil {
		return nil, err
	}
	m := &logMerge{fields: append([]Field(nil), fields...), names: s.renames, rule: rule, newest: map[string]*logState{}, order: -1, gone: -1}
	m.key = m.field(Field{Name: metaNames[metaRecordKey], Type: Simple(String), Nullable: true})
	order := or(s.props[propPrecombine], s.props[propOrdering])
	if strings.Contains(order, ",") && (rule.byOrder || rule.byStored) {
		return nil, fault.Humanf(mergeHint, "rows are ordered by several columns, %s, which is not supported", order)
	}
	if i := s.schema.Index(order); i >= 0 {
		m.order = m.field(s.schema.Fields[i])
	}
	if i := s.schema.Index(deletedColumn); i >= 0 && s.schema.Fields[i].Type.Kind == Boolean {
		m.gone = m.field(s.schema.Fields[i])
	}
	m.rows = Schema{Fields: m.fields}.NewBatch()
	return m, nil
}

// field returns the place of a field, which is added if it is not there.
func (m *logMerge) field(f Field) int {
	for i := range m.fields {
		if m.fields[i].Name == f.Name {
			return i
		}
	}
	m.fields = append(m.fields, f)
	return len(m.fields) - 1
}

// readLogs takes in the blocks of a slice's logs that count as of the snapshot.
func (m *logMerge) readLogs(ctx context.Context, s *Snapshot, logs []LogFile) error {
	var blocks []logBlock
	for _, l := range logs {
		b, err := readObject(ctx, s.store, l.Key)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		found, torn, err := parseLog(b)
		if err == nil && torn {
			err = s.table.checkTorn(ctx, s.timeline, l, int64(len(b)))
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", l.Key, err)
		}
		for _, b := range found {
			if b.kind == blockCommand && b.header[headerCommand] == "0" {
				blocks = dropInstant(blocks, b.header[headerTarget]) // rolled back
				continue
			}
			if b.header[headerPartial] == "true" {
				return fault.Humanf(mergeHint, "%s: blocks of parts of rows are not supported", l.Key)
			}
			if i := b.header[headerInstant]; i > s.since && i <= s.at && s.committed(i) {
				blocks = append(blocks, b)
			}
		}
	}
	blocks = placeCompacted(blocks)
	for i := range blocks {
		if err := m.block(&blocks[i]); err != nil {
			return fmt.Errorf("log block of %s: %w", blocks[i].header[headerInstant], err)
		}
	}
	return nil
}

func dropInstant(blocks []logBlock, instant string) []logBlock {
	out := blocks[:0]
	for _, b := range blocks {
		if b.header[headerInstant] != instant {
			out = append(out, b)
		}
	}
	return out
}

// placeCompacted puts the blocks that a log compaction made in the place of those
// that it was made of. Later blocks, which were written before it was done, stay
// behind it.
func placeCompacted(blocks []logBlock) []logBlock {
	by := map[string]string{} // instant of a block → that of the blocks that replace it
	for _, b := range blocks {
		for i := range strings.SplitSeq(b.header[headerCompacted], ",") {
			if i = strings.TrimSpace(i); i != "" {
				by[i] = b.header[headerInstant]
			}
		}
	}
	if len(by) == 0 {
		return blocks
	}
	final := func(i string) string {
		for n := 0; n < len(by) && by[i] != ""; n++ {
			i = by[i]
		}
		return i
	}
	of := map[string][]logBlock{}
	last := map[string]int{} // place of the newest block that ends up in an instant's
	for n, b := range blocks {
		i := b.header[headerInstant]
		if by[i] == "" {
			of[i] = append(of[i], b)
		}
		if b.header[headerCompacted] == "" {
			last[final(i)] = n
		}
	}
	var out []logBlock
	for n, b := range blocks {
		if i := final(b.header[headerInstant]); last[i] == n && b.header[headerCompacted] == "" {
			out = append(out, of[i]...)
		}
	}
	return out
}

func (m *logMerge) block(b *logBlock) error {
	switch b.kind {
	case blockAvro:
		return m.avroBlock(b)
	case blockParquet:
		return m.parquetBlock(b)
	case blockDelete:
		list, err := b.deletes()
		if err != nil {
			return err
		}
		for _, d := range list {
			switch {
			case d.order == (ordering{kind: 'i'}):
				d.order = ordering{} // Hudi writes 0 for no order
			case d.order.kind == 's' && m.order >= 0 && m.fields[m.order].Type.Kind == Decimal:
				d.order = orderingOfDecimal([]byte(d.order.s), deleteScale)
			}
			m.put(d.key, logState{row: -1, order: d.order})
		}
		return nil
	case blockCorrupt, blockCDC:
		return nil
	}
	what := fmt.Sprintf("blocks of kind %d are", b.kind)
	if b.kind == blockHFile {
		what = "blocks in HFile form are"
	}
	return fault.Humanf(mergeHint, "%s not supported", what)
}

func (m *logMerge) avroBlock(b *logBlock) error {
	records, err := b.avroRecords()
	if err != nil || len(records) == 0 {
		return err
	}
	rows, err := newAvroRows(b.header[headerSchema], m.names.fieldsAt(b.header[headerInstant], m.fields))
	if err != nil {
		return err
	}
	for _, rec := range records {
		if err := rows.append(m.rows, rec); err != nil {
			return err
		}
		m.take(m.rows.Len - 1)
	}
	return nil
}

func (m *logMerge) parquetBlock(b *logBlock) error {
	file, err := basefile.Open(bytes.NewReader(b.content), int64(len(b.content)))
	if err != nil {
		return err
	}
	stored := m.names.fieldsAt(b.header[headerInstant], m.fields)
	for g := range file.Groups() {
		for i := range stored {
			if err := file.Read(g, stored[i].column(), &m.rows.Cols[i]); err != nil {
				return err
			}
		}
		from := m.rows.Len
		m.rows.Len += file.GroupRows(g)
		for r, end := from, m.rows.Len; r < end; r++ { // merging adds rows behind
			m.take(r)
		}
	}
	return nil
}

// take takes in row r of m.rows.
func (m *logMerge) take(r int) {
	st := logState{row: r}
	if m.order >= 0 {
		st.order = m.orderOf(m.rows, r)
	}
	if m.gone >= 0 && !m.rows.Cols[m.gone].IsNull(r) && m.rows.Cols[m.gone].Ints[r] != 0 {
		st.row = -1
	}
	m.put(string(m.rows.Cols[m.key].Value(r)), st)
}

// orderOf is the order of row r of a batch with the merge's fields.
func (m *logMerge) orderOf(b *column.Batch, r int) ordering {
	return orderingAt(m.fields[m.order].Type, &b.Cols[m.order], r)
}

// put makes st the newest state of a key, unless the one it has is of a greater
// order.
func (m *logMerge) put(key string, st logState) {
	have, ok := m.newest[key]
	if !ok {
		have = new(logState)
		m.newest[key] = have
		m.inOrder = append(m.inOrder, have)
		*have = st
		return
	}
	newer := m.rule.byOrder && (have.row >= 0 || m.rule.deletions) && have.order.beats(st.order)
	if m.rule.partial && have.row >= 0 && st.row >= 0 {
		m.fill(m.rows, m.rows, have.row, m.rows, st.row, newer)
		have.row = m.rows.Len - 1
		if !newer {
			have.order = st.order
		}
		return
	}
	if !newer {
		*have = st
	}
}

// fill appends to out an older row with a newer one over it. late tells that the
// newer row is of a smaller order, so that the older one goes over it; Hudi's own
// columns are the newer one's nevertheless.
func (m *logMerge) fill(out, old *column.Batch, o int, with *column.Batch, w int, late bool) {
	for i := range out.Cols {
		top, r, below, b := &with.Cols[i], w, &old.Cols[i], o
		if late && !isMeta(m.fields[i].Name) {
			top, r, below, b = below, b, top, r
		}
		if top.IsNull(r) {
			top, r = below, b
		}
		out.Cols[i].Append(top, r)
	}
	out.Len++
}

// keepUnsent appends to out row r of the logs, with the stored row's text where the
// database did not send it.
func (m *logMerge) keepUnsent(out, stored *column.Batch, s, r int) {
	for i := range out.Cols {
		from, at := &m.rows.Cols[i], r
		if k := m.fields[i].Type.Kind; (k == String || k == Bytes) && !from.IsNull(at) && string(from.Value(at)) == unsentText {
			from, at = &stored.Cols[i], s
		}
		out.Cols[i].Append(from, at)
	}
	out.Len++
}

// merge appends to out the rows of stored, which has the merge's fields, as the
// logs have changed them.
func (m *logMerge) merge(out, stored *column.Batch) {
	for r := range stored.Len {
		st, ok := m.newest[string(stored.Cols[m.key].Value(r))]
		if !ok {
			m.copyRow(out, stored, r)
			continue
		}
		st.visited = true
		newer := m.order >= 0 && (st.row >= 0 || m.rule.deletions) && m.orderOf(stored, r).beats(st.order)
		switch {
		case newer && m.rule.byStored:
			m.copyRow(out, stored, r)
		case st.row < 0:
		case m.rule.partial:
			m.fill(out, stored, r, m.rows, st.row, newer)
		case m.rule.unsent:
			m.keepUnsent(out, stored, r, st.row)
		default:
			m.copyRow(out, m.rows, st.row)
		}
	}
}

// rest appends to out the rows that no stored row had the key of.
func (m *logMerge) rest(out *column.Batch) {
	for _, st := range m.inOrder {
		if !st.visited && st.row >= 0 {
			m.copyRow(out, m.rows, st.row)
		}
	}
}

func (m *logMerge) copyRow(out, from *column.Batch, r int) {
	for i := range out.Cols {
		out.Cols[i].Append(&from.Cols[i], r)
	}
	out.Len++
}

// scanSlice yields the rows of a slice; it reports whether to go on.
func (s *Snapshot) scanSlice(ctx context.Context, sl fileSlice, fields []Field, batch *column.Batch, yield func(*column.Batch, error) bool) bool {
	m, err := s.newLogMerge(fields)
	if err == nil {
		err = m.readLogs(ctx, s, sl.logs)
	}
	if err != nil {
		return yield(nil, fmt.Errorf("read file group %s: %w", sl.key(), err)) && false
	}
	emit := func() bool {
		if batch.Len == 0 {
			return true
		}
		return yield(batch, nil)
	}
	if sl.base.Key != "" {
		stored := Schema{Fields: m.fields}.NewBatch()
		ok := s.scanFile(ctx, sl.base, m.fields, stored, func(b *column.Batch, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			batch.Reset()
			m.merge(batch, b)
			return emit()
		})
		if !ok {
			return false
		}
	}
	batch.Reset()
	m.rest(batch)
	return emit()
}

// checkTorn refuses a log with a torn block where a commit has left it longer: what
// is lost was committed, and is not what a crashed writer left behind.
func (t *Table) checkTorn(ctx context.Context, tl *Timeline, l LogFile, size int64) error {
	for _, i := range tl.Completed() {
		if i.Time < l.Instant {
			continue
		}
		c, err := t.Commit(ctx, i)
		if err != nil {
			return err
		}
		for _, w := range c.Stats[l.Partition] {
			if join(t.base, w.Path) == l.Key && w.FileSize > size {
				return fault.Humanf("look for more damage with lakeq validate, and restore the file from a backup",
					"table %s: the log is torn: it has %d bytes, commit %s left %d", t.base, size, i.Time, w.FileSize)
			}
		}
	}
	return nil
}
