package lake

import (
	"context"
	"fmt"

	"tributary/internal/column"
	"tributary/lake/merge"
)

// loadIndex makes the writer's groups and key index those of the files, which
// are the table's newest. Of the groups that the index knows, only those whose
// file is another than it was are read. What the index says of a group beyond
// that is harmless: an answer of the index is checked against the group's keys.
func (t *Table) loadIndex(ctx context.Context, files []BaseFile) error {
	w := t.w
	known := w.groups
	if w.index.file == nil && t.opt.IndexDir != "" && known == nil {
		known = t.openIndex()
	}
	numbers := map[groupKey]int{}
	for n, g := range known {
		if g.Key != "" {
			numbers[groupKey{g.Partition, g.FileID}] = n
		}
	}
	alive := 0
	for _, f := range files {
		if _, ok := numbers[groupKey{f.Partition, f.FileID}]; ok {
			alive++
		}
	}
	if 2*alive < len(known) { // mostly of groups that are gone
		w.index.clear()
		known, numbers = nil, nil
	}
	w.index.begin()
	w.groups, w.partitions = make([]BaseFile, len(known)), map[string][]int{}
	key := column.Column{Kind: column.Bytes}
	for _, f := range files {
		n, ok := numbers[groupKey{f.Partition, f.FileID}]
		if !ok {
			var err error
			if n, err = t.addGroup(f); err != nil {
				return err
			}
		} else {
			w.groups[n] = f
			w.partitions[f.Partition] = append(w.partitions[f.Partition], n)
			if known[n].Instant == f.Instant && known[n].Key == f.Key {
				w.groups[n].Rows = known[n].Rows
				continue
			}
		}
		if err := t.indexKeys(ctx, n, &key, ok); err != nil {
			return fmt.Errorf("read keys of %s: %w", f.Key, err)
		}
	}
	t.saveIndex()
	return nil
}

// openIndex opens the index file and returns the groups that it knows. Without
// one the index stays in memory.
func (t *Table) openIndex() []BaseFile {
	x := &t.w.index
	file, err := openIndexFile(t.opt.IndexDir, t.url("")+" "+t.Name())
	if err != nil {
		t.opt.Log.Warn("the key index stays in memory", "table", t.base, "err", err)
		return nil
	}
	x.file = file
	slots, used, groups, ok := file.load()
	if !ok {
		return nil
	}
	x.slots, x.used = slots, used
	return groups
}

// saveIndex ends a change of the index. A file that cannot be written is given
// up: what it holds is marked as being of no use.
func (t *Table) saveIndex() {
	x := &t.w.index
	if x.file == nil {
		return
	}
	if err := x.file.commit(x.used, t.w.groups); err != nil {
		t.opt.Log.Warn("the key index is not saved", "table", t.base, "err", err)
	}
}

// indexKeys puts the keys of a group's file into the index; again tells that it
// may have them already.
func (t *Table) indexKeys(ctx context.Context, n int, key *column.Column, again bool) error {
	f := &t.w.groups[n]
	file, done, err := t.openFile(ctx, f.Key)
	if err != nil {
		return err
	}
	defer done()
	f.Rows = file.Rows()
	var hashes []uint64
	for g := range file.Groups() {
		key.Reset()
		if err := file.Read(g, metaColumn(metaRecordKey), key); err != nil {
			return err
		}
		for r := range key.Len() {
			if h := merge.Hash(key.Value(r)); again {
				t.w.index.addOnce(h, n)
			} else {
				hashes = append(hashes, h)
			}
		}
	}
	t.w.index.addAll(hashes, n)
	return nil
}

// begin marks the index as being changed.
func (x *keyIndex) begin() {
	if x.file != nil {
		x.file.begin()
	}
}

func (x *keyIndex) close() {
	if x.file != nil {
		x.file.close()
		x.file, x.slots, x.used = nil, nil, 0
	}
}
