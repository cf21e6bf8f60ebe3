package sqlserver

import (
	"slices"
	"sync"
)

// known is what was seen of the capture instances of a database, by object_id.
type known struct {
	mu   sync.Mutex
	list map[int64]seen
}

type seen struct {
	name string
	kind instanceKind
}

type instanceKind int

const (
	unknownInstance instanceKind = iota
	capturedInstance
	otherInstance  // of a table that is not captured
	hiddenInstance // of a table that the user may not see
	goneInstance   // it was dropped, and all was said about that
)

// note notes what an instance is, and reports whether it was another thing before.
func (k *known) note(in *instance, kind instanceKind) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.list == nil {
		k.list = make(map[int64]seen)
	}
	before := k.list[in.object].kind
	k.list[in.object] = seen{in.name, kind}
	return before != kind
}

// find is what is known of an instance. The name is "" if it was never there.
func (k *known) find(object int64) (string, instanceKind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.list[object]
	return x.name, x.kind
}

// leave notes that an instance that was dropped needs no more words.
func (k *known) leave(object int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.list == nil {
		k.list = make(map[int64]seen)
	}
	k.list[object] = seen{k.list[object].name, goneInstance}
}

// of are the names of the instances of a kind, in their order.
func (k *known) of(kind instanceKind) (out []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, x := range k.list {
		if x.kind == kind {
			out = append(out, x.name)
		}
	}
	slices.Sort(out)
	return out
}
