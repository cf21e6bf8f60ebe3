package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tributary/capture"
	"tributary/internal/fault"
)

// server is what must be known of the server.
type server struct {
	maria bool
	gtid  bool   // transactions have GTIDs
	id    string // tells it from every other server
	vars  map[string]string
}

// inspect reads the server's settings.
func inspect(ctx context.Context, c *conn) (*server, error) {
	rows, err := c.table(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'log_bin', 'binlog_format', 'binlog_row_image',"+
		" 'binlog_row_metadata', 'gtid_mode', 'server_uuid', 'server_uid', 'server_id', 'log_replica_updates', 'log_slave_updates')")
	if err != nil {
		return nil, err
	}
	s := &server{vars: make(map[string]string)}
	for _, r := range rows {
		s.vars[strings.ToLower(r[0])] = r[1]
	}
	s.maria = strings.Contains(s.vars["version"], "MariaDB")
	s.id = cmp.Or(s.vars["server_uuid"], s.vars["server_uid"], s.vars["server_id"])
	s.gtid = s.maria || s.vars["gtid_mode"] == "ON"
	return s, nil
}

// described reports whether the log has the names of columns.
func (s *server) described() bool { return strings.EqualFold(s.vars["binlog_row_metadata"], "FULL") }

// check tells what about the server's settings keeps us from capturing.
func (s *server) check(maria bool) error {
	v := s.vars
	switch {
	case s.maria != maria && maria:
		return fault.Humanf("set connector.class to mysql", "the server is a MySQL %s, not a MariaDB", v["version"])
	case s.maria != maria:
		return fault.Humanf("set connector.class to mariadb", "the server is a MariaDB %s, not a MySQL", v["version"])
	case v["log_bin"] != "ON":
		return fault.Humanf("start it with log_bin (on RDS: turn automated backups on), server_id and binlog_format=ROW", "the server writes no binary log")
	case v["binlog_format"] != "" && v["binlog_format"] != "ROW":
		return fault.Humanf("SET GLOBAL binlog_format = 'ROW', also in the server's configuration, and reconnect its clients",
			"the server's binlog_format is %s: changes are not logged as rows", v["binlog_format"])
	case strings.EqualFold(v["binlog_row_image"], "MINIMAL"):
		return fault.Humanf("SET GLOBAL binlog_row_image = 'FULL' (or NOBLOB), also in the server's configuration, and reconnect its clients",
			"the server's binlog_row_image is %s: changes are logged without some of their columns", v["binlog_row_image"])
	}
	return nil
}

// checkReplica looks whether the server is a replica that does not log what it takes
// from its source: then the changes made there never come. warn is told of
// replication that stands still, "" = none does. Without the right to ask, the
// server is taken for none.
func (s *server) checkReplica(ctx context.Context, c *conn) (warn string, err error) {
	query, at := "SHOW REPLICA STATUS", 10 // the columns …_IO_Running and …_SQL_Running
	if s.maria {
		query, at = "SHOW ALL SLAVES STATUS", 12
	}
	rows, err := c.table(ctx, query)
	if code(err) == errParse { // MySQL before 8.0.22
		rows, err = c.table(ctx, "SHOW SLAVE STATUS")
	}
	if denied(err) {
		return "", nil
	}
	if err != nil || len(rows) == 0 {
		return "", err
	}
	if v := cmp.Or(s.vars["log_replica_updates"], s.vars["log_slave_updates"]); v == "OFF" {
		return "", fault.Humanf("start it with log_replica_updates (log_slave_updates in MariaDB and before MySQL 8.0.26), or connect to its source",
			"the server is a replica that does not log the changes of its source: none of them would come")
	}
	for _, r := range rows {
		if len(r) > at+1 && (r[at] != "Yes" || r[at+1] != "Yes") {
			warn = fmt.Sprintf("the server is a replica that stands still: the thread that reads from its source runs: %s, the one that applies what was read: %s", r[at], r[at+1])
		}
	}
	return warn, nil
}

