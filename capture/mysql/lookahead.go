package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"tributary/capture/mysql/binlog"
	"tributary/capture/mysql/ddl"
	"tributary/envelope"
	"tributary/internal/fault"
)

// Where a statement cannot be read, the server is asked what the table looks like.
// It tells what it looks like now; whether that is what it looked like where we are
// is told by what is in the log after it.

// sure fails if the log has statements, from where the stream stands to its end,
// that may have changed a table since. The log must not have the names of columns
// itself, and the definition have been read just now.
func (s *stream) sure(id envelope.TableID) error {
	if s.lookAhead == nil {
		return nil
	}
	f := &seeker{id: id, parser: s.history.parser}
	if err := s.lookAhead(s.ctx, f, s.at.File, uint64(s.filePos)); err != nil {
		return fmt.Errorf("look in the log for changes of table %s: %w", id, err)
	}
	if f.found {
		return fault.Humanf("set binlog_row_metadata=FULL on the server, and start with a new snapshot (an offset of another name)",
			"what the columns of %s were here cannot be told: it was changed by a statement that cannot be read or is not known, and by another since", id)
	}
	return nil
}

// lookAhead has t take the log from a place to its end.
func (n *session) lookAhead(ctx context.Context, t taker, file string, pos uint64) error {
	d, err := openDump(ctx, n.cfg, n.server.maria, n.beat())
	if err != nil {
		return err
	}
	defer n.hangUp(ctx, d)
	// As in searchLog.
	if err := d.fromFile(file, pos, rand.Uint32()|1<<31, dumpNonBlock); err != nil {
		return err
	}
	if err := d.run(ctx, t); !errors.Is(err, io.EOF) {
		return explainDump(err)
	}
	return nil
}

// seeker looks for statements that may change a table. It is a taker.
type seeker struct {
	id     envelope.TableID
	parser *ddl.Parser
	found  bool
}

// take implements taker.
func (f *seeker) take(h *binlog.Header, body []byte) error {
	if h.Type != binlog.TypeQuery && h.Type != binlog.TypeMariaQueryCompr {
		return nil
	}
	q, err := parseQuery(h.Type, body)
	if err != nil {
		return err
	}
	if text := trimComments(q.Query); f.changes(text, newQuery(q).mode) {
		f.found = true
		return io.EOF
	}
	return nil
}

// takeCompressed implements taker: there are no such statements in it.
func (f *seeker) takeCompressed(*binlog.Header, io.Reader) error { return nil }

// changes reports whether a statement may change the table's columns.
func (f *seeker) changes(text []byte, mode ddl.Mode) bool {
	some := false
	for _, verb := range []string{"ALTER", "CREATE", "DROP", "RENAME"} {
		some = some || hasWord(text, verb)
	}
	if names := identifiers(text); !some || !names[strings.ToLower(f.id.Name)] {
		return false
	}
	st, err := f.parser.Parse(string(text), mode)
	if err != nil {
		return true
	}
	switch st.Kind {
	case ddl.Truncate, ddl.View, ddl.Routine, ddl.Account, ddl.Other, ddl.CreateIndex, ddl.DropIndex:
		return false
	}
	return true
}
