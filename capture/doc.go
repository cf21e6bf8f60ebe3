// Package capture turns a database's log into batches of changes: the
// contract of a Source, the loop that drives one (resume, snapshot, stream,
// emit, ack), and the filters and metrics that all databases share.
//
// It knows no database, no Kafka and no registry: a Source is one of the
// packages below it, an Emitter is given by main.
//
// The invariant of the loop: a position is acknowledged to the database only
// after everything before it is durable at the Emitter, and the Emitter stores
// the position together with the changes. So at any kill, the stored position
// says exactly what has been emitted.
package capture
