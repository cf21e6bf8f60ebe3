package ddl

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tributary/internal/golden"
)

// describe is a statement in short.
func describe(s *Statement) string {
	var b strings.Builder
	name := func(n Name) string { return strings.TrimPrefix(n.Database+"."+n.Table, ".") }
	column := func(c *Column) {
		fmt.Fprintf(&b, " %s %s", c.Name, c.Full)
		if c.Charset != "" {
			b.WriteString(" " + c.Charset)
		}
		for word, on := range map[string]bool{"!null": c.NotNull, "now": c.Now} {
			if on {
				b.WriteString(" " + word)
			}
		}
		if c.Increment {
			b.WriteString(" auto")
		}
		if c.Primary {
			b.WriteString(" primary")
		}
		if c.Unique {
			b.WriteString(" unique")
		}
		if c.Default != nil {
			b.WriteString(" =" + *c.Default)
		}
		if c.Generated != "" {
			b.WriteString(" as " + c.Generated)
		}
		if c.Comment != "" {
			b.WriteString(" #" + c.Comment)
		}
		if w := strings.ToUpper(c.Full); w != c.Written && len(c.Members) == 0 {
			b.WriteString(" (" + c.Written + ")")
		}
	}
	key := func(k *Key) { fmt.Fprintf(&b, " key %s%v", k.Name, k.Columns) }
	switch s.Kind {
	case CreateDatabase, AlterDatabase, DropDatabase:
		fmt.Fprintf(&b, "database %s %s", s.Database, s.Charset)
	case CreateTable:
		fmt.Fprintf(&b, "create %s", name(s.Create.Table))
		if s.Create.Like != nil {
			b.WriteString(" like " + name(*s.Create.Like))
		}
		for i := range s.Create.Columns {
			b.WriteString(",")
			column(&s.Create.Columns[i])
		}
		for i := range s.Create.Keys {
			b.WriteString(",")
			key(&s.Create.Keys[i])
		}
		if s.Create.Charset != "" {
			b.WriteString("; " + s.Create.Charset)
		}
		if s.Create.Comment != "" {
			b.WriteString("; #" + s.Create.Comment)
		}
	case AlterTable, CreateIndex, DropIndex:
		b.WriteString("alter " + name(s.Table))
		for i := range s.Changes {
			c := &s.Changes[i]
			b.WriteString(", " + [...]string{"add", "modify", "drop", "rename", "default", "addkey", "dropkey", "renamekey", "move", "convert", "charset", "comment"}[c.Kind])
			if c.Name != "" {
				b.WriteString(" " + c.Name)
			}
			if c.To != "" {
				b.WriteString(">" + c.To)
			}
			switch c.Kind {
			case AddColumn, ModifyColumn:
				b.WriteString(":")
				column(&c.Column)
			case SetDefault:
				if c.Column.Default != nil {
					b.WriteString(" =" + *c.Column.Default)
				}
			case AddKey:
				key(&c.Key)
			case MoveTable:
				b.WriteString(" " + name(c.Table))
			case Convert, SetCharset:
				b.WriteString(" " + c.Charset)
			case SetComment:
				b.WriteString(" " + c.Comment)
			}
			if c.First {
				b.WriteString(" first")
			}
			if c.After != "" {
				b.WriteString(" after " + c.After)
			}
		}
	case DropTable:
		for _, d := range s.Drops {
			fmt.Fprintf(&b, "[%s%s%s]", d.Prefix, name(d.Table), d.Suffix)
		}
	case RenameTable:
		for _, r := range s.Renames {
			fmt.Fprintf(&b, "[%s>%s %s]", name(r.From), name(r.To), r.Text)
		}
	case Truncate:
		b.WriteString("truncate " + name(s.Table))
	case View:
		b.WriteString("view " + name(s.Table))
	case Account:
		b.WriteString("account")
	case Routine:
		b.WriteString("routine")
	default:
		b.WriteString("other")
	}
	return b.String()
}

