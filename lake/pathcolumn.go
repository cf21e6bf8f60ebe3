package lake

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"tributary/internal/column"
)

// Tables with hoodie.datasource.write.drop.partition.columns have no partition
// columns in their files: the values are those of the paths. As Hudi has it, a
// column that the schema does not tell of is text, and comes last.

// pathColumns returns the partition columns that only the paths have.
func (p properties) pathColumns() []string {
	if !p.is(propDropPartitions, false) {
		return nil
	}
	return p.list(propPartitions)
}

// withPathColumns adds the columns that the schema lacks.
func (s Schema) withPathColumns(names []string) Schema {
	for _, n := range names {
		if s.Index(n) < 0 {
			s.Fields = append(s.Fields[:len(s.Fields):len(s.Fields)], Field{Name: n, Type: Simple(String), Nullable: true})
		}
	}
	return s
}

// pathValue returns the text that a partition's path has for the n-th of the
// partition fields; ok is false for null.
func (p properties) pathValue(partition string, fields []string, n int) (text string, ok bool) {
	parts := []string{partition}
	if len(fields) > 1 {
		parts = strings.Split(partition, "/")
	}
	if n >= len(parts) {
		return "", false
	}
	text = parts[n]
	if p.is(propHive, false) {
		text = strings.TrimPrefix(text, fields[n]+"=")
	}
	if text == defaultPartition || text == "" {
		return "", false
	}
	if p.is(propURLEncode, false) {
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
	}
	return text, true
}

// appendPath appends the value of a path column to dst, rows times. What is no
// value of the type is null.
func (s *Snapshot) appendPath(dst *column.Column, f Field, partition string, rows int) {
	fields := s.props.list(propPartitions)
	var one column.Column
	one.Kind = dst.Kind
	for n := range fields {
		if fields[n] != f.Name {
			continue
		}
		if text, ok := s.props.pathValue(partition, fields, n); ok {
			appendParsed(&one, f.Type, text)
		}
	}
	if one.Len() == 0 {
		one.AppendNull()
	}
	for range rows {
		dst.Append(&one, 0)
	}
}

// appendParsed appends text as a value of type t, or nothing.
func appendParsed(dst *column.Column, t Type, text string) {
	switch t.Kind {
	case String:
		dst.AppendString(text)
	case Boolean:
		if v, err := strconv.ParseBool(text); err == nil {
			dst.AppendInt(int64(boolInt(v)))
		}
	case Date:
		if d, err := time.Parse(time.DateOnly, text); err == nil {
			dst.AppendInt(d.Unix() / 86400)
		}
	case Int, Long, TimeMillis, TimeMicros, TimestampMillis, TimestampMicros:
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			dst.AppendInt(v)
		}
	case Float, Double:
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			dst.AppendFloat(v)
		}
	}
}
