package mysql

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/changetext"
	"tributary/capture/mysql/binlog"
	"tributary/internal/config"
)

// recorded is a scenario in a recording of cdc-source conformance: the log from before
// its tables were made, and what came of it.
type recorded struct {
	name   string
	pos    uint64
	log    []logged
	stream []string // the changes that did not come from the snapshot
}

type logged struct {
	file  string
	event []byte
}

// readRecording reads the scenarios of a recording.
func readRecording(t *testing.T, path string) (out []*recorded, maria bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		var e struct {
			Kind, Scenario, Query, Event string
			Columns                      []string
			Rows                         [][]any
		}
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		maria = maria || e.Kind == "mariadb"
		if e.Scenario != "" {
			out = append(out, &recorded{name: e.Scenario})
		}
		if len(out) == 0 {
			continue
		}
		r := out[len(out)-1]
		if from, ok := strings.CutPrefix(e.Query, "-- the binary log from "); ok {
			if _, err := fmt.Sscan(from[strings.LastIndex(from, ":")+1:], &r.pos); err != nil {
				t.Fatal(err)
			}
			for _, row := range e.Rows {
				event, err := hex.DecodeString(fmt.Sprint(row[1].(map[string]any)["x"]))
				if err != nil {
					t.Fatal(err)
				}
				r.log = append(r.log, logged{fmt.Sprint(row[0]), event})
			}
		}
		if e.Event != "" && !strings.HasPrefix(e.Event, "r ") {
			r.stream = append(r.stream, e.Event)
		}
	}
	return out, maria
}

// TestRecording feeds the log in recordings of cdc-source conformance to the stream:
// the same changes come as came when they were made. The tables are known by the
// statements in the log.
func TestRecording(t *testing.T) {
	for _, kind := range []string{"mysql", "mariadb"} {
		list, maria := readRecording(t, "../conformance/testdata/"+kind+".jsonl")
		if len(list) < 5 {
			t.Fatalf("%s: %d scenarios only", kind, len(list))
		}
		for _, r := range list {
			t.Run(kind+"/"+r.name, func(t *testing.T) {
				if got := r.decode(t, maria); !slices.Equal(got, r.stream) || len(got) == 0 {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(r.stream, "\n"))
				}
			})
		}
	}
}

// decode returns what follows the row of the marker that ends the snapshot.
func (r *recorded) decode(t *testing.T, maria bool) (out []string) {
	t.Helper()
	var o Options
	text := "name: recorded\nconnector.class: mysql\ntopic.prefix: p\ndatabase.hostname: h\ndatabase.user: u\nprovide.transaction.metadata: true\ndatabase.include.list: tributary_conformance\n"
	if err := config.Parse("recording", []byte(text), &o); err != nil {
		t.Fatal(err)
	}
	cfg, err := newSettings(&o)
	if err != nil {
		t.Fatal(err)
	}
	h := newHistory(maria)
	h.server, h.charsets["tributary_conformance"] = "utf8mb4", "utf8mb4"
	pipe := capture.NewPipe(capture.Limits{Changes: 1 << 20, Bytes: 1 << 30})
	st := newStream(t.Context(), cfg, &goldenCatalog{}, pipe, quiet(), position{File: r.log[0].file, Pos: r.pos}, gtidSet{}, make(map[string]*table), h)
	go func() {
		for _, l := range r.log {
			header, err := binlog.ParseHeader(l.event)
			switch body := l.event[binlog.HeaderSize:]; {
			case err != nil:
			case header.Type == binlog.TypeTransactionPayload:
				err = st.takeCompressed(&header, bytes.NewReader(body))
			default:
				err = st.take(&header, body)
			}
			if err != nil {
				pipe.Fail(err)
				return
			}
		}
		pipe.Fail(io.EOF)
	}()
	streams := false
	for {
		b, err := pipe.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.List {
			c := &b.List[i]
			if c.Table == nil {
				continue
			}
			lines := changetext.Lines(c)
			if slices.Contains(lines, "c zend id=0") {
				streams = true
			} else if streams && c.Table.ID.Name != "zend" {
				out = append(out, lines...)
			}
		}
	}
}
