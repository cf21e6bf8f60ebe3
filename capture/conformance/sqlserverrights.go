package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary/internal/config"
)

// readers is the gating role of a capture instance of the scenario of rights. It goes
// with the login.
const readers = Scratch + "_readers"

// newcomer implements guarded.
func (m *sqlserverServer) newcomer(ctx context.Context, s session, r *Recorder) (Server, string, error) {
	if cmp.Or(m.user.DriverIntent, m.user.Intent) == "ReadOnly" {
		return nil, "the source reads from a secondary, which does not get a login that is made on the primary", nil
	}
	for _, q := range []struct{ query, left string }{
		{"SELECT CAST(SERVERPROPERTY('IsIntegratedSecurityOnly') AS int)", "the server takes Windows logins only"},
		{"SELECT COUNT(*) FROM sys.server_principals WHERE name = N'" + reader + "'", "there is a login " + reader + ", and this run has not made it"},
		{"SELECT COUNT(*) FROM sys.database_principals WHERE name IN (N'" + reader + "', N'" + readers + "')", "there is a user " + reader + " or a role " + readers + ", and this run has not made it"},
	} {
		n, err := value(ctx, s, q.query)
		if err != nil {
			return nil, "", fmt.Errorf("look for %s: %w", reader, err)
		}
		if n != "0" {
			return nil, q.left, nil
		}
	}
	password := newPassword()
	r.alsoSecret(m.secrets(), password)
	if err := noted(ctx, m, s); err != nil {
		return nil, "", err
	}
	const create = "CREATE LOGIN [" + reader + "] WITH PASSWORD = N'"
	err := unrecorded(ctx, m, r, create+password+"'", create+"…'")
	if err != nil && ctx.Err() == nil {
		return nil, "the user that runs this may not create logins (ALTER ANY LOGIN at the server): " + err.Error(), unmade(ctx, m, s)
	}
	low := &sqlserverServer{user: m.user}
	low.user.User, low.user.Password = reader, config.Secret(password)
	return low, "", err
}

// gate implements guarded.
func (m *sqlserverServer) gate(table string) []string {
	return []string{"EXEC sys.sp_cdc_enable_table @source_schema = N'" + Scratch + "', @source_name = N'" + table + "', @role_name = N'" + readers + "', @supports_net_changes = 0"}
}

// aName is a name in brackets.
const aName = `\[(?:[^\]]|\]\])*\]`

// mends are the statements that give a user rights.
var mends = regexp.MustCompile(`CREATE USER ` + aName + ` FOR LOGIN ` + aName + `|GRANT SELECT ON (?:SCHEMA::)?` + aName + `(?:\.` + aName + `)?(?: \(` + aName + `(?:, ` + aName + `)*\))? TO ` + aName + `|ALTER ROLE ` + aName + ` ADD MEMBER ` + aName)

// placeholder is a word in brackets for a name that a source cannot tell.
var placeholder = regexp.MustCompile(`\[(SCHEMA|TABLE|COLUMN|DATABASE|USER)\]`)

// advice implements guarded. Where the source cannot tell the name of the login, it is
// put in; where it cannot tell the table, as the server does not show it, the tables
// are those that are to be captured. Statements about anybody else do not count.
func (m *sqlserverServer) advice(text string, tables []string) (out []string) {
	text = strings.NewReplacer("[DATABASE]", "["+m.user.Databases[0]+"]", "[USER]", "["+reader+"]", "TO the user", "TO ["+reader+"]").Replace(text)
	var list []string
	for _, q := range mends.FindAllString(strings.ReplaceAll(text, "ON the table TO", "ON [TABLE] TO"), -1) {
		if !strings.Contains(q, "[TABLE]") {
			list = append(list, q)
			continue
		}
		for _, t := range tables {
			list = append(list, strings.Replace(q, "[TABLE]", "["+Scratch+"].["+t+"]", 1))
		}
	}
	for _, q := range list {
		if strings.HasSuffix(q, "["+reader+"]") && !placeholder.MatchString(q) && !slices.Contains(out, q) {
			out = append(out, q)
		}
	}
	return out
}

// rights implements guarded.
func (m *sqlserverServer) rights(tables []string) []string {
	out := []string{"CREATE USER [" + reader + "] FOR LOGIN [" + reader + "]", "GRANT SELECT ON SCHEMA::[cdc] TO [" + reader + "]", "ALTER ROLE [" + readers + "] ADD MEMBER [" + reader + "]"}
	for _, t := range tables {
		out = append(out, "GRANT SELECT ON ["+Scratch+"].["+t+"] TO ["+reader+"]")
	}
	return out
}

// undo implements guarded.
func (m *sqlserverServer) undo(statement string) string {
	switch {
	case strings.HasPrefix(statement, "GRANT "):
		return strings.Replace("REVOKE "+statement[len("GRANT "):], " TO ", " FROM ", 1)
	case strings.HasPrefix(statement, "ALTER ROLE "):
		return strings.Replace(statement, " ADD MEMBER ", " DROP MEMBER ", 1)
	}
	return ""
}

// strangers drops what the scenario of rights has made, if it has.
func (m *sqlserverServer) strangers(ctx context.Context, s session) error {
	if ours, err := isNoted(ctx, m, s); err != nil || !ours {
		return err
	}
	for _, q := range []string{"DROP USER IF EXISTS [" + reader + "]", "DROP ROLE IF EXISTS [" + readers + "]"} {
		if err := s.Exec(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	// The server may take a moment to see that the login's connections are gone.
	for began := time.Now(); ; {
		n, err := value(ctx, s, "SELECT COUNT(*) FROM sys.server_principals WHERE name = N'"+reader+"'")
		if err != nil || n == "0" {
			return err
		}
		err = s.Exec(ctx, "DROP LOGIN ["+reader+"]")
		var numbered interface{ SQLErrorNumber() int32 }
		const loggedIn = 15434
		switch {
		case err == nil:
		case !errors.As(err, &numbered) || numbered.SQLErrorNumber() != loggedIn || time.Since(began) > patience:
			return fmt.Errorf("drop login %s: %w", reader, err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
