package conformance

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/capture"
	"tributary/capture/sqlserver"
)

// Entry is a line of a recording. Which fields it has says what it is about.
type Entry struct {
	// The first line.
	Recording int    `json:"recording,omitempty"` // version of this form
	Kind      string `json:"kind,omitempty"`      // postgres, mysql, mariadb, sqlserver
	Version   string `json:"tributary,omitempty"`
	// Options are those of sources that are not at their defaults, but for what
	// the source needs to connect.
	Options map[string]string `json:"options,omitempty"`

	Scenario string `json:"scenario,omitempty"` // it begins

	Open     int             `json:"open,omitempty"`     // the source is opened for the n-th time
	Position json.RawMessage `json:"position,omitempty"` // from here; none for a snapshot
	Tables   []string        `json:"tables,omitempty"`   // that it captures
	Batch    int             `json:"batch,omitempty"`    // its max.batch.size
	Brief    bool            `json:"brief,omitempty"`    // it is closed after its first batch
	Login    string          `json:"login,omitempty"`    // that it connects as, where the run made it

	Refused string `json:"refused,omitempty"` // why it could not be opened

	// A statement. Source is the source that sent it, 0 = the run itself.
	Source  int      `json:"source,omitempty"`
	Query   string   `json:"query,omitempty"`
	Args    []any    `json:"args,omitempty"`
	Columns []string `json:"columns,omitempty"`
	Rows    [][]any  `json:"rows,omitempty"`
	Cut     bool     `json:"cut,omitempty"`    // the rows were not read to their end
	Number  int32    `json:"number,omitempty"` // of the error, 0 where it is not the server's
	Error   string   `json:"error,omitempty"`

	Event string `json:"event,omitempty"` // a change that a source gave
}

// recordingVersion is of the form of recordings.
const recordingVersion = 1

// Recorder writes a recording. A nil Recorder writes nothing. It is safe for use by
// several goroutines.
type Recorder struct {
	mu     sync.Mutex
	out    *json.Encoder
	hidden *regexp.Regexp
	opened int
	err    error
}

// NewRecorder writes to w.
func NewRecorder(w io.Writer) *Recorder {
	r := &Recorder{out: json.NewEncoder(w)}
	r.out.SetEscapeHTML(false)
	return r
}

// Err is the first error of writing.
func (r *Recorder) Err() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Recorder) write(e *Entry) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Error, e.Refused = r.hide(e.Error), r.hide(e.Refused)
	if err := r.out.Encode(e); err != nil && r.err == nil {
		r.err = err
	}
}

// hide takes password, host and login out of a text of the server's. Statements are
// the program's own and have none of them.
func (r *Recorder) hide(s string) string {
	if r == nil || r.hidden == nil {
		return s
	}
	return r.hidden.ReplaceAllString(s, "…")
}

// Redact returns the report without what is not in the recording either.
func (r *Recorder) Redact(rep *Report) *Report {
	out := *rep
	out.About, out.Checks = slices.Clone(rep.About), slices.Clone(rep.Checks)
	for i := range out.About {
		out.About[i].Value = r.hide(out.About[i].Value)
	}
	for i := range out.Checks {
		c := &out.Checks[i]
		c.Name, c.Detail = r.hide(c.Name), slices.Clone(c.Detail)
		for j := range c.Detail {
			c.Detail[j] = r.hide(c.Detail[j])
		}
	}
	return &out
}

// begin writes the first line, and has what is secret of the server never be written.
func (r *Recorder) begin(srv Server, version string) {
	if r == nil {
		return
	}
	r.keepSecrets(srv.secrets())
	r.write(&Entry{Recording: recordingVersion, Kind: srv.kind(), Version: version, Options: srv.more()})
}

// alsoSecret has a further word never be written.
func (r *Recorder) alsoSecret(words []string, word string) {
	if r != nil {
		r.keepSecrets(append(words, word))
	}
}