// logStatus reads where the binary log ends. The privilege that it needs is
// REPLICATION CLIENT.
func (s *server) logStatus(ctx context.Context, c *conn) (position, error) {
	rows, err := c.table(ctx, "SHOW BINARY LOG STATUS") // MySQL 8.2 on
	if code(err) == errParse {
		rows, err = c.table(ctx, "SHOW MASTER STATUS")
	}
	if err != nil {
		return position{}, err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return position{}, errors.New("the server tells no binlog position")
	}
	p := position{File: rows[0][0], Server: s.id}
	if p.Pos, err = strconv.ParseUint(rows[0][1], 10, 64); err != nil {
		return position{}, fmt.Errorf("binlog position %q: %w", rows[0][1], err)
	}
	switch {
	case s.maria:
		return p, s.mariaGTIDs(ctx, c, &p)
	case s.gtid && len(rows[0]) > 4:
		p.GTIDs = &rows[0][4]
	}
	return p, nil
}

// mariaGTIDs finds the GTID position that belongs to a file and offset.
func (s *server) mariaGTIDs(ctx context.Context, c *conn, p *position) error {
	text, err := c.value(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %d)", quote(p.File), p.Pos))
	if err != nil {
		return err
	}
	p.GTIDs = &text
	return nil
}

// checkReplication tells before any work is done whether the user may read the
// log: the privilege is REPLICATION SLAVE.
func (s *server) checkReplication(ctx context.Context, c *conn) error {
	if !s.maria {
		_, err := c.table(ctx, "SHOW REPLICAS")
		if code(err) == errParse {
			_, err = c.table(ctx, "SHOW SLAVE HOSTS")
		}
		return err
	}
	grants, err := c.table(ctx, "SHOW GRANTS")
	if err != nil {
		return err
	}
	for _, g := range grants {
		u := strings.ToUpper(g[0])
		// A role may bring the privilege: the log itself will tell.
		if strings.Contains(u, "REPLICATION SLAVE") || strings.Contains(u, "REPLICATION REPLICA") ||
			strings.HasPrefix(u, "GRANT ALL PRIVILEGES ON *.*") || !strings.Contains(u, " ON ") {
			return nil
		}
	}
	return fault.Humanf("GRANT REPLICATION SLAVE ON *.* TO the user", "the user may not read the binary log")
}

// adopt makes a stored position one of this server. Only GTIDs mean the same
// on another one than that which it was stored for.
func (s *server) adopt(p *position) error {
	if p.Server == s.id {
		return nil
	}
	if p.Server != "" {
		if !s.gtid || p.GTIDs == nil {
			return fault.Humanf("connect to the server that was captured so far; if it is gone, "+capture.WayOut,
				"this is another server than the one captured so far, and without GTIDs the position cannot be found on it")
		}
		if _, err := parseGTIDs(s.maria, *p.GTIDs); err != nil {
			return fault.Human(fmt.Errorf("find the position on another server than the one captured so far: %w", err),
				"connect to the server that was captured so far")
		}
		p.Epoch++
		p.moved, p.elsewhere = true, p.Event > 0 || p.Row > 0
	}
	p.Server = s.id
	return nil
}

// gtidsFor returns the set of transactions that a server is told we have, for
// a stored one: of servers that gtid.source.* leaves out it has all that the
// server has.
func (s *server) gtidsFor(ctx context.Context, c *conn, cfg *settings, stored string) (string, error) {
	if s.maria || cfg.sources == nil {
		return stored, nil
	}
	executed, err := c.value(ctx, "SELECT @@GLOBAL.gtid_executed")
	if err != nil {
		return "", err
	}
	have, err := parseGTIDs(false, stored)
	if err != nil {
		return "", err
	}
	all, err := parseGTIDs(false, executed)
	if err != nil {
		return "", err
	}
	for id := range have.my {
		if !cfg.about(uuid(id.sid)) {
			delete(have.my, id)
		}
	}
	for id, list := range all.my {
		if !cfg.about(uuid(id.sid)) {
			have.my[id] = list
		}
	}
	return have.String(), nil
}

const goneHint = capture.WayOut + ". Keep the log for longer than the capture may stand still (binlog_expire_logs_seconds)"

// checkPosition tells whether the server still has the log from p on.
func (s *server) checkPosition(ctx context.Context, c *conn, cfg *settings, at *position) error {
	p := at.start()
	switch {
	case s.maria && p.GTIDs != nil:
		if have, err := parseGTIDs(true, *p.GTIDs); err == nil {
			return s.checkMariaGTIDs(ctx, c, at, &have)
		}
	case s.gtid && !s.maria && p.GTIDs != nil:
		return s.checkGTIDs(ctx, c, cfg, at, *p.GTIDs)
	}
	logs, err := c.table(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return err
	}
	for _, l := range logs {
		if l[0] != p.File {
			continue
		}
		if size, err := strconv.ParseUint(l[1], 10, 64); err == nil && size < p.Pos {
			return fault.Humanf(capture.WayOut,
				"binlog %s ends before the position %d that was captured last: the server was reset", p.File, p.Pos)
		}
		return nil
	}
	return fault.Humanf(goneHint, "the server no longer has binlog %s, in which the capture stands", p.File)
}

