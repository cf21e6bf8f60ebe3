package lake

import (
	"fmt"
	"strings"
	"time"

	"tributary/internal/fault"
)

// Action is what an instant did, as it is written in the timeline's file names.
type Action string

// The actions of table version 6.
const (
	ActionCommit        Action = "commit"
	ActionDeltaCommit   Action = "deltacommit"
	ActionReplaceCommit Action = "replacecommit"
	ActionCompaction    Action = "compaction"
	ActionLogCompaction Action = "logcompaction"
	ActionClean         Action = "clean"
	ActionRollback      Action = "rollback"
	ActionRestore       Action = "restore"
	ActionSavepoint     Action = "savepoint"
	ActionIndexing      Action = "indexing"
)

// State is how far an instant has got.
type State string

// The states, in order.
const (
	StateRequested State = "requested"
	StateInflight  State = "inflight"
	StateCompleted State = "completed"
)

// Instant is one action on a table's timeline. It is comparable.
type Instant struct {
	Time   string // 17 digits yyyyMMddHHmmssSSS; old tables have 14
	Action Action
	State  State

	// Done is the time of completion, where the timeline tells: from table version
	// 8 on.
	Done string
}

func (i Instant) String() string {
	return i.Time + " " + string(i.Action) + " " + string(i.State)
}

// IsZero reports whether i is no instant at all.
func (i Instant) IsZero() bool { return i.Time == "" }

// When returns the time of the instant, to the millisecond (a 14-digit one
// counts as the last millisecond of its second), or the zero time for the
// special instants that are no times.
func (i Instant) When() time.Time {
	t, err := instantTime(i.Time)
	if err != nil {
		return time.Time{}
	}
	return t
}

// writesData reports whether completing the action changes the rows of the
// table's files (in table version 6 a completed compaction is a commit).
func (a Action) writesData() bool {
	return a == ActionCommit || a == ActionDeltaCommit || a == ActionReplaceCommit
}

const (
	instantDigits = 17
	secondDigits  = 14
	secondLayout  = "20060102150405"
)

// FormatInstant writes t, in UTC and cut to the millisecond, as an instant.
func FormatInstant(t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf("%s%03d", t.Format(secondLayout), t.Nanosecond()/int(time.Millisecond))
}

// instantTime is the time of a 14 or 17-digit instant.
func instantTime(s string) (time.Time, error) {
	if len(s) != instantDigits && len(s) != secondDigits {
		return time.Time{}, fmt.Errorf("instant %q has neither 17 nor 14 digits", s)
	}
	t, err := time.ParseInLocation(secondLayout, s[:secondDigits], time.UTC)
	if err != nil {
		return time.Time{}, fmt.Errorf("instant %q is no time", s)
	}
	ms := 999
	if len(s) == instantDigits {
		ms = 0
		for _, c := range []byte(s[secondDigits:]) {
			if c < '0' || c > '9' {
				return time.Time{}, fmt.Errorf("instant %q is no time", s)
			}
			ms = ms*10 + int(c-'0')
		}
	}
	return t.Add(time.Duration(ms) * time.Millisecond), nil
}

const instantHint = "give a Hudi instant (yyyyMMddHHmmssSSS) or the first 4, 6, 8, 10, 12 or 14 digits of one, an RFC 3339 time, or YYYY-MM-DD[ HH:MM[:SS[.mmm]]] in UTC"

// ParseInstant reads a moment as people and engines write it and returns it as
// a 17-digit instant, fit for AsOf:
//
//   - a Hudi instant, yyyyMMddHHmmssSSS;
//   - the leading digits of one, down to the year. As in Hudi, a prefix without
//     seconds is the start of its period (20081102 is midnight) and one with
//     seconds includes the whole second (.999);
//   - YYYY-MM-DD, midnight; YYYY-MM-DD HH:MM; YYYY-MM-DD HH:MM:SS, which includes
//     the whole second, as in Hudi; YYYY-MM-DD HH:MM:SS.mmm. UTC; a T may stand
//     for the space;
//   - RFC 3339, whose zone counts; without a fraction it includes the whole second.
//
// Anything else is an error that needs a human.
func ParseInstant(s string) (string, error) {
	in := strings.TrimSpace(s)
	if in != "" && strings.Trim(in, "0123456789") == "" {
		return parseDigits(in)
	}
	if t, err := time.Parse(time.RFC3339Nano, strings.Replace(in, " ", "T", 1)); err == nil {
		return wholeSecond(t, strings.Contains(in, ".") || strings.Contains(in, ",")), nil
	}
	civil := strings.Replace(in, "T", " ", 1)
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, civil, time.UTC); err == nil {
			return FormatInstant(t), nil
		}
	}
	if t, err := time.ParseInLocation("2006-01-02 15:04:05", civil, time.UTC); err == nil {
		return wholeSecond(t, strings.Contains(civil, ".") || strings.Contains(civil, ",")), nil
	}
	return "", fault.Humanf(instantHint, "%q is no moment in time", s)
}

// wholeSecond formats t; without a fraction it means the end of its second.
func wholeSecond(t time.Time, fraction bool) string {
	if !fraction {
		t = t.Add(999 * time.Millisecond)
	}
	return FormatInstant(t)
}

func parseDigits(s string) (string, error) {
	const lowest = "00000101000000000"
	switch len(s) {
	case 4, 6, 8, 10, 12:
		s += lowest[len(s):]
	case secondDigits:
		s += "999"
	case instantDigits:
	default:
		return "", fault.Humanf(instantHint, "%q has %d digits, which is no prefix of an instant", s, len(s))
	}
	if strings.HasPrefix(s, "0000") {
		return s, nil // Hudi's special instants: 0000…0 is the start of everything
	}
	if _, err := instantTime(s); err != nil {
		return "", fault.Human(err, instantHint)
	}
	return s, nil
}
