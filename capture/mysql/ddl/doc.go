// Package ddl reads the statements that change the tables of MySQL and
// MariaDB, as their logs have them. The grammar is a library's; this package
// makes of its trees the few things that the history of a table needs, and
// tells when it cannot: a statement that is not understood is an error, never
// half of a change.
//
// The library does not know every type and attribute of the servers. What it
// does not know and what does not matter for the rows of a table is taken out
// of the text before (rewrite.go); types that it does not know stand in it as
// others, and are put back afterwards.
//
// It is the only importer of the parser.
package ddl
