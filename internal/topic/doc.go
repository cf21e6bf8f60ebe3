// Package topic is Tributary's Kafka: a transactional Writer, a Reader in a
// consumer group, and an Admin that creates topics and reads compacted ones
// to their end. It is the only importer of the Kafka client library, so no
// type of that library appears in its API but Header, which is an alias.
//
// # Exactly once into Kafka
//
// A producer keeps its own position in a compacted topic and writes it in the
// same transaction as the records that it stands for. To resume, in this
// order:
//
//  1. NewWriter with the producer's fixed name. The broker aborts what a
//     former instance left open and fences it off for good.
//  2. Admin.Last for the producer's key in the position topic. Not earlier:
//     before step 1 a former instance could still commit another transaction.
//  3. WriteTx for each batch, the position record in it.
//
// Every transaction is either wholly visible to readers or not at all; Reader
// and Admin read committed records only.
//
// # Faults
//
// What only a human can heal is marked by internal/fault: a second instance of
// the same name, rights, passwords, a record or a setting beyond the broker's
// limits, records deleted before they were read. Everything else is an error
// that a retry may heal.
package topic
