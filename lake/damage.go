package lake

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
	"tributary/lake/blob"
)

// errBody is wrapped by errors about a file of the timeline that does not hold what
// it should.
var errBody = errors.New("the timeline is damaged")

const timelineHint = "see with lakeq validate what else is damaged, and restore the file from a backup, or undo the instant with Spark or deltastreamer rollback"

// decodeBody reads the Avro body of an instant in a state. A body that is none
// needs a human.
func (t *Table) decodeBody(i Instant, body []byte) (map[string]any, error) {
	rec, err := decodeAvroBody(body)
	if err != nil {
		return nil, fault.Humanf(timelineHint, "table %s: %w: %s: %w", t.base, errBody, strings.TrimPrefix(t.timelineKey(i), t.base+"/"), err)
	}
	return rec, nil
}

const fileHint = "see with lakeq validate what else is damaged, and restore the file from a backup, or read the table as of an instant before the one in its name"

// watched is an object that remembers whether reading it failed: what is wrong
// else is in the object.
type watched struct {
	blob.Object
	failed atomic.Bool
}

// ReadAt reads as the object does.
func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.Object.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		w.failed.Store(true)
	}
	return n, err
}

// open reads the footer of the base file that the object is.
func (w *watched) open() (*basefile.File, error) {
	f, err := basefile.Open(w, w.Size())
	return f, w.explain(err)
}

// openedFile is a base file whose errors need a human where it is damaged.
type openedFile struct {
	*basefile.File
	object *watched
}

// Read implements what basefile.File has.
func (f *openedFile) Read(g int, c basefile.Column, dst *column.Column) error {
	return f.object.explain(f.File.Read(g, c, dst))
}

// Chunk implements what basefile.File has.
func (f *openedFile) Chunk(g, i int) (*basefile.Chunk, error) {
	c, err := f.File.Chunk(g, i)
	return c, f.object.explain(err)
}

// explain marks an error over the object as one that needs a human, unless the
// store was to blame.
func (w *watched) explain(err error) error {
	if err == nil || w.failed.Load() {
		return err
	}
	if fault.Hint(err) != "" {
		return err
	}
	return fault.Human(fmt.Errorf("it is damaged: %w", err), fileHint)
}
