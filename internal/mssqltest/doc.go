// Package mssqltest is a model of SQL Server with change data capture, behind a
// real TDS server in this process. Tests and the demo use it where SQL Server
// itself is not to be had. It has never been compared with a real server.
//
// It is a model, not a list of canned answers: typed tables with versions of
// their rows, transactions with locks and isolation, a log, an agent that moves
// the log into change tables, capture instances, retention. Clients speak
// Transact-SQL to it, which package tsql reads and this package runs over the
// model and the catalog views computed from it. A statement, a function, a view, a
// procedure or an option that is not in the model is an error that says so: never
// a guess, never an empty result.
//
// # From documents
//
// Microsoft Learn and the sources of Debezium's connector, as collected in the
// project's notes:
//   - change tables: __$start_lsn is the commit's LSN, __$seqval orders within it,
//     __$command_id orders the operations; 1 delete, 2 insert, 3 and 4 an update's
//     two rows; __$update_mask has all bits for 1 and 2 and the changed columns'
//     for 3 and 4; text, ntext and image are NULL in 1 and 3; (max) columns are
//     NULL in 3 and 4 unless changed; computed columns are always NULL
//   - fn_cdc_get_all_changes_… fails with error 313 outside the validity interval;
//     fn_cdc_get_min_lsn gives zeros for an unknown instance, and to whoever is not
//     in the instance's gating role (owners of the database need not be) or may not
//     read all captured columns, to whom fn_cdc_get_all_changes_… gives error 229;
//     start_lsn of cdc.change_tables is NULL until the capture job has scanned the
//     log since the instance was made; fn_cdc_get_max_lsn is NULL while nothing was
//     captured; lsn_time_mapping has a row for a transaction with captured changes
//     and, after five minutes without any, idle marks with tran_id 0x00; the scans
//     of the capture job, their errors and latency are in
//     sys.dm_cdc_log_scan_sessions and sys.dm_cdc_errors (Database.FailCapture)
//   - at most two capture instances a table; an instance keeps the columns that it
//     was made with; a dropped column reads NULL; clean-up raises start_lsn in
//     cdc.change_tables and removes rows below the low-water mark
//   - snapshot isolation sees the state as of its first access, change tables
//     included, and must be allowed in the database (error 3952)
//   - texts of UTF-8 collations go as UTF-16 to clients that did not ask for UTF-8
//   - the types' forms on the wire, their rounding and ranges
//
// # Assumptions
//
// What no document that we read says, or what the model simplifies:
//   - a change of a key's columns is a delete and an insert of two sequence values
//   - the bytes of __$update_mask are the highest columns' first (Options.MaskLowFirst
//     turns that around); sys.fn_cdc_is_bit_set agrees with the mask
//   - read committed never waits for another's write: it reads what is committed
//     (as with READ_COMMITTED_SNAPSHOT). Repeatable read locks whole tables against
//     updates and deletes instead of the rows read; serializable against inserts too
//   - the server's one user has all rights but those of Options.Denied; there are
//     no CREATE ROLE and GRANT. A function for changes gives error 229 to whoever
//     may not use it (other documents tell of a row of NULLs, or of error 208)
//   - texts compare by lower case, whatever the collation; key order is that order
//   - data definition is not transactional: within a transaction it is refused
//   - the agent never falls behind, and captures whole transactions in commit order
//
// # Checks
//
// Its clients in tests are go-mssqldb, pytds, pymssql and FreeTDS (go test), and
// Microsoft's mssql-jdbc and the real Debezium connectors 3.0 and 3.5 (make
// interop): all read the same values. Debezium's records of the scenarios below
// tests/interop/mssql are kept in capture/sqlserver/testdata/debezium; the model is
// deterministic, so that a replay gives the same LSNs. That shows what Debezium
// makes of the model, not what a real server does: the timing of the capture job,
// odd orders of sequence values, other collations, permissions and failovers stay
// unknown.
//
// # Use
//
// Start a Server, make databases, tables and instances by its methods or by SQL,
// and connect. Databases have an agent that captures at each commit unless
// Options.AgentInterval or Database.SetAgent say otherwise.
package mssqltest
