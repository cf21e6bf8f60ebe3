package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tributary/capture"
	"tributary/internal/fault"
)

// progress is the state of incremental snapshots. It is stored with the
// position.
type progress struct {
	Tables []work `json:"tables"` // the first is in work
	Paused bool   `json:"paused,omitempty"`
	// Blocks are blocking snapshots that have not begun.
	Blocks [][]Part `json:"blocks,omitempty"`
}

func (p *progress) none() bool { return len(p.Tables) == 0 && len(p.Blocks) == 0 }

// done forgets the incremental snapshots where no table is left.
func (p *progress) done() {
	if len(p.Tables) == 0 {
		*p = progress{Blocks: p.Blocks}
	}
}

type work struct {
	Table  string   `json:"table"`
	Filter string   `json:"filter,omitempty"`
	Signal string   `json:"signal,omitempty"` // id of the one that asked for it
	By     string   `json:"by,omitempty"`     // surrogate-key
	Of     int64    `json:"of,omitempty"`     // rows expected, 0 = unknown
	After  [][]byte `json:"after,omitempty"`
	Rows   int64    `json:"rows,omitempty"`
}

// stored is a position while incremental snapshots are in work. Without them
// the position is the source's own.
type stored struct {
	Position    json.RawMessage `json:"position"`
	Incremental *progress       `json:"incremental"`
}

// Split takes a stored position apart: that of the source, and whether
// incremental snapshots are in work.
func Split(p capture.Position) (capture.Position, bool) {
	inner, at, err := split(p)
	return inner, err == nil && !at.none()
}

func split(p capture.Position) (capture.Position, progress, error) {
	if !bytes.Contains(p, []byte(`"incremental":`)) {
		return p, progress{}, nil
	}
	var s stored
	if err := json.Unmarshal(p, &s); err != nil || s.Incremental == nil || len(s.Position) == 0 {
		return nil, progress{}, fault.Humanf("set another with offsets set, or reset it", "the stored position of an incremental snapshot is damaged")
	}
	return capture.Position(s.Position), *s.Incremental, nil
}

// wrap is a position together with the state.
func (x *Incremental) wrap(dst, p capture.Position) (capture.Position, error) {
	if x.at.none() {
		return append(dst[:0], p...), nil
	}
	text, err := json.Marshal(stored{json.RawMessage(p), &x.at})
	if err != nil {
		return nil, fmt.Errorf("write position: %w", err)
	}
	return append(dst[:0], text...), nil
}
