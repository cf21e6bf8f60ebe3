package lake

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"path"
	"slices"
	"strings"

	"tributary/internal/column"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// Finding is something that Validate found.
type Finding struct {
	Object  string // path below the table's base, or an instant
	Problem string
	Harmful bool // an engine may read wrong rows or fail; else it is only untidy
}

// Validation is what Validate looked at and found.
type Validation struct {
	Files    int   // of the newest state
	Rows     int64 // in them
	Instants int
	Findings []Finding
}

// Validate looks at everything that Hudi's engines rely on: that the files of
// the newest state are there with the size and rows that their commits tell,
// their bloom filters, key ranges and own columns, that no key is there twice,
// and what lies about: files that no commit knows, writes that were not
// completed. The timeline is that of the last Refresh. It reads the key columns
// of every file, and changes nothing.
func (t *Table) Validate(ctx context.Context) (Validation, error) {
	v := validator{t: t, stats: map[string]WriteStat{}, seed: maphash.MakeSeed()}
	tl := t.Timeline()
	v.out.Instants = len(tl.all)
	found, err := t.list(ctx)
	if err != nil {
		return v.out, err
	}
	s, err := t.snapshotAt(ctx, tl, found, latest)
	if err != nil {
		return v.out, err
	}
	if err := v.commits(ctx, tl, found); err != nil {
		return v.out, err
	}
	partitions := map[string]bool{}
	for _, f := range s.files {
		if err := v.file(ctx, f); err != nil {
			return v.out, err
		}
		partitions[f.Partition] = true
	}
	for p := range partitions {
		if err := v.partition(ctx, p); err != nil {
			return v.out, err
		}
	}
	if err := v.doubled(ctx, s.files); err != nil {
		return v.out, err
	}
	if err := v.logs(ctx, s); err != nil {
		return v.out, err
	}
	v.out.Files = len(s.files)
	return v.out, nil
}

type validator struct {
	t     *Table
	out   Validation
	stats map[string]WriteStat // by path: what the commit says
	seed  maphash.Seed
	keys  []uint64 // hashes of all keys: eight bytes a row, whatever its key
}

func (v *validator) add(harmful bool, object, format string, args ...any) {
	v.out.Findings = append(v.out.Findings, Finding{Object: object, Problem: fmt.Sprintf(format, args...), Harmful: harmful})
}

func (v *validator) path(key string) string {
	return strings.TrimPrefix(strings.TrimPrefix(key, v.t.base), "/")
}

// commits reads what the commits say and compares it with the files that are
// there.
func (v *validator) commits(ctx context.Context, tl *Timeline, found listing) error {
	there := map[string]int64{}
	for _, f := range found.bases {
		there[v.path(f.Key)] = f.Size
	}
	logs := map[string]int64{}
	for _, f := range found.logs {
		logs[v.path(f.Key)] = f.Size
	}
	for _, i := range tl.Completed() {
		c, err := v.t.Commit(ctx, i)
		if err != nil {
			v.add(true, i.Time, "%v", err)
			continue
		}
		if c.Extra[extraSchema] == "" {
			v.add(false, i.Time, "the commit has no schema")
		}
		for _, list := range c.Stats {
			for _, s := range list {
				if _, ok := parseLogFile(path.Base(s.Path)); ok {
					size, ok := logs[s.Path]
					switch { // a log may grow by later commits
					case !ok && i.Time >= tl.horizon && !v.superseded(ctx, tl, found, s, i.Time):
						v.add(true, s.Path, "the log of commit %s is missing", i.Time)
					case ok && size < s.FileSize:
						v.add(true, s.Path, "%d bytes, commit %s left %d", size, i.Time, s.FileSize)
					}
					continue
				}
				if s.Path == "" || !strings.HasSuffix(s.Path, ".parquet") {
					continue
				}
				v.stats[s.Path] = s
				size, ok := there[s.Path]
				switch {
				case !ok && i.Time >= tl.horizon && !v.superseded(ctx, tl, found, s, i.Time):
					v.add(true, s.Path, "the file of commit %s is missing", i.Time)
				case ok && size != s.FileSize:
					v.add(true, s.Path, "%d bytes, its commit says %d", size, s.FileSize)
				}
			}
		}
	}
	committed := tl.committed()
	pending := map[string]bool{}
	for _, i := range tl.Pending() {
		pending[i.Time] = true
		v.add(false, i.Time, "%s is %s: not completed", i.Action, i.State)
	}
	for _, f := range found.bases {
		p := v.path(f.Key)
		_, told := v.stats[p]
		switch {
		case pending[f.Instant]:
			v.add(false, p, "belongs to a write that was not completed")
		case !committed(f.Instant):
			v.add(false, p, "an orphan: instant %s is not on the timeline", f.Instant)
		case !told && f.Instant >= tl.first():
			v.add(true, p, "an orphan: commit %s does not list it, but engines that list files read it", f.Instant)
		}
	}
	return nil
}

