package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// The errors that callers tell apart with errors.Is.
var (
	// ErrNoTable is returned by Open where there is no Hudi table.
	ErrNoTable = errors.New("no hudi table")
	// ErrTableExists is returned by Create where there is one.
	ErrTableExists = errors.New("hudi table exists already")
	// ErrLocked is returned when another writer holds the table's lease.
	ErrLocked = errors.New("table is locked by another writer")
	// ErrLockLost is returned when the lease passed to another writer while this
	// one was at work. Nothing was committed, unless that happened while the commit
	// itself was being put: then the newest commit tells.
	ErrLockLost = errors.New("table lock was lost to another writer")
	// ErrHorizon is returned for an instant whose rows cleaning has removed.
	ErrHorizon = errors.New("instant is older than the oldest that can be read")
)

// Config is what a table is, for Create. It is recorded in hoodie.properties.
type Config struct {
	Database        string   // optional
	Table           string   // required
	Schema          Schema   // required
	KeyFields       []string // at least one; no key field is nullable
	PartitionFields []string // none: the table has no partitions
	HivePartitions  bool     // folders are named field=value instead of value
	URLEncode       bool     // characters in values that mean something in paths become %XX
	Precombine      string   // the ordering column: the row with the greater value wins, the incoming one on a tie

	// Payload is the rule by which rows with one key are merged; "" is EventTime.
	Payload Payload

	// PartitionTime makes the folders from the time that the one partition field
	// holds; nil: from its value. It needs a single key field.
	PartitionTime *TimePartition
}

// Options is how this process works with a table. The zero value is good.
type Options struct {
	Log          *slog.Logger     // default: none
	Now          func() time.Time // default: time.Now
	Codec        string           // of base files: snappy (default), zstd, gzip or none
	MaxFileRows  int              // rows that a base file may have; default: any number
	MaxFileBytes int64            // bytes that a base file may have, about; default 120 MiB
	LockValidity time.Duration    // how long the lease lasts unless renewed; default 2 min
	Heartbeat    bool             // show engines that clean failed writes lazily that a write goes on; two requests a commit
	IndexDir     string           // local folder for the key index of tables that are written; "": in memory alone
	Services     Services         // what happens by itself after a commit; default: nothing

	// SmallFileBytes is the size below which a base file takes inserts; default 100
	// MiB, or 80% of MaxFileBytes where that is less; negative: no file does, so
	// that inserts make new files.
	SmallFileBytes int64

	// Payload is the rule for tables that do not tell theirs; "": Hudi's default. A
	// table that tells another one is not written.
	Payload Payload
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxFileBytes <= 0 {
		o.MaxFileBytes = 120 << 20
	}
	if o.SmallFileBytes == 0 {
		o.SmallFileBytes = min(100<<20, int64(roomShare*float64(o.MaxFileBytes)))
	}
	if o.LockValidity <= 0 {
		o.LockValidity = 2 * time.Minute
	}
	o.Services = o.Services.withDefaults()
	return o
}

// Table is a Hudi table. Reading methods may be called by many goroutines;
// Lock, KeepLock, Evolve, Upsert and Close belong to one.
type Table struct {
	store blob.Store
	base  string
	opt   Options
	props properties

	mu       sync.Mutex // guards what follows, against readers beside the writer
	timeline *Timeline
	commits  map[string]*Commit // bodies read so far, by instant
	schema   Schema
	evolved  bool // schema is not in a commit yet

	w *writer // nil until Lock
}

// Create makes a new, empty table at base, a key prefix without a slash at the
// end. It returns ErrTableExists when there is a table already, and an error
// that needs a human for a config that makes no sense.
func Create(ctx context.Context, store blob.Store, base string, cfg Config, opt Options) (*Table, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("create table %s: %w", base, err)
	}
	schema := cfg.Schema
	if schema.Name == "" {
		name := avroName(cfg.Table)
		schema.Name, schema.Namespace = name+"_record", "hoodie."+name
	}
	opt = opt.withDefaults()
	body := newProperties(cfg, schema).format(opt.Now())
	_, err := store.Put(ctx, join(base, propertiesFile), bytes.NewReader(body), int64(len(body)), blob.IfAbsent())
	if errors.Is(err, blob.ErrExist) {
		return nil, fmt.Errorf("create table %s: %w", base, ErrTableExists)
	}
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", base, err)
	}
	return Open(ctx, store, base, opt)
}

const propertiesFile = ".hoodie/hoodie.properties"

