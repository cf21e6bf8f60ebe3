package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

// Settings is how topics become tables. It is shared by all of them.
type Settings struct {
	Bronze     blob.Store
	BronzeRoot string // below which topics lie: "topics"
	Lake       blob.Store
	LakeRoot   string // below which databases lie; may be empty
	Database   string // folder of the tables and hoodie.database.name

	// TableName names the table of a topic: "${table}" is the topic's last part,
	// "${topic}" all of it.
	TableName   string
	KeyFields   []string            // instead of the key fields found in bronze
	Partition   []string            // fields that name the partition
	HivePaths   bool                // partition folders are named field=value
	URLEncode   bool                // special characters in them become %XX
	ByTime      *lake.TimePartition // the partition field holds a time; nil: its value is the folder
	HardDelete  bool                // a delete removes the row
	DropColumns bool                // a column that the source dropped stays, null from then on; else the table stops
	Placeholder string              // of values that the database did not send
	SkipObjects []string            // keys of bronze objects to go on without

	// Insert adds the changes as rows of their own instead of merging them by key;
	// nil merges. A delete then adds a row that says so, unless HardDelete is set.
	Insert *lake.Insertion

	CommitBytes int64 // bronze bytes that one commit takes, at least one object

	spares chan struct{} // has a place for each topic that may keep a large batch; nil: none may
	Table  lake.Options
	Log    *slog.Logger
	Now    func() time.Time
}

// Topic keeps the table of one topic up to date. It is used by one goroutine.
type Topic struct {
	set   *Settings
	name  string
	base  string
	log   *slog.Logger
	table *lake.Table // nil until opened, and after an error
	key   []string

	cp       *Checkpoint
	pos      sourcePosition
	durable  map[int32]int64 // greatest durable offset among the objects taken
	schemas  map[string]*schema
	decoders map[string]*decoder // by schema text, for the table's schema as it is
	batch    *changes
	holds    bool // a place in spares
}

// schema is a writer schema that objects came with.
type schema struct {
	avro *avro.Schema
	form *form
}

// Progress is what a call of Sync did.
type Progress struct {
	Instant  lake.Instant // of the commit; zero when there was nothing to do
	Objects  int
	Rows     int
	Bytes    int64 // of bronze; of the objects that were to be taken
	Deletes  int
	More     bool // there are more objects than one commit takes
	Took     time.Duration
	SourceTs time.Time // of the newest change taken; zero when not known
}

// NewTopic returns the worker of a topic. Nothing is opened yet.
func NewTopic(set *Settings, name string) *Topic {
	t := &Topic{set: set, name: name, log: set.Log.With("topic", name), durable: map[int32]int64{}, schemas: map[string]*schema{}}
	t.base = strings.TrimPrefix(set.LakeRoot+"/", "/") + strings.TrimPrefix(set.Database+"/", "/") + t.TableName()
	return t
}

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// TableName returns the name of the topic's table.
func (t *Topic) TableName() string {
	last := t.name[strings.LastIndexByte(t.name, '.')+1:]
	return strings.NewReplacer("${topic}", t.name, "${table}", last).Replace(t.set.TableName)
}

// Base returns where the table lies in the lake.
func (t *Topic) Base() string { return t.base }

