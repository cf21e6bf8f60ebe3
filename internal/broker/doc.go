// Package broker is an embedded Kafka broker for tests, the demo and trials on
// one machine: kfake, the broker that comes with the Kafka client library, as
// one process with its data on disk. It is the only importer of kfake.
//
// What was acknowledged survives a kill of the process at any moment: topics,
// records, committed group offsets, and transactions as a whole. With
// Options.Sync it also survives the end of the machine.
//
// kfake alone does not keep that promise. What this package adds or avoids:
//
//   - A transaction that a kill left open gets no abort marker, so that a later
//     transaction of the same producer would commit its records after the next
//     kill, and clients drop the later one's. And the producer's repeated
//     commit is answered with success although its records were aborted.
//     Start writes the missing markers and gives every producer name a new
//     producer id, so that such a repeat is refused.
//   - A commit reaches the partitions one after another. A kill in between
//     would leave half a transaction. The decision is written down before it
//     is carried out (decision.go), and Start completes it.
//   - Compaction takes records of open transactions for final, and rewrites a
//     partition's files in place. It is switched off: compacted topics keep
//     every record, which readers of compacted topics must bear anyway.
//     Retention goes with it. Files only grow.
//   - A response that its bound cuts does not tell which of its transactions were
//     aborted. Fetches are bounded by partition instead (fetch.go).
//   - Topics that the broker creates by itself are not on disk. They are not
//     offered: create topics explicitly.
//
// Memory is bounded by some 100 bytes for each batch on disk, by the fetches
// and batches in flight and, while starting after a kill, by the largest
// topic's size on disk.
package broker
