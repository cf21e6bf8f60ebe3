package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// mysqlFile writes a configuration for a MySQL or MariaDB database.
func (s stack) mysqlFile(t *testing.T, db *testdb.Database, more string) string {
	t.Helper()
	text := fmt.Sprintf(`
name: %[5]s
connector.class: %[9]s
topic.prefix: test
database: {hostname: %[1]s, port: %[2]d, user: %[3]s, password: %[4]s, include.list: %[5]s}
bootstrap.servers: %[6]s
schema.registry.url: %[7]s
%[8]s`, db.Host, db.Port, db.User, db.Password, db.Name, s.kafka, s.registry, more, strings.ToLower(string(db.Kind)))
	path := filepath.Join(t.TempDir(), "connector.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunMySQLSnapshotsStreamsAndResumes(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *testdb.Database{
		"mysql": testdb.MySQL, "mysql without gtid": testdb.MySQLWithoutGTID, "mariadb": testdb.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			db.MustExec(t, "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40), price DECIMAL(8,2))",
				"INSERT INTO item SELECT a.n * 100 + b.n * 10 + c.n + 1, 'an item', 1.5 FROM "+digits("a")+", "+digits("b")+", "+digits("c"))
			s := newStack(t)
			path := s.mysqlFile(t, db, "transforms: unwrap\ntransforms.unwrap.add.fields: op,file,pos,row\ntransforms.unwrap.delete.tombstone.handling.mode: rewrite\n")
			topic := "test." + db.Name + ".item"
			stop := start(t, path)
			s.read(t, topic, 1000)
			db.MustExec(t, "UPDATE item SET price = 2 WHERE id = 7", "DELETE FROM item WHERE id = 8", "UPDATE item SET id = 3000 WHERE id = 9")
			s.read(t, topic, 1004)
			stop()

			db.MustExec(t, "INSERT INTO item VALUES (2000, 'while it was away', NULL)")
			stop = start(t, path)
			s.read(t, topic, 1005)
			stop()
		})
	}
}

// digits is a table of the numbers from 0 to 9.
func digits(alias string) string {
	return "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) " + alias
}

func TestRunMySQLTellsWhatIsWrong(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE item (id INT PRIMARY KEY)")
	s := newStack(t)
	for name, c := range map[string]struct {
		edit  func(text string) string
		want  string
		human bool
	}{
		"wrong password":       {replace("password: "+db.Password, "password: wrong"), "Access denied", true},
		"missing table":        {replace("topic.prefix:", "table.include.list: "+db.Name+".itm\ntopic.prefix:"), db.Name + ".itm", true},
		"unreachable database": {replace(fmt.Sprintf("port: %d", db.Port), "port: 1"), "connect to ", false},
		"other brand":          {replace("class: mysql", "class: mariadb"), "not a MariaDB", true},
	} {
		t.Run(name, func(t *testing.T) {
			path := s.mysqlFile(t, db, "errors.retry.timeout: 0\n")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.edit(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err = run(ctx, []string{"-c", path}, slog.New(slog.DiscardHandler))
			wantError(t, err, c.want, c.human)
		})
	}
}
