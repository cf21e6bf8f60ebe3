package envelope

import (
	"fmt"
	"strings"
)

// outbox makes of the rows inserted into an outbox table the messages that
// they hold: Debezium's EventRouter.
type outbox struct {
	id, key, payload, time string
	routeBy                string
	router                 regexRouter
	tombstone              bool // an empty payload becomes a tombstone
	invalid                string
	placements             []placement
	version                string     // table.field.event.schema.version
	expand                 *expansion // nil = the payload stays text
}

// placement is where a further field of the row goes.
type placement struct {
	field, alias string
	header       bool
}

func newOutbox(o *StepOptions) Step {
	x := outbox{
		id: o.Text("table.field.event.id", "id"), key: o.Text("table.field.event.key", "aggregateid"),
		payload: o.Text("table.field.event.payload", "payload"), time: o.Text("table.field.event.timestamp", ""),
		routeBy:   o.Text("route.by.field", "aggregatetype"),
		tombstone: o.flag("route.tombstone.on.empty.payload", false),
		invalid:   o.Text("table.op.invalid.behavior", o.Text("debezium.op.invalid.behavior", "warn")),
	}
	x.router = regexRouter{
		o.pattern("route.topic.regex", o.Text("route.topic.regex", "(?<routedByValue>.*)")),
		javaReplacement(o.Text("route.topic.replacement", "outbox.event.${routedByValue}")),
	}
	if x.invalid != "warn" && x.invalid != "error" && x.invalid != "fatal" {
		o.fault("table.op.invalid.behavior", "%q is none of warn, error, fatal", x.invalid)
	}
	for _, f := range o.List("table.fields.additional.placement") {
		parts := strings.Split(f, ":")
		p := placement{field: parts[0], alias: parts[0]}
		if len(parts) == 3 {
			p.alias = parts[2]
		}
		if len(parts) < 2 || len(parts) > 3 || parts[1] != "header" && parts[1] != "envelope" {
			o.fault("table.fields.additional.placement", "%q is not FIELD:header or FIELD:envelope, with :ALIAS or without", f)
			continue
		}
		p.header = parts[1] == "header"
		x.placements = append(x.placements, p)
	}
	x.version = o.Text("table.field.event.schema.version", "")
	o.Text("table.field.event.type", "") // of Debezium before 1.0
	if o.flag("table.expand.json.payload", false) {
		x.expand = &expansion{}
	}
	for option, set := range map[string]func(){
		"table.json.payload.null.behavior":        func() { x.setExpansion(func(e *expansion) { e.nulls = true }) },
		"table.json.payload.empty.array.behavior": func() { x.setExpansion(func(e *expansion) { e.arrays = true }) },
	} {
		other := map[bool]string{true: "optional_bytes", false: "optional_string"}[strings.Contains(option, "null")]
		switch v := o.Text(option, "ignore"); v {
		case "ignore":
		case other:
			set()
		default:
			o.fault(option, "%q is neither ignore nor %s", v, other)
		}
	}
	for _, option := range []string{"tracing.span.context.field", "tracing.operation.name", "tracing.with.context.field.only"} {
		o.Text(option, "") // no spans are told
	}
	return x
}

func (x *outbox) setExpansion(set func(*expansion)) {
	if x.expand != nil {
		set(x.expand)
	}
}

