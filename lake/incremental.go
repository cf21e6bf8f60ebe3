package lake

import (
	"context"
	"fmt"
	"slices"

	"tributary/internal/column"
)

// Between returns the rows that commits after the instant from, up to and with
// the instant to, have inserted or updated, as they were as of to; "" for to
// means now, and "000" for from the beginning. Rows that were removed for good
// are not among them. AsOf's rules for instants hold for to; from may be older
// than what cleaning has kept.
//
// Of a merge-on-read table they are, as in Hudi, the rows that the commits wrote:
// one that came too late to win over a stored row is among them until the next
// compaction.
func (t *Table) Between(ctx context.Context, from, to string) (*Snapshot, error) {
	s, err := t.AsOf(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("changes since %s: %w", from, err)
	}
	// A file that no later commit has written has no later row.
	s.since = from
	var files []BaseFile
	for _, f := range s.files {
		if f.Instant > from {
			files = append(files, f)
		}
	}
	s.files = files
	if s.slices != nil {
		touched := []fileSlice{}
		for _, sl := range s.slices {
			if sl.base.Instant <= from {
				sl.base = BaseFile{}
			}
			if sl.base.Key != "" || len(sl.logs) > 0 {
				touched = append(touched, sl)
			}
		}
		s.slices = touched
	}
	return s, nil
}

// Since returns the instant after which the snapshot's rows were written, or ""
// if it has all rows.
func (s *Snapshot) Since() string { return s.since }

// chosen returns the fields to scan and the yield to scan with, so that of all
// rows those that the snapshot is about reach yield, in the given fields.
func (s *Snapshot) chosen(fields []Field, yield func(*column.Batch, error) bool) ([]Field, func(*column.Batch, error) bool) {
	scanned := slices.Clone(fields)
	own := func(meta int) int {
		n := slices.IndexFunc(scanned, func(f Field) bool { return f.Name == metaNames[meta] })
		if n < 0 {
			n = len(scanned)
			scanned = append(scanned, Field{Name: metaNames[meta], Type: Simple(String), Nullable: true})
		}
		return n
	}
	commitTime, recordKey := own(metaCommitTime), own(metaRecordKey)
	out := Schema{Fields: fields}.NewBatch()
	var sel []int32
	return scanned, func(b *column.Batch, err error) bool {
		if err != nil {
			return yield(nil, err)
		}
		sel = sel[:0]
		for r := range b.Len {
			if s.chosenRow(b, commitTime, recordKey, r) {
				sel = append(sel, int32(r))
			}
		}
		if len(sel) == 0 {
			return true
		}
		out.Reset()
		for i := range out.Cols {
			out.Cols[i].Gather(&b.Cols[i], sel)
		}
		out.Len = len(sel)
		return yield(out, nil)
	}
}