// Sync makes at most one commit: it takes new objects, up to the limit of a
// commit, and merges them into the table. After an error the next call starts
// from the table's last commit. Once the number of new objects is known, and
// before any is read, admit is called with it; the func that it returns is
// called at the end.
func (t *Topic) Sync(ctx context.Context, admit func(objects int) (done func(), err error)) (p Progress, err error) {
	start := t.set.Now()
	defer func() {
		p.Took = t.set.Now().Sub(start)
		if err != nil {
			err = fmt.Errorf("topic %s: %w", t.name, err)
			t.Close(ctx)
		}
	}()
	if err := t.open(ctx); err != nil {
		return p, err
	}
	found, err := t.list(ctx)
	if err != nil {
		return p, err
	}
	done, err := admit(len(found))
	if err != nil {
		return p, err
	}
	defer done()
	take, bytes := t.choose(found)
	if len(take) == 0 {
		return p, t.keep(ctx)
	}
	p.Objects, p.Bytes = len(take), bytes
	next := t.cp.clone()
	n, err := t.read(ctx, take, next)
	if err != nil && n == 0 {
		return p, err
	}
	broken := err // of object n: those before it are committed first
	t.cp = next
	p.Objects = n
	if p.More, err = t.raise(ctx); err != nil {
		return p, err
	}
	if p.Instant, err = t.commit(ctx); err != nil {
		return p, err
	}
	p.Rows, p.Deletes = t.batch.counts()
	if t.pos.hasTime {
		p.SourceTs = time.UnixMilli(t.pos.ts)
	}
	t.release(p.More)
	return p, broken
}

// open opens the table, takes its lease and reads its checkpoint, unless that is
// done. A table that does not exist is left for later: its schema is in the
// first object.
func (t *Topic) open(ctx context.Context) error {
	if t.cp != nil {
		return nil
	}
	table, err := lake.Open(ctx, t.set.Lake, t.base, t.set.Table)
	if errors.Is(err, lake.ErrNoTable) {
		t.cp = newCheckpoint(t.name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open table %s: %w", t.base, err)
	}
	if err := table.Lock(ctx); err != nil {
		return fmt.Errorf("open table %s: %w", t.base, err)
	}
	t.table = table
	t.key = table.KeyFields()
	if err := t.resume(ctx, table); err != nil {
		return err
	}
	t.log.Info("table opened", "table", t.base, "checkpoint", t.cp.Kafka(), "instant", table.Timeline().Newest().Time)
	return nil
}

// resume reads where the table stands.
func (t *Topic) resume(ctx context.Context, table *lake.Table) error {
	extra, err := newestExtra(ctx, table)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.base, err)
	}
	cp, err := parseCheckpoint(t.name, extra)
	if err != nil {
		return fault.Human(fmt.Errorf("table %s: %w", t.base, err),
			"give each topic a table of its own, or move the table away to load it anew")
	}
	if cp == nil {
		if len(table.Timeline().Completed()) > 0 {
			return fault.Humanf("move it away to load it anew", "table %s has commits but no checkpoint: another program filled it", t.base)
		}
		cp = newCheckpoint(t.name)
	}
	t.cp, t.pos = cp, parsePosition(extra)
	return nil
}

// newestExtra returns the extra metadata of the newest commit with a checkpoint.
func newestExtra(ctx context.Context, table *lake.Table) (map[string]string, error) {
	done := table.Timeline().Completed()
	for i := len(done) - 1; i >= 0; i-- {
		c, err := table.Commit(ctx, done[i])
		if err != nil {
			return nil, err
		}
		if c.Extra[KeyCursor] != "" || c.Extra[KeyCheckpoint] != "" {
			return c.Extra, nil
		}
	}
	return nil, nil
}

// list returns the objects that are new, by partition and offset.
func (t *Topic) list(ctx context.Context) ([]bronze.Info, error) {
	var found []bronze.Info
	next := func(partition int32, folder string) int64 { return t.cp.Partitions[partition].next(folder) }
	for info, err := range bronze.List(ctx, t.set.Bronze, t.set.BronzeRoot, t.name, next) {
		if err != nil {
			return nil, err
		}
		found = append(found, info)
	}
	slices.SortFunc(found, func(a, b bronze.Info) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First), cmp.Compare(a.Folder, b.Folder))
	})
	return found, nil
}

// choose returns the objects that the next commit takes.
func (t *Topic) choose(found []bronze.Info) (take []bronze.Info, bytes int64) {
	for i, o := range found {
		if i > 0 && bytes+o.Size > t.set.CommitBytes {
			return found[:i], bytes
		}
		bytes += o.Size
	}
	return found, bytes
}

