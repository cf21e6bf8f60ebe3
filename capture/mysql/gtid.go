package mysql

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// gtidSet is the set of transactions before a position. The zero value is "no
// GTIDs": positions are then file and offset alone.
type gtidSet struct {
	my    mySet
	maria map[uint32]mariaGTID // last transaction of each domain
	valid bool
}

type mariaGTID struct {
	server uint32
	seq    uint64
}

// parseGTIDs reads a set as the server prints it.
func parseGTIDs(maria bool, text string) (gtidSet, error) {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' {
			return -1
		}
		return r
	}, text)
	if maria {
		return parseMariaGTIDs(text)
	}
	set, err := parseMySet(text)
	if err != nil {
		return gtidSet{}, fmt.Errorf("parse GTID set: %w", err)
	}
	return gtidSet{my: set, valid: true}, nil
}

func parseMariaGTIDs(text string) (gtidSet, error) {
	s := gtidSet{maria: make(map[uint32]mariaGTID), valid: true}
	if text == "" {
		return s, nil
	}
	for g := range strings.SplitSeq(text, ",") {
		p := strings.Split(g, "-")
		if len(p) != 3 {
			return gtidSet{}, fmt.Errorf("parse GTID %q: want domain-server-sequence", g)
		}
		domain, err1 := strconv.ParseUint(p[0], 10, 32)
		server, err2 := strconv.ParseUint(p[1], 10, 32)
		seq, err3 := strconv.ParseUint(p[2], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil {
			return gtidSet{}, fmt.Errorf("parse GTID %q: not a number", g)
		}
		s.maria[uint32(domain)] = mariaGTID{uint32(server), seq}
	}
	return s, nil
}

// String prints the set canonically, "" when there is none.
func (s *gtidSet) String() string {
	if s.my != nil {
		return s.my.String()
	}
	domains := make([]uint32, 0, len(s.maria))
	for d := range s.maria {
		domains = append(domains, d)
	}
	sort.Slice(domains, func(i, j int) bool { return domains[i] < domains[j] })
	var b strings.Builder
	for i, d := range domains {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d-%d-%d", d, s.maria[d].server, s.maria[d].seq)
	}
	return b.String()
}

// holds reports whether all of q's transactions are in s; both are MySQL's.
func (s *gtidSet) holds(q *gtidSet) bool {
	return s.my != nil && q.my != nil && s.my.contains(q.my)
}

// gtid identifies one transaction. The zero value is none.
type gtid struct {
	sid    [16]byte // MySQL: the server's UUID
	tag    string
	gno    int64
	domain uint32 // MariaDB
	server uint32
	seq    uint64
}

func (g gtid) String() string {
	switch {
	case g.gno != 0 && g.tag != "":
		return uuid(g.sid) + ":" + g.tag + ":" + strconv.FormatInt(g.gno, 10)
	case g.gno != 0:
		return uuid(g.sid) + ":" + strconv.FormatInt(g.gno, 10)
	case g.seq != 0:
		return fmt.Sprintf("%d-%d-%d", g.domain, g.server, g.seq)
	}
	return ""
}

// uuid prints the 8-4-4-4-12 form.
func uuid(b [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// id names the sequence that the transaction is of.
func (g gtid) id() tsid { return tsid{g.sid, g.tag} }

// add puts a transaction into the set. A transaction without GTID makes the set
// invalid: what follows is known by file and offset alone.
func (s *gtidSet) add(g gtid) {
	switch {
	case !s.valid:
	case s.my != nil && g.gno != 0:
		s.my.insert(g.id(), span{g.gno, g.gno + 1})
	case s.maria != nil && g.seq != 0:
		s.maria[g.domain] = mariaGTID{g.server, g.seq}
	default:
		*s = gtidSet{}
	}
}

// contains reports whether the set has a transaction.
func (s *gtidSet) contains(g gtid) bool {
	switch {
	case s.my != nil && g.gno != 0:
		return s.my.has(g.id(), span{g.gno, g.gno + 1})
	case s.maria != nil && g.seq != 0:
		last, ok := s.maria[g.domain]
		return ok && g.seq <= last.seq
	}
	return false
}
