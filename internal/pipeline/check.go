package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"tributary/internal/tickit"
)

// Sum is a checksum over rows that does not depend on their order: the hashes
// of the rows, added up.
type Sum struct {
	Rows   int
	Bytes  int64 // of all rows' text
	hi, lo uint64
}

// Add adds a row. The parts of a row must not hold a zero byte.
func (s *Sum) Add(row []byte) {
	h := sha256.Sum256(row)
	s.Rows++
	s.Bytes += int64(len(row))
	s.hi += binary.BigEndian.Uint64(h[:8])
	s.lo += binary.BigEndian.Uint64(h[8:16])
}

func (s Sum) String() string { return fmt.Sprintf("%016x%016x", s.hi, s.lo) }

// TableCheck compares a table in its database with the same table in the lake.
type TableCheck struct {
	Table  tickit.Table
	Source Sum
	Lake   Sum
}

// Equal reports whether every row and column agrees.
func (c TableCheck) Equal() bool { return c.Source == c.Lake }

// Check compares every table, over all its columns and all its rows that are
// not deleted.
func (p *Pipeline) Check(ctx context.Context) ([]TableCheck, error) {
	var checks []TableCheck
	for _, t := range tickit.Tables() {
		c := TableCheck{Table: t}
		var err error
		if c.Source, err = p.sourceSum(ctx, t); err != nil {
			return nil, fmt.Errorf("checksum of %s in the database: %w", t.FullName(), err)
		}
		if c.Lake, err = p.lakeSum(ctx, t); err != nil {
			return nil, fmt.Errorf("checksum of %s in the lake: %w", t.FullName(), err)
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// Equal reports whether all checks are.
func Equal(checks []TableCheck) bool {
	for _, c := range checks {
		if !c.Equal() {
			return false
		}
	}
	return true
}

func (p *Pipeline) sourceSum(ctx context.Context, t tickit.Table) (Sum, error) {
	var sum Sum
	server, database := p.Server(t)
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	var row []byte
	query := "SELECT " + strings.Join(names, ", ") + " FROM " + t.Quoted()
	err := server.Scan(ctx, database, query, func(values [][]byte) error {
		row = row[:0]
		for i, v := range values {
			if v == nil {
				v = []byte(null)
			}
			row = appendCanonical(row, t.Columns[i].Type, v)
		}
		sum.Add(row)
		return nil
	})
	return sum, err
}

// lakeSum reads through lakeq, as a user would.
func (p *Pipeline) lakeSum(ctx context.Context, t tickit.Table) (Sum, error) {
	var sum Sum
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, fmt.Sprintf(`coalesce(CAST("%s" AS VARCHAR), '%s') AS "%[1]s"`, c.Name, null))
	}
	query := fmt.Sprintf(`SELECT %s FROM "%s" WHERE coalesce("__deleted", 'false') <> 'true'`, strings.Join(columns, ", "), t.Name)
	var row []byte
	err := p.QueryEach(ctx, query, "", func(values []string) error {
		row = row[:0]
		for i, v := range values {
			row = appendCanonical(row, t.Columns[i].Type, []byte(v))
		}
		sum.Add(row)
		return nil
	})
	return sum, err
}

const null = `\N`

// appendCanonical appends a value in the one spelling that all sides share, and
// a zero byte. Booleans are t, true or 1; moments have a T or a space in the
// middle and say in several ways that they are UTC.
func appendCanonical(dst []byte, typ string, v []byte) []byte {
	start := len(dst)
	dst = append(dst, v...)
	switch {
	case typ == tickit.Boolean && bytes.ContainsAny(v, "tf"):
		dst = append(dst[:start], '0')
		if v[0] == 't' {
			dst[start] = '1'
		}
	case (typ == tickit.Timestamp || typ == tickit.Zoned) && len(v) > len("2008-01-01"):
		dst[start+10] = ' '
		for _, suffix := range []string{"Z", "+00", "+00:00", ".000", ".000000"} {
			dst = bytes.TrimSuffix(dst, []byte(suffix))
		}
	}
	return append(dst, 0)
}
