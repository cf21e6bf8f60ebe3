// Package tickit makes the TICKIT data set: seven tables about the sale of
// tickets to events in the year 2008, known from Amazon's Redshift sample. The
// tables, their columns and their numbers of rows are those of the sample; the
// rows are made here, the same ones every time.
//
// Rows come as text that both PostgreSQL's COPY and MySQL's LOAD DATA read (package
// testdb makes INSERTs of it for SQL Server):
// columns separated by a tab, rows ended by a line feed, \N for NULL, booleans
// as 0 and 1. No value holds a tab, a line feed or a backslash.
//
// References are valid (a sale's listing, seller, buyer, event and date exist,
// a listing precedes its event and a sale lies between the two), and no
// listing is oversold.
package tickit
