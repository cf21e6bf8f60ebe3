package mysql

import (
	"fmt"
	"runtime"
	"sync/atomic"
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
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		var most atomic.Uint64
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
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
		close(done)
		<-watched
		if bytes < times*each*size {
			t.Errorf("%d bytes of rows, want more than %d", bytes, times*each*size)
		}
		if grown := int64(most.Load()) - int64(before.HeapAlloc); grown > 64<<20 {
			t.Errorf("a transaction of %d MB took %d MB of memory", bytes>>20, grown>>20)
		} else {
			t.Logf("a transaction of %d MB took %d MB of memory", bytes>>20, grown>>20)
		}
	})
}
