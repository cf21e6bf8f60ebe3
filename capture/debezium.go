package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tributary/internal/fault"
)

// DebeziumOffset is an offset that a connector of Debezium has had Kafka Connect
// store.
type DebeziumOffset struct {
	Server   string // the connector's topic.prefix, "" = not told
	Database string // SQL Server's, "" = not told
	Fields   map[string]json.RawMessage
}

// ReadDebezium reads offsets of Debezium in one of the forms in which they come:
// the answer of Kafka Connect's GET /connectors/NAME/offsets; records of its topic
// of offsets, each a key ["NAME", {"server": …}] and a value, of which the last for
// a key counts; or an offset alone. It returns false if text is none of them, but,
// it may be, a position of a Source.
func ReadDebezium(text []byte) ([]DebeziumOffset, bool, error) {
	var values []json.RawMessage
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var v json.RawMessage
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, nil //nolint:nilerr // no JSON, so none of them
		}
		values = append(values, v)
	}
	var all offsetsByKey
	for i := 0; i < len(values); i++ {
		v := values[i]
		var form struct {
			Offsets []connectOffset `json:"offsets"`
			Key     json.RawMessage `json:"key"`
			Value   json.RawMessage `json:"value"`
		}
		if v[0] == '[' { // a key, with its value after it
			if i++; i == len(values) {
				return nil, false, nil
			}
			form.Key, form.Value = v, values[i]
		} else if err := json.Unmarshal(v, &form); err != nil {
			return nil, false, nil //nolint:nilerr // of another form
		}
		switch {
		case form.Offsets != nil:
			for _, o := range form.Offsets {
				if err := all.add(o.Partition, o.Offset); err != nil {
					return nil, true, err
				}
			}
		case form.Key != nil:
			partition, err := partitionOf(form.Key)
			if err == nil {
				err = all.add(partition, form.Value)
			}
			if err != nil {
				return nil, true, err
			}
		case len(values) == 1 && isDebezium(v):
			if err := all.add(nil, v); err != nil {
				return nil, true, err
			}
		default:
			return nil, false, nil
		}
	}
	if len(values) == 0 {
		return nil, false, nil
	}
	out := slices.DeleteFunc(all.list, func(o DebeziumOffset) bool { return o.Fields == nil })
	if len(out) == 0 {
		return nil, true, fault.Humanf("give the offsets of a connector that has run: those of GET /connectors/NAME/offsets", "there is no offset in it")
	}
	return out, true, nil
}

// connectOffset is one of the answer of Kafka Connect.
type connectOffset struct {
	Partition map[string]string `json:"partition"`
	Offset    json.RawMessage   `json:"offset"`
}

// partitionOf reads the partition out of a key of the topic of offsets.
func partitionOf(key json.RawMessage) (map[string]string, error) {
	var parts []json.RawMessage
	partition := make(map[string]string)
	err := json.Unmarshal(key, &parts)
	if err == nil && len(parts) != 2 {
		err = fmt.Errorf("a connector's name and a partition are wanted, not %d values", len(parts))
	}
	if err == nil {
		err = json.Unmarshal(parts[1], &partition)
	}
	if err != nil {
		return nil, fault.Human(fmt.Errorf("read the key of an offset: %w", err), `its form is ["NAME", {"server": "TOPIC.PREFIX"}]`)
	}
	return partition, nil
}

// offsetsByKey are the last offsets of the partitions, in the order of their first.
type offsetsByKey struct{ list []DebeziumOffset }

func (a *offsetsByKey) add(partition map[string]string, text json.RawMessage) error {
	o := DebeziumOffset{Server: partition["server"], Database: partition["database"]}
	if err := json.Unmarshal(text, &o.Fields); err != nil { // null: it was deleted
		return fault.Human(fmt.Errorf("read an offset: %w", err), "an offset of Debezium is a JSON object")
	}
	for i, known := range a.list {
		if known.Server == o.Server && known.Database == o.Database {
			a.list[i] = o
			return nil
		}
	}
	a.list = append(a.list, o)
	return nil
}

// debeziumFields are those that Debezium's offsets have and positions of ours do
// not, by beginnings.
var debeziumFields = []string{"ts_sec", "ts_usec", "server_id", "transaction_", "lsn_proc", "lsn_commit", "txId", "messageType",
	"snapshot_completed", "last_snapshot_record", "incremental_snapshot", "commit_lsn", "change_lsn"}

