package capturetest_test

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/capture/mysql"
	"tributary/capture/postgres"
	"tributary/envelope"
)

// TestGoldenEvents takes every recorded record that is not about a row
// (heartbeats, transactions, schema changes, logical messages) apart and
// compares what is made of its parts, bytes and schemas.
func TestGoldenEvents(t *testing.T) {
	seen := make(map[envelope.Op]int)
	for _, server := range []string{"mysql", "mariadb", "postgres"} {
		for _, s := range capturetest.Scenarios(t, server) {
			for i := range s.Variants {
				v := &s.Variants[i]
				t.Run(v.Name, func(t *testing.T) { goldenEvents(t, v, seen) })
			}
		}
	}
	for _, op := range []envelope.Op{envelope.Heartbeat, envelope.Begin, envelope.End, envelope.DDL, envelope.Logical} {
		if seen[op] == 0 {
			t.Errorf("no record of %s was compared", op)
		}
	}
}

func goldenEvents(t *testing.T, v *capturetest.Variant, seen map[envelope.Op]int) {
	prefix := v.Config["topic.prefix"]
	format := envelope.NewFormat(envelope.Options{Block: block(v), Naming: envelope.Naming{Prefix: prefix}})
	for i := range v.Records {
		r := &v.Records[i]
		c := event(r, prefix)
		if c == nil {
			continue
		}
		if old := strings.Contains(v.Name, "/v35-") || strings.Contains(v.Name, "/mariadb/"); old && c.Op != envelope.Heartbeat && c.Op != envelope.Begin && c.Op != envelope.End {
			continue // their source blocks have other schemas: see differences.txt of the databases
		}
		if c.Op == envelope.DDL && string(r.Source["table"]) == `""` {
			continue // Debezium has the name of no table for CREATE INDEX; here it is null
		}
		seen[c.Op]++
		f := format.Event(c.Op)
		var m envelope.Messages
		f.Append(&m, envelope.Wire{}, c)
		if f.Topic != r.Topic || string(m.List[0].Key) != string(r.Key) || string(m.List[0].Value) != string(r.Value) {
			t.Errorf("record %d (%s)\n got %x = %x\nwant %x = %x", i, r.Topic, m.List[0].Key, m.List[0].Value, r.Key, r.Value)
		}
		if f.KeySchema != r.KeySchema || f.ValueSchema != r.ValueSchema {
			t.Errorf("record %d (%s)\n got %s\n    %s\nwant %s\n    %s", i, r.Topic, f.KeySchema, f.ValueSchema, r.KeySchema, r.ValueSchema)
		}
		if t.Failed() {
			return
		}
	}
}

func block(v *capturetest.Variant) envelope.Block {
	common := capture.Options{Prefix: v.Config["topic.prefix"], Class: v.Config["connector.class"]}
	if db := v.Config["database.dbname"]; db != "" {
		return postgres.Block(&postgres.Options{Options: common, Database: db}, "3.0.8.Final")
	}
	b := mysql.Block(&mysql.Options{Options: common}, "3.0.8.Final")
	// The id is given, not made.
	b.Transaction = func(dst []byte, s *envelope.Source) []byte { return append(dst, s.GTID...) }
	return b
}

