package lake

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tributary/internal/fault"
)

// With schema on read, ALTER TABLE renames and drops columns without touching
// files: each column has an id, and each version of the schema says what the
// column was named. A commit after the first ALTER has its version in its extra
// metadata, and .hoodie/.schema the history of all of them.
const (
	extraVersion  = "latest_schema"
	historyFolder = ".hoodie/.schema/"
)

// schemaVersion is the top columns of a version of the schema.
type schemaVersion struct {
	Version json.Number `json:"version_id"` // the instant of the ALTER; 0 is what was before the first
	Fields  []struct {
		ID   int
		Name string
	}
}

// renames finds the column of a file that a column of a snapshot is.
type renames struct {
	ids     map[string]int // of the snapshot's columns
	history []schemaVersion
}

// renamesAt returns the names that columns had before; nil if they never changed.
func (t *Table) renamesAt(ctx context.Context, tl *Timeline, at string) (*renames, error) {
	done := tl.Completed()
	text := ""
	for n := len(done) - 1; n >= 0 && text == ""; n-- {
		if done[n].Time > at {
			continue
		}
		c, err := t.Commit(ctx, done[n])
		if err != nil {
			return nil, err
		}
		if c.Extra[extraSchema] != "" && c.Extra[extraVersion] == "" {
			return nil, nil // the newest schema is one without versions
		}
		text = c.Extra[extraVersion]
	}
	if text == "" {
		return nil, nil
	}
	var now schemaVersion
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		return nil, fmt.Errorf("read the version of the schema: %w", err)
	}
	r := &renames{ids: map[string]int{}}
	for _, f := range now.Fields {
		r.ids[f.Name] = f.ID
	}
	newest := ""
	for info, err := range t.store.List(ctx, join(t.base, historyFolder), "") {
		if err != nil {
			return nil, fmt.Errorf("list versions of the schema: %w", err)
		}
		if strings.HasSuffix(info.Key, ".schemacommit") && info.Size > 0 {
			newest = info.Key
		}
	}
	if newest == "" {
		return r, nil
	}
	b, err := readObject(ctx, t.store, newest)
	if err != nil {
		return nil, err
	}
	var doc struct{ Schemas []schemaVersion }
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", newest, err)
	}
	r.history = doc.Schemas
	return r, nil
}

// nameAt returns the name that a column of the snapshot has in what the instant
// wrote, "" if it is not there.
func (r *renames) nameAt(instant, name string) string {
	if r == nil {
		return name
	}
	id, ok := r.ids[name]
	if !ok {
		return name
	}
	var then *schemaVersion
	best := int64(-1)
	at, err := strconv.ParseInt(instant, 10, 64)
	if err != nil {
		return name
	}
	for n := range r.history {
		if v, err := r.history[n].Version.Int64(); err == nil && v <= at && v > best {
			best, then = v, &r.history[n]
		}
	}
	if then == nil {
		return name
	}
	for _, f := range then.Fields {
		if f.ID == id {
			return f.Name
		}
	}
	return ""
}

// fieldsAt returns the fields as what the instant wrote names them; those that
// are not there have no name.
func (r *renames) fieldsAt(instant string, fields []Field) []Field {
	if r == nil {
		return fields
	}
	out := append([]Field(nil), fields...)
	for i := range out {
		if !isMeta(out[i].Name) {
			out[i].Name = r.nameAt(instant, out[i].Name)
		}
	}
	return out
}

// same reports whether what the instant wrote has the fields' own names.
func (r *renames) same(instant string, fields []Field) bool {
	for _, f := range fields {
		if r.nameAt(instant, f.Name) != f.Name {
			return false
		}
	}
	return true
}

// checkVersions refuses to write a table whose columns have been altered with
// schema on read: to merge a file by its names would lose those that changed.
func (t *Table) checkVersions(ctx context.Context) error {
	tl := t.Timeline()
	r, err := t.renamesAt(ctx, tl, latest)
	if err != nil || r == nil {
		return err
	}
	return fault.Humanf("write it with Spark, with hoodie.schema.on.read.enable",
		"table %s has versions of its schema, in which columns have been renamed or dropped: it is read but not written", t.base)
}
