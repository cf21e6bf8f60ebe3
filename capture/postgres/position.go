package postgres

import (
	"encoding/json"
	"fmt"

	"github.com/jackc/pglogrepl"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/internal/fault"
)

// lsn is a WAL position; its text form is PostgreSQL's, "16/B374D848".
type lsn = pglogrepl.LSN

// position is what a capture.Position of this package holds.
type position struct {
	Slot   string `json:"slot"`
	System string `json:"system"` // system identifier of the server
	// Timeline is the branch of the server's log, 0 = not known.
	Timeline int32 `json:"timeline,omitempty"`
	// LSN: every transaction that ended at or before it has been delivered,
	// apart from what Snapshot says is left to read.
	LSN lsn `json:"-"`
	// LastCommit is the end of the last transaction that was seen: LSN, unless
	// the log went on since without anything for us. 0 = none was seen yet.
	LastCommit lsn `json:"-"`
	// Partial is the transaction that follows LSN, where a batch ended within
	// it.
	Partial *partial `json:"-"`
	// After is what Debezium has told of a transaction after LSN, in a position that
	// is made of one of Debezium's, until that transaction has come.
	After *after `json:"-"`
	// Snapshot is set until the snapshot is complete.
	Snapshot *snapshot.Progress `json:"snapshot,omitempty"`
}

// partial says how much of a transaction has been delivered.
type partial struct {
	Commit  lsn   // its commit record
	Changes int64 // row messages that have been dealt with, captured or not
}

// wire is position as JSON.
type wire struct {
	position
	LSN     string       `json:"lsn"`
	Commit  string       `json:"last_commit,omitempty"`
	Partial *wirePartial `json:"partial,omitempty"`
	After   *wireAfter   `json:"after,omitempty"`
}

type wirePartial struct {
	Commit  string `json:"commit"`
	Changes int64  `json:"changes"`
}

// append writes p as JSON to dst.
func (p *position) append(dst []byte) (capture.Position, error) {
	w := wire{position: *p, LSN: p.LSN.String()}
	if p.LastCommit != 0 {
		w.Commit = p.LastCommit.String()
	}
	if p.Partial != nil {
		w.Partial = &wirePartial{p.Partial.Commit.String(), p.Partial.Changes}
	}
	if p.After != nil {
		w.After = &wireAfter{p.After.XID, p.After.LSN.String(), string(p.After.Kind)}
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("write position: %w", err)
	}
	return append(dst, b...), nil
}

func parsePosition(text capture.Position) (*position, error) {
	bad := func(err error) error {
		return fault.Human(fmt.Errorf("read stored position %q: %w", text, err),
			capture.OtherPosition)
	}
	var w wire
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, bad(err)
	}
	p := w.position
	var err error
	if p.LSN, err = pglogrepl.ParseLSN(w.LSN); err != nil {
		return nil, bad(err)
	}
	if w.Commit != "" {
		if p.LastCommit, err = pglogrepl.ParseLSN(w.Commit); err != nil {
			return nil, bad(err)
		}
	}
	if w.Partial != nil {
		p.Partial = &partial{Changes: w.Partial.Changes}
		if p.Partial.Commit, err = pglogrepl.ParseLSN(w.Partial.Commit); err != nil {
			return nil, bad(err)
		}
	}
	if w.After != nil {
		if len(w.After.Kind) != 1 {
			return nil, bad(fmt.Errorf("kind must be one letter"))
		}
		p.After = &after{XID: w.After.XID, Kind: w.After.Kind[0]}
		if p.After.LSN, err = pglogrepl.ParseLSN(w.After.LSN); err != nil {
			return nil, bad(err)
		}
	}
	if p.Slot == "" || p.System == "" {
		return nil, bad(fmt.Errorf("slot or system is missing"))
	}
	return &p, nil
}