// event makes a change of a record, nil of one that is about a row.
func event(r *capturetest.Record, prefix string) *envelope.Change {
	p := r.Payload
	c := &envelope.Change{}
	number := func(m map[string]json.RawMessage, key string) int64 {
		n, _ := capturetest.Int(m, key)
		return n
	}
	c.TsNs = number(p, "ts_ms") * 1e6
	switch r.Topic {
	case "__debezium-heartbeat." + prefix:
		c.Op = envelope.Heartbeat
	case prefix + ".transaction":
		c.Op = envelope.Begin
		c.Source.TsNs = c.TsNs
		id := capturetest.Text(p, "id")
		c.Source.GTID = id
		if tx, lsn, ok := strings.Cut(id, ":"); ok {
			c.Source.TxID, _ = strconv.ParseInt(tx, 10, 64)
			c.Source.LSN, _ = strconv.ParseInt(lsn, 10, 64)
		}
		if capturetest.Text(p, "status") == "END" {
			c.Op, c.Order = envelope.End, number(p, "event_count")
			var list []struct {
				Name  string `json:"data_collection"`
				Count int64  `json:"event_count"`
			}
			_ = json.Unmarshal(p["data_collections"], &list)
			c.Event = &envelope.Event{}
			for _, l := range list {
				c.Event.Tables = append(c.Event.Tables, envelope.TableCount{Table: envelope.TableID{Name: l.Name}, Count: l.Count})
			}
		}
	case prefix + ".message":
		c.Op = envelope.Logical
		source(r, c)
		var m struct{ Prefix, Content string }
		_ = json.Unmarshal(p["message"], &m)
		content, _ := base64.StdEncoding.DecodeString(m.Content)
		c.Event = &envelope.Event{Message: &envelope.LogicalMessage{Prefix: m.Prefix, Content: content}}
		var tx map[string]json.RawMessage
		if json.Unmarshal(p["transaction"], &tx) == nil && tx != nil {
			c.Order, c.TableOrder = number(tx, "total_order"), number(tx, "data_collection_order")
		}
	case prefix:
		c.Op = envelope.DDL
		source(r, c)
		c.Event = &envelope.Event{Schema: schemaChange(r)}
	default:
		return nil
	}
	return c
}

func source(r *capturetest.Record, c *envelope.Change) {
	m := r.Source
	number := func(key string) int64 {
		n, _ := capturetest.Int(m, key)
		return n
	}
	c.Source = envelope.Source{
		TsNs: number("ts_ns"), LSN: number("lsn"), TxID: number("txId"), File: capturetest.Text(m, "file"), Pos: number("pos"),
		Row: int32(number("row")), ServerID: number("server_id"), Thread: number("thread"), //nolint:gosec // as recorded
		GTID: capturetest.Text(m, "gtid"), Query: capturetest.Text(m, "query"),
	}
	if capturetest.Text(m, "snapshot") == "true" {
		c.Source.Snapshot = envelope.SnapshotTrue
	}
	var sequence []*string
	if json.Unmarshal([]byte(capturetest.Text(m, "sequence")), &sequence) == nil && len(sequence) == 2 && sequence[0] != nil {
		c.Source.LastCommit, _ = strconv.ParseInt(*sequence[0], 10, 64)
	}
}

func schemaChange(r *capturetest.Record) *envelope.SchemaChange {
	s := &envelope.SchemaChange{Database: capturetest.Text(r.Payload, "databaseName"), DDL: capturetest.Text(r.Payload, "ddl")}
	if raw := r.Source["table"]; raw != nil && json.Unmarshal(raw, &s.Table) != nil {
		s.Table = nil
	}
	var changes []struct {
		Type, ID string
		Table    *struct {
			Charset string   `json:"defaultCharsetName"`
			Key     []string `json:"primaryKeyColumnNames"`
			Comment string
			Columns []struct {
				Name                                 string
				JDBCType                             int32
				TypeName, TypeExpression             string
				CharsetName, Comment                 string
				Length, Scale                        *int32
				Optional, AutoIncremented, Generated bool
				Default                              *string  `json:"defaultValueExpression"`
				Enum                                 []string `json:"enumValues"`
			}
		}
	}
	_ = json.Unmarshal(r.Payload["tableChanges"], &changes)
	for _, c := range changes {
		db, table, _ := strings.Cut(strings.Trim(c.ID, `"`), `"."`)
		out := envelope.TableChange{Type: c.Type, ID: envelope.TableID{Catalog: db, Name: table}}
		if c.Table != nil {
			out.Table = &envelope.TableSchema{Charset: c.Table.Charset, PrimaryKey: c.Table.Key, Comment: c.Table.Comment}
			for _, col := range c.Table.Columns {
				x := envelope.ColumnSchema{
					Name: col.Name, JDBCType: col.JDBCType, TypeName: col.TypeName, Expression: col.TypeExpression, Charset: col.CharsetName,
					Length: -1, Scale: -1, Optional: col.Optional, AutoIncrement: col.AutoIncremented, Generated: col.Generated,
					Comment: col.Comment, Default: col.Default, Enum: col.Enum,
				}
				if col.Length != nil {
					x.Length = *col.Length
				}
				if col.Scale != nil {
					x.Scale = *col.Scale
				}
				out.Table.Columns = append(out.Table.Columns, x)
			}
		}
		s.Changes = append(s.Changes, out)
	}
	return s
}
