package envelope

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// fieldList takes an option that names fields out; there must be one.
func (o *StepOptions) fieldList(name string) []string {
	list := o.List(name)
	if len(list) == 0 {
		o.fault(name, "is needed")
	}
	return list
}

// fields returns the fields of one side, which must be a record of known
// fields: the value is, once it is unwrapped.
func (s *shape) fields(key bool) (*[]Column, error) {
	if !key && s.opaque {
		return nil, fmt.Errorf("a transform of the value's fields stands after an EventRouter that expands JSON: the fields are others in each record")
	}
	switch {
	case key && !s.keyPlain:
		return &s.key, nil
	case !key && s.flat && !s.valuePlain:
		return &s.value, nil
	}
	return nil, fmt.Errorf("a transform of fields stands where there is no record of fields: put it after one of type %s", UnwrapClass)
}

func (r *record) cells(key bool) *[][]byte {
	if key {
		return &r.key
	}
	return &r.value
}

// absent reports whether the record has no such side.
func (r *record) absent(key bool) bool {
	if key {
		return r.key == nil
	}
	return r.null
}

// insertHeader adds a header of constant text.
type insertHeader MessageHeader

func newInsertHeader(o *StepOptions) Step {
	return insertHeader{o.required("header"), []byte(o.Text("value.literal", ""))}
}

func (x insertHeader) compile(*shape) (func(*record) (bool, error), error) {
	return func(r *record) (bool, error) {
		r.headers = append(r.headers, MessageHeader(x))
		return true, nil
	}, nil
}

type dropHeaders []string

func newDropHeaders(o *StepOptions) Step { return dropHeaders(o.fieldList("headers")) }

func (x dropHeaders) compile(*shape) (func(*record) (bool, error), error) {
	return func(r *record) (bool, error) {
		r.headers = slices.DeleteFunc(r.headers, func(h MessageHeader) bool { return slices.Contains(x, h.Key) })
		return true, nil
	}, nil
}

// headerFrom copies or moves fields into headers.
type headerFrom struct {
	key             bool
	fields, headers []string
	move            bool
}

func newHeaderFrom(o *StepOptions, key bool) Step {
	fields, headers, move := o.headerFields()
	return headerFrom{key: key, fields: fields, headers: headers, move: move}
}

// headerFields are fields and the headers that stand for them, of which one is made
// from the other, and whether that one goes.
func (o *StepOptions) headerFields() (fields, headers []string, move bool) {
	fields, headers = o.fieldList("fields"), o.fieldList("headers")
	switch op := o.required("operation"); op {
	case "move":
		move = true
	case "copy", "":
	default:
		o.fault("operation", "%q is neither copy nor move", op)
	}
	if len(fields) != len(headers) {
		o.fault("headers", "has %d names for %d fields", len(headers), len(fields))
	}
	return fields, headers, move
}

func (x headerFrom) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	all := *columns
	var from []int
	for _, f := range x.fields {
		i, err := field(all, f)
		if err != nil {
			return nil, err
		}
		from = append(from, i)
	}
	var stay []int
	if x.move {
		stay = without(all, from)
		*columns = pick(all, stay)
	}
	return func(r *record) (bool, error) {
		if r.absent(x.key) {
			return true, nil
		}
		cells := r.cells(x.key)
		for n, i := range from {
			r.headers = append(r.headers, MessageHeader{x.headers[n], appendText(nil, &all[i], (*cells)[i])})
		}
		if x.move {
			*cells = pick(*cells, stay)
		}
		return true, nil
	}, nil
}

func pick[T any](list []T, at []int) []T {
	out := make([]T, 0, len(at)+2)
	for _, i := range at {
		out = append(out, list[i])
	}
	return out
}

func without(columns []Column, out []int) []int {
	var stay []int
	for i := range columns {
		if !slices.Contains(out, i) {
			stay = append(stay, i)
		}
	}
	return stay
}

// valueToKey makes a key of fields of the value.
type valueToKey struct{ fields []string }

func (x valueToKey) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(false)
	if err != nil {
		return nil, err
	}
	var from []int
	for _, f := range x.fields {
		i, err := field(*columns, f)
		if err != nil {
			return nil, err
		}
		from = append(from, i)
	}
	s.key, s.keyPlain = pick(*columns, from), false
	if s.keyName == "" {
		if s.keyName, err = s.names("Key"); err != nil {
			return nil, err
		}
	}
	return func(r *record) (bool, error) {
		if r.null {
			return true, fmt.Errorf("ValueToKey has no value to take the key of a tombstone from: drop tombstones before, or give it a predicate")
		}
		r.key = pick(r.value, from)
		return true, nil
	}, nil
}

// maskField replaces fields by the zero of their type, or by a text.
type maskField struct {
	key         bool
	fields      []string
	replacement *string
}

