package lake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// extraSchema is the key of a commit's extra metadata that holds the table's
// columns, as an Avro record without Hudi's own.
const extraSchema = "schema"

// Commit is the body of a completed commit, deltacommit or replacecommit.
type Commit struct {
	Stats     map[string][]WriteStat `json:"partitionToWriteStats"`
	Replaced  map[string][]string    `json:"partitionToReplaceFileIds,omitempty"` // file groups that were replaced, by partition
	Compacted bool                   `json:"compacted"`
	Extra     map[string]string      `json:"extraMetadata"`
	Operation string                 `json:"operationType"`
}

// WriteStat tells of one base file that a commit wrote. The fields that Hudi
// wants and copy-on-write tables do not use are written as zero.
type WriteStat struct {
	FileID     string `json:"fileId"`
	Path       string `json:"path"`            // relative to the table's base
	PrevCommit string `json:"prevCommit"`      // instant of the slice that it replaces; "null" for a new file group
	NumWrites  int64  `json:"numWrites"`       // rows in the file
	NumDeletes int64  `json:"numDeletes"`      // rows removed
	NumUpdates int64  `json:"numUpdateWrites"` // rows changed
	NumInserts int64  `json:"numInserts"`      // rows new
	FileSize   int64  `json:"fileSizeInBytes"`
	Partition  string `json:"partitionPath"`
}

// wireStat is a WriteStat as Hudi writes it, its keys in Hudi's order.
type wireStat struct {
	FileID       string        `json:"fileId"`
	Path         *string       `json:"path"`
	CDCStats     *struct{}     `json:"cdcStats"`
	PrevCommit   string        `json:"prevCommit"`
	NumWrites    int64         `json:"numWrites"`
	NumDeletes   int64         `json:"numDeletes"`
	NumUpdates   int64         `json:"numUpdateWrites"`
	NumInserts   int64         `json:"numInserts"`
	WriteBytes   int64         `json:"totalWriteBytes"`
	WriteErrors  int64         `json:"totalWriteErrors"`
	TempPath     *string       `json:"tempPath"`
	Partition    string        `json:"partitionPath"`
	LogRecords   int64         `json:"totalLogRecords"`
	LogCompacted int64         `json:"totalLogFilesCompacted"`
	LogSize      int64         `json:"totalLogSizeCompacted"`
	LogUpdated   int64         `json:"totalUpdatedRecordsCompacted"`
	LogBlocks    int64         `json:"totalLogBlocks"`
	LogCorrupt   int64         `json:"totalCorruptLogBlock"`
	LogRollback  int64         `json:"totalRollbackBlocks"`
	FileSize     int64         `json:"fileSizeInBytes"`
	MinEventTime *int64        `json:"minEventTime"`
	MaxEventTime *int64        `json:"maxEventTime"`
	Runtime      *runtimeStats `json:"runtimeStats"`
}

type runtimeStats struct {
	Scan   int64 `json:"totalScanTime"`
	Upsert int64 `json:"totalUpsertTime"`
	Create int64 `json:"totalCreateTime"`
}

type plainStat WriteStat // without the methods

// MarshalJSON writes every field that Hudi's readers look for.
func (s WriteStat) MarshalJSON() ([]byte, error) {
	w := wireStat{
		FileID: s.FileID, PrevCommit: s.PrevCommit, NumWrites: s.NumWrites, NumDeletes: s.NumDeletes,
		NumUpdates: s.NumUpdates, NumInserts: s.NumInserts, WriteBytes: s.FileSize, FileSize: s.FileSize,
		Partition: s.Partition,
	}
	if s.Path != "" {
		w.Path, w.Runtime = &s.Path, new(runtimeStats)
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the fields that this package knows; null is zero.
func (s *WriteStat) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*plainStat)(s)) }

// format writes the body as Hudi does, indented.
func (c *Commit) format() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// parseCommit reads a completed instant's body.
func parseCommit(b []byte) (*Commit, error) {
	if len(b) == 0 {
		return nil, errors.New("the commit file is empty")
	}
	if bytes.HasPrefix(b, []byte(avroMagic)) { // from table version 8 on
		rec, err := decodeAvroBody(b)
		if err != nil {
			return nil, fmt.Errorf("read commit: %w", err)
		}
		return commitOfAvro(rec), nil
	}
	c := new(Commit)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("read commit: %w", err)
	}
	return c, nil
}
