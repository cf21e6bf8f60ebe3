package snapshot

import (
	"slices"
	"strings"

	"tributary/capture"
	"tributary/envelope"
)

// Blocking is a Source that reads tables again as its first snapshot does, in
// one view of the database, while its log waits.
//
// The log is followed up to the moment of the view, then the rows are read, then
// the log goes on from there: so nothing comes twice and no row goes back in
// time, as far as the database can tell the moment.
type Blocking interface {
	// Block returns a position from which Open has the snapshot of p taken
	// first. at is one at which the source streams.
	Block(at capture.Position, p Progress) (capture.Position, error)
}

// Part is a table of a snapshot that reads some alone.
type Part struct {
	Table string `json:"table"`
	// Select is a statement that gives the rows, Filter a condition for them;
	// both "" = all rows, or what snapshot.select.statement.overrides says.
	Select string `json:"select,omitempty"`
	Filter string `json:"filter,omitempty"`
}

// part returns the table's part of a blocking snapshot. Debezium wants a whole
// statement there; a condition as for incremental snapshots will do.
func (s *Signal) part(id envelope.TableID) Part {
	p, text := Part{Table: id.String()}, strings.TrimSpace(s.filter(id))
	word, _, _ := strings.Cut(strings.ToUpper(strings.Join(strings.Fields(text), " ")), " ")
	if word == "SELECT" || word == "WITH" {
		p.Select = strings.TrimSpace(strings.TrimSuffix(text, ";"))
	} else {
		p.Filter = text
	}
	return p
}

// Part returns what is read of a table; false if it is not read.
func (p *Progress) Part(id envelope.TableID) (Part, bool) {
	name := id.String()
	if p == nil || p.Only == nil {
		return Part{Table: name}, true
	}
	i := slices.IndexFunc(p.Only, func(o Part) bool { return o.Table == name })
	if i < 0 {
		return Part{}, false
	}
	return p.Only[i], true
}
