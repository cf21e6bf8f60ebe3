package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"tributary/capture"
	"tributary/capture/postgres"
	"tributary/envelope"
	"tributary/internal/fault"
)

// postgresServer is a PostgreSQL server. The scratch place is a schema; slot and
// publication have its name.
type postgresServer struct{ user postgres.Options }

// PostgreSQL is the server that options lead to; of these only those that say how
// to connect are used.
func PostgreSQL(o postgres.Options) Server { return &postgresServer{user: o} }

func (p *postgresServer) kind() string { return kindPostgres }

func (p *postgresServer) secrets() []string {
	return []string{p.user.Password.Reveal(), p.user.Host, p.user.User}
}

func (p *postgresServer) more() map[string]string {
	return map[string]string{"database.dbname": p.user.Database, "slot.name": Scratch, "publication.name": Scratch}
}

func (p *postgresServer) options(o sourceOptions) (out postgres.Options, err error) {
	err = defaults(p.kind(), o, include("", o.tables), p.more(), &out)
	u := &p.user
	out.Host, out.Port, out.User, out.Password, out.Initial = u.Host, u.Port, u.User, u.Password, u.Initial
	out.SSLMode, out.SSLRoot, out.SSLCert, out.SSLKey, out.SSLPass = u.SSLMode, u.SSLRoot, u.SSLCert, u.SSLKey, u.SSLPass
	out.Authentication, out.AWSRegion, out.Passwords = u.Authentication, u.AWSRegion, u.Passwords
	return out, err
}

func (p *postgresServer) source(o sourceOptions) (capture.Source, error) {
	opts, err := p.options(o)
	if err != nil {
		return nil, err
	}
	return postgres.New(opts, o.log)
}

func (p *postgresServer) connect(ctx context.Context, r *Recorder) (session, error) {
	opts, err := p.options(sourceOptions{})
	if err != nil {
		return nil, err
	}
	src, err := postgres.New(opts, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	s, err := src.Session(ctx)
	if err != nil {
		return nil, err
	}
	return r.session(s), nil
}

func (p *postgresServer) version(ctx context.Context, s session) (string, error) {
	v, err := value(ctx, s, "SHOW server_version")
	return "PostgreSQL " + v, err
}

func (p *postgresServer) questions() []question {
	return []question{
		ask("version()", "SELECT version()"),
		{"SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = current_database()", []string{"encoding", "collation", "character classes"}},
		ask("wal_level", "SHOW wal_level"), ask("TimeZone", "SHOW TimeZone"), ask("max_slot_wal_keep_size", "SHOW max_slot_wal_keep_size"),
	}
}

func (p *postgresServer) ready(ctx context.Context, s session) error {
	level, err := value(ctx, s, "SHOW wal_level")
	if err != nil {
		return fmt.Errorf("read wal_level: %w", err)
	}
	if level != "logical" {
		return fault.Humanf("ALTER SYSTEM SET wal_level = logical (rds.logical_replication on RDS), and restart the server", "wal_level is %s", level)
	}
	rights, err := value(ctx, s, "SELECT has_database_privilege(current_database(), 'CREATE')")
	if err != nil {
		return fmt.Errorf("read our rights: %w", err)
	}
	if rights != "t" {
		return fault.Humanf(p.grant(), "the user may not make a schema in the database")
	}
	return nil
}

func (p *postgresServer) contents(ctx context.Context, s session) ([]string, bool, error) {
	ours := "('" + Scratch + "', '" + second + "')"
	n, err := value(ctx, s, "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = '"+Scratch+"') + (SELECT count(*) FROM pg_replication_slots WHERE slot_name IN "+ours+") + (SELECT count(*) FROM pg_publication WHERE pubname IN "+ours+")")
	if err != nil || n == "0" {
		return nil, false, err
	}
	names, err := list(ctx, s, "SELECT tablename FROM pg_tables WHERE schemaname = '"+Scratch+"' ORDER BY tablename")
	return names, true, err
}

func (p *postgresServer) grant() string {
	return "GRANT CREATE ON DATABASE " + strconv.Quote(p.user.Database) + " TO " + strconv.Quote(p.user.User)
}

func (p *postgresServer) create() string { return "CREATE SCHEMA " + Scratch }

func (p *postgresServer) table(name string) string { return Scratch + "." + name }

func (p *postgresServer) transaction() string { return "BEGIN" }

// track has the log carry the whole row from before an update.
func (p *postgresServer) track(table string) []string {
	return []string{"ALTER TABLE " + p.table(table) + " REPLICA IDENTITY FULL"}
}

// second names the slot and the publication that a recording is made with.
const second = Scratch + "_log"

func (p *postgresServer) tap(tables []string) []string {
	var names []string
	for _, t := range tables {
		names = append(names, p.table(t))
	}
	return []string{
		"CREATE PUBLICATION " + second + " FOR TABLE " + strings.Join(names, ", "),
		"SELECT pg_create_logical_replication_slot('" + second + "', 'pgoutput')",
	}
}

func (p *postgresServer) tapped() string {
	return "SELECT lsn, xid, encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('" + second + "', NULL, NULL, 'proto_version', '1', 'publication_names', '" + second + "')"
}

func (p *postgresServer) settle(context.Context, session, int) error { return nil }

// untrack drops slots and publications.
func (p *postgresServer) untrack(ctx context.Context, s session, _ []string) error {
	for _, name := range []string{Scratch, second} {
		if err := s.Exec(ctx, "DROP PUBLICATION IF EXISTS "+name); err != nil {
			return fmt.Errorf("drop publication %s: %w", name, err)
		}
		if err := dropSlot(ctx, s, name); err != nil {
			return err
		}
	}
	return nil
}

// dropSlot drops a slot if it is there. The server may take a moment to notice
// that nobody reads it any more.
func dropSlot(ctx context.Context, s session, name string) error {
	var why error
	for range 50 {
		slots, err := s.Query(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = '"+name+"'")
		if err != nil || len(slots) == 0 {
			return err
		}
		if slots[0][0] == "f" {
			if why = s.Exec(ctx, "SELECT pg_drop_replication_slot('"+name+"')"); why == nil {
				return nil
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fault.Human(errors.Join(fmt.Errorf("drop the replication slot %s: it is in use", name), why),
		"end whoever uses it: SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '"+name+"'")
}

func (p *postgresServer) drop(ctx context.Context, s session) error {
	if err := p.untrack(ctx, s, nil); err != nil {
		return err
	}
	if err := p.stranger(ctx, s); err != nil {
		return err
	}
	return s.Exec(ctx, "DROP SCHEMA IF EXISTS "+Scratch+" CASCADE")
}

func (p *postgresServer) place(c *envelope.Change) string {
	return fmt.Sprintf("%016x", c.Source.LSN)
}
