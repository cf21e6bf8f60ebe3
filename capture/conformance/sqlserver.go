package conformance

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"tributary/capture"
	"tributary/capture/sqlserver"
	"tributary/envelope"
	"tributary/internal/fault"
)

// sqlserverServer is a SQL Server. The scratch place is a schema in the first of
// the databases.
type sqlserverServer struct{ user sqlserver.Options }

// SQLServer is the server that options lead to. Used of them are those that say
// how to connect, the first of database.names, and how snapshots and changes are
// read: data.query.mode, max.iteration.transactions and snapshot.*.mode.
func SQLServer(o sqlserver.Options) Server { return &sqlserverServer{user: o} }

func (m *sqlserverServer) kind() string { return kindSQLServer }

func (m *sqlserverServer) secrets() []string {
	return []string{m.user.Password.Reveal(), m.user.Host, m.user.User}
}

func (m *sqlserverServer) more() map[string]string {
	u := &m.user
	return map[string]string{
		"database.names": u.Databases[0], "poll.interval.ms": "100", "database.applicationIntent": cmp.Or(u.DriverIntent, u.Intent, "ReadWrite"),
		"snapshot.isolation.mode": cmp.Or(u.Isolation, "repeatable_read"), "snapshot.locking.mode": cmp.Or(u.Locking, "exclusive"),
		"snapshot.lock.timeout.ms": strconv.FormatInt(u.LockTimeout.Milliseconds(), 10),
		"data.query.mode":          cmp.Or(u.QueryMode, "direct"), "max.iteration.transactions": strconv.Itoa(u.MaxTransactions),
	}
}

func (m *sqlserverServer) options(o sourceOptions) (out sqlserver.Options, err error) {
	err = defaults(m.kind(), o, include("", o.tables), m.more(), &out)
	u := &m.user
	out.Host, out.Port, out.Instance, out.User, out.Password, out.Initial = u.Host, u.Port, u.Instance, u.User, u.Password, u.Initial
	out.Encrypt, out.Trust, out.CA, out.CertificateFor, out.MultiSubnet, out.ConnectTimeout = u.Encrypt, u.Trust, u.CA, u.CertificateFor, u.MultiSubnet, u.ConnectTimeout
	return out, err
}

func (m *sqlserverServer) source(o sourceOptions) (capture.Source, error) {
	opts, err := m.options(o)
	if err != nil {
		return nil, err
	}
	opts.Wires = o.recorder.wires(capture.Statements(opts.Initial))
	return sqlserver.New(opts, o.log)
}

