package tsql_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tributary/internal/mssqltest/tsql"
)

var texts = []string{
	"SELECT TOP (@n) a.[x], N'y''z' AS q FROM db.dbo.t AS a WITH (NOLOCK) LEFT JOIN (VALUES (1, DEFAULT)) v(p, q) ON a.x = v.p WHERE a.x BETWEEN 1 AND 2 ORDER BY 1 DESC OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY OPTION (RECOMPILE)",
	"WITH c AS (SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) r, * FROM t) SELECT * FROM c WHERE r = 1 UNION ALL SELECT NULL, 1.5e3, 0x0F",
	"IF @@TRANCOUNT > 0 COMMIT TRAN; SET TRANSACTION ISOLATION LEVEL SNAPSHOT; DECLARE @t TABLE (a int NULL, b sysname); INSERT INTO @t EXEC sp_columns_100 N't', @x = 1 OUTPUT",
	"CREATE TABLE s.t (a int IDENTITY(1,1) NOT NULL, b decimal(10,2) DEFAULT ((1)), c AS a * 2, timestamp, CONSTRAINT pk PRIMARY KEY CLUSTERED (a, b))",
	"BEGIN TRY THROW 50001, 'x', 1 END TRY BEGIN CATCH PRINT ERROR_MESSAGE() END CATCH",
	"UPDATE TOP (1) t SET a += 1, b = DEFAULT WHERE c IN (SELECT 1) AND NOT EXISTS (SELECT 1) -- end",
	"CREATE LOGIN [a b] WITH PASSWORD = N'x', CHECK_POLICY = OFF; CREATE USER u FROM LOGIN [a b]; CREATE ROLE r AUTHORIZATION u; ALTER ROLE r ADD MEMBER u; DROP USER IF EXISTS u",
	"GRANT SELECT (a, b), VIEW DEFINITION ON OBJECT::s.t TO u, public WITH GRANT OPTION; DENY ALTER ANY ROLE TO r CASCADE; REVOKE GRANT OPTION FOR SELECT ON SCHEMA::[cdc] FROM [u]",
	"MERGE INTO t", "GRANT TO u", "GRANT SELECT (a) ON t (a) TO u", "DENY SELECT ON LOGIN::l TO u", "CREATE LOGIN l FROM WINDOWS", "ALTER ROLE r DROP u", "SELECT 'open", "/* open", "((((((((((((((((", "SELECT -",
}

// words are how many of the texts are within the subset.
const words = 8

func TestWords(t *testing.T) {
	for _, text := range texts[:words] {
		if _, err := tsql.Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range texts[words:] {
		var se *tsql.SyntaxError
		if _, err := tsql.Parse(text); !errors.As(err, &se) || se.Number == 0 {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := tsql.Parse("SELECT " + strings.Repeat("(", 10000) + "1"); err == nil {
		t.Error("no bound of depth")
	}
}

// FuzzParse looks for texts that make the parser panic, or fail without saying why.
func FuzzParse(f *testing.F) {
	for _, t := range texts {
		f.Add(t)
	}
	if types, err := os.ReadFile("../testdata/types.sql"); err == nil {
		f.Add(string(types))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := tsql.Parse(text)
		var se *tsql.SyntaxError
		if err != nil && (!errors.As(err, &se) || se.Number == 0 || se.Text == "") {
			t.Errorf("%q: %v", text, err)
		}
		_, _ = tsql.ParseName(text)
		_, _ = tsql.ParseParams(text)
	})
}
