// Package mysql captures the changes of a MySQL (5.7 to 9) or MariaDB server:
// a consistent snapshot, then the binary log from exactly there.
//
// How a row goes: the binary log's row images are decoded by package binlog
// straight into Avro bodies; snapshot rows come as text, and each column has
// for that a second function that gives the same bytes. Both are chosen once
// for each version of a table, by types.go.
//
// What a table looks like is read from information_schema once, and from then
// on known by the statements in the log (history.go): they are read by package
// ddl and change the definitions in their order. With binlog_row_metadata=FULL
// the names, signs and charsets in the TABLE_MAPs decide, and the definitions
// add only defaults and comments. Without, the definitions decide, and the
// position carries them; number and types of the columns are held against each
// TABLE_MAP. A statement that cannot be read, or a TABLE_MAP that does not fit,
// has the table read anew from the server; what does not fit then is an error, and
// so is another change of the table that the log has by then (lookahead.go).
// The same statements go to the topic of changes of schemas (topic.go).
//
// A position is the start of a transaction (file and offset, and the set of
// GTIDs executed before it), plus, within a transaction too large for one
// batch, how many of its row events and how many rows of the next are done. It
// also names the server, since file and offset mean nothing on another: there
// GTIDs find the place, and source.file says how many servers there were
// before (order.go). While XA transactions are prepared it says from where the
// log must be read to have their rows (xa.go).
package mysql
