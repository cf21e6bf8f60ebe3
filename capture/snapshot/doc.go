// Package snapshot reads the rows that a database holds before its log is
// followed: which table, from which key on, and how far it has come. It is
// shared by the databases; the reading itself is a Reader's.
//
// A table with a key is read in chunks in key order (keyset pagination), so
// that a snapshot that was interrupted goes on after the last row that was
// delivered. A table without a key is one chunk: interrupted, it is read again
// from its start.
package snapshot