// connect goes to the server that takes writes, where the source may read from a
// secondary.
func (m *sqlserverServer) connect(ctx context.Context, r *Recorder) (session, error) {
	opts, err := m.options(sourceOptions{})
	if err != nil {
		return nil, err
	}
	opts.Intent, opts.DriverIntent = "", ""
	src, err := sqlserver.New(opts, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	s, err := src.Session(ctx)
	if err != nil {
		return nil, err
	}
	return r.session(s), nil
}

func (m *sqlserverServer) version(ctx context.Context, s session) (string, error) {
	v, err := value(ctx, s, "SELECT SERVERPROPERTY('ProductVersion')")
	if err != nil {
		return "", err
	}
	return "SQL Server " + v, nil
}

func (m *sqlserverServer) questions() []question {
	return []question{
		ask("@@VERSION", "SELECT @@VERSION"),
		{"SELECT CAST(SERVERPROPERTY('Edition') AS nvarchar(128)), CAST(SERVERPROPERTY('EngineEdition') AS int), CAST(SERVERPROPERTY('Collation') AS nvarchar(128))",
			[]string{"Edition", "EngineEdition", "collation of the server"}},
		{"SELECT collation_name, compatibility_level, CAST(is_read_committed_snapshot_on AS int), snapshot_isolation_state FROM sys.databases WHERE name = DB_NAME()",
			[]string{"collation of the database", "compatibility level", "READ_COMMITTED_SNAPSHOT", "ALLOW_SNAPSHOT_ISOLATION"}},
		{"EXEC sys.sp_cdc_help_jobs", []string{"", "CDC jobs", "", "maxtrans", "maxscans", "continuous", "pollinginterval (s)", "retention (min)", "threshold"}},
	}
}

func (m *sqlserverServer) ready(ctx context.Context, s session) error {
	name := m.user.Databases[0]
	on, err := value(ctx, s, "SELECT CAST(is_cdc_enabled AS int) FROM sys.databases WHERE name = DB_NAME()")
	if err != nil {
		return fmt.Errorf("read the settings of database %s: %w", name, err)
	}
	if on != "1" {
		return fault.Humanf("execute as sysadmin (on Azure SQL Database as db_owner), best in a database made for this: USE ["+name+"]; EXEC sys.sp_cdc_enable_db (on Amazon RDS: EXEC msdb.dbo.rds_cdc_enable_db N'"+name+"')",
			"change data capture is not enabled in database %s", name)
	}
	// Members of sysadmin are dbo, whom IS_MEMBER need not see in any role.
	owner, err := value(ctx, s, "SELECT CASE WHEN IS_MEMBER('db_owner') = 1 OR IS_SRVROLEMEMBER('sysadmin') = 1 OR USER_NAME() = N'dbo' THEN 1 ELSE 0 END")
	if err != nil {
		return fmt.Errorf("read our rights in database %s: %w", name, err)
	}
	if owner != "1" {
		return fault.Humanf(m.grant(), "the user may not have tables captured in database %s", name)
	}
	return nil
}

func (m *sqlserverServer) contents(ctx context.Context, s session) ([]string, bool, error) {
	n, err := value(ctx, s, "SELECT COUNT(*) FROM sys.schemas WHERE name = N'"+Scratch+"'")
	if err != nil || n == "0" {
		return nil, false, err
	}
	names, err := list(ctx, s, "SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE s.name = N'"+Scratch+"' ORDER BY t.name")
	return names, true, err
}

func (m *sqlserverServer) grant() string {
	return "USE [" + m.user.Databases[0] + "]; ALTER ROLE db_owner ADD MEMBER [" + m.user.User + "]"
}

func (m *sqlserverServer) create() string { return "CREATE SCHEMA " + Scratch }

func (m *sqlserverServer) table(name string) string { return Scratch + "." + name }

func (m *sqlserverServer) transaction() string { return "BEGIN TRANSACTION" }

func (m *sqlserverServer) track(table string) []string {
	return []string{"EXEC sys.sp_cdc_enable_table @source_schema = N'" + Scratch + "', @source_name = N'" + table + "', @role_name = NULL, @supports_net_changes = 0"}
}

// tap: the recording has what the source reads.
func (m *sqlserverServer) tap([]string) []string { return nil }

func (m *sqlserverServer) tapped() string { return "" }

// settle waits until the capture job has come to the row: what it captures after a
// snapshot has begun would come twice. That also tells whether it runs.
func (m *sqlserverServer) settle(ctx context.Context, s session, id int) error {
	for began := time.Now(); time.Since(began) < 2*time.Minute; {
		n, err := value(ctx, s, "SELECT COUNT(*) FROM cdc."+Scratch+"_"+marker+"_CT WHERE id = "+strconv.Itoa(id))
		if err != nil {
			return fmt.Errorf("read the change table of the marker: %w", err)
		}
		if n != "0" {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fault.Humanf("start the service SQL Server Agent, and see EXEC sys.sp_cdc_help_jobs and SELECT * FROM sys.dm_cdc_errors",
		"the capture job has captured nothing for two minutes")
}

func (m *sqlserverServer) untrack(ctx context.Context, s session, tables []string) error {
	for _, t := range tables {
		n, err := value(ctx, s, "SELECT COUNT(*) FROM cdc.change_tables AS ct JOIN sys.tables AS t ON t.object_id = ct.source_object_id JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE s.name = N'"+Scratch+"' AND t.name = N'"+t+"'")
		if err != nil {
			return fmt.Errorf("look for capture instances of %s: %w", t, err)
		}
		if n == "0" {
			continue
		}
		if err := s.Exec(ctx, "EXEC sys.sp_cdc_disable_table @source_schema = N'"+Scratch+"', @source_name = N'"+t+"', @capture_instance = N'all'"); err != nil {
			return fmt.Errorf("end the capture of %s: %w", t, err)
		}
	}
	return nil
}

func (m *sqlserverServer) drop(ctx context.Context, s session) error {
	names, exists, err := m.contents(ctx, s)
	if err != nil || !exists {
		return err
	}
	if err := m.untrack(ctx, s, names); err != nil {
		return err
	}
	if slices.Contains(names, made) {
		if err := m.strangers(ctx, s); err != nil {
			return err
		}
	}
	for _, t := range append(without(names, made), made) { // the mark goes last
		if err := s.Exec(ctx, "DROP TABLE IF EXISTS "+m.table(t)); err != nil {
			return err
		}
	}
	return s.Exec(ctx, "DROP SCHEMA "+Scratch)
}

func (m *sqlserverServer) place(c *envelope.Change) string {
	return c.Source.CommitLSN.String()
}
