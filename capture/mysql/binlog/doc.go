// Package binlog decodes the binary log of MySQL and MariaDB: event headers,
// TABLE_MAP with its optional metadata, row events, and the columns of their
// row images straight into the Avro encoding of a record body. It does no I/O,
// keeps no state between calls other than scratch memory, and knows nothing of
// servers, schemas in a registry or Debezium's envelope.
//
// Layout of an event (all integers little endian unless said otherwise):
//
//	0   4  timestamp, Unix seconds
//	4   1  type
//	5   4  server id
//	9   4  size of the event, header included
//	13  4  position of the next event in the file
//	17  2  flags
//	19  …  post-header and body, then 4 bytes of CRC32 where the file has checksums
//
// A row image is a bitmap of nulls, one bit for each column present, and then
// the values that are not null, one after another, each in the form that its
// TABLE_MAP type and metadata call for.
//
// Input comes from a network: no input makes these functions panic, and none
// makes them allocate more than a small multiple of its own size. Slices in
// decoded structures point into the input.
package binlog
