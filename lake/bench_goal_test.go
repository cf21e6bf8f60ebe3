package lake

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"tributary/lake/blob"
)

// The benchmarks that follow are the goals of the table's speed, each with the
// opening of the table and its lease, as a process that starts has it.

// bigTable makes a table of rows in a folder, with a key index.
func bigTable(b *testing.B, rows int) (blob.Store, Options) {
	b.Helper()
	store, err := blob.NewDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	opt := Options{IndexDir: b.TempDir(), MaxFileRows: 250_000}
	tab, err := Create(b.Context(), store, "t", Config{Table: "sale", Schema: wideSchema, KeyFields: []string{"saleid"}, Precombine: "__seq"}, opt)
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < rows; from += 250_000 {
		if _, err := tab.Upsert(b.Context(), wideRows(from, min(250_000, rows-from), 0), nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := tab.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	syscall.Sync() // the commits that are measured are not to wait for this one's
	return store, opt
}

// cpuTime is the processor time of the process so far: unlike the clock's it does
// not grow with what else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// upsertAgain opens the table, commits the rows and closes it.
func upsertAgain(b *testing.B, store blob.Store, opt Options, rows Rows) {
	b.Helper()
	tab, err := Open(b.Context(), store, "t", opt)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := tab.Upsert(b.Context(), rows, nil); err != nil {
		b.Fatal(err)
	}
	if err := tab.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// every returns n rows of version v, step keys apart.
func every(step, n, from, v int) Rows {
	out := wideRows(0, 0, v)
	for i := range n {
		one := wideRows(from+i*step, 1, v)
		for c := range out.Batch.Cols {
			out.Batch.Cols[c].Append(&one.Batch.Cols[c], 0)
		}
		out.Batch.Len++
	}
	return out
}

// BenchmarkGoalBulkInsert1M loads an empty table by an upsert, an insert and a bulk
// insert, whose rows come in no order.
func BenchmarkGoalBulkInsert1M(b *testing.B) {
	rows := wideRows(0, 1_000_000, 0)
	for _, op := range []string{"upsert", "insert", "bulk"} {
		b.Run(op, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				store, opt := bigTable(b, 0)
				b.StartTimer()
				if op == "upsert" {
					upsertAgain(b, store, opt, rows)
					continue
				}
				tab, err := Open(b.Context(), store, "t", opt)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := tab.Insert(b.Context(), rows, Insertion{Bulk: op == "bulk"}, nil); err != nil {
					b.Fatal(err)
				}
				if err := tab.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkGoalRewrite replaces every row of a table.
func BenchmarkGoalRewrite(b *testing.B) {
	const size = 1_000_000
	store, opt := bigTable(b, size)
	v, cpu := 0, time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		v++
		r := wideRows(0, size, v)
		before := cpuTime(b)
		b.StartTimer()
		upsertAgain(b, store, opt, r)
		b.StopTimer()
		cpu += cpuTime(b) - before
		b.StartTimer()
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(size*float64(b.N)/cpu.Seconds(), "rows/s/core")
}

// BenchmarkGoalClustered changes 1% of a table, of keys side by side, and then all
// of it: the goal is that the first takes at most a fifth of the second.
func BenchmarkGoalClustered(b *testing.B) {
	const size, share = 5_000_000, 50_000
	store, opt := bigTable(b, size)
	v := 0
	b.Run("1 percent", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			v++
			r := wideRows(size/2, share, v)
			b.StartTimer()
			upsertAgain(b, store, opt, r)
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			for from := 0; from < size; from += 1_000_000 { // so that the rows are not what takes the memory
				b.StopTimer()
				v++
				r := wideRows(from, 1_000_000, v)
				b.StartTimer()
				upsertAgain(b, store, opt, r)
			}
		}
	})
}

func BenchmarkGoalUpsert1PercentOf1M(b *testing.B) {
	store, opt := bigTable(b, 1_000_000)
	for name, rows := range map[string]func(v int) Rows{
		"uniform": func(v int) Rows { return every(100, 10_000, v%100, v) },
		"recent":  func(v int) Rows { return wideRows(990_000, 10_000, v) },
	} {
		b.Run(name, func(b *testing.B) {
			v := 0
			for b.Loop() {
				b.StopTimer()
				v++
				r := rows(v)
				b.StartTimer()
				upsertAgain(b, store, opt, r)
			}
		})
	}
}

// BenchmarkGoalTableSize commits 1,000 recent rows to tables of different sizes.
func BenchmarkGoalTableSize(b *testing.B) {
	for _, size := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			store, opt := bigTable(b, size)
			upsertRecent(b, store, opt, size, 1000)
		})
	}
}

// upsertRecent measures commits of new versions of the last n of size rows.
func upsertRecent(b *testing.B, store blob.Store, opt Options, size, n int) {
	v, cpu := 0, time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		v++
		r := wideRows(size-n, n, v)
		before := cpuTime(b)
		b.StartTimer()
		upsertAgain(b, store, opt, r)
		b.StopTimer()
		cpu += cpuTime(b) - before
		b.StartTimer()
	}
	b.ReportMetric(cpu.Seconds()*1e3/float64(b.N), "cpu-ms/op")
}

// BenchmarkGoalOpen opens a table of 1,000 commits as of one of them.
func BenchmarkGoalOpen(b *testing.B) {
	store, err := blob.NewDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	tab, err := Create(b.Context(), store, "t", Config{Table: "sale", Schema: wideSchema, KeyFields: []string{"saleid"}, Precombine: "__seq"}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	var at []string
	for i := range 1000 {
		in, err := tab.Upsert(b.Context(), wideRows(i, 1, i), nil)
		if err != nil {
			b.Fatal(err)
		}
		at = append(at, in.Time)
	}
	n := 0
	for b.Loop() {
		n += 337
		tab, err := Open(b.Context(), store, "t", Options{})
		if err != nil {
			b.Fatal(err)
		}
		s, err := tab.AsOf(b.Context(), at[n%1000])
		if err != nil || s.Rows() == 0 {
			b.Fatal(s, err)
		}
	}
}

// BenchmarkFileSize commits 100 recent rows to tables whose files have different
// sizes: what a commit writes grows with them.
func BenchmarkFileSize(b *testing.B) {
	const size = 3_000_000
	for _, mib := range []int64{8, 32, 120} {
		b.Run(fmt.Sprint(mib, "MiB"), func(b *testing.B) {
			store, opt := bigTable(b, 0)
			opt.MaxFileRows, opt.MaxFileBytes = 0, mib<<20
			for from := 0; from < size; from += 500_000 {
				upsertAgain(b, store, opt, wideRows(from, 500_000, 0))
			}
			syscall.Sync()
			upsertRecent(b, store, opt, size, 100)
		})
	}
}
