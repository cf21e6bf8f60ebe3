// Package postgres captures the changes of a PostgreSQL database: a snapshot
// by COPY, then logical decoding with the built-in plugin pgoutput through a
// publication and a replication slot of its own.
//
// # No gap, no overlap
//
// The slot is created with an exported snapshot. The two meet at the slot's
// consistent point: the snapshot sees exactly the transactions that committed
// before it, the stream has exactly the others.
//
// source.lsn of a change is the WAL position of the change itself, not of its
// commit, so that a transaction in the stream may well have changes below the
// consistent point. Rows of the snapshot therefore carry the slot's
// restart_lsn, where decoding begins: every change of the stream lies above
// it, every change below it is in the snapshot. An interrupted snapshot goes
// on with the snapshot and the restart_lsn of a temporary slot: what the
// stream repeats from before that one either lies below the rows' LSN and
// loses against them downstream, or above and is followed by everything newer.
//
// # Large transactions
//
// From PostgreSQL 14 on (protocol version 2) the server sends a large
// transaction while it is in work, mixed with others. It is kept in a file
// without a name, and at its commit is decoded as if it came now: whatever the
// server streams, the changes are the same, in the order of commits, and so is
// their count, by which a position within a transaction is told.
//
// # Types
//
// docs/types-postgres.md lists what each type becomes, testdata/differences.txt
// where that is not what Debezium makes of it, and why.
//
// # Text
//
// pgoutput sends values as text, and COPY ... TO STDOUT writes the same text.
// One table of decoders serves both. The sessions have TimeZone UTC, DateStyle
// ISO and bytea_output hex, so that the text is unambiguous.
package postgres
