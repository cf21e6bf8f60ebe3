package tsql

// Name is a name of up to four parts; an omitted part is empty.
type Name []string

// Last is the name's last part.
func (n Name) Last() string {
	if len(n) == 0 {
		return ""
	}
	return n[len(n)-1]
}

// TypeName is a type as written: its name and what stands in parentheses (-1 for max).
type TypeName struct {
	Name    string
	Params  []int
	Collate string
}

// Expr is a value or a condition.
type Expr interface{ expr() }

// LitKind is the kind of a literal.
type LitKind byte

// The kinds of literals.
const (
	LitNull LitKind = iota
	LitInt
	LitDec
	LitFloat
	LitString
	LitNString
	LitBinary // Text holds the bytes
)

type (
	// Lit is a literal.
	Lit struct {
		Kind LitKind
		Text string
	}
	// Var is a local variable or parameter, with its @.
	Var struct{ Name string }
	// Global is a @@function, in upper case without the marks.
	Global struct{ Name string }
	// Col is a column, with what qualifies it.
	Col struct{ Name Name }
	// Star is * or t.*.
	Star struct{ Qualifier Name }
	// Unary is -x, +x or ~x.
	Unary struct {
		Op string
		X  Expr
	}
	// Binary is arithmetic, a comparison, AND or OR.
	Binary struct {
		Op   string
		L, R Expr
	}
	// Not is NOT x.
	Not struct{ X Expr }
	// IsNull is x IS [NOT] NULL.
	IsNull struct {
		X   Expr
		Not bool
	}
	// In is x [NOT] IN (list or query).
	In struct {
		X     Expr
		List  []Expr
		Query *Query
		Not   bool
	}
	// Between is x [NOT] BETWEEN lo AND hi.
	Between struct {
		X, Lo, Hi Expr
		Not       bool
	}
	// Like is x [NOT] LIKE pattern [ESCAPE e].
	Like struct {
		X, Pattern, Escape Expr
		Not                bool
	}
	// Exists is EXISTS (query).
	Exists struct{ Query *Query }
	// Call is a function; Star is set for COUNT(*).
	Call struct {
		Name     Name
		Args     []Expr
		Star     bool
		Distinct bool
		Over     *Over
	}
	// Over is a window.
	Over struct {
		Partition []Expr
		Order     []Order
	}
	// Case is CASE [x] WHEN … END.
	Case struct {
		X     Expr
		Whens []When
		Else  Expr
	}
	// When is an arm of CASE.
	When struct{ Cond, Then Expr }
	// Cast is CAST, CONVERT, PARSE and their TRY_ forms.
	Cast struct {
		X     Expr
		Type  TypeName
		Style Expr
		Try   bool
		Parse bool
	}
	// Subquery is a query as a value.
	Subquery struct{ Query *Query }
	// Static is type::Method(args).
	Static struct {
		Type, Method string
		Args         []Expr
	}
)

func (*Lit) expr()      {}
func (*Var) expr()      {}
func (*Global) expr()   {}
func (*Col) expr()      {}
func (*Star) expr()     {}
func (*Unary) expr()    {}
func (*Binary) expr()   {}
func (*Not) expr()      {}
func (*IsNull) expr()   {}
func (*In) expr()       {}
func (*Between) expr()  {}
func (*Like) expr()     {}
func (*Exists) expr()   {}
func (*Call) expr()     {}
func (*Case) expr()     {}
func (*Cast) expr()     {}
func (*Subquery) expr() {}
func (*Static) expr()   {}

// Order is an item of ORDER BY.
type Order struct {
	X    Expr
	Desc bool
}

// Query is a SELECT with what surrounds it.
type Query struct {
	With    []CTE
	Body    Body
	Order   []Order
	Offset  Expr
	Fetch   Expr
	Options []string
}

// CTE is a common table expression.
type CTE struct {
	Name    string
	Columns []string
	Query   *Query
}

// Body is a *Spec or a *SetOp.
type Body interface{ body() }

// Spec is one SELECT.
type Spec struct {
	Distinct bool
	Top      Expr
	Items    []Item
	From     []Source
	Where    Expr
	Group    []Expr
	Having   Expr
}

// SetOp is UNION [ALL].
type SetOp struct {
	All  bool
	L, R Body
}

func (*Spec) body()  {}
func (*SetOp) body() {}

// Item is a column of a SELECT; Assign is the variable of SELECT @x = ….
type Item struct {
	X      Expr
	Alias  string
	Assign string
}

// Source is something in FROM.
type Source interface{ source() }

type (
	// Table is a table, a view, a table variable (with its @), or (Call) a table function.
	Table struct {
		Name  Name
		Alias string
		Hints []string
		Call  bool
		Args  []Expr
	}
	// Derived is a query in FROM.
	Derived struct {
		Query   *Query
		Alias   string
		Columns []string
	}
	// Values is (VALUES …) in FROM.
	Values struct {
		Rows    [][]Expr
		Alias   string
		Columns []string
	}
	// Join joins: Kind is INNER, LEFT, RIGHT, FULL, CROSS, CROSS APPLY or OUTER APPLY.
	Join struct {
		Kind string
		L, R Source
		On   Expr
	}
)

func (*Table) source()   {}
func (*Derived) source() {}
func (*Values) source()  {}
func (*Join) source()    {}

// Statement is one statement.
type Statement interface{ statement() }

