package bronze

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// Info is what a listing tells of an object.
type Info struct {
	Name
	Key  string
	Size int64
}

// jumpAfter is how many objects that are not new a listing reads one by one
// before it asks the store to begin again after them.
const jumpAfter = 500

// List yields the objects of a topic by ascending key: those of a folder and
// partition one after another, by ascending offset. Only objects are yielded
// whose first offset is next(partition, folder) or greater; next may be nil for
// all. What else lies under the topic is passed over.
func List(ctx context.Context, store blob.Store, root, topic string, next func(partition int32, folder string) int64) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		prefix, after := TopicPrefix(root, topic), ""
		for {
			stale, again := 0, false
			for o, err := range store.List(ctx, prefix, after) {
				if err != nil {
					yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
					return
				}
				n, err := ParseKey(root, o.Key)
				if err != nil {
					continue
				}
				if next != nil {
					from := next(n.Partition, n.Folder)
					if n.First < from {
						n.First = from
						to := strings.TrimSuffix(n.Key(root), suffix) // sorts before the object at from
						if stale++; stale > jumpAfter && to > o.Key && from < 1e10 {
							after, again = to, true
							break
						}
						continue
					}
				}
				stale = 0
				if !yield(Info{Name: n, Key: o.Key, Size: o.Size}, nil) {
					return
				}
			}
			if !again {
				return
			}
		}
	}
}

// Topics returns the names of the topics that have objects under root.
func Topics(ctx context.Context, store blob.Store, root string) ([]string, error) {
	prefix := ""
	if root != "" {
		prefix = root + "/"
	}
	var topics []string
	after := ""
	for {
		found := ""
		for o, err := range store.List(ctx, prefix, after) {
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", prefix, err)
			}
			if n, err := ParseKey(root, o.Key); err == nil {
				found = n.Topic
				break
			}
		}
		if found == "" {
			return topics, nil
		}
		topics = append(topics, found)
		// "0" is the character after "/": past all that lies in the topic.
		after = prefix + found + "0"
	}
}

// chainEnd returns the offset of the last record of the chain that n.Folder
// holds for n.Partition, or -1. An empty folder stands for all of the topic's.
// from is where the writer begins: of the objects before it only the nearest is
// looked at, in case the writer was set back into its middle.
func chainEnd(ctx context.Context, store blob.Store, root string, n Name, from int64) (int64, error) {
	prefix := TopicPrefix(root, n.Topic)
	if n.Folder != "" {
		prefix = n.stem(root)
	}
	var before, after *Info
	for o, err := range store.List(ctx, prefix, "") {
		if err != nil {
			return 0, fmt.Errorf("list %s: %w", prefix, err)
		}
		name, err := ParseKey(root, o.Key)
		if err != nil || name.Partition != n.Partition {
			continue
		}
		i := &Info{Name: name, Key: o.Key}
		switch {
		case name.First >= from && (after == nil || name.First > after.First):
			after = i
		case name.First < from && (before == nil || name.First > before.First):
			before = i
		}
	}
	last := after
	if last == nil {
		last = before
	}
	if last == nil {
		return -1, nil
	}
	obj, err := Open(ctx, store, last.Key)
	if errors.Is(err, ErrDamaged) || errors.Is(err, avro.ErrCorrupt) {
		return 0, fault.Human(fmt.Errorf("find where %s ends: %w", prefix, err),
			"restore the object from a copy; or move it away and set the group's offset of the partition back to the object's first one, so that its records are written again")
	}
	if err != nil {
		return 0, fmt.Errorf("find where %s ends: %w", prefix, err)
	}
	return obj.Last, obj.Close()
}
