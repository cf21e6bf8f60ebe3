package envelope

// Event is what a change carries that is not about a row.
type Event struct {
	Tables  []TableCount    // of End: events by table, in order of appearance
	Message *LogicalMessage // of Logical
	Schema  *SchemaChange   // of DDL
	Failure *Failure        // of Failed
	Note    *Notification   // of Notify
}

// Notification tells how a snapshot goes on, as Debezium does.
type Notification struct {
	ID        string
	Aggregate string // "Initial Snapshot" or "Incremental Snapshot"
	Type      string // STARTED, COMPLETED…
	Data      []Param
}

// LogicalMessage is what pg_logical_emit_message wrote.
type LogicalMessage struct {
	Prefix  string
	Content []byte
}

// Failure is a change that could not be decoded and that was kept aside.
type Failure struct {
	Table  TableID
	Reason string // never holds a value of a row
	Raw    []byte // the change as the database's log has it
}

// The schemas of the records that are not about rows, as Debezium registers
// them.
const (
	common = "io.debezium.connector.common"

	heartbeatKeySchema   = `{"type":"record","name":"ServerNameKey","namespace":"` + common + `","fields":[{"name":"serverName","type":"string"}],"connect.version":1,"connect.name":"` + common + `.ServerNameKey"}`
	heartbeatValueSchema = `{"type":"record","name":"Heartbeat","namespace":"` + common + `","fields":[{"name":"ts_ms","type":"long"}],"connect.version":1,"connect.name":"` + common + `.Heartbeat"}`

	transactionKeySchema   = `{"type":"record","name":"TransactionMetadataKey","namespace":"` + common + `","fields":[{"name":"id","type":"string"}],"connect.version":1,"connect.name":"` + common + `.TransactionMetadataKey"}`
	transactionValueSchema = `{"type":"record","name":"TransactionMetadataValue","namespace":"` + common + `","fields":[{"name":"status","type":"string"},{"name":"id","type":"string"},{"name":"event_count","type":["null","long"],"default":null},{"name":"data_collections","type":["null",{"type":"array","items":["null",{"type":"record","name":"collection","namespace":"event","fields":[{"name":"data_collection","type":"string"},{"name":"event_count","type":"long"}],"connect.version":1,"connect.name":"event.collection"}]}],"default":null},{"name":"ts_ms","type":"long"}],"connect.version":1,"connect.name":"` + common + `.TransactionMetadataValue"}`

	notificationKeySchema   = `{"type":"record","name":"NotificationKey","namespace":"` + common + `","fields":[{"name":"id","type":"string"}],"connect.version":1,"connect.name":"` + common + `.NotificationKey"}`
	notificationValueSchema = `{"type":"record","name":"Notification","namespace":"` + common + `","fields":[{"name":"id","type":"string"},{"name":"type","type":"string"},{"name":"aggregate_type","type":"string"},{"name":"additional_data","type":["null",{"type":"map","values":"string"}],"default":null},{"name":"timestamp","type":"long"}],"connect.version":1,"connect.name":"` + common + `.Notification"}`

	failureSchema = `{"type":"record","name":"Failure","namespace":"tributary","fields":[{"name":"connector","type":"string"},{"name":"table","type":"string"},{"name":"position","type":"string"},{"name":"reason","type":"string"},{"name":"raw","type":"bytes","doc":"the change as the database's log has it"},{"name":"ts_ms","type":"long"}]}`
)

// EventFormat is the Format of one kind of record that is not about a row.
type EventFormat struct {
	Topic       string
	KeySchema   string // "" = the records have no key
	ValueSchema string

	key, value func(dst []byte, c *Change) []byte
	drops      []schemaChangeFilter
}

// Event returns the Format of a kind of change, nil for a kind that becomes no
// record.
func (f *Format) Event(op Op) *EventFormat {
	out := f.event(op)
	if out != nil {
		for _, s := range append(f.opts.Before[:len(f.opts.Before):len(f.opts.Before)], f.opts.After...) {
			if x := schemaFilter(s, out.Topic); x != nil && op == DDL {
				out.drops = append(out.drops, x)
			}
			out.Topic = routed(s, out.Topic)
		}
	}
	return out
}

// routed is the topic to which a transform sends the records of a topic that
// are not about rows.
func routed(s Step, topic string) string {
	switch s := s.(type) {
	case regexRouter:
		return s.route(topic)
	case conditional:
		if s.when.Topic != nil && s.when.Topic.MatchString(topic) != s.when.Negate {
			return routed(s.step, topic)
		}
	}
	return topic
}

func (f *Format) event(op Op) *EventFormat {
	n := f.opts.Naming
	switch op {
	case Heartbeat:
		return &EventFormat{
			Topic: n.Heartbeat(), KeySchema: heartbeatKeySchema, ValueSchema: heartbeatValueSchema,
			key:   func(dst []byte, _ *Change) []byte { return AppendString(dst, n.Prefix) },
			value: func(dst []byte, c *Change) []byte { return AppendLong(dst, floorDiv(c.TsNs, 1e6)) },
		}
	case Begin, End:
		return &EventFormat{
			Topic: n.Transaction(), KeySchema: transactionKeySchema, ValueSchema: transactionValueSchema,
			key: f.opts.Block.appendTransactionID, value: f.opts.Block.appendTransaction,
		}
	case Logical:
		return f.message()
	case DDL:
		return f.schemaChange()
	case Notify:
		if f.opts.Notifications == "" {
			return nil
		}
		return &EventFormat{
			Topic: f.opts.Notifications, KeySchema: notificationKeySchema, ValueSchema: notificationValueSchema,
			key:   func(dst []byte, c *Change) []byte { return AppendString(dst, c.Event.Note.ID) },
			value: appendNotification,
		}
	case Failed:
		return &EventFormat{
			Topic: f.opts.DeadLetters, ValueSchema: failureSchema, value: func(dst []byte, c *Change) []byte {
				x := c.Event.Failure
				dst = AppendString(AppendString(dst, n.Prefix), x.Table.String())
				dst = AppendString(f.opts.Block.appendTransactionID(dst, c), x.Reason)
				return AppendLong(AppendBytes(dst, x.Raw), floorDiv(c.TsNs, 1e6))
			},
		}
	}
	return nil
}

