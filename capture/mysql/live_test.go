package mysql

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/config"
	"tributary/internal/testdb"
)

func liveOptions(db *testdb.Database) Options {
	class := "mysql"
	if db.Kind == testdb.KindMariaDB {
		class = "mariadb"
	}
	return Options{
		Options: capture.Options{
			Name: "live-" + db.Name, Class: class, Prefix: "live", SnapshotMode: "initial", FetchSize: 1000,
			Skipped: []string{"t"}, Decimals: "precise", Times: "adaptive", BatchSize: 10_000, BatchBytes: 4 << 20,
			Heartbeat: time.Second,
		},
		Host: db.Host, Port: db.Port, User: db.User, Password: config.Secret(db.Password), SSLMode: "preferred",
		IncludeDatabases: []string{db.Name},
	}
}

func TestSmoke(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *testdb.Database{"mysql": testdb.MySQL, "nogtid": testdb.MySQLWithoutGTID, "mariadb": testdb.MariaDB} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20), d DECIMAL(8,2), ts TIMESTAMP(3) NULL)", "INSERT INTO a VALUES (1,'x',1.50,'2020-01-02 03:04:05.678'),(2,NULL,NULL,NULL)")
			s, err := New(liveOptions(db), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.Open(ctx, nil); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b, err := s.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			dump(b)
			began := time.Now()
			db.MustExec(t, "INSERT INTO a VALUES (3,'x',1.50,'2020-01-02 03:04:05.678'),(4,NULL,NULL,NULL)")
			for i := 0; i < 3; i++ {
				b, err := s.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Println(time.Since(began))
				dump(b)
				if len(b.List) > 0 {
					break
				}
			}
			began = time.Now()
			s.Close()
			fmt.Println("close", time.Since(began))
		})
	}
}

func dump(b *capture.Batch) {
	fmt.Println(string(b.End), b.Snapshot)
	for _, c := range b.List {
		fmt.Printf("%s %x %x %x %+v\n", c.Op, c.Key, c.Before, c.After, c.Source)
	}
}
