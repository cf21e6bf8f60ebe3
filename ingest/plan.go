package ingest

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"tributary/lake"
	"tributary/lake/bronze"
)

// headersAtOnce is how many objects are looked at side by side.
const headersAtOnce = 8

// Plan tells, a line a topic, what there is to do. It changes nothing and takes
// no lease. The headers of the objects that are to be read are looked at: what is
// wrong with them, and with tables, is the error, together for all topics, beside
// the lines of those that are well.
func (s *Service) Plan(ctx context.Context) ([]string, error) {
	topics, err := s.topics(ctx)
	if err != nil {
		return nil, err
	}
	var lines []string
	errs := make([]error, 0, len(topics))
	for _, name := range topics {
		line, err := NewTopic(&s.Settings, name).plan(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if line != "" {
			lines = append(lines, line)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", name, err))
		}
	}
	return lines, joined(errs, "topics cannot be taken as they are")
}

// plan tells what there is to do, in a line, and what is in its way.
func (t *Topic) plan(ctx context.Context) (string, error) {
	state := "will be created"
	var have lake.Schema
	table, err := lake.Open(ctx, t.set.Lake, t.base, t.set.Table)
	switch {
	case errors.Is(err, lake.ErrNoTable):
		t.cp = newCheckpoint(t.name)
	case err != nil:
		return "", fmt.Errorf("open table %s: %w", t.base, err)
	default:
		if err := t.resume(ctx, table); err != nil {
			return "", err
		}
		state, have, t.key = "is at "+t.cp.Kafka(), table.Schema(), table.KeyFields()
	}
	found, err := t.list(ctx)
	if err != nil {
		return "", err
	}
	var bytes int64
	for _, o := range found {
		bytes += o.Size
	}
	line := fmt.Sprintf("%s -> %s: the table %s; %d objects, %d bytes to read", t.name, t.base, state, len(found), bytes)
	damaged, err := t.inspect(ctx, found, have)
	if damaged > 0 {
		line += fmt.Sprintf(", %d of the objects are damaged or do not fit", damaged)
	}
	return line, err
}

// header is what the beginning of an object says.
type header struct {
	meta   bronze.Meta
	schema string
	err    error
}

// inspect looks at the headers of objects, and whether a table with the columns
// have, or one made for the first of them, can take all of them, one after
// another. It returns how many cannot be taken, and why.
func (t *Topic) inspect(ctx context.Context, found []bronze.Info, have lake.Schema) (damaged int, err error) {
	headers := make([]header, len(found))
	var g errgroup.Group
	g.SetLimit(headersAtOnce)
	for i, info := range found {
		g.Go(func() error {
			headers[i] = t.header(ctx, info)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	var errs []error
	for i, h := range headers {
		if h.err == nil {
			have, h.err = t.fits(h, have)
		}
		if h.err != nil {
			errs = append(errs, objectError(found[i].Key, h.err))
		}
	}
	return len(errs), joined(errs, "objects cannot be taken")
}

func (t *Topic) header(ctx context.Context, info bronze.Info) (h header) {
	if t.skips(info.Key) {
		return h
	}
	o, err := bronze.Open(ctx, t.set.Bronze, info.Key)
	if err != nil {
		return header{err: err}
	}
	h = header{meta: o.Meta, schema: o.SchemaText(), err: t.checkHeader(o, info)}
	h.err = errors.Join(h.err, o.Close())
	return h
}

// fits returns the columns of the table after an object was taken.
func (t *Topic) fits(h header, have lake.Schema) (lake.Schema, error) {
	if h.schema == "" { // to be skipped
		return have, nil
	}
	s, err := t.schemaOf(h.schema)
	if err != nil {
		return have, err
	}
	if len(have.Fields) == 0 {
		key, first, err := t.firstSchema(s, &bronze.Object{Meta: h.meta})
		if err == nil {
			t.key = key
			have = first
		}
		return have, err
	}
	next, err := have.Evolve(s.form.schema(t.key), t.base)
	if err != nil {
		return have, err
	}
	return next, nil
}
