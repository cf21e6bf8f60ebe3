// Package sqlserver captures databases of SQL Server from the change tables that
// its change data capture (CDC) fills: a snapshot, then the changes in the order of
// their commits, across the tables and databases of a connector.
//
// It is written from documents and from the sources and recordings of Debezium's
// connector, and has been run against a model of the server only
// (internal/mssqltest), never against SQL Server itself.
//
// A poll asks each database for fn_cdc_get_max_lsn. If the log has moved, it takes
// the transactions up to there, at most max.iteration.transactions, reads the rows
// of each capture instance in that interval by pages and merges them in the order
// of commit, command, sequence value and operation. What makes a poll complete is
// that no instance's low end (fn_cdc_get_min_lsn) is above its beginning once it
// was read: the clean-up job removes rows without a word.
package sqlserver
