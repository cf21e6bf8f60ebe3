package envelope

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// StepOptions are the options of one transform, by the names that they have
// after transforms.NAME. Options that are read are taken out, so that what is
// left is unknown.
type StepOptions struct {
	values map[string]string
	faults []StepFault
}

// StepFault is a fault of one option of a transform.
type StepFault struct{ Option, Message string }

// NewStepOptions reads options.
func NewStepOptions(values map[string]string) *StepOptions {
	return &StepOptions{values: maps.Clone(values)}
}

// Fault adds a fault of an option.
func (o *StepOptions) Fault(option, message string) { o.fault(option, "%s", message) }

func (o *StepOptions) fault(option, format string, args ...any) {
	o.faults = append(o.faults, StepFault{option, fmt.Sprintf(format, args...)})
}

// Text takes an option out, def if it is not given.
func (o *StepOptions) Text(name, def string) string {
	v, ok := o.values[name]
	delete(o.values, name)
	if !ok {
		return def
	}
	return v
}

func (o *StepOptions) required(name string) string {
	v := o.Text(name, "")
	if v == "" {
		o.fault(name, "is needed")
	}
	return v
}

// List takes an option of values with commas between out.
func (o *StepOptions) List(name string) []string {
	var out []string
	for part := range strings.SplitSeq(o.Text(name, ""), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func (o *StepOptions) flag(name string, def bool) bool {
	text := o.Text(name, strconv.FormatBool(def))
	v, err := strconv.ParseBool(text)
	if err != nil {
		o.fault(name, "%q is neither true nor false", text)
	}
	return v
}

// pattern compiles a regular expression that matches the whole of a text.
func (o *StepOptions) pattern(name, text string) *regexp.Regexp {
	re, err := regexp.Compile("^(?:" + javaPattern(text) + ")$")
	if err != nil {
		o.fault(name, "%v", err)
		return nil
	}
	return re
}

// javaPattern writes named groups as Go has them.
func javaPattern(text string) string {
	return regexp.MustCompile(`\(\?<([A-Za-z])`).ReplaceAllString(text, `(?P<$1`)
}

// javaReplacement writes the references of Java's replacement ($1, ${name}, \$)
// as Go's Expand takes them.
func javaReplacement(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(text[i])
		case c == '$' && i+1 < len(text) && digit(rune(text[i+1])):
			b.WriteString("${" + text[i+1:i+2] + "}")
			i++
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Faults returns what is wrong with the options read, and those that nobody
// read.
func (o *StepOptions) Faults() []StepFault {
	if v := o.Text("replace.null.with.default", "false"); v != "false" {
		o.fault("replace.null.with.default", "null stays null: only false is known")
	}
	out := o.faults
	for _, name := range slices.Sorted(maps.Keys(o.values)) {
		out = append(out, StepFault{name, "unknown option of this transform"})
	}
	return out
}

// Kafka Connect's and Debezium's own packages of transforms.
const (
	connectPackage  = "org.apache.kafka.connect.transforms."
	debeziumPackage = "io.debezium.transforms."

	// UnwrapClass is the transform that makes the flat form. It is no Step.
	UnwrapClass = debeziumPackage + "ExtractNewRecordState"
)

// steps has for each class of transform how its options are read.
func steps() map[string]func(o *StepOptions) Step {
	m := map[string]func(o *StepOptions) Step{
		connectPackage + "RegexRouter":           newRegexRouter,
		connectPackage + "Filter":                func(*StepOptions) Step { return dropAll{} },
		connectPackage + "InsertHeader":          newInsertHeader,
		connectPackage + "DropHeaders":           newDropHeaders,
		connectPackage + "ValueToKey":            func(o *StepOptions) Step { return valueToKey{o.fieldList("fields")} },
		connectPackage + "HeaderFrom$Value":      func(o *StepOptions) Step { return newHeaderFrom(o, false) },
		connectPackage + "HeaderFrom$Key":        func(o *StepOptions) Step { return newHeaderFrom(o, true) },
		debeziumPackage + "ByLogicalTableRouter": newLogicalRouter,
		debeziumPackage + "Filter":               newFilter,
		debeziumPackage + "ContentBasedRouter":   newContentRouter,
		debeziumPackage + "outbox.EventRouter":   newOutbox,

		connectPackage + "TimestampRouter":                         newTimestampRouter,
		debeziumPackage + "ExtractChangedRecordState":              newChangedFields,
		debeziumPackage + "HeaderToValue":                          newHeaderToValue,
		debeziumPackage + "TimezoneConverter":                      newTimezoneConverter,
		debeziumPackage + "SchemaChangeEventFilter":                newSchemaChangeFilter,
		debeziumPackage + "partitions.PartitionRouting":            newPartitionRouting,
		"io.debezium.connector.mysql.transforms.ReadToInsertEvent": func(*StepOptions) Step { return readToInsert{} },
	}
	for name, fn := range map[string]func(o *StepOptions, key bool) Step{
		"MaskField": newMaskField, "ReplaceField": newReplaceField, "InsertField": newInsertField,
		"ExtractField": newExtractField, "HoistField": newHoistField, "Cast": newCast,
		"TimestampConverter": newTimestampConverter, "SetSchemaMetadata": newSchemaMetadata,
		"Flatten": newFlatten,
	} {
		m[connectPackage+name+"$Value"] = func(o *StepOptions) Step { return fn(o, false) }
		m[connectPackage+name+"$Key"] = func(o *StepOptions) Step { return fn(o, true) }
	}
	return m
}

// StepClasses lists the transforms that there are, beside UnwrapClass.
func StepClasses() []string { return slices.Sorted(maps.Keys(steps())) }

// refusedSteps says of known classes why they are not among the transforms.
func refusedSteps() map[string]string {
	return map[string]string{
		debeziumPackage + "EnforceRecordSize":                                             "records are as large as they are; max.request.size says how large they may be",
		debeziumPackage + "GeometryFormatTransformer":                                     "geometries are written as Debezium has them by default",
		debeziumPackage + "SwapGeometryCoordinates":                                       "coordinates are written in the order that the database has",
		debeziumPackage + "VectorToJsonConverter":                                         "vectors are written as arrays",
		debeziumPackage + "ExtractSchemaToNewRecord":                                      "schemas are in the registry",
		debeziumPackage + "openlineage.OpenLineage":                                       "no events of lineage are sent",
		debeziumPackage + "tracing.ActivateTracingSpan":                                   "no spans are told",
		debeziumPackage + "ToLogicalTopicRouter":                                          "use ByLogicalTableRouter",
		debeziumPackage + "outbox.MongoEventRouter":                                       "it is for MongoDB",
		"io.debezium.connector.mongodb.transforms.ExtractNewDocumentState":                "it is for MongoDB",
		"io.debezium.connector.postgresql.transforms.timescaledb.TimescaleDb":             "hypertables are captured by their chunks; route those by RegexRouter",
		"io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent": "the content of logical messages is bytes, whatever is in them",
	}
}

// RefusedStep says why a known transform is not among those that there are, ""
// for one that nobody knows.
func RefusedStep(class string) string { return refusedSteps()[class] }

// NewStep makes a transform of its class; false if there is none of that name.
// Faults of its options are in o.
func NewStep(class string, o *StepOptions) (Step, bool) {
	fn, ok := steps()[class]
	if !ok {
		return nil, false
	}
	return fn(o), true
}

// Predicate says which records a transform is done to.
type Predicate struct {
	Topic     *regexp.Regexp // TopicNameMatches
	Header    string         // HasHeaderKey
	Tombstone bool           // RecordIsTombstone
	Negate    bool
}

// NewPredicate makes a predicate of its class; false if there is none of that
// name.
func NewPredicate(class string, o *StepOptions) (Predicate, bool) {
	const pkg = connectPackage + "predicates."
	switch class {
	case pkg + "TopicNameMatches":
		return Predicate{Topic: o.pattern("pattern", o.required("pattern"))}, true
	case pkg + "HasHeaderKey":
		return Predicate{Header: o.required("name")}, true
	case pkg + "RecordIsTombstone":
		return Predicate{Tombstone: true}, true
	}
	return Predicate{}, false
}

// When has a step done only to the records that a predicate holds for.
func When(p Predicate, s Step) Step { return conditional{p, s} }

type conditional struct {
	when Predicate
	step Step
}

func (x conditional) compile(s *shape) (func(*record) (bool, error), error) {
	if x.when.Topic != nil && !s.routed { // known of all records of the table
		if x.when.Topic.MatchString(s.topic) == x.when.Negate {
			return nil, nil
		}
		return x.step.compile(s)
	}
	before := *s
	before.key, before.value = slices.Clone(s.key), slices.Clone(s.value)
	fn, err := x.step.compile(s)
	if err != nil { // it fits none of the records, so that the predicate must hold for none
		*s = before
		return func(r *record) (bool, error) { //nolint:nilerr // each record that it holds for has the error
			if x.when.holds(r) == x.when.Negate {
				return true, nil
			}
			return false, err
		}, nil
	}
	if fn == nil || !sameFields(&before, s) {
		return nil, fmt.Errorf("a predicate that depends on the record stands before a transform that changes the schema: all records of a table have the same")
	}
	return func(r *record) (bool, error) {
		if x.when.holds(r) == x.when.Negate {
			return true, nil
		}
		return fn(r)
	}, nil
}

func (p *Predicate) holds(r *record) bool {
	switch {
	case p.Topic != nil:
		return p.Topic.MatchString(r.topic)
	case p.Header != "":
		return slices.ContainsFunc(r.headers, func(h MessageHeader) bool { return h.Key == p.Header })
	default:
		return r.null
	}
}

func sameFields(a, b *shape) bool {
	same := func(x, y Column) bool {
		return x.Name == y.Name && x.Type.Kind == y.Type.Kind && x.Type.Name == y.Type.Name && x.Nullable == y.Nullable
	}
	return a.keyName == b.keyName && a.valueName == b.valueName && a.keyPlain == b.keyPlain && a.valuePlain == b.valuePlain && a.version == b.version &&
		slices.EqualFunc(a.key, b.key, same) && slices.EqualFunc(a.value, b.value, same)
}

// dropAll is Kafka's Filter: what its predicate holds for is dropped.
type dropAll struct{}

func (dropAll) compile(*shape) (func(*record) (bool, error), error) {
	return func(*record) (bool, error) { return false, nil }, nil
}