func (x outbox) compile(s *shape) (func(*record) (bool, error), error) {
	if s.flat {
		return nil, fmt.Errorf("EventRouter stands after the unwrapping: it needs the envelope")
	}
	columns, err := s.table.opts.Naming.named(s.table.Table.ID, s.table.out.Columns)
	if err != nil {
		return nil, err
	}
	at := make(map[string]int)
	for _, name := range []string{x.id, x.payload, x.routeBy} {
		if at[name], err = field(columns, name); err != nil {
			return nil, err
		}
	}
	key := -1
	if i, err := field(columns, x.key); err == nil {
		key = i
	}
	when, err := x.timestamp(columns)
	if err != nil {
		return nil, err
	}
	value := []int{at[x.payload]}
	var headers []placement
	var headerAt []int
	s.value = []Column{columns[at[x.payload]]}
	s.value[0].Name = payloadField
	for _, p := range x.placements {
		i, err := field(columns, p.field)
		if err != nil {
			return nil, err
		}
		if p.header {
			headers, headerAt = append(headers, p), append(headerAt, i)
			continue
		}
		c := columns[i]
		c.Name = p.alias
		s.value, value = append(s.value, c), append(value, i)
	}
	s.key, s.keyPlain, s.keyName = []Column{{Name: "key", Type: TypeOf(String)}}, true, "key"
	if key >= 0 {
		s.key[0] = columns[key]
	}
	s.flat, s.valuePlain, s.opaque = true, len(value) == 1, x.expand != nil || x.version != ""
	if s.valueName, err = s.names("Value"); err != nil {
		return nil, err
	}
	form, version := *s, -1
	if x.version != "" {
		if version, err = field(columns, x.version); err != nil {
			return nil, err
		}
	}
	s.branch() // wholly: each record says its topic
	return func(r *record) (bool, error) {
		if ok, err := x.wanted(r); !ok {
			return false, err
		}
		cells := split(s.table.out.Columns, r.c.After)
		payload := appendText(nil, &columns[at[x.payload]], cells[at[x.payload]])
		r.headers = append(r.headers, MessageHeader{"id", appendText(nil, &columns[at[x.id]], cells[at[x.id]])})
		for n, i := range headerAt {
			r.headers = append(r.headers, MessageHeader{headers[n].alias, appendText(nil, &columns[i], cells[i])})
		}
		r.topic = x.router.route(string(appendText(nil, &columns[at[x.routeBy]], cells[at[x.routeBy]])))
		r.key = nil
		if key >= 0 {
			r.key = [][]byte{cells[key]}
		}
		r.value, r.null = pick(cells, value), x.tombstone && strings.TrimSpace(string(payload)) == ""
		r.millis = when(r, cells)
		of := int64(0)
		if version >= 0 {
			of, _ = decodeValue(&columns[version], cells[version]).(int64)
			r.schema = form.valueSchema(int(of))
		}
		if x.expand != nil && !r.null {
			if c, cell, ok := x.expand.expand(payload); ok {
				with := form
				with.value = append([]Column{c}, form.value[1:]...)
				r.value[0], r.schema = cell, with.valueSchema(int(of))
			}
		}
		return true, nil
	}, nil
}

// wanted reports whether a record is an insert; a delete is what cleans the
// table up.
func (x outbox) wanted(r *record) (bool, error) {
	switch {
	case r.null || r.c.Op == Delete || r.c.Op == Truncate:
		return false, nil
	case r.c.Op == Update && x.invalid == "fatal":
		return false, fmt.Errorf("a row of an outbox table was updated")
	}
	return r.c.Op != Update, nil
}

// timestamp returns what gives the Kafka timestamp of a message.
func (x outbox) timestamp(columns []Column) (func(r *record, cells [][]byte) int64, error) {
	processed := func(r *record, _ [][]byte) int64 { return floorDiv(r.c.TsNs, 1e6) }
	if x.time == "" {
		return processed, nil
	}
	i, err := field(columns, x.time)
	if err != nil {
		return nil, err
	}
	unit := map[string]int64{
		"io.debezium.time.Timestamp": 1, "io.debezium.time.MicroTimestamp": 1e3, "io.debezium.time.NanoTimestamp": 1e6,
		"org.apache.kafka.connect.data.Timestamp": 1,
	}[columns[i].Type.Name]
	if unit == 0 {
		return nil, fmt.Errorf("field %s is no timestamp without zone", x.time)
	}
	return func(r *record, cells [][]byte) int64 {
		if n, ok := decodeValue(&columns[i], cells[i]).(int64); ok {
			return floorDiv(n, unit)
		}
		return processed(r, cells)
	}, nil
}
