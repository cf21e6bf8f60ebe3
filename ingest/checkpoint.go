package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The keys of a commit's extra metadata that this package writes.
const (
	// KeyCheckpoint is Hudi Streamer's own key: "topic,0:123,1:45", the next
	// Kafka offset to read of each partition. Reading again from there loses
	// nothing.
	KeyCheckpoint = "deltastreamer.checkpoint.key"
	// KeyCursor is the exact checkpoint: a Checkpoint as JSON.
	KeyCursor = "tributary.checkpoint"
	// The source's high-water mark: the furthest position of the source's log
	// among all rows of the table so far.
	KeySourceLSN    = "tributary.source.lsn"        // PostgreSQL, decimal
	KeySourceFile   = "tributary.source.file"       // MySQL: binlog file
	KeySourcePos    = "tributary.source.pos"        // MySQL: position in it
	KeySourceGTID   = "tributary.source.gtid"       // MySQL: GTID of the last row that had one
	KeySourceCommit = "tributary.source.commit_lsn" // SQL Server: LSN of a commit, 00000025:00000d98:0002
	KeySourceTs     = "tributary.source.ts_ms"      // greatest source time, milliseconds since 1970
)

// Checkpoint says what of a topic's bronze objects a table holds. A table's
// newest commit carries it, so that rows and progress are one object.
type Checkpoint struct {
	Topic string `json:"topic"`
	// SchemaID is the greatest registry id among the objects taken so far:
	// objects with a smaller one may lack columns that were added since.
	SchemaID   int64            `json:"schema_id,omitempty"`
	Partitions map[int32]Cursor `json:"partitions"`
}

func newCheckpoint(topic string) *Checkpoint {
	return &Checkpoint{Topic: topic, Partitions: map[int32]Cursor{}}
}

// Cursor is the checkpoint of a Kafka partition. Records of one flush of the
// sink go to several day folders, so one offset does not say it all.
type Cursor struct {
	// Floor: every record with a smaller offset is in the table.
	Floor int64 `json:"floor"`
	// Next holds, for the day folders that are ahead of Floor, the offset that
	// the folder's next object begins at or after.
	Next map[string]int64 `json:"next,omitempty"`
}

// next returns the least first offset of an object of the folder that is new.
func (c Cursor) next(folder string) int64 {
	if n, ok := c.Next[folder]; ok {
		return n
	}
	return c.Floor
}

// clone returns a copy that shares nothing.
func (c *Checkpoint) clone() *Checkpoint {
	out := &Checkpoint{Topic: c.Topic, SchemaID: c.SchemaID, Partitions: make(map[int32]Cursor, len(c.Partitions))}
	for p, cur := range c.Partitions {
		out.Partitions[p] = Cursor{Floor: cur.Floor, Next: maps.Clone(cur.Next)}
	}
	return out
}

// take notes that an object that ends with offset last is in the table.
func (c *Checkpoint) take(partition int32, folder string, last int64) {
	cur := c.Partitions[partition]
	if cur.Next == nil {
		cur.Next = make(map[string]int64, 1)
	}
	cur.Next[folder] = max(cur.Next[folder], last+1)
	c.Partitions[partition] = cur
}

// raise lifts the floor of a partition, of which every object that holds an
// offset below it must be in the table, and forgets the folders that it passes.
func (c *Checkpoint) raise(partition int32, floor int64) {
	cur := c.Partitions[partition]
	if floor <= cur.Floor {
		return
	}
	cur.Floor = floor
	maps.DeleteFunc(cur.Next, func(_ string, next int64) bool { return next <= floor })
	c.Partitions[partition] = cur
}

// Kafka returns the checkpoint in Hudi Streamer's form.
func (c *Checkpoint) Kafka() string {
	var b strings.Builder
	b.WriteString(c.Topic)
	for _, p := range slices.Sorted(maps.Keys(c.Partitions)) {
		fmt.Fprintf(&b, ",%d:%d", p, c.Partitions[p].Floor)
	}
	return b.String()
}

// JSON returns the checkpoint as a commit carries it.
func (c *Checkpoint) JSON() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encode checkpoint: %v", err)) // strings and integers always encode
	}
	return string(text)
}

// parseCheckpoint reads the extra metadata of a commit: our own form, or
// Hudi Streamer's when another writer made the commit. It returns nil when the
// commit carries neither, and an error when what it carries is for another
// topic or is damaged.
func parseCheckpoint(topic string, extra map[string]string) (*Checkpoint, error) {
	kafka, hasKafka := extra[KeyCheckpoint]
	text, hasOwn := extra[KeyCursor]
	if !hasOwn && !hasKafka {
		return nil, nil
	}
	c := &Checkpoint{Partitions: map[int32]Cursor{}}
	if hasOwn {
		if err := json.Unmarshal([]byte(text), c); err != nil {
			return nil, fmt.Errorf("read checkpoint %s: %w", KeyCursor, err)
		}
	} else if err := c.parseKafka(kafka); err != nil {
		return nil, fmt.Errorf("read checkpoint %s %q: %w", KeyCheckpoint, kafka, err)
	}
	if c.Topic != topic {
		return nil, fmt.Errorf("the table's checkpoint is of topic %s, not of %s", c.Topic, topic)
	}
	if c.Partitions == nil {
		c.Partitions = map[int32]Cursor{}
	}
	return c, nil
}

func (c *Checkpoint) parseKafka(text string) error {
	parts := strings.Split(text, ",")
	c.Topic = parts[0]
	for _, part := range parts[1:] {
		p, off, ok := strings.Cut(part, ":")
		partition, err1 := strconv.ParseInt(p, 10, 32)
		offset, err2 := strconv.ParseInt(off, 10, 64)
		if !ok || err1 != nil || err2 != nil || partition < 0 || offset < 0 {
			return fmt.Errorf("%q is not partition:offset", part)
		}
		c.Partitions[int32(partition)] = Cursor{Floor: offset}
	}
	return nil
}
