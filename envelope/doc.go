// Package envelope is Debezium's change event: the model of a change and of
// the table it belongs to, the Avro schemas, and append-style encoders. It
// does no I/O.
//
// A row is encoded once, by the Codec of its table version, where its text or
// binary form leaves the driver. From then on it is a Row, bytes that are
// spliced: Avro has no framing, so that an envelope is the concatenation of a
// union index and the row's bytes, and a flat ("unwrapped") record is the
// row's bytes followed by the added fields.
//
// Everything that describes a table is immutable: after DDL there is a new
// *Table, and a pointer compare tells whether something changed.
package envelope