// superseded reports whether a newer file of the group is there, so that a
// cleaner that counts versions may have taken the older one.
func (v *validator) superseded(ctx context.Context, tl *Timeline, found listing, s WriteStat, instant string) bool {
	cleaned := false
	for _, i := range tl.all {
		cleaned = cleaned || i.Action == ActionClean && i.Time > instant
	}
	for _, f := range found.bases {
		if cleaned && f.FileID == s.FileID && f.Instant > instant {
			return true
		}
	}
	return cleaned && v.isReplaced(ctx, tl, s)
}

func (v *validator) isReplaced(ctx context.Context, tl *Timeline, s WriteStat) bool {
	replaced, err := v.t.replacedAt(ctx, tl, latest)
	return err == nil && replaced[groupKey{s.Partition, s.FileID}]
}

// file looks into a file of the newest state.
func (v *validator) file(ctx context.Context, f BaseFile) error {
	p := v.path(f.Key)
	file, done, err := v.t.openFile(ctx, f.Key)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.add(true, p, "cannot be opened: %v", err)
		return nil
	}
	defer done()
	v.out.Rows += file.Rows()
	if s, ok := v.stats[p]; ok && s.NumWrites != file.Rows() {
		v.add(true, p, "%d rows, its commit says %d", file.Rows(), s.NumWrites)
	}
	for i := range file.Columns() {
		c := &file.Columns()[i]
		if c.Annotation == basefile.Decimal && (c.Physical == basefile.Int32 || c.Physical == basefile.Int64) {
			v.add(false, p, "column %s: a decimal as a whole number, which Spark cannot upsert into", c.Name)
		}
		if c.Physical == basefile.Int96 {
			v.add(false, p, "column %s: an int96 timestamp, which Spark cannot upsert into", c.Name)
		}
	}
	if !v.t.props.is(propMetaFields, true) {
		return nil
	}
	if err := v.rows(file.File, f, p); err != nil {
		v.add(true, p, "cannot be read: %v", err)
	}
	return nil
}

// rows looks at Hudi's own columns of a file.
func (v *validator) rows(file *basefile.File, f BaseFile, p string) error {
	bloom := v.bloom(file, p)
	lo, _ := file.Lookup(footerMinKey)
	hi, _ := file.Lookup(footerMaxKey)
	var cols [metaColumns]column.Column
	missed, outside := 0, 0
	for g := range file.Groups() {
		for i := range cols {
			cols[i].Reset()
			cols[i].Kind = column.Bytes
			if err := file.Read(g, metaColumn(i), &cols[i]); err != nil {
				return err
			}
			if cols[i].Nulls.Any() {
				v.add(true, p, "%s is null in some row", metaNames[i])
			}
		}
		for r := range cols[metaRecordKey].Len() {
			key := cols[metaRecordKey].Value(r)
			if bloom != nil && !bloom.Has(key) {
				missed++
			}
			if bloom != nil && (basefile.CompareKeys(key, []byte(lo)) < 0 || basefile.CompareKeys(key, []byte(hi)) > 0) {
				outside++
			}
			v.keys = append(v.keys, v.hash(f.Partition, key))
			if at := string(cols[metaCommitTime].Value(r)); at > f.Instant {
				v.add(true, p, "a row of %s in a file of %s", at, f.Instant)
			}
			if part := string(cols[metaPartition].Value(r)); part != f.Partition {
				v.add(true, p, "a row of partition %q", part)
			}
			if name := string(cols[metaFileName].Value(r)); name != path.Base(p) {
				v.add(false, p, "a row names the file %s", name)
			}
		}
	}
	if missed > 0 {
		v.add(true, p, "the bloom filter misses %d keys: an upsert would double them", missed)
	}
	if outside > 0 {
		v.add(true, p, "%d keys are outside the key range of the footer: an upsert would double them", outside)
	}
	return nil
}

