package lake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// Archived is a completed instant that has left the active timeline.
type Archived struct {
	Instant
	Commit *Commit // what a write says about itself; nil for what is none
}

// Archived returns the completed instants that have left the active timeline, oldest
// first: the newest limit of them, or all for 0. The archive is read from its newest
// file back, as far as the limit needs.
func (t *Table) Archived(ctx context.Context, limit int) ([]Archived, error) {
	files, err := t.archiveFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("list archive of %s: %w", t.base, err)
	}
	type id struct {
		time   string
		action Action
	}
	seen := map[id]bool{}
	for _, i := range t.Timeline().All() { // an archival that was interrupted leaves both
		seen[id{i.Time, i.Action}] = true
	}
	var out []Archived
	for n := 0; n < len(files) && (limit <= 0 || len(out) < limit); n++ {
		err := t.readArchived(ctx, files[n], func(e pastInstant) {
			if k := (id{e.Time, e.Action}); !seen[k] {
				seen[k] = true
				out = append(out, e.Archived)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("read archive of %s: %w", t.base, err)
		}
	}
	slices.SortFunc(out, func(a, b Archived) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Action, b.Action))
	})
	if limit > 0 && len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out, nil
}

// pastInstant is an entry of the archive.
type pastInstant struct {
	Archived
	clean map[string]any // the body of a clean
}

// archiveFiles returns the keys of the archive's files, newest first.
func (t *Table) archiveFiles(ctx context.Context) ([]string, error) {
	if t.props.later() {
		return t.historyFiles(ctx)
	}
	folder := t.archiveFolder()
	numbers := map[string]int{}
	var keys []string
	for info, err := range t.store.List(ctx, folder, "") {
		if err != nil {
			return nil, err
		}
		rest, ok := strings.CutPrefix(strings.TrimPrefix(info.Key, folder), ".commits_.archive.")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, "_")
		numbers[info.Key], _ = strconv.Atoi(number) // another name is an old file's
		keys = append(keys, info.Key)
	}
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(numbers[b], numbers[a]) })
	return keys, nil
}

// historyFiles is archiveFiles for later versions: a manifest names Parquet files,
// whose names begin with their oldest and newest instant; the number of the manifest
// that counts is in _version_.
func (t *Table) historyFiles(ctx context.Context) ([]string, error) {
	folder := t.archiveFolder()
	number, err := readObject(ctx, t.store, folder+"_version_")
	if errors.Is(err, blob.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	name := "manifest_" + strings.TrimSpace(string(number))
	b, err := readObject(ctx, t.store, folder+name)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Files []struct {
			Name string `json:"fileName"`
		} `json:"files"`
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		return nil, fault.Human(fmt.Errorf("%w: %s: %w", errBody, name, err), timelineHint)
	}
	var keys []string
	for _, f := range manifest.Files {
		keys = append(keys, folder+f.Name)
	}
	newest := func(key string) string {
		if parts := strings.Split(path.Base(key), "_"); len(parts) > 1 {
			return parts[1]
		}
		return ""
	}
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(newest(b), newest(a)) })
	return keys, nil
}

// readArchived reads the completed instants of a file of the archive.
func (t *Table) readArchived(ctx context.Context, key string, each func(pastInstant)) error {
	b, err := readObject(ctx, t.store, key)
	if err != nil {
		return err
	}
	if t.props.later() {
		err = historyFile(b, each)
	} else {
		err = archiveFile(b, each)
	}
	if err != nil {
		return fault.Human(fmt.Errorf("%w: %s: %w", errBody, key, err), timelineHint)
	}
	return nil
}

// archiveFile reads a log file of table version 6.
func archiveFile(b []byte, each func(pastInstant)) error {
	entries, err := parseArchive(b)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if state, _ := e["actionState"].(string); state != "" && state != "COMPLETED" {
			continue
		}
		var p pastInstant
		p.Instant, p.Commit = archivedCommit(e)
		if p.Time == "" || p.Action.writesData() && p.Commit == nil {
			continue
		}
		p.clean, _ = e["hoodieCleanMetadata"].(map[string]any)
		each(p)
	}
	return nil
}

// historyFile reads a file of later versions.
func historyFile(b []byte, each func(pastInstant)) error {
	file, err := basefile.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	for g := range file.Groups() {
		var cells [4]column.Column
		for n, name := range []string{"instantTime", "completionTime", "action", "metadata"} {
			cells[n].Kind = column.Bytes
			if err := file.Read(g, basefile.Column{Name: name, Physical: basefile.ByteArray, Nullable: true}, &cells[n]); err != nil {
				return err
			}
		}
		for r := range file.GroupRows(g) {
			text := func(n int) string { return string(cells[n].Value(r)) }
			var p pastInstant
			p.Instant = Instant{Time: text(0), Done: text(1), Action: Action(text(2)), State: StateCompleted}
			if p.Action.writesData() || p.Action == ActionClean {
				if cells[3].IsNull(r) {
					continue
				}
				rec, err := decodeAvroBody(cells[3].Value(r))
				if err != nil {
					return fmt.Errorf("instant %s: %w", p.Time, err)
				}
				if p.Action == ActionClean {
					p.clean = rec
				} else {
					p.Commit = commitOfAvro(rec)
				}
			}
			each(p)
		}
	}
	return nil
}
