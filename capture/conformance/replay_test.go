package conformance

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"tributary/capture"
	"tributary/capture/sqlserver"
	"tributary/internal/mssqltest"
)

var update = flag.Bool("update", false, "record the model of SQL Server anew")

// life is what a recording has of one life of a source: the answers to its
// statements, each with its arguments, in their order, and what it gave.
type life struct {
	scenario string
	options  map[string]string // of the source
	open     *Entry
	mu       sync.Mutex
	answers  map[string][]*Entry
	since    map[string][]*Entry // to statements that the recording does not have
	repeats  int                 // answers that were given again
	events   []string
	refused  string // why it could not be opened
}

// parseRecording reads the lives in a recording.
func parseRecording(t *testing.T, text []byte) (out []*life) {
	t.Helper()
	scenario, options, later := "", map[string]string(nil), since(t)
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, 1<<24)
	for n := 1; in.Scan(); n++ {
		e := parseEntry(t, in.Bytes())
		switch {
		case n == 1 && (e.Recording != recordingVersion || e.Kind != kindSQLServer):
			t.Fatalf("a recording of version %d, of %s", e.Recording, e.Kind)
		case n == 1:
			options = e.Options
		case e.Scenario != "":
			scenario = e.Scenario
		case e.Open > 0:
			if len(out) != e.Open-1 {
				t.Fatalf("line %d: life %d follows life %d", n, e.Open, len(out))
			}
			out = append(out, &life{scenario: scenario, options: options, open: e, answers: make(map[string][]*Entry), since: later})
		case e.Refused != "":
			out[len(out)-1].refused = e.Refused
		case e.Source > 0:
			l := out[e.Source-1]
			k := answerKey(t, e.Query, e.Args)
			l.answers[k] = append(l.answers[k], e)
		case e.Event != "":
			out[len(out)-1].events = append(out[len(out)-1].events, e.Event)
		}
	}
	return out
}

func answerKey(t *testing.T, query string, args []any) string {
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	return query + " " + string(text)
}

// replayed is a connection that answers from a life.
type replayed struct {
	t *testing.T
	l *life
}

var _ sqlserver.Wire = (*replayed)(nil)

// answer is the next one to a statement; the last is given again and again.
func (w *replayed) answer(ctx context.Context, query string, args []driver.NamedValue) (*Entry, error) {
	var values []any
	for _, a := range args {
		values = append(values, encodeValue(a.Value))
	}
	k := answerKey(w.t, query, values)
	e := w.l.answer(k)
	switch {
	case e == nil:
		return nil, fmt.Errorf("the recording has no answer to %s: record the model anew (go test ./capture/conformance -update); for a recording of a server add the answer to %s", k, sinceFile)
	case e.Columns != nil: // an error came after the rows
		return e, nil
	}
	return e, e.failure(ctx)
}