func (v *validator) bloom(file *basefile.File, p string) *basefile.Bloom {
	text, ok := file.Lookup(footerBloom)
	if !ok {
		v.add(true, p, "no bloom filter in the footer: an upsert by Spark fails")
		return nil
	}
	if code, _ := file.Lookup(footerCode); code != bloomCode {
		if code != "" {
			v.add(true, p, "a bloom filter of type %q", code)
		}
		return nil // a plain one, which is not decoded
	}
	b, err := basefile.ParseBloom(text)
	if err != nil {
		v.add(true, p, "%v", err)
		return nil
	}
	return b
}

func (v *validator) hash(partition string, key []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(v.seed)
	h.WriteString(partition)
	h.WriteByte(0)
	h.Write(key)
	return h.Sum64()
}

// doubled looks for keys that are there twice: of those whose hashes are, the keys
// themselves are read once more.
func (v *validator) doubled(ctx context.Context, files []BaseFile) error {
	slices.Sort(v.keys)
	twice := map[uint64]bool{}
	for i := 1; i < len(v.keys); i++ {
		if v.keys[i] == v.keys[i-1] {
			twice[v.keys[i]] = true
		}
	}
	v.keys = nil
	if len(twice) == 0 {
		return nil
	}
	where := map[string]string{} // key → path of its file
	for _, f := range files {
		err := v.eachKey(ctx, f, func(key []byte) {
			if !twice[v.hash(f.Partition, key)] {
				return
			}
			p, id := v.path(f.Key), f.Partition+"\x00"+string(key)
			if other, ok := where[id]; ok {
				v.add(true, p, "key %s is there twice, also in %s", key, other)
			}
			where[id] = p
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachKey reads the record keys of a file.
func (v *validator) eachKey(ctx context.Context, f BaseFile, each func(key []byte)) error {
	file, done, err := v.t.openFile(ctx, f.Key)
	if err != nil {
		return nil // which is told of already
	}
	defer done()
	col := column.Column{Kind: column.Bytes}
	for g := range file.Groups() {
		col.Reset()
		if err := file.Read(g, metaColumn(metaRecordKey), &col); err != nil {
			return nil // the same
		}
		for r := range col.Len() {
			each(col.Value(r))
		}
	}
	return ctx.Err()
}

// logs looks into the logs of the newest state.
func (v *validator) logs(ctx context.Context, s *Snapshot) error {
	for _, l := range s.Logs() {
		b, err := readObject(ctx, v.t.store, l.Key)
		if err == nil {
			_, _, err = parseLog(b)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			v.add(true, v.path(l.Key), "the log cannot be read: %v", err)
		}
	}
	return nil
}

// partition looks for a partition's metadata.
func (v *validator) partition(ctx context.Context, p string) error {
	for _, name := range []string{".hoodie_partition_metadata", ".hoodie_partition_metadata.parquet"} {
		o, err := v.t.store.Open(ctx, join(v.t.base, join(p, name)))
		if err == nil {
			return o.Close()
		}
		if !errors.Is(err, blob.ErrNotExist) {
			return fmt.Errorf("read metadata of partition %s: %w", p, err)
		}
	}
	v.add(p != "", or(p, "."), "no .hoodie_partition_metadata: Spark reads no row of it")
	return nil
}

// MayHold reports whether a base file may have a row with the record key, by its
// footer alone: false is certain.
func (t *Table) MayHold(ctx context.Context, f BaseFile, key string) (bool, error) {
	file, done, err := t.openFile(ctx, f.Key)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", f.Key, err)
	}
	defer done()
	lo, ok1 := file.Lookup(footerMinKey)
	hi, ok2 := file.Lookup(footerMaxKey)
	if ok1 && ok2 && (basefile.CompareKeys([]byte(key), []byte(lo)) < 0 || basefile.CompareKeys([]byte(key), []byte(hi)) > 0) {
		return false, nil
	}
	text, ok := file.Lookup(footerBloom)
	if code, _ := file.Lookup(footerCode); !ok || code != bloomCode {
		return true, nil
	}
	b, err := basefile.ParseBloom(text)
	return err != nil || b.Has([]byte(key)), nil
}
