package mysql

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"tributary/capture/mysql/binlog"
	"tributary/envelope"
)

// goldenCatalog plays the server's part: what a recording's schema history says
// of the tables where the stream begins.
type goldenCatalog struct {
	server  func() *serverCatalog // for what is in no recording, nil = there is none
	history []historyEntry
}

type historyEntry struct {
	pos    uint64
	change tableChange
}

type tableChange struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Table *struct {
		Charset string          `json:"defaultCharsetName"`
		Key     []string        `json:"primaryKeyColumnNames"`
		Columns []historyColumn `json:"columns"`
	} `json:"table"`
}

type historyColumn struct {
	Name       string   `json:"name"`
	TypeName   string   `json:"typeName"`
	Charset    *string  `json:"charsetName"`
	Length     *int     `json:"length"`
	Scale      *int     `json:"scale"`
	Optional   bool     `json:"optional"`
	HasDefault bool     `json:"hasDefaultValue"`
	Default    *string  `json:"defaultValueExpression"`
	Members    []string `json:"enumValues"`
	Increment  bool     `json:"autoIncremented"`
	Comment    string   `json:"comment"`
}

func readHistory(t testing.TB, path string) *goldenCatalog {
	c := &goldenCatalog{}
	type position struct {
		Pos      uint64 `json:"pos"`
		Snapshot any    `json:"snapshot"`
	}
	type line struct {
		Position position      `json:"position"`
		Changes  []tableChange `json:"tableChanges"`
		Value    *struct {
			Position position      `json:"position"`
			Changes  []tableChange `json:"tableChanges"`
		} `json:"value"`
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	for {
		var l line
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return c
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if l.Value != nil {
			l.Position, l.Changes = l.Value.Position, l.Value.Changes
		}
		if l.Position.Snapshot == nil { // a statement is behind its position
			l.Position.Pos++
		}
		for _, ch := range l.Changes {
			c.history = append(c.history, historyEntry{l.Position.Pos, ch})
		}
	}
}

// at returns the tables as of a position, by name.
func (c *goldenCatalog) at(pos uint64) map[string]*tableDef {
	out := make(map[string]*tableDef)
	for _, h := range c.history {
		id := strings.Split(strings.ReplaceAll(h.change.ID, `"`, ""), ".")
		if h.pos > pos || len(id) != 2 {
			continue
		}
		name := id[0] + "." + id[1]
		if h.change.Table == nil {
			delete(out, name)
			continue
		}
		d := &tableDef{ID: envelope.TableID{Catalog: id[0], Name: id[1]}, Key: h.change.Table.Key}
		for _, col := range h.change.Table.Columns {
			d.Columns = append(d.Columns, col.def())
		}
		if d.Charset = h.change.Table.Charset; len(d.Key) == 0 {
			d.Key = nil
		} else {
			d.Keys = []keyDef{{Name: primaryKey, Columns: d.Key}}
		}
		out[name] = d
	}
	return out
}

// table implements catalog: a recorded log needs nobody to ask, since it has the
// statements that changed its tables.
func (c *goldenCatalog) table(_ context.Context, id envelope.TableID) (*tableDef, error) {
	return nil, fmt.Errorf("the server is asked for table %s", id)
}

func (c *goldenCatalog) charset(id uint64) string {
	switch id {
	case 63:
		return "binary"
	case 8:
		return "latin1"
	case 33:
		return "utf8mb3"
	case 54, 101:
		return "utf16"
	case 45, 46, 255:
		return "utf8mb4"
	}
	if c.server != nil {
		return c.server().charset(id)
	}
	return "utf8mb4"
}

// decoder asks a real server: a recording has no character sets.
func (c *goldenCatalog) decoder(ctx context.Context, charset string) (binlog.Decoder, error) {
	if c.server == nil {
		return nil, fmt.Errorf("no server to ask for character set %s", charset)
	}
	return c.server().decoder(ctx, charset)
}

// utc implements catalog: all was recorded in UTC.
func (c *goldenCatalog) utc(_ context.Context, text, _ string) (string, error) { return text, nil }

func (c *goldenCatalog) evaluate(context.Context, []string, []string) ([][]byte, error) {
	return nil, errors.New("no server to compute with")
}

func (c *goldenCatalog) reread(context.Context, envelope.TableID, []string, []string) ([][][]byte, error) {
	return nil, errors.New("no server to read rows from")
}

func (h *historyColumn) def() columnDef {
	word, rest, _ := strings.Cut(strings.ToLower(h.TypeName), " ")
	d := columnDef{Name: h.Name, DataType: word, Full: word, Nullable: h.Optional, Comment: h.Comment, Increment: h.Increment}
	if h.Charset != nil {
		d.Charset = *h.Charset
	}
	length, scale := 0, 0
	if h.Length != nil {
		length = *h.Length
	}
	if h.Scale != nil {
		scale = *h.Scale
	}
	switch word {
	case "decimal":
		d.Precision, d.Scale = length, scale
	case "time", "datetime", "timestamp":
		d.FSP = length
	case "binary", "bit":
		d.Length = length
	case "enum", "set":
		for _, m := range h.Members {
			d.Members = append(d.Members, unquote(m))
		}
	}
	switch {
	case h.Scale != nil:
		d.Full += "(" + strconv.Itoa(length) + "," + strconv.Itoa(scale) + ")"
	case h.Length != nil && word != "float":
		d.Full += "(" + strconv.Itoa(length) + ")"
	}
	if rest != "" {
		d.Full += " " + rest
	}
	if h.HasDefault && h.Default != nil {
		v := strings.ReplaceAll(*h.Default, `\\`, `\`) // as it is written
		if word == "bit" {
			v = "b'" + v + "'"
		}
		if (word == "timestamp" || word == "datetime") && v == "1970-01-01 00:00:00" {
			d.NoDefault = true
		} else {
			d.Default = &v
		}
	}
	return d
}
