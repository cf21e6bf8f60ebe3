package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"tributary/lake/blob"
)

const propMetadataInflight = "hoodie.table.metadata.partitions.inflight"

// dropMetadata takes the table's metadata table away, if an engine has made one:
// an index of Hudi's own that this package does not keep up, so that engines that
// go by it would not see our files. Without it they list; Spark makes it anew
// with its next write unless told not to. The property goes first: from then on
// nobody reads what is being deleted.
func (t *Table) dropMetadata(ctx context.Context) error {
	key := join(t.base, propertiesFile)
	o, err := t.store.Open(ctx, key)
	if errors.Is(err, blob.ErrNotExist) {
		return nil // another engine is writing it anew
	}
	if err != nil {
		return fmt.Errorf("read properties of %s: %w", t.base, err)
	}
	defer o.Close()
	b := make([]byte, min(o.Size(), maxBody))
	if _, err := io.ReadFull(io.NewSectionReader(o, 0, o.Size()), b); err != nil {
		return fmt.Errorf("read properties of %s: %w", t.base, err)
	}
	props := parseProperties(b)
	if props[propMetadata] != "" || props[propMetadataInflight] != "" {
		t.opt.Log.Warn("removing the metadata table, which is not kept up: set hoodie.metadata.enable=false in other writers",
			"table", t.base)
		delete(props, propMetadata)
		delete(props, propMetadataInflight)
		body := props.format(t.opt.Now())
		if _, err := t.store.Put(ctx, key, bytes.NewReader(body), int64(len(body)), blob.IfMatch(o.ETag())); err != nil {
			return fmt.Errorf("turn off the metadata table of %s: %w", t.base, err)
		}
	}
	if err := t.deleteBelow(ctx, ".hoodie/metadata/"); err != nil {
		return fmt.Errorf("remove the metadata table of %s: %w", t.base, err)
	}
	return nil
}