// failure is the error that ended a statement. Where it was not the server's, the
// source was closed before the answer was complete: then so it must be now.
func (e *Entry) failure(ctx context.Context) error {
	switch {
	case e.Number != 0:
		text := strings.TrimPrefix(e.Error, "mssql: ") // which the driver puts around it
		return mssql.Error{Number: e.Number, Message: strings.TrimSuffix(text, fmt.Sprintf(" (%d)", e.Number))}
	case e.Cut || e.Error != "":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// answer takes the next one from the recording, nil if there has never been any.
func (l *life) answer(k string) *Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.answers[k]
	if len(list) == 0 {
		if list = l.since[k]; len(list) == 0 {
			return nil
		}
	}
	if len(list) > 1 {
		l.answers[k] = list[1:]
	} else {
		l.repeats++
	}
	return list[0]
}

func (w *replayed) Query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	e, err := w.answer(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &replayedRows{ctx: ctx, e: e}, nil
}

func (w *replayed) Exec(ctx context.Context, query string, args []driver.NamedValue) error {
	_, err := w.answer(ctx, query, args)
	return err
}

func (w *replayed) Begin(context.Context, driver.IsolationLevel) (driver.Tx, error) { return w, nil }
func (w *replayed) Commit() error                                                   { return nil }
func (w *replayed) Rollback() error                                                 { return nil }
func (w *replayed) IsValid() bool                                                   { return true }
func (w *replayed) Close() error                                                    { return nil }

type replayedRows struct {
	ctx  context.Context
	e    *Entry
	next int
}

func (r *replayedRows) Columns() []string { return r.e.Columns }
func (r *replayedRows) Close() error      { return nil }
func (r *replayedRows) Next(dst []driver.Value) error {
	if r.next == len(r.e.Rows) {
		return cmp.Or(r.e.failure(r.ctx), io.EOF)
	}
	for i, v := range r.e.Rows[r.next] {
		var err error
		if dst[i], err = decodeValue(v); err != nil {
			return err
		}
	}
	r.next++
	return nil
}

// decodeValue is the inverse of encodeValue.
func decodeValue(v any) (driver.Value, error) {
	switch v := v.(type) {
	case json.Number:
		return strconv.ParseInt(v.String(), 10, 64)
	case map[string]any:
		for k, x := range v {
			text := fmt.Sprint(x)
			switch k {
			case "x":
				return hex.DecodeString(text)
			case "t":
				return time.Parse(time.RFC3339Nano, text)
			case "f":
				return strconv.ParseFloat(text, 64)
			}
		}
		return nil, fmt.Errorf("value %v", v)
	}
	return v, nil
}

// replay has a source live its life again, and compares what it gives.
func (l *life) replay(t *testing.T) {
	t.Helper()
	if got := l.again(t); !slices.Equal(got, l.events) {
		t.Errorf("%s, life %d\n%s", l.scenario, l.open.Open, strings.Join(difference(got, l.events), "\n"))
	}
}

// again is what a source gives that lives the life again.
func (l *life) again(t *testing.T) (got []string) {
	t.Helper()
	var opts sqlserver.Options
	o := sourceOptions{batch: l.open.Batch}
	if err := defaults(kindSQLServer, o, include("", l.open.Tables), l.options, &opts); err != nil {
		t.Fatal(err)
	}
	opts.Poll = time.Millisecond
	opts.User = cmp.Or(l.open.Login, opts.User)
	opts.Wires = func(ctx context.Context, _ string, _ func(context.Context) (sqlserver.Wire, error)) (sqlserver.Wire, error) {
		if e := l.answer(answerKey(t, connecting, nil)); e != nil {
			return nil, e.failure(ctx)
		}
		return &replayed{t, l}, nil
	}
	s, err := sqlserver.New(opts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = s.Open(ctx, capture.Position(l.open.Position))
	if err != nil && l.refuses(err) {
		return nil
	}
	if err != nil || l.refused != "" {
		t.Fatalf("open: %v; recorded: %s", err, l.refused)
	}
	defer func() { _ = s.Close() }() // it has no connections
	f := &follower{srv: SQLServer(opts)}
	for len(got) < len(l.events) || !l.open.Brief && !l.idle() {
		turn, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		b, err := s.Next(turn)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			t.Fatalf("after %d events: %v", len(got), err)
		}
		for i := range b.List {
			f.add(&b.List[i], -1)
		}
		for _, e := range f.take() {
			if e.line != "" {
				got = append(got, e.line)
			}
		}
	}
	if l.open.Brief { // it may have read more than was taken from it
		got = got[:len(l.events)]
	}
	return got
}

// refuses reports whether an error is the recorded one, in which the names of host and
// login are hidden.
func (l *life) refuses(err error) bool {
	parts := strings.Split(l.refused, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return l.refused != "" && regexp.MustCompile("^"+strings.Join(parts, ".*")+"$").MatchString(err.Error())
}

// idle reports whether nothing new can come.
func (l *life) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repeats > 200
}

// sinceFile has answers to statements that the source sends only since a recording
// was made: what that server would have said.
const sinceFile = "testdata/since.jsonl"

// since reads them.
func since(t *testing.T) map[string][]*Entry {
	t.Helper()
	text, err := os.ReadFile(sinceFile)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]*Entry)
	for line := range bytes.Lines(text) {
		e := parseEntry(t, line)
		k := answerKey(t, e.Query, e.Args)
		out[k] = append(out[k], e)
	}
	return out
}

