package lake

import (
	"context"
	"sort"
	"strings"

	"tributary/lake/blob"
)

// Timeline is the active timeline of a table at one moment, by ascending time.
// It does not change.
type Timeline struct {
	all     []Instant
	horizon string
	bare    map[string]bool // times of completed writes without a requested or inflight file
}

// All returns every instant, each in its furthest state.
func (t *Timeline) All() []Instant { return t.all }

// Completed returns the instants that changed data and are completed.
func (t *Timeline) Completed() []Instant {
	return t.filter(func(i Instant) bool { return i.State == StateCompleted && i.Action.writesData() })
}

// Pending returns the instants that are not completed.
func (t *Timeline) Pending() []Instant {
	return t.filter(func(i Instant) bool { return i.State != StateCompleted })
}

func (t *Timeline) filter(keep func(Instant) bool) []Instant {
	var out []Instant
	for _, i := range t.all {
		if keep(i) {
			out = append(out, i)
		}
	}
	return out
}

// Newest returns the newest completed instant that changed data; zero if none.
func (t *Timeline) Newest() Instant { return t.AsOf(latest) }

// Oldest returns the oldest completed instant that changed data and is still
// on the active timeline; zero if none.
func (t *Timeline) Oldest() Instant {
	if c := t.Completed(); len(c) > 0 {
		return c[0]
	}
	return Instant{}
}

// AsOf returns the newest completed instant that changed data at or before at;
// zero if none.
func (t *Timeline) AsOf(at string) Instant {
	for i := len(t.all) - 1; i >= 0; i-- {
		in := t.all[i]
		if in.State == StateCompleted && in.Action.writesData() && in.Time <= at {
			return in
		}
	}
	return Instant{}
}

// Horizon returns the oldest instant that can be read, or "" if the table can
// be read from its beginning.
func (t *Timeline) Horizon() string { return t.horizon }

// latest sorts after every instant.
const latest = "~"

// first returns the time of the first write, completed or not: what is older and
// has a file is committed. Cleans, rollbacks and the like may stay on the
// timeline for longer than the writes before and after them.
func (t *Timeline) first() string {
	for _, i := range t.all {
		switch i.Action {
		case ActionSavepoint, ActionClean, ActionRollback, ActionRestore, ActionIndexing:
		default:
			return i.Time
		}
	}
	return ""
}

// last returns the greatest instant time on the timeline, whatever its state.
func (t *Timeline) last() string {
	if len(t.all) == 0 {
		return ""
	}
	return t.all[len(t.all)-1].Time
}

// suffixes maps the ending of a timeline file's name to what it means. In table
// version 6 a completed compaction is a commit, a completed log compaction a
// deltacommit.
var suffixes = func() map[string]Instant {
	m := map[string]Instant{"inflight": {Action: ActionCommit, State: StateInflight}}
	for _, a := range []Action{
		ActionCommit, ActionDeltaCommit, ActionReplaceCommit, ActionCompaction, ActionLogCompaction,
		ActionClean, ActionRollback, ActionRestore, ActionSavepoint, ActionIndexing,
	} {
		if a != ActionCompaction && a != ActionLogCompaction {
			m[string(a)] = Instant{Action: a, State: StateCompleted}
		}
		m[string(a)+".requested"] = Instant{Action: a, State: StateRequested}
		m[string(a)+".inflight"] = Instant{Action: a, State: StateInflight}
	}
	// From table version 8 on a clustering that is not completed has its own name.
	m["clustering.requested"] = Instant{Action: ActionReplaceCommit, State: StateRequested}
	m["clustering.inflight"] = Instant{Action: ActionReplaceCommit, State: StateInflight}
	return m
}()

// parseTimelineFile reads the name of a file of the timeline; ok is false for
// another. From table version 8 on the name of a completed instant has the time of
// completion too: <instant>_<completion>.<action>.
func parseTimelineFile(name string) (i Instant, ok bool) {
	time, suffix, found := strings.Cut(name, ".")
	time, done, two := strings.Cut(time, "_")
	if !found || !digits(time) || two && !digits(done) {
		return Instant{}, false
	}
	i, ok = suffixes[suffix]
	i.Time, i.Done = time, done
	return i, ok && (!two || i.State == StateCompleted)
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// timelineFile names the file of the timeline that says that i has reached its
// state.
func timelineFile(i Instant) string {
	switch {
	case i.State == StateCompleted && i.Done != "":
		return i.Time + "_" + i.Done + "." + string(i.Action)
	case i.State == StateCompleted:
		return i.Time + "." + string(i.Action)
	case i.State == StateInflight && i.Action == ActionCommit:
		return i.Time + ".inflight"
	default:
		return i.Time + "." + string(i.Action) + "." + string(i.State)
	}
}

// readTimeline lists the timeline in a folder. Its files are those whose name
// begins with a digit: what sorts before (.temp, .locks…) and after (archived,
// metadata…) is not listed.
func readTimeline(ctx context.Context, store blob.Store, folder string) (*Timeline, error) {
	prefix := folder + "/"
	reached := map[Instant]State{} // by instant without its state
	done := map[Instant]string{}   // and its completion
	begun := map[string]bool{}     // times that have a file of another state
	for info, err := range store.List(ctx, prefix, prefix+"/") {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(info.Key, prefix)
		if name > ":" {
			break
		}
		i, ok := parseTimelineFile(name)
		if !ok {
			continue
		}
		state, at := i.State, i.Done
		if state != StateCompleted {
			begun[i.Time] = true
		}
		i.State, i.Done = "", ""
		if order(state) > order(reached[i]) {
			reached[i], done[i] = state, at
		}
	}
	t := &Timeline{}
	for i, s := range reached {
		// A completed compaction leaves <instant>.commit beside its requested and
		// inflight files.
		if i.Action == ActionCompaction && reached[Instant{Time: i.Time, Action: ActionCommit}] == StateCompleted ||
			i.Action == ActionLogCompaction && reached[Instant{Time: i.Time, Action: ActionDeltaCommit}] == StateCompleted {
			continue
		}
		i.State, i.Done = s, done[i]
		t.all = append(t.all, i)
		if s == StateCompleted && i.Action.writesData() && !begun[i.Time] {
			if t.bare == nil {
				t.bare = map[string]bool{}
			}
			t.bare[i.Time] = true
		}
	}
	sort.Slice(t.all, func(a, b int) bool {
		x, y := t.all[a], t.all[b]
		if x.Time != y.Time {
			return x.Time < y.Time
		}
		return x.Action < y.Action
	})
	return t, nil
}

func order(s State) int {
	switch s {
	case StateRequested:
		return 1
	case StateInflight:
		return 2
	case StateCompleted:
		return 3
	default:
		return 0
	}
}
