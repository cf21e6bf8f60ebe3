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
//     in the instance's gating role (sysadmin and db_owner need not be) or may not
//     read all captured columns; start_lsn of cdc.change_tables is NULL until the
//     capture job has scanned the log since the instance was made;
//     fn_cdc_get_max_lsn is NULL while nothing was captured; lsn_time_mapping has a
//     row for a transaction with captured changes and, after five minutes without
//     any, idle marks with tran_id 0x00; the scans of the capture job, their errors
//     and latency are in sys.dm_cdc_log_scan_sessions and sys.dm_cdc_errors
//     (Database.FailCapture)
//   - at most two capture instances a table; an instance keeps the columns that it
//     was made with; a dropped column reads NULL; clean-up raises start_lsn in
//     cdc.change_tables and removes rows below the low-water mark
//   - snapshot isolation sees the state as of its first access, change tables
//     included, and must be allowed in the database (error 3952)
//   - texts of UTF-8 collations go as UTF-16 to clients that did not ask for UTF-8
//   - the types' forms on the wire, their rounding and ranges
//
// # Rights
//
// Also from documents (GRANT, DENY, REVOKE, the permissions of the engine and what
// implies what, the fixed roles, HAS_PERMS_BY_NAME, IS_MEMBER, the list of errors):
//   - CREATE, ALTER and DROP of logins with passwords (CHECK_POLICY wants eight
//     characters of three kinds), users and roles; members of roles, through roles
//     too; the fixed roles of databases, and of the server sysadmin, securityadmin,
//     serveradmin, processadmin and dbcreator as far as the permissions below go;
//     owners of schemas; owners of databases, who are dbo there; guest
//   - GRANT, DENY and REVOKE on the server, a database, a schema, a table, a change
//     table and its columns, of the permissions in the table named actions, with
//     grant options and CASCADE. A permission comes from the securable, from what it
//     is in, or from one that implies it; a denial anywhere there has precedence,
//     but for sysadmin, dbo and owners of schemas, and but for a denial on a table
//     before a grant on its column. UNMASK is on the database alone before 2022
//   - the errors 229 and 230 of objects and columns, 262, 300, 916, 4060, 18456 and
//     18470, 15151 for what is not there or may not be had, and those of the
//     statements themselves
//   - reading needs SELECT of the columns that are named; INSERT, UPDATE and DELETE
//     need that permission, and SELECT of the columns in conditions; data definition
//     needs CREATE TABLE, CREATE SCHEMA and ALTER; the procedures of change data
//     capture need db_owner (error 22904), to enable it sysadmin (22902; on Azure
//     SQL Database db_owner); sp_cdc_enable_table makes the gating role if there is
//     none; sys.dm_… need VIEW SERVER STATE or VIEW DATABASE STATE, or their
//     narrower forms of 2022
//   - the mask default() of a column, for whoever has not UNMASK: in the result, not in
//     conditions and orders (that NULL stays NULL is an assumption)
//   - sys.tables and all else that lists objects show those on which the user has a
//     permission; dbo is in no role for IS_MEMBER
//
// The login of Options.User is sysadmin; Options.Denied takes single rights from it.
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
//   - a function for changes gives error 229 to whoever may not use it (other
//     documents tell of a row of NULLs, or of error 208), and needs no grant on the
//     schema cdc
//   - a denied VIEW DEFINITION hides an object on which there are other permissions;
//     whoever sees an object sees all of its columns; COUNT(*) needs SELECT of one
//     column; a grant on a table leaves denials on its columns as they are; dropping
//     a member who is none is no error; granting to dbo, sa or oneself is error 4624
//     (a server is said to tell it as a message only)
//   - a change of rights is seen by the next statement of every session
//   - texts compare by lower case, whatever the collation; key order is that order
//   - data definition, and what is about rights, is not transactional: within a
//     transaction it is refused
//   - the agent never falls behind, and captures whole transactions in commit order
//
// # Not in the model
//
// Each is an error that says so, or that there is no such thing (208, 2812):
//   - views, procedures, functions, triggers, synonyms and types of the user's own;
//     foreign keys and CHECK; temporary tables; MERGE, WHILE, OUTPUT; updates and
//     deletes over joins; recursive common table expressions; linked servers
//   - fn_cdc_get_net_changes_…; clean-up without a low-water mark
//   - Windows logins, contained users, application roles, roles of the server besides
//     the fixed ones, EXECUTE AS, AS in GRANT; rights on principals, types and system
//     views; ownership chains, as nothing is there to be chained
//   - row-level security; of dynamic data masking other functions than default(), and
//     what is made of masked columns in subqueries and aggregates
//   - several results at a time on a connection (MARS), TDS before 7.2 and 8.0, logins
//     by Kerberos or Entra ID, bulk loads
//   - failovers: a secondary is a server that takes no writes (SetReadOnly)
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
