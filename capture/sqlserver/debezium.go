package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tributary/capture"
	"tributary/internal/fault"
)

// FromDebezium makes a position of the offsets of Debezium's connector: one for each
// database.
func (s *Source) FromDebezium(_ context.Context, list []capture.DebeziumOffset) (capture.Position, error) {
	p := &position{Databases: make(map[string]*place)}
	for i := range list {
		o := &list[i]
		if o.Server != "" && o.Server != s.cfg.Prefix {
			continue
		}
		name := o.Database
		if name == "" && len(s.cfg.Databases) == 1 {
			name = s.cfg.Databases[0]
		}
		at := slices.IndexFunc(s.cfg.Databases, func(d string) bool { return strings.EqualFold(d, name) })
		if at < 0 {
			return nil, fault.Humanf("give the offset with its partition, which names the database, and list that in database.names", "Debezium's offset is of database %q, which is not captured", name)
		}
		if o.Unfinished() {
			return nil, capture.ErrUnfinished()
		}
		to := &place{}
		err1 := to.Commit.UnmarshalText([]byte(o.Text("commit_lsn")))
		err2 := to.Change.UnmarshalText([]byte(o.Text("change_lsn")))
		n, err3 := o.Int("event_serial_no")
		err := errors.Join(err1, err2, err3)
		if err == nil && to.Commit == (lsnText{}) {
			err = errors.New("commit_lsn is missing")
		}
		if err != nil {
			return nil, fault.Human(fmt.Errorf("read Debezium's offset: %w", err), "give the offset of a connector for SQL Server")
		}
		to.SerialNo = n
		p.Databases[s.cfg.Databases[at]] = to
	}
	var missing []string
	for _, d := range s.cfg.Databases {
		if p.Databases[d] == nil {
			missing = append(missing, d)
		}
	}
	if len(missing) > 0 {
		return nil, fault.Humanf("give the offsets of all databases together: the whole answer of GET /connectors/NAME/offsets; see that topic.prefix is that of the connector",
			"Debezium's offsets have none of %s of topic.prefix %s", strings.Join(missing, ", "), s.cfg.Prefix)
	}
	return p.append(nil)
}
