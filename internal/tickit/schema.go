package tickit

import "fmt"

// Table is one of the seven tables.
type Table struct {
	// Schema is the schema in PostgreSQL ("ems", event management) and in SQL
	// Server ("crm", customers), or the database in MySQL ("ecomm", the shop).
	Schema  string
	Name    string
	Columns []Column
}

// Column is a column of a Table. The first column is the primary key.
type Column struct {
	Name string
	Type string // as the databases spell it, but for Timestamp, Zoned and Boolean
}

// Types that the databases spell differently.
const (
	Timestamp = "TIMESTAMP"   // a date and time of day, without a zone
	Zoned     = "TIMESTAMPTZ" // a moment
	Boolean   = "BOOLEAN"
)

// InMySQL reports whether the table lives in MySQL.
func (t Table) InMySQL() bool { return t.Schema == "ecomm" }

// InSQLServer reports whether the table lives in SQL Server. Those that live
// neither there nor in MySQL live in PostgreSQL.
func (t Table) InSQLServer() bool { return t.Schema == "crm" }

// Key is the primary key's column.
func (t Table) Key() string { return t.Columns[0].Name }

// FullName is schema.name.
func (t Table) FullName() string { return t.Schema + "." + t.Name }

// DDL returns the statement that creates the table in its database.
func (t Table) DDL() string {
	ddl := fmt.Sprintf("CREATE TABLE %s.%s (", t.Schema, t.quoted(t.Name))
	for i, c := range t.Columns {
		if i > 0 {
			ddl += ", "
		}
		ddl += t.quoted(c.Name) + " " + t.spell(c.Type)
		if i == 0 {
			ddl += " NOT NULL PRIMARY KEY"
		}
	}
	return ddl + ")"
}

// Quoted is schema.name, quoted as the table's database wants it.
func (t Table) Quoted() string { return t.Schema + "." + t.quoted(t.Name) }

func (t Table) quoted(name string) string {
	switch {
	case t.InMySQL():
		return "`" + name + "`"
	case t.InSQLServer():
		return "[" + name + "]" // user is a reserved word
	}
	return `"` + name + `"`
}

func (t Table) spell(typ string) string {
	switch {
	case t.InMySQL() && typ == Timestamp:
		return "DATETIME NULL"
	case t.InMySQL() && typ == Zoned:
		return "TIMESTAMP NULL" // MySQL's TIMESTAMP is a moment
	case t.InSQLServer() && typ == Boolean:
		return "BIT"
	default:
		return typ
	}
}

// Tables lists the seven tables, the ones that others refer to first.
func Tables() []Table {
	return []Table{
		{"ems", "category", []Column{
			{"catid", "SMALLINT"}, {"catgroup", "VARCHAR(10)"}, {"catname", "VARCHAR(10)"}, {"catdesc", "VARCHAR(50)"},
		}},
		{"ems", "venue", []Column{
			{"venueid", "SMALLINT"},
			{"venuename", "VARCHAR(100)"},
			{"venuecity", "VARCHAR(30)"},
			{"venuestate", "CHAR(2)"},
			{"venueseats", "INTEGER"},
		}},
		{"ems", "event", []Column{
			{"eventid", "INTEGER"},
			{"venueid", "SMALLINT"},
			{"catid", "SMALLINT"},
			{"dateid", "SMALLINT"},
			{"eventname", "VARCHAR(200)"},
			{"starttime", Timestamp},
		}},
		{"crm", "user", []Column{
			{"userid", "INTEGER"},
			{"username", "CHAR(8)"},
			{"firstname", "VARCHAR(30)"},
			{"lastname", "VARCHAR(30)"},
			{"city", "VARCHAR(30)"},
			{"state", "CHAR(2)"},
			{"email", "VARCHAR(100)"},
			{"phone", "CHAR(14)"},
			{"likesports", Boolean},
			{"liketheatre", Boolean},
			{"likeconcerts", Boolean},
			{"likejazz", Boolean},
			{"likeclassical", Boolean},
			{"likeopera", Boolean},
			{"likerock", Boolean},
			{"likevegas", Boolean},
			{"likebroadway", Boolean},
			{"likemusicals", Boolean},
		}},
		{"ecomm", "date", []Column{
			{"dateid", "SMALLINT"},
			{"caldate", "DATE"},
			{"day", "CHAR(3)"},
			{"week", "SMALLINT"},
			{"month", "CHAR(5)"},
			{"qtr", "CHAR(5)"},
			{"year", "SMALLINT"},
			{"holiday", Boolean},
		}},
		{"ecomm", "listing", []Column{
			{"listid", "INTEGER"},
			{"sellerid", "INTEGER"},
			{"eventid", "INTEGER"},
			{"dateid", "SMALLINT"},
			{"numtickets", "SMALLINT"},
			{"priceperticket", "DECIMAL(8,2)"},
			{"totalprice", "DECIMAL(8,2)"},
			{"listtime", Timestamp},
		}},
		{"ecomm", "sale", []Column{
			{"salesid", "INTEGER"},
			{"listid", "INTEGER"},
			{"sellerid", "INTEGER"},
			{"buyerid", "INTEGER"},
			{"eventid", "INTEGER"},
			{"dateid", "SMALLINT"},
			{"qtysold", "SMALLINT"},
			{"pricepaid", "DECIMAL(8,2)"},
			{"commission", "DECIMAL(8,2)"},
			{"saletime", Zoned},
		}},
	}
}