// checkGTIDs is checkPosition by the transactions that are in stored.
func (s *server) checkGTIDs(ctx context.Context, c *conn, cfg *settings, at *position, stored string) error {
	have, err := s.gtidsFor(ctx, c, cfg, stored)
	if err != nil {
		have = stored
	}
	rows, err := c.table(ctx, "SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, "+quote(have)+"), GTID_SUBSET("+quote(have)+", @@GLOBAL.gtid_executed)")
	if err != nil {
		return err
	}
	switch {
	case rows[0][0] != "1":
		return fault.Humanf(goneHint, "the server has purged transactions that were not captured yet")
	case rows[0][1] != "1" && at.moved:
		return errors.New("the server does not have the transactions that were captured last, from another server: it may lag behind that one")
	case rows[0][1] != "1":
		return fault.Humanf(capture.WayOut,
			"the server does not have the transactions that were captured last: it is another one, or was reset")
	}
	return nil
}

// checkMariaGTIDs is checkPosition by the last transactions of domains.
func (s *server) checkMariaGTIDs(ctx context.Context, c *conn, at *position, have *gtidSet) error {
	text, err := c.value(ctx, "SELECT @@GLOBAL.gtid_binlog_pos")
	if err != nil {
		return err
	}
	now, err := parseGTIDs(true, text)
	if err != nil {
		return err
	}
	for domain, g := range have.maria {
		switch last := now.maria[domain]; {
		case last.seq >= g.seq:
		case at.moved:
			return errors.New("the server does not have the transactions that were captured last, from another server: it may lag behind that one")
		default:
			return fault.Humanf("take a new snapshot: start with a name of its own for this connector's position",
				"the server does not have the transactions that were captured last (%d-%d-%d): it is another one, or was reset", domain, g.server, g.seq)
		}
	}
	purged, err := s.mariaPurged(ctx, c)
	if err != nil {
		return err
	}
	for domain, g := range purged.maria {
		if have.maria[domain].seq < g.seq {
			return fault.Humanf(goneHint, "the server has purged transactions that were not captured yet (up to %d-%d-%d)", domain, g.server, g.seq)
		}
	}
	return nil
}

// mariaPurged is the last transaction of each domain from before the oldest file,
// as its beginning tells. Without the right to read it none are known: the log
// tells when it is asked for.
func (s *server) mariaPurged(ctx context.Context, c *conn) (gtidSet, error) {
	logs, err := c.table(ctx, "SHOW BINARY LOGS")
	if err != nil || len(logs) == 0 {
		return gtidSet{}, err
	}
	rows, err := c.table(ctx, "SHOW BINLOG EVENTS IN "+quote(logs[0][0])+" LIMIT 3")
	if err != nil {
		if denied(err) {
			return gtidSet{}, nil
		}
		return gtidSet{}, err
	}
	for _, r := range rows {
		if len(r) > 5 && strings.EqualFold(r[2], "Gtid_list") {
			return parseGTIDs(true, strings.Trim(r[5], "[]"))
		}
	}
	return gtidSet{}, nil
}

// explainDump says what to do about the errors of reading the log.
func explainDump(err error) error {
	e := serverError(err)
	if e == nil {
		return err
	}
	m := strings.ToLower(e.Message)
	switch {
	case strings.Contains(m, "same server_uuid/server_id"), strings.Contains(m, "same server_id"):
		return fault.Human(e, "another replica uses our id: set database.server.id to one of its own")
	case e.Code != errMasterFatal:
		return explain(err)
	case strings.Contains(m, "purged"), strings.Contains(m, "could not find"), strings.Contains(m, "too old"):
		return fault.Human(e, "the log that is needed is gone: "+goneHint)
	case strings.Contains(m, "misconfigured"), strings.Contains(m, "not open"):
		return fault.Human(e, "the server writes no binary log: start it with log_bin")
	}
	return e
}
