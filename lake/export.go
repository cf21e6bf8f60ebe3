package lake

import (
	"context"
	"fmt"
	"io"

	"tributary/lake/basefile"
)

// WriteParquet writes the snapshot's rows as one Parquet file, Hudi's own columns
// first: for engines that cannot merge logs by themselves. Values of nested types
// become JSON text. The rows of one row group are those of one batch of Scan.
func (s *Snapshot) WriteParquet(ctx context.Context, out io.Writer) error {
	var names []string
	var cols []basefile.Column
	for i, n := range metaNames {
		names, cols = append(names, n), append(cols, metaColumn(i))
	}
	for _, f := range s.schema.Fields {
		c := f.column()
		if c.Nested {
			c = basefile.Column{Name: f.Name, Physical: basefile.ByteArray, Annotation: basefile.UTF8}
		}
		c.Nullable = true
		names, cols = append(names, f.Name), append(cols, c)
	}
	enc, err := basefile.NewEncoder("snappy")
	if err != nil {
		return err
	}
	w, err := basefile.NewWriter(out, s.schema.recordName(), cols)
	if err != nil {
		return err
	}
	for b, err := range s.Scan(ctx, names) {
		if err != nil {
			return err
		}
		if b.Len == 0 {
			continue
		}
		chunks := make([]*basefile.Chunk, len(cols))
		for i := range cols {
			if chunks[i], err = enc.Encode(cols[i], &b.Cols[i]); err != nil {
				return fmt.Errorf("column %s: %w", names[i], err)
			}
		}
		if err := w.Append(chunks); err != nil {
			return err
		}
	}
	_, err = w.Close(nil)
	return err
}
