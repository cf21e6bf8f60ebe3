package conformance

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"tributary/internal/config"
)

// newcomer implements guarded.
func (p *postgresServer) newcomer(ctx context.Context, s session, r *Recorder) (Server, string, error) {
	n, err := value(ctx, s, "SELECT count(*) FROM pg_roles WHERE rolname = '"+reader+"'")
	if err != nil {
		return nil, "", fmt.Errorf("look for %s: %w", reader, err)
	}
	if n != "0" {
		return nil, "there is a role " + reader + ", and this run has not made it", nil
	}
	password := newPassword()
	r.alsoSecret(p.secrets(), password)
	if err := noted(ctx, p, s); err != nil {
		return nil, "", err
	}
	const create = "CREATE ROLE " + reader + " LOGIN PASSWORD '"
	if err := unrecorded(ctx, p, r, create+password+"'", create+"…'"); err != nil {
		return nil, "the user that runs this may not create roles (CREATEROLE): " + err.Error(), unmade(ctx, p, s)
	}
	low := &postgresServer{user: p.user}
	low.user.User, low.user.Password = reader, config.Secret(password)
	for _, q := range []string{"ALTER ROLE " + reader + " REPLICATION", "ALTER ROLE " + reader + " NOREPLICATION"} {
		if err := s.Exec(ctx, q); err != nil {
			return nil, "the user that runs this may not let a role replicate: " + err.Error(), ctx.Err()
		}
	}
	c, err := low.connect(ctx, nil)
	if err != nil {
		return nil, "the server does not let the role log in from here (pg_hba.conf): " + err.Error(), ctx.Err()
	}
	return low, "", c.Close()
}

// gate implements guarded.
func (p *postgresServer) gate(table string) []string { return p.track(table) }

var (
	mayReplicate = regexp.MustCompile(`ALTER ROLE "` + reader + `" REPLICATION`)
	mayRead      = regexp.MustCompile(`GRANT SELECT ON ((?:"[^"]+"\."[^"]+"(?:, )?)+) TO "` + reader + `" \(and USAGE on the schema\)`)
)

// beforehand is what a source says where it may not make the publication itself.
const beforehand = "have a superuser create slot and publication beforehand"

// advice implements guarded.
func (p *postgresServer) advice(text string, tables []string) (out []string) {
	if mayReplicate.MatchString(text) {
		out = append(out, "ALTER ROLE "+reader+" REPLICATION")
	}
	if m := mayRead.FindStringSubmatch(text); m != nil {
		out = append(out, "GRANT SELECT ON "+m[1]+" TO "+reader, "GRANT USAGE ON SCHEMA "+Scratch+" TO "+reader)
	}
	if strings.Contains(text, beforehand) {
		out = append(out, p.publication(tables))
	}
	return out
}

func (p *postgresServer) publication(tables []string) string {
	var names []string
	for _, t := range tables {
		names = append(names, p.table(t))
	}
	return "CREATE PUBLICATION " + Scratch + " FOR TABLE " + strings.Join(names, ", ")
}

// rights implements guarded.
func (p *postgresServer) rights(tables []string) []string {
	var names []string
	for _, t := range tables {
		names = append(names, `"`+Scratch+`"."`+t+`"`)
	}
	return []string{
		"ALTER ROLE " + reader + " REPLICATION", "GRANT SELECT ON " + strings.Join(names, ", ") + " TO " + reader,
		"GRANT USAGE ON SCHEMA " + Scratch + " TO " + reader, p.publication(tables),
	}
}

// undo implements guarded.
func (p *postgresServer) undo(statement string) string {
	if strings.HasSuffix(statement, " REPLICATION") {
		return strings.TrimSuffix(statement, "REPLICATION") + "NOREPLICATION"
	}
	return ""
}

// stranger drops the role that the scenario of rights has made, if it has.
func (p *postgresServer) stranger(ctx context.Context, s session) error {
	names, _, err := p.contents(ctx, s)
	if err != nil || len(without(names, made)) == len(names) {
		return err
	}
	if ours, err := isNoted(ctx, p, s); err != nil || !ours {
		return err
	}
	n, err := value(ctx, s, "SELECT count(*) FROM pg_roles WHERE rolname = '"+reader+"'")
	if err != nil || n == "0" {
		return err
	}
	for _, q := range []string{"REVOKE ALL ON ALL TABLES IN SCHEMA " + Scratch + " FROM " + reader, "REVOKE ALL ON SCHEMA " + Scratch + " FROM " + reader, "DROP ROLE " + reader} {
		if err := s.Exec(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}
