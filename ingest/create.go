package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/bronze"
)

func (t *Topic) schemaOf(text string) (*schema, error) {
	if s := t.schemas[text]; s != nil {
		return s, nil
	}
	parsed, err := avro.Parse(text)
	if err != nil {
		return nil, err
	}
	f, err := formOf(parsed)
	if err != nil {
		return nil, err
	}
	s := &schema{avro: parsed, form: f}
	t.schemas[text] = s
	return s, nil
}

// fit makes the table such that rows of schema s can be stored, and the batch
// such that they can be added. It reports false when the rows that the batch
// has must be committed first.
func (t *Topic) fit(ctx context.Context, s *schema, o *bronze.Object, newest int64) (bool, error) {
	if t.table == nil {
		if err := t.create(ctx, s, o); err != nil {
			return false, err
		}
	}
	have := t.table.Schema()
	in := s.form.schema(t.key)
	want, err := have.Evolve(in, t.base)
	if err != nil {
		return false, err
	}
	if err := t.checkDropped(have, in, o.SchemaID, newest); err != nil {
		return false, err
	}
	if want.Equal(have) && t.batch != nil {
		return true, nil
	}
	if t.batch != nil && t.batch.batch.Len > 0 {
		return false, nil
	}
	if _, err := t.table.Evolve(in); err != nil {
		return false, err
	}
	if !want.Equal(have) {
		t.log.Info("table schema changed", "table", t.base, "columns", len(want.Fields), "columns_before", len(have.Fields))
	}
	t.decoders = nil
	t.batch = newChanges(t.table.Schema())
	t.batch.pos = t.pos
	return true, nil
}

// checkDropped refuses rows that lack columns of the table, unless they are
// older than those columns or the settings allow it.
func (t *Topic) checkDropped(have, in lake.Schema, schemaID, newest int64) error {
	if t.set.DropColumns || schemaID < newest {
		return nil
	}
	for _, f := range have.Fields {
		if in.Index(f.Name) < 0 && !strings.HasPrefix(f.Name, metaPrefix) {
			return fault.Humanf("set hoodie.datasource.write.schema.allow.auto.evolution.column.drop: true to keep the column and fill it with null from now on",
				"table %s: column %s was dropped at its source", t.base, f.Name)
		}
	}
	return nil
}

// firstSchema returns the key and the columns of a table that is to be made for
// the records of an object.
func (t *Topic) firstSchema(s *schema, o *bronze.Object) (key []string, sch lake.Schema, err error) {
	key = t.set.KeyFields
	if len(key) == 0 {
		key = o.KeyFields
	}
	if len(key) == 0 {
		return nil, sch, fault.Humanf("give the table a primary key, or set message.key.columns at the source, or hoodie.datasource.write.recordkey.field here",
			"the records of topic %s have no key", t.name)
	}
	sch = s.form.schema(key)
	for _, k := range append(slices.Clone(key), t.set.Partition...) {
		if sch.Index(k) < 0 {
			hint := "see hoodie.datasource.write.recordkey.field and partitionpath.field"
			if slices.Contains(o.KeyFields, k) {
				hint = "a column of the key has to be in the values too: take it out of column.exclude.list at the source, or into column.include.list, and load the topic anew; or name other fields in hoodie.datasource.write.recordkey.field"
			}
			return nil, sch, fault.Humanf(hint, "the records of topic %s have no field %s", t.name, k)
		}
	}
	return key, sch, nil
}

// tryFirst reads the object that a table is to be made for, so that there is no
// empty table when it turns out to be damaged.
func (t *Topic) tryFirst(ctx context.Context, object string, s *schema) (err error) {
	o, err := bronze.Open(ctx, t.set.Bronze, object)
	if err != nil {
		return objectError(object, err)
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	key, sch, err := t.firstSchema(s, o)
	if err != nil {
		return err
	}
	d, err := newDecoder(s.avro, s.form, sch, key)
	if err != nil {
		return objectError(object, err)
	}
	err = d.object(newChanges(sch), o, decodeOptions{hardDelete: t.set.HardDelete, placeholder: []byte(t.set.Placeholder), first: o.First})
	if err != nil {
		return objectError(object, err)
	}
	return nil
}

// create makes the table from the first object's schema and key.
func (t *Topic) create(ctx context.Context, s *schema, o *bronze.Object) error {
	key, sch, err := t.firstSchema(s, o)
	if err != nil {
		return err
	}
	table, err := lake.Create(ctx, t.set.Lake, t.base, lake.Config{
		Database: t.set.Database, Table: t.TableName(), Schema: sch,
		KeyFields: key, PartitionFields: t.set.Partition, HivePartitions: t.set.HivePaths, URLEncode: t.set.URLEncode,
		PartitionTime: t.set.ByTime, Precombine: colSeq, Payload: t.set.Table.Payload,
	}, t.set.Table)
	if err != nil {
		return fmt.Errorf("create table %s: %w", t.base, err)
	}
	t.table, t.key = table, key
	if err := table.Lock(ctx); err != nil {
		return fmt.Errorf("create table %s: %w", t.base, err)
	}
	t.log.Info("table created", "table", t.base, "key", strings.Join(key, ","), "columns", len(sch.Fields))
	return nil
}

func (t *Topic) decoderOf(s *schema, text string) (*decoder, error) {
	if d := t.decoders[text]; d != nil {
		return d, nil
	}
	d, err := newDecoder(s.avro, s.form, t.table.Schema(), t.key)
	if err != nil {
		return nil, err
	}
	if t.decoders == nil {
		t.decoders = map[string]*decoder{}
	}
	t.decoders[text] = d
	return d, nil
}
