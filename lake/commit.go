package lake

// Commit is the body of a completed commit, deltacommit or replacecommit.
type Commit struct {
	Stats     map[string][]WriteStat `json:"partitionToWriteStats"`
	Replaced  map[string][]string    `json:"partitionToReplaceFileIds,omitempty"`
	Compacted bool                   `json:"compacted"`
	Extra     map[string]string      `json:"extraMetadata"`
	Operation string                 `json:"operationType"`
}

// WriteStat tells of one base file that a commit wrote.
type WriteStat struct {
	FileID     string
	Path       string // relative to the table's base
	PrevCommit string // instant of the slice that it replaces; "null" for a new file group
	NumWrites  int64  // rows in the file
	NumDeletes int64  // rows removed
	NumUpdates int64  // rows changed
	NumInserts int64  // rows new
	FileSize   int64  // bytes
	Partition  string
}
