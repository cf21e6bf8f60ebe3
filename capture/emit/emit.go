// Package emit makes batches of changes into Kafka records: it registers the
// tables' schemas, creates their topics, and writes each batch together with
// the source's position in one transaction.
//
// The position of the connector NAME is the newest record with key NAME in the
// compacted topic offset.storage.topic; its value is the position's JSON.
package emit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tributary/capture"
	"tributary/envelope"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/registry"
)

// Options are those of the Kafka side of a connector. topic.Options are
// separate, as other daemons have them too.
type Options struct {
	topic.Options

	registry.Settings
	Schemas    registry.WriterSettings
	WireFormat string `opt:"wire.format" default:"confluent" enum:"confluent,apicurio,apicurio-headers,glue" doc:"how a record carries the id of its schema"`

	OffsetTopic       string            `opt:"offset.storage.topic" default:"tributary-offsets" doc:"compacted topic that holds the connectors' positions"`
	OffsetReplication int               `opt:"offset.storage.replication.factor" default:"-1" doc:"replicas of that topic when it is created; -1 = the broker's default"`
	Partitions        int               `opt:"topic.creation.default.partitions" default:"1" doc:"partitions of a table's topic when it is created, -1 = the broker's default; a key stays in its partition"`
	TopicGroups       []string          `opt:"topic.creation.groups" doc:"groups of topics that are created with other settings than those of the group default"`
	TopicSettings     map[string]string `opt:"topic.creation.*" doc:"topic.creation.GROUP.include and .exclude are regular expressions of a group's topics, .partitions and .replication.factor as for the group default, the others settings of the topic such as cleanup.policy"`
	Replication       int               `opt:"topic.creation.default.replication.factor" default:"-1" doc:"replicas of a table's topic when it is created; -1 = the broker's default"`
}

// Check returns what the tags cannot express.
func (o *Options) Check() []config.Problem {
	out := append(o.Options.Check(), o.Settings.Check()...)
	out = append(out, o.Schemas.Check(o.RegistryURL, o.WireFormat)...)
	if o.Partitions < 1 && o.Partitions != -1 {
		out = append(out, config.Problem{Key: "topic.creation.default.partitions", Message: "must be at least 1, or -1 for the broker's default"})
	}
	if _, err := o.creation(); err != nil {
		out = append(out, config.Problem{Key: err.key, Message: err.message})
	}
	if o.OffsetTopic == "" {
		out = append(out, config.Problem{Key: "offset.storage.topic", Message: "must not be empty"})
	}
	return out
}

// Registry makes the client of the registry.
func (o *Options) Registry(log *slog.Logger) (*registry.Client, error) {
	return o.Schemas.Writer(&o.Settings, 5*time.Second, log) // capture.Run retries for longer
}

// Emitter writes to Kafka. It implements capture.Emitter and is for one
// goroutine.
type Emitter struct {
	opts   Options
	create creation
	name   string
	format *envelope.Format
	wire   registry.Format
	client *registry.Client
	log    *slog.Logger

	admin  *topic.Admin
	writer *topic.Writer
	owner  owner

	tables   map[*envelope.Table]*tableState
	current  map[string]*envelope.Table // the newest version by table name
	last     *tableState                // of the change before
	events   map[envelope.Op]*eventState
	targets  map[[3]string]*target // by topic and schemas
	messages envelope.Messages
	records  []topic.Record
	around   int // bytes that a message has beside the row and key of its change
	packer   registry.Packer
	packed   []byte // what records of a batch point into, when they are compressed
}

// target is where records of one form go: a topic that exists, and schemas
// that are registered.
type target struct {
	topic   string
	wire    envelope.Wire
	headers []topic.Header // of records with key and value
	keyOnly []topic.Header // of tombstones
}

// tableState is a table version that is ready to be written.
type tableState struct {
	format *envelope.TableFormat
	target *target
	other  map[string]*target // where transforms send its records, by topic and schema
}

// eventState is a kind of change beside those of rows that is ready to be
// written.
type eventState struct {
	format *envelope.EventFormat
	target *target
}

