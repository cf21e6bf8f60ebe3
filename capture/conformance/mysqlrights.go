package conformance

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tributary/internal/config"
)

// account is the login that the scenario of rights makes.
const account = "'" + reader + "'@'%'"

// newcomer implements guarded.
func (m *mysqlServer) newcomer(ctx context.Context, s session, r *Recorder) (Server, string, error) {
	if m.user.Authentication == "aws-iam" {
		return nil, "the file has tokens for passwords", nil
	}
	n, err := value(ctx, s, "SELECT COUNT(*) FROM information_schema.user_privileges WHERE grantee = '"+strings.ReplaceAll(account, "'", "''")+"'")
	if err != nil {
		return nil, "", fmt.Errorf("look for %s: %w", reader, err)
	}
	if n != "0" {
		return nil, "there is an account " + account + ", and this run has not made it", nil
	}
	password := newPassword()
	r.alsoSecret(m.secrets(), password)
	if err := noted(ctx, m, s); err != nil {
		return nil, "", err
	}
	const create = "CREATE USER " + account + " IDENTIFIED BY '"
	if err := unrecorded(ctx, m, r, create+password+"'", create+"…'"); err != nil {
		return nil, "the user that runs this may not create accounts (CREATE USER): " + err.Error(), unmade(ctx, m, s)
	}
	all := strings.Join(global, ", ")
	for _, q := range []string{"GRANT " + all + " ON *.* TO " + account, "REVOKE " + all + " ON *.* FROM " + account} {
		if err := s.Exec(ctx, q); err != nil {
			return nil, "the user that runs this may not grant what capturing needs (GRANT OPTION): " + err.Error(), ctx.Err()
		}
	}
	low := &mysqlServer{name: m.name, user: m.user}
	low.user.User, low.user.Password = reader, config.Secret(password)
	return low, "", nil
}

// gate implements guarded.
func (m *mysqlServer) gate(string) []string { return nil }

// lacking finds the privileges of which one is missing, in the server's error.
var lacking = regexp.MustCompile(`you need \(at least one of\) the ([A-Z_, ]+) privilege`)

// global are those on everything that a source needs. (RELOAD is for other modes of
// snapshot.locking.mode than those that sources of a run have.)
var global = []string{"REPLICATION CLIENT", "REPLICATION SLAVE"}

// advice implements guarded.
func (m *mysqlServer) advice(text string, _ []string) (out []string) {
	if strings.Contains(text, "grant the user SELECT on") {
		out = append(out, "GRANT SELECT ON "+Scratch+".* TO "+account)
	}
	found := ""
	if match := lacking.FindStringSubmatch(text); match != nil {
		found = strings.ReplaceAll(match[1], "BINLOG MONITOR", "REPLICATION CLIENT")
	} else if strings.Contains(text, "GRANT REPLICATION SLAVE ON *.* TO the user") {
		found = "REPLICATION SLAVE"
	}
	for _, p := range global {
		if slices.Contains(strings.Split(found, ", "), p) {
			out = append(out, "GRANT "+p+" ON *.* TO "+account)
		}
	}
	return out
}

// rights implements guarded.
func (m *mysqlServer) rights([]string) []string {
	out := []string{"GRANT SELECT ON " + Scratch + ".* TO " + account}
	for _, p := range global {
		out = append(out, "GRANT "+p+" ON *.* TO "+account)
	}
	return out
}

// undo implements guarded.
func (m *mysqlServer) undo(statement string) string {
	if strings.Contains(statement, "REPLICATION SLAVE") {
		return strings.Replace("REVOKE "+statement[len("GRANT "):], " TO ", " FROM ", 1)
	}
	return ""
}

// stranger drops the account that the scenario of rights has made, if it has.
func (m *mysqlServer) stranger(ctx context.Context, s session) error {
	names, _, err := m.contents(ctx, s)
	if err != nil || len(without(names, made)) == len(names) {
		return err
	}
	if ours, err := isNoted(ctx, m, s); err != nil || !ours {
		return err
	}
	return s.Exec(ctx, "DROP USER IF EXISTS "+account)
}
