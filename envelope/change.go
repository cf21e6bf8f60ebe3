package envelope

// Op is what happened to a row. Its value is the letter on the wire.
type Op byte

// The operations.
const (
	Read     Op = 'r' // found by a snapshot
	Create   Op = 'c'
	Update   Op = 'u'
	Delete   Op = 'd'
	Truncate Op = 't'
)

// What is in the log beside changes of rows. These have no Table.
const (
	Begin     Op = 'B' // a transaction begins (see Transaction)
	End       Op = 'E' // and ends
	Logical   Op = 'm' // pg_logical_emit_message
	DDL       Op = 's' // a change of a schema
	Heartbeat Op = 'h' // nothing happened
	Failed    Op = 'x' // a change that could not be decoded
	Notify    Op = 'n' // how a snapshot goes on
)

func (o Op) String() string { return string(rune(o)) }

// Snapshot says whether a change came from a snapshot, and where in it.
type Snapshot uint8

// The places of a row in a snapshot. A row that is at once the first and the
// last of its table is the last, unless it is the first of all.
const (
	SnapshotFalse       Snapshot = iota // from the log
	SnapshotFirst                       // the first row of all
	SnapshotFirstInData                 // the first row of a table
	SnapshotTrue                        // a row in the middle
	SnapshotLastInData                  // the last row of a table
	SnapshotLast                        // the last row of all
	SnapshotIncremental                 // a row that a snapshot beside the stream read
)

func (s Snapshot) String() string {
	switch s {
	case SnapshotFalse:
		return "false"
	case SnapshotFirst:
		return "first"
	case SnapshotFirstInData:
		return "first_in_data_collection"
	case SnapshotTrue:
		return "true"
	case SnapshotLastInData:
		return "last_in_data_collection"
	case SnapshotIncremental:
		return "incremental"
	default:
		return "last"
	}
}

// Row is the Avro body of one row (or of one row's key), as the Codec of its
// table encodes it: no union index, no schema id. nil means that there is no
// row.
type Row []byte

// Change is one change of one row.
//
// An update that changes the key is one Change with OldKey set; the encoder
// makes the delete, the tombstone and the create of it.
type Change struct {
	Op     Op
	Table  *Table // nil for what is not a change of a row
	Key    Row    // key of After, or of Before for a delete; nil for a table without key
	OldKey Row    // only for an update that changed the key
	Before Row    // nil for a create and a read, and where the log does not carry it
	After  Row    // nil for a delete
	// Known tells for each column of Table whether the log has it in Before; nil =
	// all. What stands for the others is null, a default or zero. Nobody changes
	// it: changes share it.
	Known  []bool
	Source Source
	TsNs   int64 // when the change was decoded, in ns since 1970

	// The places in the transaction and among those of its table, from 1 on;
	// 0 without provide.transaction.metadata. The Order of an End is the
	// number of events.
	Order, TableOrder int64
	Event             *Event // of a change that is not of a row
}

// Changes is a list of changes together with the memory of their rows. Rows
// are appended to Buf and sliced off it; when Buf grows, earlier rows keep the
// old array, so that they stay valid. Reset makes all of them invalid.
type Changes struct {
	List []Change
	Buf  []byte
}

// Reset empties the list and keeps its memory.
func (c *Changes) Reset() {
	clear(c.List)
	c.List = c.List[:0]
	c.Buf = c.Buf[:0]
}

// Next appends a zero Change to the list and returns it. The pointer is valid
// until the following call.
func (c *Changes) Next() *Change {
	c.List = append(c.List, Change{})
	return &c.List[len(c.List)-1]
}
