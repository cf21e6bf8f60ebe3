package snapshot

import (
	"encoding/json"
	"fmt"

	"tributary/capture"
)

// WithTables is a source's position together with incremental snapshots of tables
// that are yet to be read, from their first rows on: those that Debezium had in
// work. How far it was in the first of them is a serialized Java object.
func WithTables(p capture.Position, tables []capture.DebeziumTable) (capture.Position, error) {
	if len(tables) == 0 {
		return p, nil
	}
	at := &progress{}
	for _, t := range tables {
		at.Tables = append(at.Tables, work{Table: t.Name, Filter: t.Filter, By: t.By})
	}
	text, err := json.Marshal(stored{json.RawMessage(p), at})
	if err != nil {
		return nil, fmt.Errorf("write position: %w", err)
	}
	return text, nil
}
