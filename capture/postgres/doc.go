// Package postgres captures the changes of a PostgreSQL database: a snapshot
// by COPY, then logical decoding with the built-in plugin pgoutput (protocol
// version 1) through a publication and a replication slot of its own.
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
// # Text
//
// pgoutput sends values as text, and COPY ... TO STDOUT writes the same text.
// One table of decoders serves both. The sessions have TimeZone UTC, DateStyle
// ISO and bytea_output hex, so that the text is unambiguous.
package postgres
