// Package server is an embedded schema registry with the part of Apicurio's
// REST APIs v2 and v3 and of the Confluent API (Apicurio's ccompat v7) that
// Tributary's daemons and Confluent clients need: registering with every
// ifExists mode, look-up by any id, hash or content, versions and subjects.
// Rules, deletion, states and search by text are not served yet; what is asked
// and not served is answered 404, never with a pretence.
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
// stores what they name.
//
// # Durability
//
// The store is one bbolt file. A request is answered after its transaction is
// on disk; concurrent registrations share a transaction. A file rather than a
// compacted topic, as Apicurio can have it: it opens in milliseconds however
// much it holds, memory does not grow with it, and the registry does not depend
// on the broker whose records depend on the registry.
package server