// New returns an Emitter for the connector of that name. It connects at
// Resume.
func New(o Options, name string, format *envelope.Format, log *slog.Logger) (*Emitter, error) {
	wire, err := o.Schemas.Format(&o.Settings, o.WireFormat)
	if err != nil {
		return nil, fault.Human(err, "correct wire.format")
	}
	client, err := o.Registry(log)
	if err != nil {
		return nil, err
	}
	create, bad := o.creation()
	if bad != nil {
		return nil, fault.Humanf("correct it", "%s: %s", bad.key, bad.message)
	}
	return &Emitter{
		opts: o, create: create, name: name, format: format, wire: wire, client: client, log: log,
		owner: newOwner(), around: aroundLeast,
		tables: make(map[*envelope.Table]*tableState), current: make(map[string]*envelope.Table),
		events: make(map[envelope.Op]*eventState), targets: make(map[[3]string]*target),
	}, nil
}

// Close gives up the connections.
func (e *Emitter) Close() {
	if e.writer != nil {
		e.writer.Close()
		e.writer = nil
	}
	if e.admin != nil {
		e.admin.Close()
		e.admin = nil
	}
}

// Resume implements capture.Emitter. It fences off another process of the same
// connector.
func (e *Emitter) Resume(ctx context.Context) (capture.Position, error) {
	e.Close()
	e.tables, e.current, e.last = make(map[*envelope.Table]*tableState), make(map[string]*envelope.Table), nil
	e.events, e.targets = make(map[envelope.Op]*eventState), make(map[[3]string]*target)
	if err := e.client.Check(ctx); err != nil {
		return nil, err
	}
	var err error
	if e.admin, err = topic.NewAdmin(ctx, e.opts.Options, e.log); err != nil {
		return nil, err
	}
	err = e.admin.EnsureTopics(ctx, topic.Spec{
		Name: e.opts.OffsetTopic, Partitions: 1, Replication: replication(e.opts.OffsetReplication), Config: topic.Compacted(),
	})
	if err != nil {
		return nil, err
	}
	// An instance that has taken over meanwhile is left alone.
	if err := e.alone(ctx); err != nil {
		return nil, err
	}
	if e.writer, err = topic.NewWriter(ctx, e.opts.Options, e.name, e.log); err != nil {
		return nil, err
	}
	return e.resume(ctx)
}

// Position reads the connector's stored position, nil if there is none.
func (e *Emitter) Position(ctx context.Context, a *topic.Admin) (capture.Position, error) {
	pos, ok, err := a.Last(ctx, e.opts.OffsetTopic, []byte(e.name))
	if errors.Is(err, topic.ErrNoTopic) || err == nil && !ok {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the position of %s: %w", e.name, err)
	}
	return pos, nil
}

// Stored reads the connector's position without taking over from a process
// that is running.
func (e *Emitter) Stored(ctx context.Context) (capture.Position, error) {
	a, err := topic.NewAdmin(ctx, e.opts.Options, e.log)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return e.Position(ctx, a)
}

// SetPosition stores a position, nil for none: the next start takes it. It
// fences off a process of the same connector that is running. Resume must
// have been called.
func (e *Emitter) SetPosition(ctx context.Context, p capture.Position) error {
	err := e.writer.WriteTx(ctx, []topic.Record{{
		Topic: e.opts.OffsetTopic, Partition: topic.ByKey, Key: []byte(e.name), Value: p, Headers: e.owner.header, Timestamp: time.Now(),
	}})
	if err != nil {
		return fmt.Errorf("store the position of %s: %w", e.name, err)
	}
	return nil
}

func replication(n int) int16 {
	if n <= 0 {
		return 0
	}
	return int16(n)
}

// Emit implements capture.Emitter.
func (e *Emitter) Emit(ctx context.Context, b *capture.Batch) error {
	if e.writer == nil {
		return errors.New("emit before Resume")
	}
	if err := e.encode(ctx, b); err != nil {
		return err
	}
	var err error
	for range abortTries {
		err = e.writer.WriteTx(ctx, e.records)
		if !errors.Is(err, topic.ErrAborted) || fault.NeedsHuman(err) || ctx.Err() != nil {
			return err
		}
		e.log.Warn("transaction aborted; writing it again", "error", err)
	}
	return err
}

// abortTries is how often a batch is written before its source is started
// again. Only what is known to have left no trace is tried here.
const abortTries = 3

