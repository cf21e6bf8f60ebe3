package mysql

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"tributary/envelope"
	"tributary/internal/testdb"
)

// TestSourcesOfTransactions leaves out the changes of some servers, and what the
// position is about.
func TestSourcesOfTransactions(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
	const other = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	foreign := func(n int, statement string) string {
		return fmt.Sprintf("SET SESSION gtid_next = '%s:%d'; %s; SET SESSION gtid_next = 'AUTOMATIC'", other, n, statement)
	}
	base := options(t, db)
	base.SnapshotMode = "no_data"
	for i, c := range []struct {
		set  func(o *Options)
		want string
	}{
		{func(*Options) {}, "ca1 ca2 ca3"},
		{func(o *Options) { o.GTIDExcludes = []string{"aaaaaaaa-.*"} }, "ca1 ca3"},
		{func(o *Options) { o.GTIDIncludes = []string{"aaaaaaaa-.*"} }, "ca2"},
	} {
		o := base
		c.set(&o)
		s := openSource(t, o, nil)
		begin := next(t, s)
		from := append([]byte(nil), begin.End...)
		db.MustExec(t, "INSERT INTO a VALUES (1)", foreign(2*i+1, "INSERT INTO a VALUES (2)"), "INSERT INTO a VALUES (3)", foreign(2*i+2, "DELETE FROM a"), "INSERT INTO a VALUES (9)")
		check := func(s *Source, want string) {
			t.Helper()
			var rec recording
			for len(rec.events) == 0 || len(rec.events[len(rec.events)-1].Key) == 0 || rec.events[len(rec.events)-1].Key[0] != 18 {
				if b := next(t, s); len(b.List) > 0 {
					rec.add(b)
				}
				if len(want) == 3 && len(rec.events) > 0 && rec.events[len(rec.events)-1].Op == envelope.Delete {
					break // the last change is not of those that are told
				}
			}
			var got []event
			for _, e := range rec.events {
				if e.Op == envelope.Create && e.Key[0] != 18 {
					got = append(got, e)
				}
			}
			if text := keys(got); text != want {
				t.Errorf("case %d: %s, want %s", i, text, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		check(s, c.want)
		check(openSource(t, o, from), c.want)
		db.MustExec(t, "DELETE FROM a")
	}
}

// TestLargeTransactionIsBounded has a transaction pass that is many times what
// the stream may hold, with a reader that is slow.
func TestLargeTransactionIsBounded(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testdb.Database) {
		db.MustExec(t, "CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(8000))", "CREATE TABLE b LIKE a", "INSERT INTO a (v) VALUES (REPEAT('x', 8000))")
		for range 11 {
			db.MustExec(t, "INSERT INTO a (v) SELECT v FROM a")
		}
		o := options(t, db)
		o.SnapshotMode = "no_data"
		s := openSource(t, o, nil)
		next(t, s)
		const times, each, size = 8, 2048, 8000 // 131 MB
		statements := "START TRANSACTION; "
		for range times {
			statements += "INSERT INTO b (v) SELECT v FROM a; "
		}
		grown := watchMemory()
		db.MustExec(t, statements+"COMMIT")
		rows, bytes := 0, 0
		for rows < times*each {
			b := next(t, s)
			rows += len(b.List)
			for i := range b.List {
				bytes += len(b.List[i].After)
			}
			time.Sleep(time.Millisecond)
		}
		most := grown()
		if bytes < times*each*size {
			t.Errorf("%d bytes of rows, want more than %d", bytes, times*each*size)
		}
		if most > 64<<20 {
			t.Errorf("a transaction of %d MB took %d MB of memory", bytes>>20, most>>20)
		} else {
			t.Logf("a transaction of %d MB took %d MB of memory", bytes>>20, most>>20)
		}
	})
}

// watchMemory returns a function that ends it and tells by how many bytes the heap
// had grown at most. Meanwhile what is of no use is collected early.
func watchMemory() func() int64 {
	percent := debug.SetGCPercent(20)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, m.HeapAlloc
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(done)
		<-watched
		debug.SetGCPercent(percent)
		return int64(most - before)
	}
}

// TestCompressedTransactionIsBounded has a transaction pass that is large even in
// its compressed form, which the server sends as one event, and goes on within it.
func TestCompressedTransactionIsBounded(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE n (i INT PRIMARY KEY)", "INSERT INTO n WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000) SELECT i FROM s",
		"CREATE TABLE a (id INT PRIMARY KEY, v MEDIUMBLOB)")
	o := options(t, db)
	o.SnapshotMode = "no_data"
	s := openSource(t, o, nil)
	next(t, s)
	logged := func() int {
		rows, err := db.Query(t.Context(), "SHOW BINARY LOGS")
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, r := range rows {
			n, _ := strconv.Atoi(r[1])
			total += n
		}
		return total
	}
	before := logged()
	const rows, size = 30_000, 16_000
	grown := watchMemory()
	db.MustExec(t, "SET SESSION binlog_transaction_compression = ON, max_execution_time = 0",
		"INSERT INTO a SELECT (m.i - 1) * 1000 + n.i, CONCAT(RANDOM_BYTES(1024), RANDOM_BYTES(1024), REPEAT('x', 13952)) FROM n m, n WHERE m.i <= 30",
		"SET SESSION binlog_transaction_compression = OFF")
	if n := logged() - before; n < 52<<20 || n > 93<<20 {
		t.Fatalf("the transaction takes %d MB in the log: it is not compressed", n>>20)
	}
	bytes := 0
	var keys []string
	var middle []byte
	at := 0
	for len(keys) < rows {
		b := next(t, s)
		for i := range b.List {
			keys = append(keys, string(b.List[i].Key))
			bytes += len(b.List[i].After)
		}
		if middle == nil && len(keys) > rows/2 {
			middle, at = append([]byte(nil), b.End...), len(keys)
		}
	}
	if bytes < rows*size || len(keys) != rows {
		t.Errorf("%d rows of %d bytes, want %d of more than %d", len(keys), bytes, rows, rows*size)
	}
	most := grown()
	t.Logf("%d MB in the log, %d MB of rows: %d MB of memory", (logged()-before)>>20, bytes>>20, most>>20)
	if most > 45<<20 {
		t.Errorf("a compressed transaction of %d MB took %d MB of memory", bytes>>20, most>>20)
	}
	_ = s.Close()
	s = openSource(t, o, middle)
	for n := at; n < rows; {
		b := next(t, s)
		for i := range b.List {
			if string(b.List[i].Key) != keys[n] {
				t.Fatalf("row %d has the key %x, want %x", n, b.List[i].Key, keys[n])
			}
			n++
		}
	}
}
