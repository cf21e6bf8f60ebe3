package envelope

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf16"

	"tributary/internal/fault"
)

// Adjustment says what is done about names that Avro does not allow.
type Adjustment string

// The values of schema.name.adjustment.mode and field.name.adjustment.mode.
const (
	AdjustNone        Adjustment = "none"         // an illegal name is an error
	AdjustAvro        Adjustment = "avro"         // illegal characters become _
	AdjustAvroUnicode Adjustment = "avro_unicode" // illegal characters and _ become _uXXXX
)

// Naming makes the names of topics, schemas and fields.
type Naming struct {
	Prefix  string // topic.prefix
	Schemas Adjustment
	Fields  Adjustment

	Delimiter       string // topic.delimiter, "" = a dot
	HeartbeatPrefix string // topic.heartbeat.prefix, "" = Debezium's default
	HeartbeatTopic  string // topic.heartbeat.name, "" = made of the prefixes
	Transactions    string // topic.transaction, "" = "transaction"
	Unicode         bool   // characters that Kafka does not allow become _uXXXX
}

// Topic returns the topic of a table: prefix and the parts of its ID with the
// delimiter between, characters that Kafka does not allow replaced by _.
func (n Naming) Topic(id TableID) string {
	return n.sanitize(n.join(append([]string{n.Prefix}, id.parts()...)...))
}

// Heartbeat returns the topic of heartbeats.
func (n Naming) Heartbeat() string {
	if n.HeartbeatTopic != "" {
		return n.HeartbeatTopic
	}
	return n.join(cmp.Or(n.HeartbeatPrefix, "__debezium-heartbeat"), n.Prefix)
}

// Transaction returns the topic that tells where transactions begin and end.
func (n Naming) Transaction() string { return n.join(n.Prefix, cmp.Or(n.Transactions, "transaction")) }

func (n Naming) join(parts ...string) string { return strings.Join(parts, cmp.Or(n.Delimiter, ".")) }

func (n Naming) sanitize(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r == '.' || r == '-' || r == '_' || alphanumeric(r):
			b.WriteRune(r)
		case n.Unicode:
			fmt.Fprintf(&b, "_u%04x", r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// record returns the full name of a record of the table ("Key", "Value",
// "Envelope").
func (n Naming) record(id TableID, what string) (string, error) {
	return n.recordOf(n.Topic(id), what, id)
}

// recordOf is record for a topic of another name.
func (n Naming) recordOf(topic, what string, id TableID) (string, error) {
	full := topic + "." + what
	adjusted := n.Schemas.apply(full, true)
	for part := range strings.SplitSeq(adjusted, ".") {
		if !legal(part) {
			return "", fault.Human(fmt.Errorf("schema name %q of table %s is no Avro name", full, id),
				"set schema.name.adjustment.mode to avro")
		}
	}
	return adjusted, nil
}

func (n Naming) field(id TableID, name string) (string, error) {
	adjusted := n.Fields.apply(name, false)
	if !legal(adjusted) {
		return "", fault.Human(fmt.Errorf("column %q of table %s is no Avro name", name, id),
			"set field.name.adjustment.mode to avro")
	}
	return adjusted, nil
}

// apply adjusts a name; dots also stay.
func (a Adjustment) apply(name string, dots bool) string {
	if a == "" || a == AdjustNone {
		return name
	}
	unicode := a == AdjustAvroUnicode
	var b strings.Builder
	first := true // character of a part
	for _, c := range utf16.Encode([]rune(name)) {
		r := rune(c)
		begins := first
		first = dots && r == '.'
		switch {
		case alpha(r) || r == '_' && !unicode || !begins && digit(r) || b.Len() > 0 && dots && r == '.':
			b.WriteRune(r)
		case unicode && r <= 0xff:
			fmt.Fprintf(&b, "_u00%x", r)
		case unicode:
			fmt.Fprintf(&b, "_u%x", r)
		case begins && digit(r):
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

func legal(name string) bool {
	for i, r := range name {
		if r != '_' && !alpha(r) && (i == 0 || !digit(r)) {
			return false
		}
	}
	return name != ""
}

func alpha(r rune) bool        { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func digit(r rune) bool        { return r >= '0' && r <= '9' }
func alphanumeric(r rune) bool { return alpha(r) || digit(r) }