// raise lifts the checkpoint's floors to where the objects taken say that all
// before is durable. Another listing comes first: the one that found them may
// have passed a neighbour's folder before the neighbour was put. It reports
// whether there are more objects.
func (t *Topic) raise(ctx context.Context) (more bool, err error) {
	left, err := t.list(ctx)
	if err != nil {
		return false, err
	}
	floors := make(map[int32]int64, len(t.durable))
	for p, d := range t.durable {
		floors[p] = d + 1
	}
	for _, o := range left {
		if f, ok := floors[o.Partition]; ok {
			floors[o.Partition] = min(f, o.First)
		}
	}
	for p, f := range floors {
		t.cp.raise(p, f)
	}
	return len(left) > 0, nil
}

// read decodes objects into the batch and notes them in next. It returns how
// many it took; an error is of the object after those. An object that changes
// the table's columns begins a commit of its own.
func (t *Topic) read(ctx context.Context, take []bronze.Info, next *Checkpoint) (n int, err error) {
	for _, info := range take {
		if t.skips(info.Key) {
			t.log.Warn("object skipped, as configured", "object", info.Key)
			next.take(info.Partition, info.Folder, info.First)
			n++
			continue
		}
		taken, err := t.readObject(ctx, info, next)
		if err != nil || !taken {
			return n, err
		}
		n++
	}
	return n, nil
}

// skips reports whether an object is to be gone on without.
func (t *Topic) skips(key string) bool { return slices.Contains(t.set.SkipObjects, key) }

// checkHeader refuses an object that is not the one that its name says.
func (t *Topic) checkHeader(o *bronze.Object, info bronze.Info) error {
	if o.Topic != t.name || o.Partition != info.Partition || o.First != info.First {
		return fmt.Errorf("%w: its header is that of %s-%d from offset %d", bronze.ErrDamaged, o.Topic, o.Partition, o.First)
	}
	return nil
}

