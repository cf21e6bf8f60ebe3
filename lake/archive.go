package lake

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tributary/lake/blob"
)

// Archive moves the oldest instants off the active timeline, so that opening the
// table stays cheap: once there are more than most completed commits, down to
// least. It never takes what reading needs: an instant at or after the horizon
// that cleaning has set, at or after a savepoint, or of a replacecommit whose
// replaced files are still there. It returns the number of instants archived.
//
// The archive is Hudi's: a log file of Avro entries in .hoodie/archived. It is
// written before the first instant goes, so that it is the plan too: an archival
// that was interrupted is finished by the next one.
func (t *Table) Archive(ctx context.Context, least, most int) (int, error) {
	if err := t.ready(ctx); err != nil {
		return 0, err
	}
	n, err := t.archive(ctx, least, most)
	if err != nil {
		t.w.stale = true
		return 0, fmt.Errorf("archive timeline of %s: %w", t.base, err)
	}
	return n, nil
}

func (t *Table) archive(ctx context.Context, least, most int) (int, error) {
	if err := t.Refresh(ctx); err != nil {
		return 0, err
	}
	folder := ".hoodie/" + or(t.props[propArchive], "archived") + "/"
	newest, err := t.newestArchive(ctx, folder)
	if err != nil {
		return 0, err
	}
	tl := t.Timeline()
	cut, err := t.archivable(ctx, tl, least, most)
	if err != nil {
		return 0, err
	}
	chosen := tl.archivedBefore(cut)
	if len(chosen) == 0 {
		return 0, t.finishArchive(ctx, tl, folder, newest)
	}
	body, err := t.archiveBody(ctx, chosen)
	if err != nil {
		return 0, err
	}
	err = t.w.lease.during(ctx, func(ctx context.Context) error {
		return t.putNew(ctx, folder+archiveName(newest+1), body)
	})
	if err != nil {
		return 0, err
	}
	if err := t.dropInstants(ctx, chosen); err != nil {
		return 0, err
	}
	t.opt.Log.Info("archived", "table", t.base, "instants", len(chosen), "before", cut)
	return len(chosen), nil
}

// archivedBefore returns the instants that an archival up to cut takes.
func (t *Timeline) archivedBefore(cut string) []Instant {
	var out []Instant
	for _, i := range t.all {
		// A restore has no form in the archive, and stays.
		if i.Time < cut && i.State == StateCompleted && i.Action != ActionRestore && i.Action != ActionIndexing {
			out = append(out, i)
		}
	}
	return out
}

// archivable returns the time before which instants can be archived, or "".
func (t *Table) archivable(ctx context.Context, tl *Timeline, least, most int) (string, error) {
	done := tl.Completed()
	if len(done) <= most || least < 1 {
		return "", nil
	}
	cut := min(done[len(done)-least].Time, tl.horizon)
	for _, at := range tl.Savepoints() {
		cut = min(cut, at)
	}
	for _, i := range tl.Pending() {
		cut = min(cut, i.Time)
	}
	replacing := false
	for _, i := range done {
		replacing = replacing || i.Action == ActionReplaceCommit && i.Time < cut
	}
	if !replacing {
		return cut, nil
	}
	files, err := listBaseFiles(ctx, t.store, t.base)
	if err != nil {
		return "", err
	}
	present := map[groupKey]bool{}
	for _, f := range files {
		present[groupKey{f.Partition, f.FileID}] = true
	}
	for _, i := range done {
		if i.Action != ActionReplaceCommit || i.Time >= cut {
			continue
		}
		c, err := t.Commit(ctx, i)
		if err != nil {
			return "", err
		}
		for p, ids := range c.Replaced {
			for _, id := range ids {
				if present[groupKey{p, id}] {
					return i.Time, nil
				}
			}
		}
	}
	return cut, nil
}

// dropInstants removes archived instants: the files that nobody needs first,
// then the completed ones by ascending time, so that whatever is gone is older
// than the first that is left, and counts.
func (t *Table) dropInstants(ctx context.Context, chosen []Instant) error {
	var paths, last []string
	for _, i := range chosen {
		last = append(last, ".hoodie/"+timelineFile(i))
		for _, s := range []State{StateRequested, StateInflight} {
			i.State = s
			if i.Action != ActionSavepoint {
				paths = append(paths, ".hoodie/"+timelineFile(i))
			}
		}
	}
	if err := t.deleteLeased(ctx, append(paths, last...)); err != nil {
		return err
	}
	gone := map[Instant]bool{}
	for _, i := range chosen {
		gone[i] = true
		t.dropCommit(i.Time)
	}
	t.forget(func(i Instant) bool { return gone[i] })
	return nil
}

