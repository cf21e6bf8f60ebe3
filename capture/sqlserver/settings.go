package sqlserver

import (
	"strings"
	"time"

	"tributary/capture"
	"tributary/envelope"
)

// settings are the options together with what is compiled of them.
type settings struct {
	*Options
	filter    *capture.Filter
	snapshots *capture.Filter
	skipOp    [256]bool
	lag       time.Duration // how long a secondary may take to come to a position
}

func newSettings(o *Options) (*settings, error) {
	s := &settings{Options: o, lag: lagWait}
	var err error
	if s.filter, err = capture.NewFilter(&o.Options); err != nil {
		return nil, err
	}
	if s.snapshots, err = capture.NewFilter(&capture.Options{IncludeTables: o.SnapshotOf}); err != nil {
		return nil, err
	}
	for _, op := range []envelope.Op{envelope.Create, envelope.Update, envelope.Delete} {
		s.skipOp[op] = o.Skips(op)
	}
	return s, nil
}

// short is a table without its database: the lists of options may name it so.
func short(id envelope.TableID) envelope.TableID {
	return envelope.TableID{Schema: id.Schema, Name: id.Name}
}

// include reports whether a table is captured. A list of exclusions that names it
// either way leaves it out.
func (s *settings) include(id envelope.TableID) bool {
	if id.Schema == "cdc" || id.Schema == "sys" {
		return false
	}
	if len(s.ExcludeTables) > 0 {
		return s.filter.Table(id) && s.filter.Table(short(id))
	}
	return s.filter.Table(id) || s.filter.Table(short(id))
}

func (s *settings) column(id envelope.TableID, name string) bool {
	if len(s.ExcludeColumns) > 0 {
		return s.filter.Column(id, name) && s.filter.Column(short(id), name)
	}
	return s.filter.Column(id, name) || s.filter.Column(short(id), name)
}

func (s *settings) rank(id envelope.TableID) int {
	return min(s.filter.Rank(id), s.filter.Rank(short(id)))
}

// snapshotOf reports whether a snapshot reads a table.
func (s *settings) snapshotOf(id envelope.TableID) bool {
	return s.snapshots.Table(id) || s.snapshots.Table(short(id))
}

// unmatched are the entries of table.include.list that match no table.
func (s *settings) unmatched(ids []envelope.TableID) []string {
	all := append([]envelope.TableID{}, ids...)
	for _, id := range ids {
		all = append(all, short(id))
	}
	return s.filter.Unmatched(all)
}

func lower(s string) string { return strings.ToLower(s) }
