package main

import (
	"fmt"
	"io"
	"testing"

	"tributary/lake"
	"tributary/lake/blob"
)

// BenchmarkSQL answers questions about a table of 200,000 rows and ten commits,
// each from the command line on: an aggregate over all of it, one row by its
// key, and the aggregate as of the first commit.
func BenchmarkSQL(b *testing.B) {
	const rows, perCommit = 200_000, 20_000
	dir := b.TempDir()
	store, err := blob.NewDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	table, err := lake.Create(b.Context(), store, "silver/tickit/sale", lake.Config{
		Database: "tickit", Table: "sale", Schema: saleSchema, KeyFields: []string{"id"}, Precombine: "__seq",
	}, lake.Options{})
	if err != nil {
		b.Fatal(err)
	}
	first := ""
	for from := 0; from < rows; from += perCommit {
		var list []sale
		for i := range perCommit {
			list = append(list, sale{id: int64(from + i), buyer: fmt.Sprint("buyer ", i%1000), cents: int64(i % 30_000), seq: from + i})
		}
		in, err := table.Upsert(b.Context(), rowsOf(saleSchema, list...), nil)
		if err != nil {
			b.Fatal(err)
		}
		if first == "" {
			first = in.Time
		}
	}
	if err := table.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	for name, args := range map[string][]string{
		"aggregate":     {"select buyer, sum(price), max(sold) from sale group by 1 order by 2 desc limit 10"},
		"row":           {"select * from sale where id = 123456"},
		"first instant": {"--as-of", first, "select count(*), sum(price) from sale"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if code := run(b.Context(), append([]string{"--lake", dir, "sql", "-o", "csv"}, args...), nil, io.Discard, b.Output()); code != 0 {
					b.Fatalf("exit code %d", code)
				}
			}
		})
	}
}