func parseEntry(t *testing.T, line []byte) *Entry {
	t.Helper()
	e := &Entry{}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(e); err != nil {
		t.Fatalf("%v in %.200s", err, line)
	}
	return e
}

const fixture = "testdata/sqlserver-model.jsonl"

// TestReplay has the recording in testdata, which was made with the model, and one
// that is made now give the changes that were recorded.
func TestReplay(t *testing.T) {
	fresh := recordModel(t, "snapshot", "transactions", "keys", "restart", "schema", "unchanged", "retention", "rights")
	if *update {
		if err := os.WriteFile(fixture, recordModel(t, "snapshot", "transactions", "keys", "schema", "unchanged", "rights"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"kept": kept, "fresh": fresh} {
		t.Run(name, func(t *testing.T) {
			events := 0
			for _, l := range parseRecording(t, text) {
				l.replay(t)
				events += len(l.events)
			}
			if events < 38 {
				t.Errorf("%d events only", events)
			}
		})
	}
}

// TestReplayNotices has a replay get another value, and a statement that the
// recording does not have.
func TestReplayNotices(t *testing.T) {
	kept, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	l := parseRecording(t, bytes.Replace(kept, []byte(`"Ann"`), []byte(`"Eve"`), 1))[0]
	if got := l.again(t); slices.Equal(got, l.events) || !slices.Contains(got, "r account id=1 owner=Eve balance=100") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if _, err := (&replayed{t, l}).answer(t.Context(), "SELECT 1", nil); err == nil {
		t.Error("a statement that was never sent is answered")
	}
}

// recordModel runs scenarios against the model and returns the recording.
func recordModel(t *testing.T, scenarios ...string) []byte {
	t.Helper()
	srv, err := mssqltest.Start(context.WithoutCancel(t.Context()), mssqltest.Options{Password: "Secret1!", Databases: []string{"crm"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() }) // a model that nobody needs any more
	for _, q := range []string{
		"EXEC sys.sp_cdc_enable_db", "CREATE TABLE dbo.customer (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)",
		"INSERT INTO dbo.customer VALUES (1, N'somebody')", "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'customer', @role_name = NULL",
	} {
		if err := srv.DB("crm").Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	user := sqlserver.Options{Host: host, User: "sa", Password: "Secret1!", Databases: []string{"crm"}, Encrypt: "false", QueryMode: "direct", MaxTransactions: 500, LockTimeout: 10 * time.Second}
	if user.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := Options{
		Server: SQLServer(user), Version: "test", Wait: 30 * time.Second, Recorder: NewRecorder(&out), Log: slog.New(slog.DiscardHandler),
		Progress: func(string, ...any) {}, Only: scenarios,
	}
	r, err := Run(t.Context(), o)
	if err != nil || r.Failures() > 0 || o.Recorder.Err() != nil {
		t.Fatalf("%v, %v, %+v", err, o.Recorder.Err(), r)
	}
	return out.Bytes()
}

// TestRecordingHasNoSecrets looks for what must not be in a recording.
func TestRecordingHasNoSecrets(t *testing.T) {
	text := string(recordModel(t, "snapshot", "rights", "types"))
	for _, secret := range []string{"Secret1!", "127.0.0.1", `\bsa\b`, "customer", "somebody", `aA1!`} {
		if m := regexp.MustCompile(`.*` + secret + `.*`).FindString(text); m != "" {
			t.Errorf("%s is in %s", secret, m)
		}
	}
	if !strings.Contains(text, "CREATE TABLE "+Scratch+".account") || !strings.Contains(text, "fn_cdc_get_max_lsn") {
		t.Error("the statements of run and source are not in it")
	}
}
