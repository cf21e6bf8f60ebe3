// Package bronze is the raw layer of the lake: the records of each topic as
// they came, in immutable Avro container files.
//
// An object is named
//
//	<root>/<topic>/<folder>/<topic>+<partition>+<first offset, 10 digits>.avro
//
// where root is "topics" unless configured, and the folder is that of the
// record's day (year=2026/month=11/day=25). The header tells what is inside, so
// that a reader needs nothing else: see Meta.
//
// # Each record exactly once
//
// A PartitionWriter keeps one open draft for each folder, and puts all of them
// in one flush, one after another, each under the condition that no object has
// its name. Only then does its caller commit the offset. Within a folder the
// objects of a partition are a chain: each begins with the first record of the
// folder after the end of the one before. A writer that starts, after a crash
// or because the partition moved to it, reads where the chain of a folder ends
// and passes over what is there already. Two writers that both believe to own
// a partition extend the chain from the same place, thus under the same name,
// and one of them gets ErrTaken.
//
// The rule needs that a record always goes to the same folder. Where the folder
// follows the clock instead, the chain is one over all folders (Linear).
//
// # What a reader may conclude
//
// Every object carries a durable offset: once the object exists, every record
// of the partition up to that offset is in some object that exists. The last
// object of a flush carries the end of the flush, the others the end of the
// flush before.
//
// A listing is no snapshot: it may miss an object that is put behind it and yet
// see a later one. So a reader may count on a durable offset only for listings
// that began after it had seen the object that carries it.
package bronze
