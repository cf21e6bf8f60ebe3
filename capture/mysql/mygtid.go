package mysql

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// mySet is a set of MySQL's GTIDs: for each server, and since 8.3 for each tag
// that its clients give, the numbers of transactions.
type mySet map[tsid][]span

// tsid names a sequence of transactions.
type tsid struct {
	sid [16]byte
	tag string // "" = none
}

// span are the numbers from first up to, but not including, end.
type span struct{ first, end int64 }

// parseMySet reads "uuid:1-5:7:tag:1-3,uuid:…".
func parseMySet(text string) (mySet, error) {
	s := make(mySet)
	if text == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(part, ":")
		raw, err := hex.DecodeString(strings.ReplaceAll(fields[0], "-", ""))
		var id tsid
		if err != nil || len(raw) != len(id.sid) || len(fields) < 2 {
			return nil, fmt.Errorf("GTIDs %q: want UUID:number, or UUID:tag:number", part)
		}
		copy(id.sid[:], raw)
		some := false
		for _, f := range fields[1:] {
			if tagName(f) {
				id.tag, some = strings.ToLower(f), false
				continue
			}
			x, err := parseSpan(f)
			if err != nil {
				return nil, err
			}
			s.insert(id, x)
			some = true
		}
		if !some {
			return nil, fmt.Errorf("GTIDs %q: want a number at the end", part)
		}
	}
	return s, nil
}

// tagName reports whether a part of a GTID is a tag.
func tagName(s string) bool {
	return s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') && len(s) <= 32
}

func parseSpan(s string) (span, error) {
	a, b, ranged := strings.Cut(s, "-")
	first, err := strconv.ParseInt(a, 10, 64)
	last := first
	if ranged && err == nil {
		last, err = strconv.ParseInt(b, 10, 64)
	}
	if err != nil || first < 1 || last < first {
		return span{}, fmt.Errorf("GTID %q: want a number, or two with - between", s)
	}
	return span{first, last + 1}, nil
}

// insert adds numbers, and joins those that touch.
func (s mySet) insert(id tsid, x span) {
	list := s[id]
	if n := len(list); n > 0 && list[n-1].end == x.first { // as nearly always
		list[n-1].end = x.end
		return
	}
	at := sort.Search(len(list), func(i int) bool { return list[i].end >= x.first })
	to := at
	for to < len(list) && list[to].first <= x.end {
		x.first, x.end = min(x.first, list[to].first), max(x.end, list[to].end)
		to++
	}
	s[id] = slices.Replace(list, at, to, x)
}

func (s mySet) has(id tsid, x span) bool {
	list := s[id]
	at := sort.Search(len(list), func(i int) bool { return list[i].end > x.first })
	return at < len(list) && list[at].first <= x.first && x.end <= list[at].end
}

// ids lists the sequences in the order in which the server prints them.
func (s mySet) ids() []tsid {
	out := make([]tsid, 0, len(s))
	for id, list := range s {
		if len(list) > 0 {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b tsid) int {
		if c := strings.Compare(string(a.sid[:]), string(b.sid[:])); c != 0 {
			return c
		}
		return strings.Compare(a.tag, b.tag)
	})
	return out
}

// String prints the set as the server does.
func (s mySet) String() string {
	var b []byte
	var last [16]byte
	for i, id := range s.ids() {
		if i == 0 || id.sid != last {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, uuid(id.sid)...)
		}
		if last = id.sid; id.tag != "" {
			b = append(append(b, ':'), id.tag...)
		}
		for _, x := range s[id] {
			b = strconv.AppendInt(append(b, ':'), x.first, 10)
			if x.end > x.first+1 {
				b = strconv.AppendInt(append(b, '-'), x.end-1, 10)
			}
		}
	}
	return string(b)
}

// encode writes the form that COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS have. With tags, the number of sequences says so in its first
// and last byte, and the length of each tag follows the UUID, doubled as
// MySQL's serialization has numbers below 128.
func (s mySet) encode() []byte {
	ids := s.ids()
	tagged := slices.ContainsFunc(ids, func(id tsid) bool { return id.tag != "" })
	head := uint64(len(ids))
	if tagged {
		head = head<<8 | 1 | 1<<56
	}
	b := binary.LittleEndian.AppendUint64(nil, head)
	for _, id := range ids {
		b = append(b, id.sid[:]...)
		if tagged {
			b = append(append(b, byte(len(id.tag)<<1)), id.tag...)
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(len(s[id])))
		for _, x := range s[id] {
			b = binary.LittleEndian.AppendUint64(b, uint64(x.first)) //nolint:gosec // they are positive
			b = binary.LittleEndian.AppendUint64(b, uint64(x.end))   //nolint:gosec // they are positive
		}
	}
	return b
}

// contains reports whether all of other's are in s.
func (s mySet) contains(other mySet) bool {
	for id, list := range other {
		for _, x := range list {
			if !s.has(id, x) {
				return false
			}
		}
	}
	return true
}