// keepSecrets has the words never be written.
func (r *Recorder) keepSecrets(words []string) {
	var list []string
	for _, w := range words {
		if w != "" {
			list = append(list, `\b`+regexp.QuoteMeta(w)+`\b`)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if list != nil {
		r.hidden = regexp.MustCompile(strings.Join(list, "|"))
	}
}

func (r *Recorder) scenario(name string) { r.write(&Entry{Scenario: name}) }

func (r *Recorder) event(line string) { r.write(&Entry{Event: line}) }

// open notes that a source is opened at a position.
func (r *Recorder) open(o *sourceOptions, at capture.Position, brief bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.opened++
	n := r.opened
	r.mu.Unlock()
	r.write(&Entry{Open: n, Position: json.RawMessage(at), Tables: o.tables, Batch: o.batch, Brief: brief, Login: o.login})
}

func (r *Recorder) source() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// session records the statements of the run itself.
func (r *Recorder) session(s session) session {
	if r == nil {
		return s
	}
	return &recordedSession{s, r}
}

type recordedSession struct {
	session
	r *Recorder
}

func (s *recordedSession) Exec(ctx context.Context, query string) error {
	err := s.session.Exec(ctx, query)
	s.r.statement(&Entry{Query: query}, err)
	return err
}

func (s *recordedSession) Query(ctx context.Context, query string) ([][]string, error) {
	rows, err := s.session.Query(ctx, query)
	e := &Entry{Query: query}
	for _, row := range rows {
		var values []any
		for _, v := range row {
			values = append(values, s.r.hide(v))
		}
		e.Rows = append(e.Rows, values)
	}
	s.r.statement(e, err)
	return rows, err
}

// statement writes a statement with how it ended.
func (r *Recorder) statement(e *Entry, err error) {
	if err != nil {
		e.Error = err.Error()
		var numbered interface{ SQLErrorNumber() int32 }
		if errors.As(err, &numbered) {
			e.Number = numbered.SQLErrorNumber()
		}
	}
	r.write(e)
}

// connecting stands for the statement where a source could not connect.
const connecting = "-- connect"

// wires records what goes over the connections of a source of SQL Server; nil
// without a Recorder. unheard are statements of the user's own.
func (r *Recorder) wires(unheard []string) func(context.Context, string, func(context.Context) (sqlserver.Wire, error)) (sqlserver.Wire, error) {
	if r == nil {
		return nil
	}
	return func(ctx context.Context, _ string, dial func(context.Context) (sqlserver.Wire, error)) (sqlserver.Wire, error) {
		w, err := dial(ctx)
		if err != nil {
			r.statement(&Entry{Source: r.source(), Query: connecting}, err)
			return nil, err
		}
		return &recordedWire{Wire: w, r: r, source: r.source(), unheard: unheard}, nil
	}
}

type recordedWire struct {
	sqlserver.Wire
	r       *Recorder
	source  int
	unheard []string // statements that are not recorded
}

func (w *recordedWire) entry(query string, args []driver.NamedValue) *Entry {
	e := &Entry{Source: w.source, Query: query}
	for _, a := range args {
		e.Args = append(e.Args, encodeValue(a.Value))
	}
	return e
}

// Begin is in the recording for its readers: a replay has nothing to answer.
func (w *recordedWire) Begin(ctx context.Context, level driver.IsolationLevel) (driver.Tx, error) {
	tx, err := w.Wire.Begin(ctx, level)
	w.r.statement(&Entry{Source: w.source, Query: fmt.Sprintf("-- begin a transaction, isolation level %d of the driver", level)}, err)
	return tx, err
}

func (w *recordedWire) Exec(ctx context.Context, query string, args []driver.NamedValue) error {
	err := w.Wire.Exec(ctx, query, args)
	if !slices.Contains(w.unheard, query) {
		w.r.statement(w.entry(query, args), err)
	}
	return err
}

func (w *recordedWire) Query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	e := w.entry(query, args)
	rows, err := w.Wire.Query(ctx, query, args)
	if err != nil {
		w.r.statement(e, err)
		return nil, err
	}
	e.Columns = rows.Columns()
	return &recordedRows{Rows: rows, w: w, e: e}, nil
}

// recordedRows writes its entry when it is closed.
type recordedRows struct {
	driver.Rows
	w    *recordedWire
	e    *Entry
	err  error // that ended the rows
	done bool
}

func (r *recordedRows) Next(dst []driver.Value) error {
	if r.err = r.Rows.Next(dst); r.err != nil {
		return r.err
	}
	// The instances and tables of others are theirs.
	if strings.Contains(r.e.Query, "sys.schemas") && !mentions(dst, Scratch) {
		return nil
	}
	row := make([]any, len(dst))
	for i, v := range dst {
		row[i] = encodeValue(v)
	}
	r.e.Rows = append(r.e.Rows, row)
	return nil
}

func (r *recordedRows) Close() error {
	err := r.Rows.Close()
	if !r.done {
		r.done = true
		r.e.Cut = !errors.Is(r.err, io.EOF)
		if !r.e.Cut {
			r.err = nil
		}
		r.w.r.statement(r.e, errors.Join(r.err, err))
	}
	return err
}

// mentions reports whether a row is about the scratch place: it has its name, or that
// of a capture instance of it, which is all where the table may not be seen.
func mentions(row []driver.Value, name string) bool {
	for _, v := range row {
		if s, ok := v.(string); ok && (s == name || strings.HasPrefix(s, name+"_")) {
			return true
		}
	}
	return false
}

// tagged is a value that JSON has no form of its own for.
type tagged struct {
	Bytes *string  `json:"x,omitempty"` // hexadecimal
	Time  string   `json:"t,omitempty"`
	Float *float64 `json:"f,omitempty"`
}

// encodeValue gives a driver's value a form in JSON. decodeValue of the replay is
// the inverse.
func encodeValue(v any) any {
	switch v := v.(type) {
	case []byte:
		text := hex.EncodeToString(v)
		return tagged{Bytes: &text}
	case float64:
		return tagged{Float: &v}
	case time.Time:
		return tagged{Time: v.Format(time.RFC3339Nano)}
	}
	return v
}
