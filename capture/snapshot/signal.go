package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tributary/envelope"
)

// The types of signals about snapshots, as Debezium names them.
const (
	Execute = "execute-snapshot"
	Stop    = "stop-snapshot"
	Pause   = "pause-snapshot"
	Resume  = "resume-snapshot"
	Log     = "log" // writes a line into the log
)

// Signal is an order to a running connector.
type Signal struct {
	ID   string     `json:"id,omitempty"`
	Type string     `json:"type"`
	Data SignalData `json:"data"`
	// Done is called when the signal has been obeyed and a position tells so;
	// nil = nobody wants to know.
	Done func() `json:"-"`
}

// SignalData is what a signal is about.
type SignalData struct {
	Collections []string    `json:"data-collections,omitempty"` // regular expressions of tables
	Type        string      `json:"type,omitempty"`             // INCREMENTAL or BLOCKING
	Conditions  []Condition `json:"additional-conditions,omitempty"`
	// Condition is the former form of Conditions: one for all tables.
	Condition string `json:"additional-condition,omitempty"`
	// Surrogate is the column to read the tables by instead of their keys.
	Surrogate string `json:"surrogate-key,omitempty"`
	Message   string `json:"message,omitempty"` // of Log
}

// Condition restricts the rows of the tables that it matches.
type Condition struct {
	Collection string `json:"data-collection"`
	Filter     string `json:"filter"` // SQL, what follows WHERE
}

// ParseSignal reads a signal from its parts: the columns of a signal table, or
// the fields of a message.
func ParseSignal(id, typ string, data []byte) (Signal, error) {
	s := Signal{ID: id, Type: typ}
	if len(data) > 0 && string(data) != "null" {
		if err := json.Unmarshal(data, &s.Data); err != nil {
			return s, errors.New("its data is no JSON object of a signal")
		}
	}
	return s, s.Check()
}

// ParseMessage reads a signal from one JSON object, as Kafka and files have it.
func ParseMessage(text []byte) (Signal, error) {
	var m struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Signal{}, errors.New("it is no JSON object")
	}
	return ParseSignal(m.ID, m.Type, m.Data)
}

// Check reports what is wrong with a signal.
func (s *Signal) Check() error {
	switch s.Type {
	case Execute:
		if len(s.Data.Collections) == 0 {
			return errors.New("data-collections is empty")
		}
		if t := s.Data.Type; t != "" && !strings.EqualFold(t, "incremental") && !s.blocking() {
			return fmt.Errorf("snapshots of type %q are not known: there are incremental and blocking", t)
		}
	case Stop, Pause, Resume, Log:
	default:
		return fmt.Errorf("type %q is none of %s, %s, %s, %s", s.Type, Execute, Stop, Pause, Resume)
	}
	for _, c := range s.Data.Conditions {
		if _, err := compile(c.Collection); err != nil {
			return err
		}
	}
	for _, c := range s.Data.Collections {
		if _, err := compile(c); err != nil {
			return err
		}
	}
	return nil
}

// blocking reports whether the log has to wait for the snapshot.
func (s *Signal) blocking() bool { return strings.EqualFold(s.Data.Type, "blocking") }

func compile(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile("(?i)^(?:" + strings.ReplaceAll(pattern, `"`, "") + ")$")
}

// matches reports whether one of the signal's patterns matches the table. Such
// as a name is are patterns too.
func (s *Signal) matches(id envelope.TableID) bool {
	return slices.ContainsFunc(s.Data.Collections, func(p string) bool {
		re, err := compile(p)
		return err == nil && re.MatchString(id.String())
	})
}

// filter returns the condition for a table, "" for none.
func (s *Signal) filter(id envelope.TableID) string {
	for _, c := range s.Data.Conditions {
		if re, err := compile(c.Collection); err == nil && re.MatchString(id.String()) {
			return c.Filter
		}
	}
	return s.Data.Condition
}