// finishArchive removes instants that the newest archive file has and that are
// on the active timeline still.
func (t *Table) finishArchive(ctx context.Context, tl *Timeline, folder string, newest int) error {
	if newest == 0 || len(tl.all) == 0 {
		return nil
	}
	body, err := readObject(ctx, t.store, join(t.base, folder+archiveName(newest)))
	if err != nil {
		if errors.Is(err, blob.ErrNotExist) {
			return nil // another engine's, under another write token
		}
		return err
	}
	entries, err := parseArchive(body)
	if err != nil {
		return fmt.Errorf("read %s: %w", archiveName(newest), err)
	}
	was := map[Instant]bool{}
	for _, e := range entries {
		at, _ := e["commitTime"].(string)
		action, _ := e["actionType"].(string)
		if e["actionState"] == "COMPLETED" {
			was[Instant{Time: at, Action: Action(action), State: StateCompleted}] = true
		}
	}
	// What was newer may have been rolled back since. The newest commit stays: a
	// timeline without any has no start, so that no file would count. So does what
	// a savepoint pins.
	cut := min(tl.horizon, tl.Newest().Time)
	for _, at := range tl.Savepoints() {
		cut = min(cut, at)
	}
	var left []Instant
	for _, i := range tl.all {
		if was[i] && i.Time < cut {
			left = append(left, i)
		}
	}
	return t.dropInstants(ctx, left)
}

func archiveName(n int) string { return ".commits_.archive." + strconv.Itoa(n) + "_1-0-1" }

// newestArchive returns the greatest number of an archive file, 0 for none.
func (t *Table) newestArchive(ctx context.Context, folder string) (int, error) {
	newest := 0
	prefix := join(t.base, folder)
	for info, err := range t.store.List(ctx, prefix, "") {
		if err != nil {
			return 0, err
		}
		rest, ok := strings.CutPrefix(strings.TrimPrefix(info.Key, prefix), ".commits_.archive.")
		if number, _, found := strings.Cut(rest, "_"); ok && found {
			if n, err := strconv.Atoi(number); err == nil {
				newest = max(newest, n)
			}
		}
	}
	return newest, nil
}

// archiveBatch is the number of entries in a block, as in Hudi.
const archiveBatch = 10

// archiveBody makes the archive file of the instants, each of which has an
// entry for every state whose file is there.
func (t *Table) archiveBody(ctx context.Context, chosen []Instant) ([]byte, error) {
	schema := avroJSON(archivedEntry)
	node, err := parseAvroSchema([]byte(schema))
	if err != nil {
		return nil, err
	}
	var out []byte
	var records [][]byte
	for _, i := range chosen {
		for _, s := range []State{StateRequested, StateInflight, StateCompleted} {
			at := i
			at.State = s
			if s != StateCompleted && i.Action == ActionSavepoint {
				continue
			}
			body, err := t.timelineBytes(ctx, at)
			if err != nil {
				return nil, err
			}
			if body == nil {
				continue
			}
			entry, err := archiveEntry(at, body)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", timelineFile(at), err)
			}
			rec, err := appendAvro(nil, node, entry)
			if err != nil {
				return nil, err
			}
			if records = append(records, rec); len(records) == archiveBatch {
				out = appendArchiveBlock(out, schema, records)
				records = records[:0]
			}
		}
	}
	if len(records) > 0 {
		out = appendArchiveBlock(out, schema, records)
	}
	return out, nil
}

// archiveEntry is the archived form of one state of an instant.
func archiveEntry(i Instant, body []byte) (map[string]any, error) {
	e := map[string]any{
		"commitTime": i.Time, "actionType": string(i.Action), "actionState": strings.ToUpper(string(i.State)),
		"stateTransitionTime": i.Time, "version": 1,
	}
	if i.Action.writesData() {
		return e, archiveWrite(e, i, body)
	}
	if len(body) == 0 {
		return e, nil
	}
	rec, err := decodeAvroBody(body)
	if err != nil {
		return nil, err
	}
	switch {
	case i.Action == ActionClean && i.State == StateCompleted:
		e["hoodieCleanMetadata"] = rec
	case i.Action == ActionClean:
		e["hoodieCleanerPlan"] = rec
	case i.Action == ActionRollback && i.State == StateCompleted:
		e["hoodieRollbackMetadata"] = rec
	case i.Action == ActionSavepoint:
		e["hoodieSavePointMetadata"] = rec
	}
	return e, nil
}

// archiveWrite adds the body of a write.
func archiveWrite(e map[string]any, i Instant, body []byte) error {
	if i.Action == ActionReplaceCommit && i.State == StateRequested {
		if len(body) == 0 {
			return nil
		}
		rec, err := decodeAvroBody(body)
		e["hoodieRequestedReplaceMetadata"] = rec
		return err
	}
	c := &Commit{Operation: "UNKNOWN"}
	if len(body) > 0 {
		var err error
		if c, err = parseCommit(body); err != nil {
			return err
		}
	}
	rec := c.archived()
	switch {
	case i.Action != ActionReplaceCommit:
		e["hoodieCommitMetadata"] = rec
	case i.State == StateCompleted:
		replaced := map[string]any{}
		for p, ids := range c.Replaced {
			replaced[p] = ids
		}
		rec["partitionToReplaceFileIds"] = replaced
		e["hoodieReplaceCommitMetadata"] = rec
	default:
		e["HoodieInflightReplaceMetadata"] = rec
	}
	return nil
}