func newMaskField(o *StepOptions, key bool) Step {
	x := maskField{key: key, fields: o.fieldList("fields")}
	if v, ok := o.values["replacement"]; ok {
		x.replacement = &v
		delete(o.values, "replacement")
	}
	return x
}

func (x maskField) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	all := *columns
	cells := make(map[int][]byte)
	for i := range all { // a table without the field has nothing to mask, as in Connect
		if !slices.Contains(x.fields, all[i].Name) {
			continue
		}
		if cells[i], err = x.cell(&all[i]); err != nil {
			return nil, err
		}
	}
	if len(cells) == 0 {
		return nil, nil
	}
	return func(r *record) (bool, error) {
		if r.absent(x.key) {
			return true, nil
		}
		row := *r.cells(x.key)
		for i, c := range cells {
			if _, _, null := value(&all[i], row[i]); !null {
				row[i] = c
			}
		}
		return true, nil
	}, nil
}

func (x maskField) cell(c *Column) ([]byte, error) {
	dst := c.AppendPresent(nil)
	if x.replacement == nil {
		t := c.Type
		if t.Name == "" || t.Kind == String {
			t.Zero = nil // Connect masks text with nothing
		}
		return t.AppendZero(dst), nil
	}
	switch c.Type.Kind {
	case String:
		return AppendString(dst, *x.replacement), nil
	case Int, Long:
		n, err := strconv.ParseInt(*x.replacement, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("replacement of field %s is no whole number", c.Name)
		}
		return AppendLong(dst, n), nil
	case Double:
		f, err := strconv.ParseFloat(*x.replacement, 64)
		if err != nil {
			return nil, fmt.Errorf("replacement of field %s is no number", c.Name)
		}
		return AppendDouble(dst, f), nil
	}
	return nil, fmt.Errorf("field %s is of a type for which there is no replacement", c.Name)
}

// replaceField leaves fields out and renames others.
type replaceField struct {
	key              bool
	include, exclude []string
	renames          map[string]string
}

func newReplaceField(o *StepOptions, key bool) Step {
	x := replaceField{key: key, renames: make(map[string]string)}
	x.exclude = append(o.List("exclude"), o.List("blacklist")...)
	x.include = append(o.List("include"), o.List("whitelist")...)
	for _, r := range o.List("renames") {
		from, to, ok := strings.Cut(r, ":")
		if !ok {
			o.fault("renames", "%q is not OLD:NEW", r)
		}
		x.renames[from] = to
	}
	return x
}

func (x replaceField) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	all := *columns
	var stay []int
	for i := range all {
		if name := all[i].Name; !slices.Contains(x.exclude, name) && (len(x.include) == 0 || slices.Contains(x.include, name)) {
			stay = append(stay, i)
		}
	}
	out := pick(all, stay)
	for i := range out {
		if to, ok := x.renames[out[i].Name]; ok {
			out[i].Name = to
		}
	}
	*columns = out
	if len(stay) == len(all) {
		return nil, nil
	}
	return func(r *record) (bool, error) {
		if !r.absent(x.key) {
			*r.cells(x.key) = pick(*r.cells(x.key), stay)
		}
		return true, nil
	}, nil
}

// insertField adds fields that the record says itself.
type insertField struct {
	key           bool
	static, value string
	topic, time   string
}

func newInsertField(o *StepOptions, key bool) Step {
	x := insertField{key: key, static: o.Text("static.field", ""), value: o.Text("static.value", ""), topic: o.Text("topic.field", ""), time: o.Text("timestamp.field", "")}
	for _, name := range []string{"offset.field", "partition.field"} {
		if o.Text(name, "") != "" {
			o.fault(name, "a record has none before it is written")
		}
	}
	if x.static == "" && x.topic == "" && x.time == "" {
		o.fault("static.field", "is needed, or topic.field, or timestamp.field")
	}
	return x
}

// optional takes the mark off a field's name: ! for one that is required, ?
// for one that may be null (the default).
func optional(name string) (string, bool) {
	if n, ok := strings.CutSuffix(name, "!"); ok {
		return n, false
	}
	return strings.TrimSuffix(name, "?"), true
}

func (x insertField) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	var cells []func(r *record) []byte
	add := func(name string, t Type, fn func(dst []byte, r *record) []byte) {
		c := Column{Type: t}
		c.Name, c.Nullable = optional(name)
		*columns = append((*columns)[:len(*columns):len(*columns)], c)
		cells = append(cells, func(r *record) []byte {
			return r.keep(func(dst []byte) []byte { return fn(c.AppendPresent(dst), r) })
		})
	}
	if x.topic != "" {
		topic := ""
		if !s.routed {
			topic = s.topic
		}
		add(x.topic, TypeOf(String), func(dst []byte, r *record) []byte { return AppendString(dst, cmp.Or(topic, r.topic)) })
	}
	if x.time != "" {
		add(x.time, TypeConnectTimestamp(), func(dst []byte, r *record) []byte { return AppendLong(dst, floorDiv(r.c.TsNs, 1e6)) })
	}
	if x.static != "" {
		add(x.static, TypeOf(String), func(dst []byte, _ *record) []byte { return AppendString(dst, x.value) })
	}
	return func(r *record) (bool, error) {
		if !r.absent(x.key) {
			for _, fn := range cells {
				*r.cells(x.key) = append(*r.cells(x.key), fn(r))
			}
		}
		return true, nil
	}, nil
}

