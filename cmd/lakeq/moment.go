package main

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"tributary/internal/fault"
	"tributary/lake"
)

// moment is a point in a table's life as the command line gives it: an instant
// of the lake, or a position in the log of the database that the rows come from.
type moment struct {
	text    string
	instant string // "" for now, or when the position tells
	source  *sourceMark
}

// sourceMark is a place in a database's log, or a time there. Commits carry how
// far they reach under the keys tributary.source.*.
type sourceMark struct {
	lsn  uint64 // PostgreSQL
	file string // MySQL: binlog
	pos  uint64
	lsns string // SQL Server: LSN of a commit, whose texts sort as they do
	ms   uint64 // time, milliseconds since 1970
	kind byte   // 'l', 'b', 'c' or 't'
}

var (
	lsnText    = regexp.MustCompile(`^(?:lsn:)?([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$`)
	commitText = regexp.MustCompile(`^(?:lsn:)?([0-9A-Fa-f]{8}:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{4})$`)
	binlogText = regexp.MustCompile(`^([^:/ ]+\.[0-9]{6,}):([0-9]{1,19})$`)
)

const sourceTime = "db:"

// parseMoment reads a moment: what lake.ParseInstant takes, a PostgreSQL LSN
// (0/16B3748), one of SQL Server (00000025:00000d98:0002), a MySQL binlog position
// (binlog.000003:1234), or db: and a time, that of the database. "" is now.
func parseMoment(s string) (moment, error) {
	m := moment{text: s}
	if s == "" {
		return m, nil
	}
	if p := lsnText.FindStringSubmatch(s); p != nil {
		hi, errHi := strconv.ParseUint(p[1], 16, 32)
		lo, errLo := strconv.ParseUint(p[2], 16, 32)
		if errHi == nil && errLo == nil {
			m.source = &sourceMark{kind: 'l', lsn: hi<<32 | lo}
			return m, nil
		}
	}
	if p := commitText.FindStringSubmatch(s); p != nil {
		m.source = &sourceMark{kind: 'c', lsns: strings.ToLower(p[1])}
		return m, nil
	}
	if p := binlogText.FindStringSubmatch(s); p != nil {
		if pos, err := strconv.ParseUint(p[2], 10, 64); err == nil {
			m.source = &sourceMark{kind: 'b', file: p[1], pos: pos}
			return m, nil
		}
	}
	text, ofDatabase := strings.CutPrefix(s, sourceTime)
	at, err := lake.ParseInstant(text)
	if err != nil {
		return m, err
	}
	if !ofDatabase {
		m.instant = at
		return m, nil
	}
	when := lake.Instant{Time: at}.When()
	if when.IsZero() || when.UnixMilli() < 0 {
		return m, fault.Humanf("give a time after 1970", "%q is no time of a database", text)
	}
	m.source = &sourceMark{kind: 't', ms: uint64(when.UnixMilli())}
	return m, nil
}

// reaches compares how far a commit has got with the mark: known is false if the
// commit does not tell.
func (s *sourceMark) reaches(extra map[string]string) (within, known bool) {
	number := func(key string) (uint64, bool) {
		n, err := strconv.ParseUint(extra[key], 10, 64)
		return n, err == nil
	}
	switch s.kind {
	case 'l':
		n, ok := number("tributary.source.lsn")
		return n <= s.lsn, ok
	case 'c':
		at := extra["tributary.source.commit_lsn"]
		return at <= s.lsns, at != ""
	case 't':
		n, ok := number("tributary.source.ts_ms")
		return n <= s.ms, ok
	}
	file := extra["tributary.source.file"]
	pos, ok := number("tributary.source.pos")
	if !ok || file == "" {
		return false, false
	}
	a, b := binlogNumber(file), binlogNumber(s.file)
	return a < b || a == b && pos <= s.pos, true
}

// binlogNumber is the number at the end of a binlog file's name.
func binlogNumber(file string) uint64 {
	n, err := strconv.ParseUint(file[strings.LastIndexByte(file, '.')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// resolve returns the moment as an instant of the table: that of the newest
// commit which holds nothing from behind the position.
func (m moment) resolve(ctx context.Context, t *lake.Table) (string, error) {
	if m.source == nil {
		return m.instant, nil
	}
	found, told, oldest := "", false, ""
	for _, i := range t.Timeline().Completed() {
		c, err := t.Commit(ctx, i)
		if err != nil {
			return "", err
		}
		within, known := m.source.reaches(c.Extra)
		if !known {
			if found != "" && c.Operation == "CLUSTER" {
				found = i.Time // it changes no row
			}
			continue
		}
		if !told {
			told, oldest = true, i.Time
		}
		if !within {
			break
		}
		found = i.Time
	}
	switch {
	case found != "":
		return found, nil
	case told:
		return "", fault.Humanf("the oldest commit that can be asked for is "+oldest,
			"table %s: its oldest commit reaches beyond %s already", t.Name(), m.text)
	}
	return "", fault.Humanf("give an instant or a time of the lake: see lakeq timeline",
		"table %s: no commit tells how far it has read in this kind of database log", t.Name())
}
