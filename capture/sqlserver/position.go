package sqlserver

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/envelope"
	"tributary/internal/fault"
)

type lsn = envelope.LogPosition

func compareLSN(a, b lsn) int { return bytes.Compare(a[:], b[:]) }

// parseLSN reads the form of lsn.String.
func parseLSN(text string) (l lsn, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 || len(parts[0]) != 8 || len(parts[1]) != 8 || len(parts[2]) != 4 {
		return l, fmt.Errorf("%q is no LSN of the form 00000000:00000000:0000", text)
	}
	_, err = hex.Decode(l[:], []byte(strings.Join(parts, "")))
	return l, err
}

// position is what a capture.Position of this package holds: a place in the log of
// each database, by name. Its fields have the names of Debezium's offsets.
type position struct {
	Databases map[string]*place `json:"databases"`
	// Snapshot is set until the snapshot is complete.
	Snapshot *snapshot.Progress `json:"snapshot,omitempty"`
}

// place is how far a database has been read. Without a change_lsn all transactions
// up to and including commit_lsn are done; with it, the transaction of commit_lsn
// is done up to that change.
type place struct {
	Commit lsnText `json:"commit_lsn,omitempty"`
	Change lsnText `json:"change_lsn,omitempty"`
	// SerialNo counts the rows at Change as Debezium does.
	SerialNo int64 `json:"event_serial_no,omitempty"`
	// Command, Operation and Same are where the row stands among those of its
	// transaction. They are not in Debezium's offsets: then Change alone tells.
	Command   *int64 `json:"command_id,omitempty"`
	Operation int64  `json:"operation,omitempty"`
	Same      int    `json:"same,omitempty"` // rows that were delivered with all of these
	// Instances are the change tables, by object_id, that were read up to here: of
	// them nothing may have been cleaned up behind it.
	Instances []int64 `json:"instances,omitempty"`
}

// partial reports whether the transaction of Commit is not done.
func (p *place) partial() bool { return p.Change != lsnText{} }

// lsnText is an LSN in JSON; zero is "".
type lsnText lsn

func (l lsnText) MarshalText() ([]byte, error) {
	if l == (lsnText{}) {
		return nil, nil
	}
	p := lsn(l)
	return p.Append(nil), nil
}

func (l *lsnText) UnmarshalText(text []byte) error {
	if len(text) == 0 || string(text) == "NULL" {
		*l = lsnText{}
		return nil
	}
	p, err := parseLSN(string(text))
	*l = lsnText(p)
	return err
}

func (p *position) append(dst []byte) (capture.Position, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write position: %w", err)
	}
	return append(dst, text...), nil
}

func parsePosition(text capture.Position) (*position, error) {
	p := &position{}
	err := json.Unmarshal(text, p)
	if err == nil && len(p.Databases) == 0 {
		err = fmt.Errorf("databases are missing")
	}
	if err != nil {
		return nil, fault.Human(fmt.Errorf("read stored position: %w", err),
			capture.OtherPosition)
	}
	for name, at := range p.Databases {
		if at == nil {
			p.Databases[name] = &place{}
		}
	}
	return p, nil
}