// archived is the Avro form of a commit's body.
func (c *Commit) archived() map[string]any {
	stats := map[string]any{}
	for p, list := range c.Stats {
		var out []any
		for _, s := range list {
			rec := map[string]any{
				"fileId": s.FileID, "path": nil, "prevCommit": s.PrevCommit, "numWrites": s.NumWrites, "numDeletes": s.NumDeletes,
				"numUpdateWrites": s.NumUpdates, "numInserts": s.NumInserts, "totalWriteBytes": s.FileSize, "fileSizeInBytes": s.FileSize,
				"partitionPath": s.Partition, "totalWriteErrors": 0, "totalLogRecords": 0, "totalUpdatedRecordsCompacted": 0,
				"totalLogBlocks": 0, "totalCorruptLogBlock": 0, "totalRollbackBlocks": 0,
			}
			if s.Path != "" {
				rec["path"] = s.Path
			}
			out = append(out, rec)
		}
		stats[p] = out
	}
	extra := map[string]any{}
	for k, v := range c.Extra {
		extra[k] = v
	}
	return map[string]any{"partitionToWriteStats": stats, "extraMetadata": extra, "operationType": c.Operation, "version": 1}
}

const (
	archiveMagic  = "#HUDI#"
	archiveForm   = 1
	archiveAvro   = 3 // kind of block
	archiveSchema = 2 // header: the records' schema
	avroBlockForm = 3 // version of an Avro block's content
)

// appendArchiveBlock appends a block of Avro records to a Hudi log file. All its
// numbers are big-endian.
func appendArchiveBlock(dst []byte, schema string, records [][]byte) []byte {
	be := binary.BigEndian
	content := be.AppendUint32(nil, avroBlockForm)
	content = be.AppendUint32(content, uint32(len(records)))
	for _, r := range records {
		content = append(be.AppendUint32(content, uint32(len(r))), r...)
	}
	block := be.AppendUint32(nil, archiveForm)
	block = be.AppendUint32(block, archiveAvro)
	block = be.AppendUint32(block, 1) // headers
	block = be.AppendUint32(block, archiveSchema)
	block = append(be.AppendUint32(block, uint32(len(schema))), schema...)
	block = append(be.AppendUint64(block, uint64(len(content))), content...)
	block = be.AppendUint32(block, 0) // footers
	length := uint64(len(block) + 8)  // with the pointer that ends the block
	dst = append(dst, archiveMagic...)
	dst = append(be.AppendUint64(dst, length), block...)
	return be.AppendUint64(dst, length+uint64(len(archiveMagic)))
}

var errArchive = errors.New("malformed log file")

// parseArchive returns the entries of an archive file. A block that is cut off
// at the end, by a writer that appends and died, is left out.
func parseArchive(b []byte) ([]map[string]any, error) {
	be := binary.BigEndian
	var out []map[string]any
	for len(b) > 0 {
		if len(b) < len(archiveMagic)+8 || string(b[:len(archiveMagic)]) != archiveMagic {
			return nil, errArchive
		}
		length := be.Uint64(b[len(archiveMagic):])
		b = b[len(archiveMagic)+8:]
		if length > uint64(len(b)) {
			return out, nil
		}
		block := archiveReader{b: b[:length]}
		b = b[length:]
		if block.u32() != archiveForm || block.u32() != archiveAvro {
			return nil, fmt.Errorf("%w: a block of another kind", errArchive)
		}
		var schema string
		for n := block.u32(); n > 0 && !block.bad; n-- {
			key := block.u32()
			if v := block.take(uint64(block.u32())); key == archiveSchema {
				schema = string(v)
			}
		}
		content := archiveReader{b: block.take(block.u64())}
		node, err := parseAvroSchema([]byte(schema))
		if err != nil {
			return nil, err
		}
		if content.u32() != avroBlockForm {
			return nil, fmt.Errorf("%w: content of another form", errArchive)
		}
		for n := content.u32(); n > 0 && !content.bad; n-- {
			r := avroReader{b: content.take(uint64(content.u32()))}
			rec, ok := r.value(node).(map[string]any)
			if r.err != nil || !ok {
				return nil, errArchive
			}
			out = append(out, rec)
		}
		if block.bad || content.bad {
			return nil, errArchive
		}
	}
	return out, nil
}

// archiveReader reads big-endian numbers within bounds.
type archiveReader struct {
	b   []byte
	bad bool
}

func (r *archiveReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *archiveReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *archiveReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
