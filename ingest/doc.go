// Package ingest turns bronze objects into commits of lake tables.
//
// It is where Debezium's records are understood: the two forms in which they
// come (the change envelope, and the flat form that ExtractNewRecordState makes
// of it), the semantic types of their fields, which of two states of a row is
// the later one, what a delete is, and which cells hold Debezium's placeholder
// for a value that the database did not send. Both forms end in the same table:
// the row's columns, then
//
//	__deleted       "true" once the row was deleted at its source, else "false"
//	__op            r (snapshot), c, u or d
//	__db, __table, __schema, __source_ts_ms, __lsn, __file, __pos, __row,
//	__commit_lsn, __change_lsn …
//	                where the change came from
//	__seq           the order of the states of a row, as text: see seq.go
//
// A Topic is the work on one topic: find the new objects, walk their bytes into
// columns, merge them into the table, and commit rows and checkpoint as one. A
// crash at any moment leaves the last commit, and reading on from its
// checkpoint; objects that were taken already change nothing when they are
// taken again. A Service works on many topics side by side, and the trouble of
// one never stops another.
//
// What is not here: the layout of bronze (lake/bronze), Hudi (lake), Kafka.
package ingest