func appendNotification(dst []byte, c *Change) []byte {
	n := c.Event.Note
	dst = AppendString(AppendString(AppendString(dst, n.ID), n.Type), n.Aggregate)
	dst = append(dst, 2)
	if len(n.Data) > 0 {
		dst = AppendLong(dst, int64(len(n.Data)))
		for _, p := range n.Data {
			dst = AppendString(AppendString(dst, p.Key), p.Value)
		}
	}
	dst = append(dst, 0) // end of the map
	return AppendLong(dst, floorDiv(c.TsNs, 1e6))
}

// Append adds the record of c.
func (f *EventFormat) Append(r *Messages, w Wire, c *Change) {
	for _, x := range f.drops {
		if x.drops(c.Event.Schema) {
			return
		}
	}
	var m Message
	if f.key != nil {
		start := len(r.Buf)
		r.Buf = f.key(append(r.Buf, w.Key...), c)
		m.Key = r.Buf[start:len(r.Buf):len(r.Buf)]
	}
	start := len(r.Buf)
	r.Buf = f.value(append(r.Buf, w.Value...), c)
	m.Value = r.Buf[start:len(r.Buf):len(r.Buf)]
	r.List = append(r.List, m)
}

func (b *Block) appendTransactionID(dst []byte, c *Change) []byte {
	if b.Transaction == nil {
		return AppendString(dst, "")
	}
	var buf [96]byte
	return AppendBytes(dst, b.Transaction(buf[:0], &c.Source))
}

func (b *Block) appendTransaction(dst []byte, c *Change) []byte {
	if c.Op == Begin {
		dst = b.appendTransactionID(AppendString(dst, "BEGIN"), c)
		dst = append(dst, 0, 0)
		return AppendLong(dst, floorDiv(c.Source.TsNs, 1e6))
	}
	dst = b.appendTransactionID(AppendString(dst, "END"), c)
	dst = AppendLong(append(dst, 2), c.Order)
	dst = append(dst, 2)
	if n := len(c.Event.Tables); n > 0 {
		dst = AppendLong(dst, int64(n))
		for _, t := range c.Event.Tables {
			dst = AppendLong(AppendString(append(dst, 2), t.Table.String()), t.Count)
		}
	}
	dst = append(dst, 0) // end of the array
	return AppendLong(dst, floorDiv(c.Source.TsNs, 1e6))
}

// message is the Format of logical messages.
func (f *Format) message() *EventFormat {
	b := &f.opts.Block
	w := newSchemaWriter()
	record := func(name string) {
		w.raw(`{"type":"record","name":"` + name + `","namespace":"` + b.Package + `","fields":[`)
	}
	end := func(name string) { w.raw(`],"connect.version":1,"connect.name":"` + b.Package + "." + name + `"}`) }
	record("MessageKey")
	w.field("prefix", `["null","string"]`, "null")
	end("MessageKey")
	key := string(w.b)
	w = newSchemaWriter()
	content := "bytes"
	if f.opts.TextMessages {
		content = "string"
	}
	record("MessageValue")
	w.raw(`{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null},{"name":"source","type":`)
	w.source(b, b.Package)
	w.raw(`},{"name":"transaction","type":` + transactionBlock + `,"default":null},{"name":"message","type":{"type":"record","name":"Message","fields":[`)
	w.raw(`{"name":"prefix","type":["null","string"],"default":null},{"name":"content","type":["null","` + content + `"],"default":null}`)
	end("Message")
	w.raw("}")
	end("MessageValue")
	source := b.segments(&Table{})
	return &EventFormat{
		Topic: f.opts.Naming.join(f.opts.Naming.Prefix, "message"), KeySchema: key, ValueSchema: string(w.b),
		key: func(dst []byte, c *Change) []byte { return AppendString(append(dst, 2), c.Event.Message.Prefix) },
		value: func(dst []byte, c *Change) []byte {
			dst = AppendString(dst, "m")
			dst = AppendLong(append(dst, 2), floorDiv(c.TsNs, 1e6))
			dst = appendSegments(dst, source, c)
			dst = b.appendOrder(dst, c)
			dst = AppendString(append(dst, 2), c.Event.Message.Prefix)
			return AppendBytes(append(dst, 2), c.Event.Message.Content)
		},
	}
}

// appendOrder appends the transaction block of a change: null if it has none.
func (b *Block) appendOrder(dst []byte, c *Change) []byte {
	if c.Order == 0 {
		return append(dst, 0)
	}
	dst = b.appendTransactionID(append(dst, 2), c)
	return AppendLong(AppendLong(dst, c.Order), c.TableOrder)
}
