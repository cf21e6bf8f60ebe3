// Package lake reads and writes Apache Hudi tables: copy-on-write, table
// version 6, timeline layout 1, UTC. Any Hudi engine may read and write the
// tables before, between and after.
//
// A table is a folder of a blob.Store, its base:
//
//	<base>/.hoodie/hoodie.properties             what kind of table it is
//	<base>/.hoodie/<instant>.<action>[.<state>]  the timeline
//	<base>/<partition>/.hoodie_partition_metadata
//	<base>/<partition>/<fileId>_<token>_<instant>.parquet
//
// An instant is a UTC time, yyyyMMddHHmmssSSS. The base files that share a
// fileId are a file group, and each of them is a slice: the rows of the group
// as of its instant. The table as of T is, for every group, its newest slice
// whose commit completed at or before T. Creating the object
// <instant>.commit is the commit: readers never wait and never see half of one.
//
// # Reading
//
// Open, then Table.AsOf gives a Snapshot: the base files, the schema and the
// rows as of an instant.
//
// # Writing
//
// Table.Lock takes the table's lease, undoes what a crashed writer left, and
// loads the key index; Table.Upsert commits a batch of rows, Table.Insert one whose
// keys are not looked for; Table.Close gives the lease back. One goroutine writes a
// table at a time. The table knows neither where rows come from nor what a change
// log is: which of two rows with the same key wins is told by the precombine column
// and the table's Payload, and the caller's cursor travels in the commit's extra
// metadata.
package lake
