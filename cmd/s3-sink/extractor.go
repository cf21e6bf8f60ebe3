package main

import (
	"fmt"
	"strings"
	"time"

	"tributary/internal/avro"
	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/bronze"
)

// known is what the sink knows of records with one schema.
type known struct {
	schema *bronze.Schema
	time   *fieldTime // nil unless a field names the folder
}

// fieldTime reads the time of a record from one of its fields.
type fieldTime struct {
	plan  *avro.Plan
	row   *column.Batch
	field string
	text  bool
	// A number counts units of mul milliseconds, or of 1/div of one.
	mul, div int64
}

// newFieldTime finds the field in a schema, and what its numbers mean.
func newFieldTime(s *avro.Schema, field string) (*fieldTime, error) {
	at := s.Lookup(field)
	if at == nil {
		return nil, fault.Humanf("correct timestamp.field, or set timestamp.extractor: Record", "%s has no field %s to take the time from", s.Name, field)
	}
	n := at.NonNull()
	f := &fieldTime{field: field, mul: 1, div: 1}
	kind := column.Int
	switch n.Type {
	case avro.Int, avro.Long:
		f.mul, f.div = unit(n)
	case avro.String:
		kind, f.text = column.Bytes, true
	default:
		return nil, fault.Humanf("name a field that is a number or text in timestamp.field", "field %s of %s is of type %s: it is no time", field, s.Name, n.Type)
	}
	var err error
	if f.plan, err = avro.Compile(s, []avro.Target{{Path: field, Kind: kind}}); err != nil {
		return nil, fmt.Errorf("read field %s: %w", field, err)
	}
	f.row = f.plan.NewBatch()
	return f, nil
}

// unit returns what a number of the schema counts: milliseconds unless its
// logical or its semantic type says otherwise.
func unit(s *avro.Schema) (mul, div int64) {
	name := s.Prop("connect.name")
	switch {
	case s.Logical == "date" || strings.HasSuffix(name, ".Date"):
		return 24 * 3600 * 1000, 1
	case strings.HasSuffix(s.Logical, "-micros") || strings.HasSuffix(name, ".MicroTimestamp"):
		return 1, 1000
	case strings.HasSuffix(name, ".NanoTimestamp"):
		return 1, 1_000_000
	}
	return 1, 1
}

// of returns the time of a record in milliseconds since 1970; otherwise where
// the field is null.
func (f *fieldTime) of(body []byte, otherwise int64) (int64, error) {
	f.row.Reset()
	if _, err := f.plan.Walk(body, f.row); err != nil {
		return 0, fmt.Errorf("%w: %w", errRecord, err)
	}
	c := &f.row.Cols[0]
	switch {
	case c.IsNull(0):
		return otherwise, nil
	case !f.text:
		v := c.Ints[0]
		if v/f.div > 1<<52 || v/f.div < -1<<52 {
			return 0, fmt.Errorf("%w: field %s is out of range", errRecord, f.field)
		}
		ms := v / f.div
		if v%f.div < 0 {
			ms-- // down, not towards 1970
		}
		if f.mul > 1 && (ms > 1<<24 || ms < -1<<24) {
			return 0, fmt.Errorf("%w: field %s is out of range", errRecord, f.field)
		}
		return ms * f.mul, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(layout, string(c.Value(0))); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%w: field %s holds text that is no time in the form of ISO 8601", errRecord, f.field)
}
