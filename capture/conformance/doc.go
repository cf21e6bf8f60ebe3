// Package conformance runs scenarios against somebody's own server through the
// real capture source, compares what is emitted with what must be, and records
// what the server said.
//
// Everything happens in a scratch place named tributary_conformance (a schema; in
// MySQL and MariaDB a database), which is made for a run and dropped at its end,
// however that ends. A place of that name that a run did not make is never
// touched: a table in it tells. PostgreSQL has a slot and a publication of that
// name besides.
//
// What databases share is written once: the files below scenarios have sections,
// some for certain databases only, and so have the files below types, where each
// type has literals and what must become of them. What a database has of its own
// is in postgres.go, mysql.go and sqlserver.go.
//
// Changes are compared as lines of text, such as
//
//	u account id=1 owner=Ann balance=70 | id=1 owner=Ann balance=100
//
// (after the bar is the row before the update), with an empty line between
// transactions. Beside that, places in the log must not go back, and the counts of
// transactions must be right.
//
// The scenario of a login with few rights (rights.go), which the run makes and drops, is
// not in a file: what the source says is missing is given to the login.
//
// A recording has all statements and results of the scratch place, for SQL Server
// those of the source too: from these a replay gets the same changes without a
// server (see the test of it). For the others it has what their logs have of the
// scratch place, PostgreSQL's messages and MySQL's events, from which tests of
// capture/postgres and capture/mysql get the same changes. It has neither passwords
// nor the names of host and login.
package conformance
