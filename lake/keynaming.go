package lake

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"tributary/internal/column"
	"tributary/internal/fault"
)

// readNaming finds out how the table writes keys of one field. Hudi's
// ComplexKeyGenerator writes the value alone in 0.14.1, 0.15 and 1.0.0 to 1.0.2,
// and field:value before and after those (HUDI-7001); the properties do not tell
// which. The other key generators always write the value alone.
func (t *Table) readNaming(ctx context.Context, files []BaseFile) error {
	t.w.named = false
	keys := t.props.list(propKeys)
	how, err := t.props.keygen()
	if err != nil || how != keygenComplex || len(keys) != 1 {
		return err
	}
	if len(files) == 0 {
		t.w.named = t.props[propKeygen] == "" && t.props[propKeygenType] != "" // made by Hudi 1.x
		return nil
	}
	newest := slices.MaxFunc(files, func(a, b BaseFile) int { return bytes.Compare([]byte(a.Instant), []byte(b.Instant)) })
	if t.w.named, err = t.namedIn(ctx, newest, keys[0]); err != nil {
		return fmt.Errorf("read keys of %s: %w", newest.Key, err)
	}
	return nil
}

// namedIn reports whether the first key of a file has its field's name before it.
func (t *Table) namedIn(ctx context.Context, f BaseFile, field string) (bool, error) {
	schema := t.Schema()
	i := schema.Index(field)
	if i < 0 {
		return false, nil // the keyer says so
	}
	file, done, err := t.openFile(ctx, f.Key)
	if err != nil {
		return false, err
	}
	defer done()
	if file.Groups() == 0 {
		return false, nil
	}
	typ := schema.Fields[i].Type
	key, value := column.Column{Kind: column.Bytes}, column.Column{Kind: typ.Column()}
	if err := file.Read(0, metaColumn(metaRecordKey), &key); err != nil {
		return false, err
	}
	if err := file.Read(0, schema.Fields[i].column(), &value); err != nil {
		return false, err
	}
	if key.Len() == 0 || value.IsNull(0) {
		return false, nil
	}
	plain := appendText(nil, typ, &value, 0)
	switch have := string(key.Value(0)); have {
	case string(plain):
		return false, nil
	case field + ":" + string(plain):
		return true, nil
	default:
		return false, fault.Humanf("write the table with the program that wrote it",
			"table %s: its record keys are neither the value of field %s nor %s:value", t.base, field, field)
	}
}

// maxBucket is above the number of any bucket that is met with; a random file id
// that begins with a smaller one of 8 digits is one in 50,000.
const maxBucket = 100_000

// checkBuckets refuses a table that is written with Hudi's bucket index, which
// finds a key in no other group than that of its bucket.
func checkBuckets(base string, files []BaseFile) error {
	for _, f := range files {
		n, err := strconv.ParseUint(f.FileID[:min(8, len(f.FileID))], 10, 32)
		if err != nil || n >= maxBucket || len(f.FileID) < 9 || f.FileID[8] != '-' {
			return nil //nolint:nilerr // it is no bucket's
		}
	}
	if len(files) == 0 {
		return nil
	}
	return fault.Humanf("write it with Spark or Flink", "table %s: its file groups are buckets (such as %s), which only the bucket index may write", base, files[0].FileID)
}
