// Package tsql reads the subset of Transact-SQL that the test server runs: queries
// with joins, common table expressions, subqueries, grouping and ROW_NUMBER; DML;
// tables, schemas, databases; transactions; variables, IF and EXEC.
//
// The grammar is from Microsoft's Transact-SQL reference. What the subset lacks is
// a SyntaxError, as it would be for a wrong text on a server: nothing is skipped
// or guessed. The package knows no objects: names are resolved by its user.
package tsql
