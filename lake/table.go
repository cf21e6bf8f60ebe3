package lake

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tributary/lake/blob"
)

var errNotYet = errors.New("not built yet")

// The errors that callers tell apart with errors.Is.
var (
	// ErrNoTable is returned by Open where there is no Hudi table.
	ErrNoTable = errors.New("no hudi table")
	// ErrTableExists is returned by Create where there is one.
	ErrTableExists = errors.New("hudi table exists already")
	// ErrLocked is returned when another writer holds the table's lease.
	ErrLocked = errors.New("table is locked by another writer")
	// ErrLockLost is returned when the lease passed to another writer while this
	// one was at work. Nothing was committed.
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
	Precombine      string   // the ordering column: the row with the greater value wins, the incoming one on a tie
}

// Options is how this process works with a table. The zero value is good.
type Options struct {
	Log           *slog.Logger     // default: none
	Now           func() time.Time // default: time.Now
	Codec         string           // of base files: snappy (default), zstd, gzip or none
	MaxFileRows   int              // rows at which a file group takes no more inserts; default 60,000
	MaxFileBytes  int64            // the same in bytes; default 32 MiB
	LockValidity  time.Duration    // how long the lease lasts unless renewed; default 60 s
	ReplaceAlways bool             // write: an incoming row replaces the stored one whatever the precombine column says
}

// Table is a Hudi table. Reading methods may be called by many goroutines;
// Lock, Evolve, Upsert and Close belong to one.
type Table struct {
	store blob.Store
	base  string
	opt   Options
}

// Create makes a new, empty table at base, a key prefix without a slash at the
// end. It returns ErrTableExists when there is a table already.
func Create(ctx context.Context, store blob.Store, base string, cfg Config, opt Options) (*Table, error) {
	return nil, errNotYet
}

// Open opens the table at base and reads its timeline. It returns ErrNoTable
// when there is none, and an error that needs a human for a table that this
// package cannot read (another version, drop.partition.columns…).
func Open(ctx context.Context, store blob.Store, base string, opt Options) (*Table, error) {
	return nil, errNotYet
}

// Base returns the table's base as given to Open.
func (t *Table) Base() string { return "" }

// Name returns hoodie.table.name.
func (t *Table) Name() string { return "" }

// Database returns hoodie.database.name, which may be empty.
func (t *Table) Database() string { return "" }

// KeyFields returns the fields that make up the record key.
func (t *Table) KeyFields() []string { return nil }

// PartitionFields returns the fields whose values name the partition.
func (t *Table) PartitionFields() []string { return nil }

// Precombine returns the ordering column, or "".
func (t *Table) Precombine() string { return "" }

// Schema returns the columns of the newest state, in the order in which
// Rows.Batch has them, changes by Evolve included.
func (t *Table) Schema() Schema { return Schema{} }

// Timeline returns the timeline as of the last Open, Refresh, Lock or Upsert.
func (t *Table) Timeline() *Timeline { return nil }

// Refresh reads the timeline anew.
func (t *Table) Refresh(ctx context.Context) error { return errNotYet }

// Commit returns what a completed instant that writes data says about itself:
// files, counts, extra metadata. The result is shared: do not change it.
func (t *Table) Commit(ctx context.Context, instant Instant) (*Commit, error) { return nil, errNotYet }

// Extra returns the value that the newest completed commit that has key gives
// it in its extra metadata, and that commit. found is false when none has it.
func (t *Table) Extra(ctx context.Context, key string) (value string, from Instant, found bool, err error) {
	return "", Instant{}, false, errNotYet
}

// AsOf returns the table as it was at the instant, in the form that ParseInstant
// returns; "" means now. It needs not equal an instant of the timeline. Before
// the first commit the table is empty. An instant older than what cleaning has
// kept is refused with ErrHorizon, an error that needs a human and whose text
// names the oldest instant that can be read.
func (t *Table) AsOf(ctx context.Context, instant string) (*Snapshot, error) { return nil, errNotYet }

// Lock takes the table's lease, undoes what a crashed writer has left behind,
// and loads the key index. It returns ErrLocked, as an error that needs a human,
// when another live writer has it. The lease of a process of this machine that
// is gone is taken over at once, any other when it has expired.
func (t *Table) Lock(ctx context.Context) error { return errNotYet }

// KeepLock renews the lease when it is due. Upsert does so too: only a writer
// that stays idle for longer than half of Options.LockValidity and wants to
// keep others out has to call it.
func (t *Table) KeepLock(ctx context.Context) error { return errNotYet }

// Evolve changes the schema for rows of schema in, as Schema.Evolve does, and
// reports whether anything changed. The change becomes durable with the next
// Upsert, which makes a commit even if its rows change nothing.
func (t *Table) Evolve(in Schema) (bool, error) { return false, errNotYet }

// Upsert applies rows in one commit, whose extra metadata gets extra; the key
// "schema" is the table's own. It takes the lease first if Lock was not called.
// A row wins over the stored row with its key when its precombine value is not
// smaller; so giving the same rows again changes nothing, and cutting a
// sequence of rows into batches differently gives the same table. When no row,
// no value of extra and no column has changed, no commit is made and the
// instant returned is that of the newest commit.
//
// After an error the outcome is old or, if the error struck while the commit
// was being published, new: call Upsert again with the same rows, or open the
// table anew.
func (t *Table) Upsert(ctx context.Context, rows Rows, extra map[string]string) (Instant, error) {
	return Instant{}, errNotYet
}

// Close gives the lease back, if this table has it.
func (t *Table) Close(ctx context.Context) error { return errNotYet }

// Ref is a table found by Tables.
type Ref struct {
	Base     string
	Database string
	Name     string
}

// Tables lists the Hudi tables at or below prefix, by ascending base.
func Tables(ctx context.Context, store blob.Store, prefix string) ([]Ref, error) {
	return nil, errNotYet
}