// encode fills records with those of the batch and of its position.
func (e *Emitter) encode(ctx context.Context, b *capture.Batch) error {
	e.messages.Reset()
	size := e.reserve(b.List)
	clear(e.records)
	e.records, e.packed = e.records[:0], e.packed[:0]
	now := time.Now()
	for i := range b.List {
		c := &b.List[i]
		from := len(e.messages.List)
		to, err := e.append(ctx, c)
		if err != nil {
			return err
		}
		for j := from; j < len(e.messages.List); j++ {
			m := &e.messages.List[j]
			to := to
			if m.Topic != "" && m.Topic != to.topic {
				if to, err = e.reroute(ctx, m); err != nil {
					return err
				}
			}
			if e.wire == registry.GlueZlib {
				m.Key, m.Value = e.pack(m.Key), e.pack(m.Value)
			}
			at := now
			if m.Millis != 0 {
				at = time.UnixMilli(m.Millis)
			}
			e.records = append(e.records, topic.Record{
				Topic: to.topic, Partition: partition(m), Key: m.Key, Value: m.Value,
				Headers: to.header(m), Timestamp: at,
			})
		}
	}
	if n := len(b.List); n > 0 {
		e.around = max(e.around, min((len(e.messages.Buf)-size)/n+1, aroundMost))
	}
	if len(b.End) > 0 {
		e.records = append(e.records, topic.Record{
			Topic: e.opts.OffsetTopic, Partition: topic.ByKey, Key: []byte(e.name), Value: b.End, Headers: e.owner.header, Timestamp: now,
		})
	}
	return nil
}

// reserve makes room for the messages of changes: messages keep each array that
// they have grown out of. What a large row took is not kept. It returns how many
// bytes the changes have.
func (e *Emitter) reserve(list []envelope.Change) int {
	size := 0
	for i := range list {
		c := &list[i]
		size += len(c.Key) + len(c.OldKey) + len(c.Before) + len(c.After)
	}
	want := size + len(list)*e.around
	if have := cap(e.messages.Buf); have < want || have > roomKept && have/2 > want {
		e.messages.Buf = make([]byte, 0, want+want/16)
	}
	if cap(e.packed) > roomKept {
		e.packed = nil
	}
	return size
}

// aroundLeast and aroundMost bound what is reserved for a message beside its change.
const (
	aroundLeast = 256
	aroundMost  = 1 << 10
)

// roomKept is how much memory for messages is kept whatever the next ones are.
const roomKept = 8 << 20

// pack compresses a key or value. What was packed before stays where it is
// when room for more is made.
func (e *Emitter) pack(data []byte) []byte {
	if data == nil {
		return nil
	}
	from := len(e.packed)
	e.packed = e.packer.Pack(e.packed, data)
	return e.packed[from:len(e.packed):len(e.packed)]
}

// append adds the messages of one change, and returns where they go.
func (e *Emitter) append(ctx context.Context, c *envelope.Change) (*target, error) {
	if c.Table == nil {
		x, err := e.event(ctx, c.Op)
		if err != nil || x == nil {
			return nil, err
		}
		if c.Op == envelope.Failed {
			e.tellFailure(ctx, c.Event.Failure, x.format.Topic)
		}
		x.format.Append(&e.messages, x.target.wire, c)
		return x.target, nil
	}
	t := e.last
	if t == nil || t.format.Table != c.Table {
		var err error
		if t, err = e.table(ctx, c.Table); err != nil {
			return nil, err
		}
		e.last = t
	}
	return t.target, t.format.Append(&e.messages, t.target.wire, c)
}

// tellFailure logs that a change was kept aside.
func (e *Emitter) tellFailure(ctx context.Context, f *envelope.Failure, name string) {
	level := slog.LevelWarn
	if e.format.Quiet() {
		level = slog.LevelDebug
	}
	e.log.Log(ctx, level, "a change that cannot be decoded is kept aside", "table", f.Table.String(), "error", f.Reason, "topic", name)
}

// header returns the headers of a record: those of its wire format, after one
// of its own, if it has that.
func (t *target) header(m *envelope.Message) []topic.Header {
	base := t.headers
	if m.Value == nil {
		base = t.keyOnly
	}
	if m.Header == "" && len(m.Headers) == 0 {
		return base
	}
	out := make([]topic.Header, 0, len(base)+len(m.Headers)+1)
	if m.Header != "" {
		out = append(out, topic.Header{Key: m.Header, Value: m.HeaderValue})
	}
	for _, h := range m.Headers {
		out = append(out, topic.Header{Key: h.Key, Value: h.Value})
	}
	return append(out, base...)
}

