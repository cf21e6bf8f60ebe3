// Package registry is a client of schema registries: it registers the Avro
// schemas of topics, finds schemas by id, and reads and writes the wire
// formats that carry the id with each record.
//
// The registry's URL tells which API it speaks: …/apis/registry/v2 and
// …/apis/registry/v3 are Apicurio's, anything else, such as
// …/apis/ccompat/v7 or a bare host, is the Confluent API.
//
// # Ids
//
// Apicurio numbers twice: a contentId for each distinct text, and a globalId
// for each version of an artifact. The Confluent API, Apicurio's ccompat
// included, knows the contentId alone. So the 4 bytes of the confluent wire
// format hold the contentId, readable by every Confluent client, and the 8
// bytes of the apicurio formats hold the globalId, which is what Apicurio 2.x
// clients expect unless configured otherwise. ID carries both.
//
// # Caching
//
// What an id stands for never changes, so answers are kept for ever, up to
// MaxCached entries. A Client is safe for many goroutines; equal requests in
// flight are made once.
package registry