// TestStatements reads statements in all their forms.
func TestStatements(t *testing.T) {
	for sql, want := range map[string]string{
		"CREATE TABLE t (a INTEGER NOT NULL DEFAULT -5, b NUMERIC, c BOOL DEFAULT TRUE, d DEC(5,2) UNSIGNED)":                              "create t, a int !null =-5 (INTEGER), b decimal(10,0) (NUMERIC), c tinyint(1) =1 (BOOL), d decimal(5,2) unsigned (DEC(5,2) UNSIGNED)",
		"CREATE TABLE `t` (d ENUM('a','b,c','d''e') CHARACTER SET latin1, s set('x','é ') not null default 'x')":                           "create t, d enum('a','b,c','d''e') latin1, s set('x','é') !null =x",
		"CREATE TABLE t (g INT GENERATED ALWAYS AS (id*2) VIRTUAL INVISIBLE, i int invisible default 1, visible int)":                      "create t, g int as id*2, i int =1, visible int",
		"CREATE TABLE t (v vector(3), p point /*!80003 SRID 4326 */ not null, mp multipoint srid 0, gc geomcollection)":                    "create t, v vector(3), p point !null, mp multipoint, gc geomcollection",
		"CREATE TABLE t (point point, uuid uuid default uuid(), `inet6` inet6 not null, key point (a), spatial index (point))":             "create t, point point, uuid uuid, inet6 inet6 !null",
		"CREATE TABLE t (x varchar(40) DEFAULT (uuid()), vb varbinary(4) NOT NULL, b4 bit(4) default b'1010', s serial)":                   "create t, x varchar(40), vb varbinary(4) !null, b4 bit(4) =b'1010', s bigint unsigned !null auto unique (SERIAL)",
		"CREATE TABLE t (n nvarchar(5), y year, u float(7,3), l long, lv long varchar, i1 int1, mi middleint, re real)":                    "create t, n varchar(5) utf8mb3 (NVARCHAR(5)), y year, u float(7,3), l mediumtext (LONG), lv mediumtext (LONG VARCHAR), i1 tinyint (INT1), mi mediumint (MIDDLEINT), re double (REAL)",
		"CREATE TABLE t (dp double precision, nc national character varying(4), cv char varying(3), f4 float4, ch char)":                   "create t, dp double (DOUBLE PRECISION), nc varchar(4) utf8mb3 (NATIONAL CHARACTER VARYING(4)), cv varchar(3) (CHAR VARYING(3)), f4 float (FLOAT4), ch char(1) (CHAR)",
		"CREATE TABLE t (a int key, b int unique, c int primary key comment 'it''s')":                                                      "create t, a int !null primary, b int unique, c int !null primary #it's",
		"CREATE TABLE t (a int, b int, primary key (a), unique key u (b desc, a), unique (b(3)), key((a+1)), check (a>0))":                 "create t, a int, b int, key PRIMARY[a], key u[b a], key [b]",
		"CREATE TABLE t (c char(5) character set cp932 collate cp932_bin, d text collate sjis_bin) default charset=koi8r comment='x y'":    "create t, c char(5) cp932, d text sjis; koi8r; #x y",
		"CREATE TABLE t (a text(100), b blob(70000), c tinyblob, d json not null, e blob default ('x'))":                                   "create t, a text (TEXT(100)), b mediumblob (BLOB(70000)), c tinyblob, d json !null, e blob",
		"CREATE TABLE t (ts timestamp(3) null default current_timestamp(3) on update now(3), dt datetime default '2000-01-01', t time(6))": "create t, ts timestamp(3) now, dt datetime =2000-01-01, t time(6)",
		"CREATE TABLE `d` (\n  `id` int NOT NULL\n) START TRANSACTION":                                                                     "create d, id int !null",
		"CREATE OR REPLACE TABLE x.y (a int) engine=innodb, collate=latin1_bin":                                                            "create x.y, a int; latin1",
		"CREATE TABLE t (`a b.c` int, `ü` int, `x``y` int, `point` int)":                                                                   "create t, a b.c int, ü int, x`y int, point int",
		"create table t (a int as (b + (c)) stored, d int generated always as (concat('(', e)) virtual not null, f int as (1) persistent)": "create t, a int as b + (c), d int !null as concat('(', e), f int as 1",
		"create table c like x.a": "create c like x.a", "create table c (like a)": "create c like a",
		"CREATE TABLE t (a varchar(10) COMPRESSED, b int(5) zerofill) row_format=compressed":                                                              "create t, a varchar(10), b int(5) unsigned zerofill (INT(5) ZEROFILL)",
		"/* app */ ALTER TABLE a ADD COLUMN extra DECIMAL(10,2) NOT NULL DEFAULT 1.50 COMMENT 'added' AFTER id -- x":                                      "alter a, add extra: extra decimal(10,2) !null =1.50 #added after id",
		"alter table a add column (x int, y point), drop column z, rename column v to vv, modify n bigint unsigned first":                                 "alter a, add x: x int, add y: y point, drop z, rename v>vv, modify n: n bigint unsigned first",
		"alter table a alter column q set default 5, alter q set default (1+1), alter q drop default, alter q set visible":                                "alter a, default q =5, default q, default q",
		"alter table a rename to foo.bar, convert to character set latin1, add index (vv), drop primary key, add primary key(id,vv), rename index i to j": "alter a, move foo.bar, convert latin1, dropkey PRIMARY, addkey key PRIMARY[id vv], renamekey i>j",
		"alter table a change old new point not null after c, change column o2 n2 int":                                                                    "alter a, modify old: new point !null after c, modify o2: n2 int",
		"alter online table t add column if not exists a uuid, force, algorithm=instant":                                                                  "alter t, add a: a uuid",
		"alter table t drop column if exists a, drop index i, add unique u (a), character set koi8u, comment 'c'":                                         "alter t, drop a, dropkey i, addkey key u[a], charset koi8u, comment c",
		"alter table a exchange partition p with table b":                                                                                                 "alter a", "alter table t partition by hash(a) partitions 4": "alter t", "alter table t convert to charset default": "alter t, convert ",
		"alter table t add spatial index (p), add constraint c unique (a), alter index i invisible, order by a": "alter t, addkey key c[a]",
		"create unique index i on x.t (a, b)": "alter x.t, addkey key i[a b]", "create index i on t (a)": "alter t", "drop index i on t": "alter t, dropkey i",
		"drop table if exists a.b, `c` /* generated by server */":   "[drop table if exists a.b][drop table if exists c]",
		"RENAME TABLE a TO b, `c` TO d.`e`":                         "[a>b RENAME TABLE a TO b][c>d.e RENAME TABLE `c` TO d.`e`]",
		"create database x character set tis620 collate tis620_bin": "database x tis620", "alter schema x default collate utf8mb3_bin": "database x utf8mb3", "drop database if exists x": "database x ",
		"SET STATEMENT max_statement_time=0, sql_mode='' FOR alter table a drop column b": "alter a, drop b", "set statement x=1 for drop table a": "[drop table a]",
		"truncate t.a": "truncate t.a", "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `vw` AS SELECT * FROM a": "view vw",
		"create definer=`a`@`b` trigger x before insert on t for each row begin set @a=1; end": "routine", "create function f() returns int return 1": "routine",
		"GRANT ALL ON *.* TO x": "account", "create user x identified by 'y'": "account", "set password = 'x'": "account", "flush tables": "other", "analyze table t": "other",
		`create table t (c varchar(9) default "a\"b", d varchar(9) default 'c\'d''e')`: `create t, c varchar(9) =a"b, d varchar(9) =c'd'e`,
	} {
		st, err := New().Parse(sql, Mode{})
		if err != nil {
			t.Errorf("%s\n  %v", sql, err)
			continue
		}
		if got := describe(st); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
}

// TestUnread are statements that are not understood: an error, not a part.
func TestUnread(t *testing.T) {
	for _, sql := range []string{
		"create table t (a int) with system versioning", "alter table t add system versioning", "alter table t drop column",
		"create table t (a sometype)", "alter table t add column a int, frobnicate", "create", "rename table a", "alter table t add p period for system_time(a,b)",
	} {
		if st, err := New().Parse(sql, Mode{}); err == nil {
			t.Errorf("%s: %s", sql, describe(st))
		}
	}
}

// TestModes reads quotes by what sql_mode says.
func TestModes(t *testing.T) {
	st, err := New().Parse(`create table "t" ("a" int default 1, b varchar(3) default '\')`, Mode{ANSIQuotes: true, NoBackslashEscapes: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(st), `create t, a int =1, b varchar(3) =\`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRecordedStatements reads every statement that recordings have.
func TestRecordedStatements(t *testing.T) {
	files, _ := golden.Files(t, "debezium/m*/*/default/schemahistory.jsonl")
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			for _, sql := range ddlOf(t, line) {
				if _, err := New().Parse(sql, Mode{}); err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("alter table a add column (x int, y point), drop column z, rename column v to vv", false, false)
	f.Add("create table `t` (a varchar(3) character set x collate y default 'a', b enum('a'))", true, false)
	f.Add("rename table a to b, c to d /*!80000 x */", false, true)
	f.Fuzz(func(t *testing.T, sql string, ansi, plain bool) {
		_, _ = New().Parse(sql, Mode{ansi, plain})
	})
}
