package mysql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"tributary/capture"
	"tributary/capture/snapshot"
	"tributary/internal/fault"
)

// position is where the capture stands.
type position struct {
	File string `json:"file"`
	Pos  uint64 `json:"pos"` // start of the next transaction, or of the one in work
	// GTIDs is the set executed before Pos; nil when the server has none.
	GTIDs *string `json:"gtids,omitempty"`

	// A transaction in work: how many of its row events are done, how many
	// rows of the one after them, and its GTID.
	Event int64  `json:"event,omitempty"`
	Row   int64  `json:"row,omitempty"`
	GTID  string `json:"gtid,omitempty"`
	// Done is how many rows of it are done: another server has the same rows,
	// but may have grouped them into other events.
	Done int64 `json:"done,omitempty"`

	// Server is the one whose File and Pos these are: a server_uuid, or
	// MariaDB's server_id. Epoch counts the servers followed before it.
	Server string `json:"server,omitempty"`
	Epoch  int    `json:"epoch,omitempty"`

	// Prepared is where the log must be read from to know the XA transactions
	// that are not decided at File and Pos; nil when there are none.
	Prepared *anchor `json:"prepared,omitempty"`
	// Undecided is what earlier versions wrote; it is of no use any more.
	Undecided []string `json:"undecided,omitempty"`

	// Tables has the definitions of the captured tables at File and Pos, see
	// encodeTables; "" when the log has them itself.
	Tables string `json:"tables,omitempty"`

	// Snapshot is set until the snapshot is complete; File, Pos and GTIDs are
	// then those at which it began.
	Snapshot *snapshot.Progress `json:"snapshot,omitempty"`

	// Foreign is set in a position that is made of one of Debezium's, until the
	// first transaction comes.
	Foreign *foreign `json:"debezium,omitempty"`

	moved     bool // File and Pos are of another server's log
	elsewhere bool // and so are Event and Row
}

// start is where the log must be read from.
func (p *position) start() anchor {
	if p.Prepared != nil {
		return *p.Prepared
	}
	return anchor{p.File, p.Pos, p.GTIDs}
}

func (p *position) encode() capture.Position {
	b, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	return b
}

func parsePosition(p capture.Position) (position, error) {
	var out position
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	err := d.Decode(&out)
	if err == nil && (out.File == "" || out.Pos < 4) {
		err = errors.New("no binlog file and offset")
	}
	if err != nil {
		return position{}, fault.Human(fmt.Errorf("read the stored position: %w", err),
			"this position belongs to another kind of source, or another version wrote it: "+capture.OtherPosition)
	}
	return out, nil
}

func (p *position) setGTIDs(s *gtidSet) {
	p.GTIDs = nil
	if s.valid {
		text := s.String()
		p.GTIDs = &text
	}
}
