package ddl

// Statement is a statement, as far as it matters here.
type Statement struct {
	Kind Kind
	// Text is the statement without the comments around it.
	Text string

	Database string // of CreateDatabase, AlterDatabase and DropDatabase; "" = the session's
	Charset  string // of CreateDatabase and AlterDatabase, "" = not told

	Create  *Create
	Table   Name // of Alter, Truncate and View
	Changes []Change
	Drops   []Drop
	Renames []Rename
}

// Kind is what a statement is.
type Kind int

// Kinds of statements. Other is one that was understood and changes no table,
// Account one about users and their rights.
const (
	Other Kind = iota
	Account
	CreateDatabase
	AlterDatabase
	DropDatabase
	CreateTable
	AlterTable
	DropTable
	RenameTable
	CreateIndex // an Alter by another name
	DropIndex
	Truncate
	View
	Routine // functions, procedures, triggers
)

// Name is a table's name. Database is "" for the session's.
type Name struct{ Database, Table string }

// Create is a CREATE TABLE.
type Create struct {
	Table     Name
	Temporary bool
	Unless    bool // IF NOT EXISTS
	Like      *Name
	Columns   []Column
	Keys      []Key
	Charset   string // "" = the database's
	Comment   string
	Select    bool // the columns are also those of a query
}

// Column is a column's definition. What a table or server gives by default is
// not in it.
type Column struct {
	Name string
	// Type is the type by its one name, lower case: "int" also for INTEGER;
	// Full is with its length and sign, as the server writes it.
	Type, Full string
	// Written is the type as the statement has it, upper case.
	Written   string
	NotNull   bool
	Default   *string // a literal, as the server would tell it; nil = none
	Now       bool    // the default is the current time
	Charset   string  // "" = the table's, or none
	Precision int
	Scale     int
	FSP       int
	Length    int // of BINARY and BIT
	Members   []string
	Comment   string
	Increment bool
	Primary   bool
	Unique    bool
	Generated string // the expression of a generated column, "" = it is none
}

// Key is a primary key or a unique one.
type Key struct {
	Name    string // "" = made by the server
	Primary bool
	Columns []string // "" = an expression
	Prefix  bool     // of some column only the beginning counts
}

// ChangeKind is what a Change does.
type ChangeKind int

// Kinds of changes.
const (
	AddColumn ChangeKind = iota
	ModifyColumn
	DropColumn
	RenameColumn
	SetDefault
	AddKey
	DropKey
	RenameKey
	MoveTable // to Table
	Convert   // the columns too
	SetCharset
	SetComment
)

// Change is one part of an ALTER TABLE.
type Change struct {
	Kind    ChangeKind
	Name    string // the column or key that it is about
	To      string // its name afterwards
	Column  Column // of AddColumn, ModifyColumn and SetDefault
	First   bool
	After   string
	Lenient bool // IF EXISTS, or IF NOT EXISTS
	Key     Key
	Table   Name
	Charset string // "" with Convert = the database's
	Comment string
}

// Drop is a table that is dropped. Text is the statement for it alone.
type Drop struct {
	Table     Name
	Temporary bool
	Prefix    string // what precedes the table's name
	Suffix    string
}

// Rename is a table that gets another name. Text is the statement for it alone.
type Rename struct {
	From, To Name
	Text     string
}
