// Package server is an embedded schema registry that clients cannot tell from
// Apicurio: its REST APIs v2 and v3 and the Confluent API (ccompat v7), for Avro
// and JSON Schema. It has every ifExists mode, look-up by any id, hash or content,
// references, rules with their compatibility verdicts, states, labels, branches,
// deletion, search, modes, export and import that keep the ids, and a page for
// people. What differs from the recorded calls of the real one, and why, is in
// testdata/differences.txt.
//
// # Layers
//
// handlers (v2.go, v3.go, ccompat.go) translate one API each to and from the
// store's operations; store.go holds the rules of identity; db.go lays
// entities out in the file. Behaviour is that of Apicurio 3.3 where 2.6 and
// 3.3 differ.
//
// # Identity
//
// A content is a text with its references: one contentId in the whole
// registry, found by the SHA-256 of both. A version of an artifact has a
// globalId. Ids are positive, below 2^31, grow, and are never used twice, not
// even after a crash: they come from counters in the same transaction that
// stores what they name. An archive of ours carries the counters along; others
// do not, and what they deleted last may be given again after their import.
//
// # Durability
//
// The store is one bbolt file. A request is answered after its transaction is
// on disk; concurrent registrations share a transaction. A file rather than a
// compacted topic, as Apicurio can have it: it opens in milliseconds however
// much it holds, memory does not grow with it, and the registry does not depend
// on the broker whose records depend on the registry.
package server