type (
	// Select returns rows, or sets variables.
	Select struct{ Query *Query }
	// Insert adds rows: of values, of a query, or one of defaults.
	Insert struct {
		Table    Name
		Columns  []string
		Rows     [][]Expr // a nil value is DEFAULT
		Query    *Query
		Exec     *Exec // of INSERT … EXEC
		Defaults bool
		Output   []Item
	}
	// Update changes rows.
	Update struct {
		Table Name
		Top   Expr
		Set   []Set
		From  []Source
		Where Expr
	}
	// Set is an assignment of UPDATE; X is nil for DEFAULT.
	Set struct {
		Column string
		X      Expr
	}
	// Delete removes rows.
	Delete struct {
		Table Name
		Top   Expr
		From  []Source
		Where Expr
	}
	// Truncate is TRUNCATE TABLE.
	Truncate struct{ Table Name }
	// CreateTable makes a table.
	CreateTable struct {
		Table       Name
		Columns     []ColumnDef
		Constraints []Constraint
	}
	// CreateIndex makes an index.
	CreateIndex struct {
		Name      string
		Unique    bool
		Clustered bool
		Table     Name
		Columns   []string
	}
	// DropIndex removes an index.
	DropIndex struct {
		Name  string
		Table Name
	}
	// CreateSchema makes a schema. Owner is empty where none is given.
	CreateSchema struct{ Name, Owner string }
	// CreateDatabase makes a database.
	CreateDatabase struct {
		Name    string
		Collate string
	}
	// AlterTable changes a table, in one way.
	AlterTable struct {
		Table       Name
		Add         []ColumnDef
		Constraints []Constraint
		DropColumns []string
		DropConstr  []string
		Alter       *ColumnDef
		Mask        *ColumnMask
	}
	// AlterDatabase sets an option, which is upper case words.
	AlterDatabase struct {
		Name   string // CURRENT is empty
		Option string
		Value  string
	}
	// Drop removes an object: What is TABLE, SCHEMA, DATABASE, LOGIN, USER or ROLE.
	Drop struct {
		What     string
		Names    []Name
		IfExists bool
	}
	// BeginTran begins a transaction, or counts one more where one is open.
	BeginTran struct{ Name string }
	// CommitTran commits.
	CommitTran struct{}
	// RollbackTran rolls back, to a savepoint if it has a name.
	RollbackTran struct{ Name string }
	// SaveTran makes a savepoint.
	SaveTran struct{ Name string }
	// SetOption is SET with an option: upper case words, and what they are set to.
	SetOption struct {
		Option string
		Value  string
		X      Expr // of an option that takes a value, like LOCK_TIMEOUT
	}
	// SetVar is SET @x = ….
	SetVar struct {
		Name string
		X    Expr
	}
	// Declare declares variables.
	Declare struct{ Vars []DeclareVar }
	// DeclareVar is one of them.
	DeclareVar struct {
		Name  string
		Type  TypeName
		X     Expr
		Table []ColumnDef // of a table variable
	}
	// If is IF … ELSE ….
	If struct {
		Cond Expr
		Then Statement
		Else Statement
	}
	// Block is BEGIN … END.
	Block struct{ Body []Statement }
	// Try is BEGIN TRY … END TRY BEGIN CATCH … END CATCH.
	Try struct{ Body, Catch []Statement }
	// Exec calls a procedure.
	Exec struct {
		Proc   Name
		Args   []Arg
		Return string // the variable that takes the status
		Text   Expr   // of EXEC ('…')
	}
	// Arg is an argument: X is nil for DEFAULT.
	Arg struct {
		Name   string
		X      Expr
		Output bool
	}
	// Use changes the database.
	Use struct{ Database string }
	// Print sends a message.
	Print struct{ X Expr }
	// WaitFor waits for a delay.
	WaitFor struct{ Delay Expr }
	// Throw is THROW number, text, state, or RAISERROR(text, severity, state).
	Throw struct {
		Number, Text, State, Severity Expr
	}
	// Kill ends another session.
	Kill struct{ Session Expr }
)

func (*Select) statement()         {}
func (*Insert) statement()         {}
func (*Update) statement()         {}
func (*Delete) statement()         {}
func (*Truncate) statement()       {}
func (*CreateTable) statement()    {}
func (*CreateIndex) statement()    {}
func (*DropIndex) statement()      {}
func (*CreateSchema) statement()   {}
func (*CreateDatabase) statement() {}
func (*AlterTable) statement()     {}
func (*AlterDatabase) statement()  {}
func (*Drop) statement()           {}
func (*BeginTran) statement()      {}
func (*CommitTran) statement()     {}
func (*RollbackTran) statement()   {}
func (*SaveTran) statement()       {}
func (*SetOption) statement()      {}
func (*SetVar) statement()         {}
func (*Declare) statement()        {}
func (*If) statement()             {}
func (*Block) statement()          {}
func (*Try) statement()            {}
func (*Exec) statement()           {}
func (*Use) statement()            {}
func (*Print) statement()          {}
func (*WaitFor) statement()        {}
func (*Throw) statement()          {}
func (*Kill) statement()           {}

// ColumnDef is a column of CREATE or ALTER TABLE.
type ColumnDef struct {
	Name        string
	Type        TypeName
	NotNull     bool
	Null        bool // NULL was said
	Identity    bool
	Seed, Step  int64
	Default     Expr
	DefaultText string // as written
	DefaultName string
	PrimaryKey  bool
	Unique      bool
	NonCluster  bool
	Computed    Expr
	Mask        string // the function of MASKED, empty if there is none
	KeyName     string
	Persisted   bool
	ComputedSQL string
}

// ColumnMask is what ALTER COLUMN … ADD MASKED adds, or DROP MASKED takes away, which has
// no function.
type ColumnMask struct{ Column, Function string }

// Constraint is a table constraint: What is PRIMARY KEY, UNIQUE or DEFAULT.
type Constraint struct {
	Name        string
	What        string
	Columns     []string
	NonCluster  bool
	Default     Expr
	DefaultText string
}
