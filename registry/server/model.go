package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// defaultGroup is the group that clients leave out or call "default". It
// always exists and is never listed.
const defaultGroup = "default"

// States of a version.
const (
	stateEnabled    = "ENABLED"
	stateDisabled   = "DISABLED"
	stateDeprecated = "DEPRECATED"
	stateDraft      = "DRAFT"
)

// reference names a schema that a content uses without containing it. The
// order of the fields is that of Apicurio's hash.
type reference struct {
	Group    string `json:"groupId,omitempty"`
	Artifact string `json:"artifactId"`
	Version  string `json:"version"`
	Name     string `json:"name"`
}

// key is the artifact that the reference names.
func (r reference) key() key {
	if r.Group == "" {
		return key{defaultGroup, r.Artifact}
	}
	return key{r.Group, r.Artifact}
}

// label is v3's; v2 knows those without a value as labels and the others as
// properties.
type label struct {
	Name  string
	Value *string
}

// labels is an object in JSON, whose order is kept.
type labels []label

// MarshalJSON implements json.Marshaler.
func (l labels) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, x := range l {
		if i > 0 {
			out = append(out, ',')
		}
		name, _ := json.Marshal(x.Name) // strings always encode
		value, _ := json.Marshal(x.Value)
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *labels) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	t, err := dec.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("labels are not an object")
	}
	*l = labels{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		x := label{Name: t.(string)}
		var value any
		if err := dec.Decode(&value); err != nil {
			return err
		}
		switch v := value.(type) {
		case nil:
		case string:
			x.Value = &v
		case json.Number, bool: // as Java's JSON library takes them
			text := fmt.Sprint(v)
			x.Value = &text
		default:
			return fmt.Errorf("label %s is not a text", x.Name)
		}
		*l = append(*l, x)
	}
	return nil
}

// value returns whether there is a label of the name, and its value.
func (l labels) value(name string) (v *string, ok bool) {
	for _, x := range l {
		if strings.EqualFold(x.Name, name) {
			return x.Value, true
		}
	}
	return nil, false
}

// v2 splits labels into what v2 calls labels and properties.
func (l labels) v2() (names []string, properties map[string]string) {
	for _, x := range l {
		if x.Value == nil {
			names = append(names, x.Name)
			continue
		}
		if properties == nil {
			properties = make(map[string]string)
		}
		properties[x.Name] = *x.Value
	}
	return names, properties
}

// meta is what people say about an artifact or a version.
type meta struct {
	Name        *string `json:",omitempty"`
	Description *string `json:",omitempty"`
	Labels      labels  `json:",omitempty"`
	Owner       string  `json:",omitempty"`
}

type group struct {
	ID string
	meta
	Created  time.Time
	Modified time.Time
	Explicit bool `json:",omitempty"` // made by itself, not by its first artifact
}

type artifact struct {
	Group, ID string
	Type      string
	meta
	Created  time.Time
	Modified time.Time
	Orders   int  // versions ever created, the order of the newest
	Ranks    int  // the highest rank of a version
	Drafts   bool `json:",omitempty"` // whether a version ever was a draft
	Revision int  // counts what may change the outcome of rules
}

// key names an artifact.
type key struct{ group, artifact string }

func (a *artifact) key() key { return key{a.Group, a.ID} }

type version struct {
	Group, Artifact string
	Type            string
	GlobalID        int64
	ContentID       int64
	Order           int    // 1 for the artifact's first version; the Confluent API's number
	Rank            int    // its place in the branch latest; 0 while it is a draft
	Version         string // Order in decimal unless the client chose another
	State           string
	meta
	Created  time.Time
	Modified time.Time
}

func (v *version) key() key { return key{v.Group, v.Artifact} }

// active reports whether the version takes part in rules and in latest.
func (v *version) active() bool { return v.State != stateDisabled && v.State != stateDraft }

type content struct {
	ID        int64
	Text      []byte `json:"-"`          // kept by itself, compressed
	MediaType string `json:",omitempty"` // as given; application/json when empty
	Refs      []reference
	Hash      [sha256.Size]byte // of text and references
	Canonical [sha256.Size]byte // of the canonical form
}

type comment struct {
	ID      string
	Value   string
	Owner   string
	Created time.Time
}

// branch is a named list of versions; the branch latest is not stored.
type branch struct {
	ID          string
	Description *string `json:",omitempty"`
	Owner       string  `json:",omitempty"`
	Created     time.Time
	Modified    time.Time
	Versions    []string // oldest first
}

// contentHash is Apicurio's: of the text, followed by the references as JSON
// if there are any.
func contentHash(text []byte, refs []reference) [sha256.Size]byte {
	if len(refs) == 0 {
		return sha256.Sum256(text)
	}
	return sha256.Sum256(append(append([]byte(nil), text...), serialized(refs)...))
}

// serialized writes references as Apicurio stores them: groupId is always
// present, null for none.
func serialized(refs []reference) []byte {
	type full struct {
		Group    *string `json:"groupId"`
		Artifact string  `json:"artifactId"`
		Version  string  `json:"version"`
		Name     string  `json:"name"`
	}
	list := make([]full, len(refs))
	for i, r := range refs {
		list[i] = full{nil, r.Artifact, r.Version, r.Name}
		if r.Group != "" {
			list[i].Group = &r.Group
		}
	}
	// Strings and pointers to strings always encode.
	text, _ := json.Marshal(list)
	return text
}
