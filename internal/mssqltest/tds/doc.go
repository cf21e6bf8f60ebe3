// Package tds is the server's side of the Tabular Data Stream, version 7.4, as
// far as the clients that the tests use need it: packets, login, requests,
// response tokens, and every data type's metadata and values.
//
// It is written from Microsoft's published protocol description [MS-TDS] and from
// what the clients (go-mssqldb, FreeTDS, pytds, mssql-jdbc) send. It knows nothing
// of SQL. Versions before 7.2 are refused: their tokens have other widths.
//
// A packet is
//
//	type 1 | status 1 (1 = end of message, 8 = reset the connection first) |
//	length 2, big-endian, header included | spid 2 | packet id 1 | window 1 | data
//
// and every number in the data is little-endian.
package tds