// check reports everything that is wrong with the config.
func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fault.Humanf("correct the table's settings", format, args...))
	}
	if c.Table == "" {
		bad("the table has no name")
	}
	if len(c.KeyFields) == 0 {
		bad("the table has no key fields")
	}
	for _, k := range c.KeyFields {
		if i := c.Schema.Index(k); i < 0 {
			bad("key field %s is not a column", k)
		} else if c.Schema.Fields[i].Nullable {
			bad("key field %s must not be nullable", k)
		}
	}
	for _, p := range c.PartitionFields {
		if c.Schema.Index(p) < 0 {
			bad("partition field %s is not a column", p)
		}
	}
	if c.PartitionTime != nil {
		if len(c.PartitionFields) != 1 || len(c.KeyFields) != 1 {
			bad("partitions by time need one partition field and one key field")
		}
		if err := c.PartitionTime.Check(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Precombine != "" && c.Schema.Index(c.Precombine) < 0 {
		bad("ordering field %s is not a column", c.Precombine)
	}
	if _, err := ParsePayload(string(c.Payload)); err != nil {
		errs = append(errs, err)
	}
	seen := map[string]bool{}
	for _, f := range c.Schema.Fields {
		if err := f.check(); err != nil {
			errs = append(errs, err)
		}
		if seen[f.Name] {
			bad("column %s is there twice", f.Name)
		}
		seen[f.Name] = true
	}
	return errors.Join(errs...)
}

// check reports a field that cannot be written.
func (f Field) check() error {
	switch {
	case f.Name == "" || avroName(f.Name) != f.Name:
		return fault.Humanf("rename the column in the source, or leave it out",
			"column name %q: only letters, digits and _ are possible, and no digit first", f.Name)
	case strings.HasPrefix(f.Name, "_hoodie_"):
		return fault.Humanf("rename the column in the source, or leave it out", "column name %s is Hudi's own", f.Name)
	case f.Type.Kind == Other:
		return fault.Humanf("leave the column out", "column %s: type %s cannot be written", f.Name, f.Type)
	case f.Type.Kind == TimestampMillis:
		return fault.Humanf("give it microseconds: Spark with Hudi 0.15 corrupts the neighbours of milliseconds when it upserts",
			"column %s: type %s cannot be written", f.Name, f.Type)
	case f.Type.Kind == Decimal && (f.Type.Precision < 1 || f.Type.Scale < 0 || f.Type.Scale > f.Type.Precision):
		return fault.Humanf("have the source send it as text", "column %s: %s is no decimal type", f.Name, f.Type)
	}
	return nil
}

// Open opens the table at base and reads its timeline. It returns ErrNoTable
// when there is none, and an error that needs a human for a table that this
// package cannot read (another version, merge-on-read…).
func Open(ctx context.Context, store blob.Store, base string, opt Options) (*Table, error) {
	props, err := readProperties(ctx, store, base)
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", base, err)
	}
	props.alias()
	if err := props.check(base); err != nil {
		return nil, err
	}
	t := &Table{store: store, base: base, opt: opt.withDefaults(), props: props, commits: map[string]*Commit{}}
	if err := t.Refresh(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// readProperties reads hoodie.properties, or, while another engine updates it,
// its backup.
func readProperties(ctx context.Context, store blob.Store, base string) (properties, error) {
	for _, name := range []string{propertiesFile, propertiesFile + ".backup"} {
		b, err := readObject(ctx, store, join(base, name))
		if err == nil {
			return parseProperties(b), nil
		}
		if !errors.Is(err, blob.ErrNotExist) {
			return nil, err
		}
	}
	return nil, ErrNoTable
}

// maxBody bounds the objects that are read whole into memory.
const maxBody = 256 << 20

// readObject reads a whole object.
func readObject(ctx context.Context, store blob.Store, key string) ([]byte, error) {
	o, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if o.Size() > maxBody {
		return nil, fmt.Errorf("%s has %d bytes: too many to be what its name says", key, o.Size())
	}
	b := make([]byte, o.Size())
	if _, err := io.ReadFull(io.NewSectionReader(o, 0, o.Size()), b); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}

// Base returns the table's base as given to Open.
func (t *Table) Base() string { return t.base }

// Name returns hoodie.table.name.
func (t *Table) Name() string { return t.props[propName] }

// KeyFields returns the fields that make up the record key.
func (t *Table) KeyFields() []string { return t.props.list(propKeys) }

// PartitionFields returns the fields whose values name the partition.
func (t *Table) PartitionFields() []string { return t.props.list(propPartitions) }

// Precombine returns the ordering column, or "".
func (t *Table) Precombine() string { return t.props[propPrecombine] }

// Schema returns the columns of the newest state, in the order in which
// Rows.Batch has them, changes by Evolve included.
func (t *Table) Schema() Schema {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.schema
}

// Timeline returns the timeline as of the last Open, Refresh, Lock or Upsert.
func (t *Table) Timeline() *Timeline {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.timeline
}

// Refresh reads the timeline anew.
func (t *Table) Refresh(ctx context.Context) error {
	tl, err := readTimeline(ctx, t.store, join(t.base, t.props.timelineFolder()))
	if err != nil {
		return fmt.Errorf("read timeline of %s: %w", t.base, err)
	}
	if err := t.applyRestores(ctx, tl); err != nil {
		return fmt.Errorf("read timeline of %s: %w", t.base, err)
	}
	if err := t.applyRollbacks(ctx, tl); err != nil {
		return fmt.Errorf("read timeline of %s: %w", t.base, err)
	}
	if tl.horizon, err = t.readHorizon(ctx, tl); err != nil {
		return fmt.Errorf("read timeline of %s: %w", t.base, err)
	}
	schema, err := t.schemaAt(ctx, tl, latest)
	if err != nil {
		return fmt.Errorf("read schema of %s: %w", t.base, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timeline = tl
	if !t.evolved {
		t.schema = schema
	}
	return nil
}

// Commit returns what a completed instant that writes data says about itself:
// files, counts, extra metadata. The result is shared: do not change it.
func (t *Table) Commit(ctx context.Context, instant Instant) (*Commit, error) {
	t.mu.Lock()
	c, ok := t.commits[instant.Time]
	t.mu.Unlock()
	if ok {
		return c, nil
	}
	name := timelineFile(instant)
	b, err := readObject(ctx, t.store, t.timelineKey(instant))
	if err != nil {
		return nil, fmt.Errorf("read commit of %s: %w", t.base, err)
	}
	if c, err = parseCommit(b); err != nil {
		return nil, fault.Human(fmt.Errorf("table %s: %s: %w", t.base, name, err),
			"the table's timeline is damaged: restore the file from a backup, or roll the commit back with Spark")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.commits[instant.Time] = c
	return c, nil
}

// Extra returns the value that the newest completed commit that has key gives
// it in its extra metadata, and that commit. found is false when none has it.
func (t *Table) Extra(ctx context.Context, key string) (value string, from Instant, found bool, err error) {
	done := t.Timeline().Completed()
	for i := len(done) - 1; i >= 0; i-- {
		c, err := t.Commit(ctx, done[i])
		if err != nil {
			return "", Instant{}, false, err
		}
		if v, ok := c.Extra[key]; ok {
			return v, done[i], true, nil
		}
	}
	return "", Instant{}, false, nil
}

// schemaAt returns the columns as of an instant.
func (t *Table) schemaAt(ctx context.Context, tl *Timeline, at string) (Schema, error) {
	done := tl.Completed()
	for i := len(done) - 1; i >= 0; i-- {
		if done[i].Time > at {
			continue
		}
		if s, ok, err := t.schemaOf(ctx, done[i]); ok || err != nil {
			return s, err
		}
	}
	if text := t.props[propSchema]; text != "" {
		s, err := ParseSchema(text)
		if err != nil {
			return s, fault.Human(fmt.Errorf("%s in %s: %w", propSchema, propertiesFile, err), "restore the file from a backup")
		}
		return s, nil
	}
	// Before the first commit that tells: its columns are the best there is.
	for _, i := range done {
		if s, ok, err := t.schemaOf(ctx, i); ok || err != nil {
			return s, err
		}
	}
	return Schema{}, nil
}

// schemaOf returns the columns that a commit tells; ok is false if it tells none.
func (t *Table) schemaOf(ctx context.Context, i Instant) (s Schema, ok bool, err error) {
	c, err := t.Commit(ctx, i)
	if err != nil {
		return s, false, err
	}
	text := c.Extra[extraSchema]
	if text == "" {
		return s, false, nil
	}
	if s, err = ParseSchema(text); err != nil {
		return s, false, fault.Human(fmt.Errorf("%w: the columns in %s: %w", errBody, timelineFile(i), err), timelineHint)
	}
	return s, true, nil
}

// Ref is a table found by Tables.
type Ref struct {
	Base     string
	Database string
	Name     string
}

// Tables lists the Hudi tables at or below prefix, by ascending base.
func Tables(ctx context.Context, store blob.Store, prefix string) ([]Ref, error) {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	var out []Ref
	after := ""
	for {
		base, found, err := nextTable(ctx, store, prefix, after)
		if err != nil || !found {
			return out, err
		}
		props, err := readProperties(ctx, store, base)
		switch {
		case errors.Is(err, ErrNoTable):
		case err != nil:
			return nil, fmt.Errorf("read table %s: %w", base, err)
		default:
			out = append(out, Ref{Base: base, Database: props.database(), Name: or(props[propName], path.Base(base))})
		}
		if base == "" {
			return out, nil
		}
		after = base + "0" // '0' follows '/': past everything in the table
	}
}

// nextTable finds the first folder after the key that has a .hoodie folder.
func nextTable(ctx context.Context, store blob.Store, prefix, after string) (base string, found bool, err error) {
	for info, err := range store.List(ctx, prefix, after) {
		if err != nil {
			return "", false, fmt.Errorf("list tables: %w", err)
		}
		if strings.HasPrefix(info.Key, ".hoodie/") {
			return "", true, nil
		}
		if i := strings.Index(info.Key, "/.hoodie/"); i >= 0 {
			return info.Key[:i], true, nil
		}
	}
	return "", false, nil
}