// partition is where a transform sends a record, by its key if none does.
func partition(m *envelope.Message) int32 {
	if m.Partition > 0 {
		return m.Partition - 1
	}
	return topic.ByKey
}

// reroute makes ready the topic to which a transform sends a record of the
// table before, and puts the ids of that topic's schemas into it.
func (e *Emitter) reroute(ctx context.Context, m *envelope.Message) (*target, error) {
	t := e.last
	form := m.Topic
	if m.Schema != "" {
		form += "\x00" + m.Schema
	}
	to, ok := t.other[form]
	if !ok {
		if !legalTopic(m.Topic) {
			return nil, fault.Humanf("correct the transform, or what it takes the name from", "a transform sends a record of %s to a topic whose name Kafka does not allow", t.format.Table.ID)
		}
		var err error
		if to, err = e.prepare(ctx, m.Topic, t.format.KeySchema, cmp.Or(m.Schema, t.format.ValueSchema)); err != nil {
			return nil, err
		}
		if t.other == nil {
			t.other = make(map[string]*target)
		}
		t.other[form] = to
	}
	copy(m.Key, to.wire.Key)
	copy(m.Value, to.wire.Value)
	return to, nil
}

// table makes a table version ready.
func (e *Emitter) table(ctx context.Context, t *envelope.Table) (*tableState, error) {
	if known, ok := e.tables[t]; ok {
		return known, nil
	}
	f, err := e.format.Table(t)
	if err != nil {
		return nil, err
	}
	out := &tableState{format: f}
	if f.Routed { // room for ids that reroute fills in
		room := e.wire.AppendHeader(nil, registry.ID{})
		out.target = &target{wire: envelope.Wire{Key: room, Value: room}}
	} else if out.target, err = e.prepare(ctx, f.Topic, f.KeySchema, f.ValueSchema); err != nil {
		return nil, err
	}
	name := t.ID.String()
	delete(e.tables, e.current[name]) // the version before
	e.tables[t], e.current[name] = out, t
	e.log.Info("table ready", "table", name, "topic", f.Topic, "columns", len(t.Columns))
	return out, nil
}

// event makes a kind of change ready, nil for one that becomes no record.
func (e *Emitter) event(ctx context.Context, op envelope.Op) (*eventState, error) {
	if known, ok := e.events[op]; ok {
		return known, nil
	}
	f := e.format.Event(op)
	if f == nil {
		e.events[op] = nil
		return nil, nil //nolint:nilnil // no record
	}
	to, err := e.prepare(ctx, f.Topic, f.KeySchema, f.ValueSchema)
	if err != nil {
		return nil, err
	}
	e.events[op] = &eventState{format: f, target: to}
	return e.events[op], nil
}

// prepare registers the schemas and creates the topic. keySchema is "" for
// records without key.
func (e *Emitter) prepare(ctx context.Context, name, keySchema, valueSchema string) (*target, error) {
	known := [3]string{name, keySchema, valueSchema}
	if to, ok := e.targets[known]; ok {
		return to, nil
	}
	out := &target{topic: name}
	if keySchema != "" {
		id, err := e.register(ctx, name, true, keySchema)
		if err != nil {
			return nil, err
		}
		out.wire.Key = e.wire.AppendHeader(nil, id)
		out.keyOnly = headers(e.wire.Headers(id, true))
	}
	id, err := e.register(ctx, name, false, valueSchema)
	if err != nil {
		return nil, err
	}
	out.wire.Value = e.wire.AppendHeader(nil, id)
	out.headers = append(headers(e.wire.Headers(id, false)), out.keyOnly...)
	if err = e.admin.EnsureTopics(ctx, e.create.spec(name)); err != nil {
		return nil, err
	}
	e.targets[known] = out
	return out, nil
}

func (e *Emitter) register(ctx context.Context, name string, isKey bool, schema string) (registry.ID, error) {
	id, err := e.client.RegisterTopic(ctx, name, isKey, schema)
	if err == nil {
		err = e.wire.Check(id)
	}
	return id, err
}

func headers(in []registry.Header) []topic.Header {
	var out []topic.Header
	for _, h := range in {
		out = append(out, topic.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// legalTopic reports whether Kafka allows the name.
func legalTopic(name string) bool {
	for _, r := range name {
		if r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= 249
}
