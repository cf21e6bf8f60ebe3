package workload

import (
	"strings"

	"tributary/internal/testdb"
)

// dialect is whose SQL a statement is written in.
type dialect uint8

const (
	postgres dialect = iota
	mySQL            // and MariaDB's
	transact         // SQL Server's
)

func dialectOf(k testdb.Kind) dialect {
	switch k {
	case testdb.KindPostgreSQL:
		return postgres
	case testdb.KindSQLServer:
		return transact
	}
	return mySQL
}

const database = "wl"

// schema is what stands before a table's name in a topic, behind the prefix.
func (d dialect) schema() string {
	switch d {
	case postgres:
		return "public"
	case transact:
		return database + ".dbo"
	}
	return database
}

// topic is the topic of a table.
func (d dialect) topic(table string) string { return "wl." + d.schema() + "." + table }

// driver is the one of package sql.
func (d dialect) driver() string {
	if d == transact {
		return "sqlserver"
	}
	return "mysql"
}

// How transactions and savepoints are spelled.
func (d dialect) begin() string { return d.pick("BEGIN", "BEGIN TRANSACTION") }
func (d dialect) save() string  { return d.pick("SAVEPOINT sp", "SAVE TRANSACTION sp") }
func (d dialect) rollbackTo() string {
	return d.pick("ROLLBACK TO SAVEPOINT sp", "ROLLBACK TRANSACTION sp")
}

func (d dialect) pick(standard, transactSQL string) string {
	if d == transact {
		return transactSQL
	}
	return standard
}

// text is a literal of a text.
func (d dialect) text(s string) string {
	return d.pick("", "N") + "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
