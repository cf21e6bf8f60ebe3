// Package mysql captures the changes of a MySQL (5.7 to 9) or MariaDB server:
// a consistent snapshot, then the binary log from exactly there.
//
// How a row goes: the binary log's row images are decoded by package binlog
// straight into Avro bodies; snapshot rows come as text, and each column has
// for that a second function that gives the same bytes. Both are chosen once
// for each version of a table, by types.go.
//
// What a table looks like is read from information_schema and held against the
// TABLE_MAP that precedes its row events. No DDL is parsed: a statement that
// mentions a captured table, or a TABLE_MAP that does not fit, only has the
// table read anew. With binlog_row_metadata=FULL the names, signs and charsets
// in the log itself decide, so that events older than the last ALTER come out
// right; with MINIMAL they are assumed to be as they are now, as long as
// number and types of the columns agree.
//
// A position is the start of a transaction (file and offset, and the set of
// GTIDs executed before it), plus, within a transaction too large for one
// batch, how many of its row events and how many rows of the next are done. It
// also names the server, since file and offset mean nothing on another: there
// GTIDs find the place, and source.file says how many servers there were
// before (order.go). While XA transactions are prepared it says from where the
// log must be read to have their rows (xa.go).
package mysql