// extractField takes one field in place of the record that holds it.
type extractField struct {
	key  bool
	name string
}

func newExtractField(o *StepOptions, key bool) Step { return extractField{key, o.required("field")} }

func (x extractField) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	at, err := field(*columns, x.name)
	if err != nil {
		return nil, err
	}
	*columns = []Column{(*columns)[at]}
	if x.key {
		s.keyPlain = true
	} else {
		s.valuePlain = true
	}
	return func(r *record) (bool, error) {
		if !r.absent(x.key) {
			*r.cells(x.key) = [][]byte{(*r.cells(x.key))[at]}
		}
		return true, nil
	}, nil
}

// hoistField puts a value that is no record into one of one field.
type hoistField struct {
	key  bool
	name string
}

func newHoistField(o *StepOptions, key bool) Step { return hoistField{key, o.required("field")} }

func (x hoistField) compile(s *shape) (func(*record) (bool, error), error) {
	plain, columns := &s.valuePlain, s.value
	if x.key {
		plain, columns = &s.keyPlain, s.key
	}
	if !*plain {
		return nil, fmt.Errorf("HoistField stands where the %s is a record: only one field that was extracted can be hoisted", map[bool]string{true: "key", false: "value"}[x.key])
	}
	*plain = false
	columns[0].Name = x.name
	return nil, nil
}

// schemaMetadata renames the record.
type schemaMetadata struct {
	key     bool
	name    string
	version int
}

func newSchemaMetadata(o *StepOptions, key bool) Step {
	x := schemaMetadata{key: key, name: o.Text("schema.name", "")}
	if v := o.Text("schema.version", ""); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || key {
			o.fault("schema.version", "must be a number from 1 on, of the value")
		}
		x.version = n
	}
	return x
}

func (x schemaMetadata) compile(s *shape) (func(*record) (bool, error), error) {
	if _, err := s.fields(x.key); err != nil {
		return nil, err
	}
	switch {
	case x.name == "":
	case x.key:
		s.keyName = x.name
	default:
		s.valueName = x.name
	}
	s.version = x.version
	return nil, nil
}

// cast changes the types of fields.
type cast struct {
	key  bool
	spec map[string]string
}

// castTypes are the types that a field can be cast to.
func castTypes() map[string]Type {
	return map[string]Type{
		"int8": {Kind: Int}, "int16": TypeInt16(), "int32": TypeOf(Int), "int64": TypeOf(Long),
		"float32": TypeOf(Float), "float64": TypeOf(Double), "boolean": TypeOf(Boolean), "string": TypeOf(String),
	}
}

func newCast(o *StepOptions, key bool) Step {
	x := cast{key: key, spec: make(map[string]string)}
	for _, s := range o.fieldList("spec") {
		name, typ, ok := strings.Cut(s, ":")
		name, typ = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(typ))
		if _, known := castTypes()[typ]; !ok || !known {
			o.fault("spec", "%q is not FIELD:TYPE with one of %s", s, strings.Join(slices.Sorted(maps.Keys(castTypes())), ", "))
		}
		x.spec[name] = typ
	}
	return x
}

func (x cast) compile(s *shape) (func(*record) (bool, error), error) {
	columns, err := s.fields(x.key)
	if err != nil {
		return nil, err
	}
	from := *columns
	to := slices.Clone(from)
	type change struct {
		at   int
		name string
	}
	var changes []change
	for i := range from { // a table without the field has nothing to cast, as in Connect
		name := from[i].Name
		typ, ok := x.spec[name]
		if !ok {
			continue
		}
		if k := from[i].Type.Kind; k > String || k == Bytes {
			return nil, fmt.Errorf("field %s of type %s cannot be cast", name, k)
		}
		to[i].Type, to[i].schema, to[i].Default = castTypes()[typ], "", nil
		changes = append(changes, change{i, typ})
	}
	if len(changes) == 0 {
		return nil, nil
	}
	*columns = to
	return func(r *record) (bool, error) {
		if r.absent(x.key) {
			return true, nil
		}
		cells := *r.cells(x.key)
		for _, c := range changes {
			v := decodeValue(&from[c.at], cells[c.at])
			out := []byte{}
			if v == nil {
				out = to[c.at].AppendNull(out)
			} else if out, err = appendCast(to[c.at].AppendPresent(out), v, c.name); err != nil {
				return true, fmt.Errorf("cast field %s to %s: %w", from[c.at].Name, c.name, err)
			}
			cells[c.at] = out
		}
		return true, nil
	}, nil
}