func (t *Topic) readObject(ctx context.Context, info bronze.Info, next *Checkpoint) (taken bool, err error) {
	o, err := bronze.Open(ctx, t.set.Bronze, info.Key)
	if err != nil {
		return false, objectError(info.Key, err)
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := t.checkHeader(o, info); err != nil {
		return false, objectError(info.Key, err)
	}
	s, err := t.schemaOf(o.SchemaText())
	if err != nil {
		return false, objectError(info.Key, err)
	}
	if t.table == nil {
		if err := t.tryFirst(ctx, info.Key, s); err != nil {
			return false, err
		}
	}
	fits, err := t.fit(ctx, s, o, next.SchemaID)
	if err != nil || !fits {
		return false, err
	}
	d, err := t.decoderOf(s, o.SchemaText())
	if err != nil {
		return false, objectError(info.Key, err)
	}
	err = d.object(t.batch, o, decodeOptions{
		hardDelete: t.set.HardDelete, placeholder: []byte(t.set.Placeholder), first: o.First,
	})
	if err != nil {
		return false, objectError(info.Key, err)
	}
	next.take(o.Partition, info.Folder, o.Last)
	next.SchemaID = max(next.SchemaID, o.SchemaID)
	t.durable[o.Partition] = max(t.durable[o.Partition], o.Durable)
	return true, nil
}

// objectError makes err one about a bronze object. What is wrong in the object
// does not heal; what went wrong on the way to it may.
func objectError(key string, err error) error {
	err = fmt.Errorf("bronze object %s: %w", key, err)
	damaged := errors.Is(err, bronze.ErrDamaged) || errors.Is(err, avro.ErrCorrupt) ||
		errors.Is(err, avro.ErrSchema) || errors.Is(err, avro.ErrTarget)
	var re rowError
	if fault.NeedsHuman(err) || !damaged && !errors.As(err, &re) {
		return err
	}
	return fault.Human(err, "put a sound copy of the object in its place; "+
		"or, to go on without its records, list its key under skip.objects")
}

// commit merges the batch into the table, with the checkpoint.
func (t *Topic) commit(ctx context.Context) (lake.Instant, error) {
	if t.table == nil { // only skipped objects so far
		return lake.Instant{}, nil
	}
	if t.batch == nil {
		t.batch = newChanges(t.table.Schema())
		t.batch.pos = t.pos
	}
	t.pos = t.batch.pos
	extra := map[string]string{KeyCheckpoint: t.cp.Kafka(), KeyCursor: t.cp.JSON()}
	t.pos.put(extra)
	var instant lake.Instant
	var err error
	if t.set.Insert != nil {
		instant, err = t.table.Insert(ctx, t.batch.rows(), *t.set.Insert, extra)
	} else {
		instant, err = t.table.Upsert(ctx, t.batch.rows(), extra)
	}
	if err != nil {
		return instant, fmt.Errorf("write table %s: %w", t.base, err)
	}
	return instant, nil
}

// spareBytes is how much memory a topic keeps for its next batch.
const spareBytes = 1 << 20

// release empties the batch. It gives the memory of a large one back, unless there is
// more to read, and few topics keep theirs.
func (t *Topic) release(more bool) {
	if t.batch == nil {
		return
	}
	if t.batch.bytes() > spareBytes && (!more || !t.hold()) {
		t.batch = nil
		t.letGo()
		return
	}
	t.batch.reset()
}

// hold reports whether the topic may keep the memory of a large batch.
func (t *Topic) hold() bool {
	if t.holds {
		return true
	}
	select {
	case t.set.spares <- struct{}{}:
		t.holds = true
	default:
	}
	return t.holds
}

func (t *Topic) letGo() {
	if t.holds {
		<-t.set.spares
		t.holds = false
	}
}

// keep renews the table's lease while there is nothing to do.
func (t *Topic) keep(ctx context.Context) error {
	if t.table == nil {
		return nil
	}
	return t.table.KeepLock(ctx)
}

// Close gives the table's lease back and forgets what is known of the table, so
// that the next Sync begins anew.
func (t *Topic) Close(ctx context.Context) {
	if t.table != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := t.table.Close(bounded); err != nil {
			t.log.Warn("table not closed", "table", t.base, "error", err)
		}
	}
	t.table, t.cp, t.batch, t.decoders = nil, nil, nil, nil
	t.letGo()
	t.pos = sourcePosition{}
	clear(t.durable)
}

// closeTimeout bounds the end of the work on a table whose context has ended.
const closeTimeout = 5 * time.Second

// put writes the position into a commit's extra metadata.
func (p *sourcePosition) put(extra map[string]string) {
	if p.hasLSN {
		extra[KeySourceLSN] = strconv.FormatUint(p.lsn, 10)
	}
	if p.file != "" {
		extra[KeySourceFile] = p.file
		extra[KeySourcePos] = strconv.FormatInt(p.pos, 10)
	}
	if p.gtid != "" {
		extra[KeySourceGTID] = p.gtid
	}
	if p.commit != "" {
		extra[KeySourceCommit] = p.commit
	}
	if p.hasTime {
		extra[KeySourceTs] = strconv.FormatInt(p.ts, 10)
	}
}

// parsePosition is the inverse of put. What cannot be read counts as not there:
// it is only ever moved on.
func parsePosition(extra map[string]string) sourcePosition {
	var p sourcePosition
	var err error
	if p.lsn, err = strconv.ParseUint(extra[KeySourceLSN], 10, 64); err == nil {
		p.hasLSN = true
	}
	p.file, p.gtid, p.commit = extra[KeySourceFile], extra[KeySourceGTID], extra[KeySourceCommit]
	p.pos, _ = strconv.ParseInt(extra[KeySourcePos], 10, 64)
	if p.ts, err = strconv.ParseInt(extra[KeySourceTs], 10, 64); err == nil {
		p.hasTime = true
	}
	return p
}