// isDebezium reports whether an object is an offset of Debezium: it has a field that
// only those have, or lacks what ours always have.
func isDebezium(v json.RawMessage) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(v, &fields) != nil || fields["slot"] != nil || fields["databases"] != nil || fields["position"] != nil {
		return false
	}
	for name := range fields {
		if slices.ContainsFunc(debeziumFields, func(f string) bool { return strings.HasPrefix(name, f) }) {
			return true
		}
	}
	_, ours := fields["server"]
	lsn := fields["lsn"]
	return len(lsn) > 0 && lsn[0] != '"' || fields["file"] != nil && !ours && (fields["event"] != nil || fields["row"] != nil)
}

// Int is a number of an offset, 0 if it has none of that name.
func (o *DebeziumOffset) Int(name string) (int64, error) {
	v, ok := o.Fields[name]
	if !ok || string(v) == "null" {
		return 0, nil
	}
	var n int64
	if err := json.Unmarshal(bytes.Trim(v, `"`), &n); err != nil || n < 0 {
		return 0, fault.Humanf("give it as Debezium has stored it", "read Debezium's offset: %s is no number of 0 or more", name)
	}
	return n, nil
}

// Text is a text of an offset, "" if it has none of that name.
func (o *DebeziumOffset) Text(name string) string {
	var s string
	if json.Unmarshal(o.Fields[name], &s) != nil {
		return ""
	}
	return s
}

// flag is a field that is true or false, whichever way that is written.
func (o *DebeziumOffset) flag(name string) (value, given bool) {
	switch text := strings.ToLower(strings.Trim(string(o.Fields[name]), `"`)); text {
	case "", "null":
		return false, false
	default:
		return text != "false", true
	}
}

// Unfinished reports whether the offset is of a snapshot that Debezium has not
// brought to its end.
func (o *DebeziumOffset) Unfinished() bool {
	snapshot, _ := o.flag("snapshot")
	completed, told := o.flag("snapshot_completed")
	if told {
		return !completed
	}
	return snapshot
}

// ErrUnfinished refuses the offset of a snapshot in work.
func ErrUnfinished() error {
	return fault.Humanf("let Debezium finish its snapshot and stop it then; or set no position: the first start takes a snapshot of its own",
		"the offset is of a snapshot that Debezium has not finished: what it has left to read cannot be told from it")
}

// incrementalTables is the field that lists the tables of incremental snapshots.
const incrementalTables = "incremental_snapshot_collections"

// Incremental lists the tables of incremental snapshots that are in work, and
// their conditions.
func (o *DebeziumOffset) Incremental() ([]DebeziumTable, error) {
	text := o.Text(incrementalTables)
	if text == "" {
		return nil, nil
	}
	var list []map[string]*string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fault.Human(fmt.Errorf("read the tables of Debezium's incremental snapshot: %w", err), "take "+incrementalTables+" out of the offset, and give the signal again to this connector")
	}
	var out []DebeziumTable
	for _, fields := range list {
		var t DebeziumTable
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			v := ""
			if fields[name] != nil {
				v = *fields[name]
			}
			switch {
			case strings.HasSuffix(name, "_additional_condition"):
				t.Filter = v
			case strings.HasSuffix(name, "_surrogate_key"):
				t.By = v
			case strings.HasSuffix(name, "_id"):
				t.Name = v
			}
		}
		if t.Name != "" {
			out = append(out, t)
		}
	}
	return out, nil
}

// DebeziumTable is a table of an incremental snapshot.
type DebeziumTable struct{ Name, Filter, By string }

// OneDebezium returns the offset of a connector with one partition: that of its
// topic.prefix.
func OneDebezium(list []DebeziumOffset, prefix string) (*DebeziumOffset, error) {
	var others []string
	for i := range list {
		switch list[i].Server {
		case prefix, "":
			return &list[i], nil
		default:
			others = append(others, list[i].Server)
		}
	}
	return nil, fault.Humanf("set topic.prefix to that of the connector, or give the offset alone, without its partition",
		"the offsets are of topic.prefix %s; that of this connector is %s", strings.Join(others, ", "), prefix)
}
