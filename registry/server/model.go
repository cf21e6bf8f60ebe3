package server

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// defaultGroup is the group that clients leave out or call "default". It
// always exists and is never listed.
const defaultGroup = "default"

// States of a version.
const (
	stateEnabled  = "ENABLED"
	stateDisabled = "DISABLED"
)

// reference names a schema that a content uses without containing it. The
// order of the fields is that of Apicurio's hash.
type reference struct {
	Group    string `json:"groupId,omitempty"`
	Artifact string `json:"artifactId"`
	Version  string `json:"version"`
	Name     string `json:"name"`
}

type group struct {
	ID       string
	Created  time.Time
	Modified time.Time
}

type artifact struct {
	Group, ID   string
	Type        string
	Name        string             `json:",omitempty"`
	Description string             `json:",omitempty"`
	Labels      map[string]*string `json:",omitempty"`
	Created     time.Time
	Modified    time.Time
	Orders      int // versions ever created, the order of the newest
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
	Version         string // Order in decimal unless the client chose another
	State           string
	Name            string             `json:",omitempty"`
	Description     string             `json:",omitempty"`
	Labels          map[string]*string `json:",omitempty"`
	Created         time.Time
}

type content struct {
	ID        int64
	Text      []byte
	Refs      []reference
	Hash      [sha256.Size]byte // of text and references
	Canonical [sha256.Size]byte // of the canonical form
}

// contentHash is Apicurio's: of the text, followed by the references as JSON
// if there are any.
func contentHash(text []byte, refs []reference) [sha256.Size]byte {
	if len(refs) == 0 {
		return sha256.Sum256(text)
	}
	type full struct { // groupId is always present here, null for none
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
	tail, _ := json.Marshal(list)
	return sha256.Sum256(append(append([]byte(nil), text...), tail...))
}

// problem is an error that a client is told of, named as Apicurio names it.
type problem struct {
	status    int
	name      string // Apicurio's exception
	message   string
	confluent int    // Confluent's error_code
	ccompat   string // the message in Confluent's terms; message when empty
	detail    string // "name: message" when empty
}

func (p *problem) Error() string { return p.message }

func (p *problem) details() string {
	if p.detail != "" {
		return p.detail
	}
	return p.name + ": " + p.message
}

func artifactNotFound(k key) *problem {
	return &problem{404, "ArtifactNotFoundException",
		fmt.Sprintf("No artifact with ID '%s' in group '%s' was found.", k.artifact, k.group),
		40401, fmt.Sprintf("Subject '%s' not found.", k.artifact), ""}
}

func versionNotFound(k key, v string) *problem {
	return &problem{404, "VersionNotFoundException",
		fmt.Sprintf("No version '%s' found for artifact with ID '%s' in group '%s'.", v, k.artifact, k.group),
		40402, fmt.Sprintf("Version %s not found.", v), ""}
}

func badRequest(name, format string, args ...any) *problem {
	return &problem{400, name, fmt.Sprintf(format, args...), 400, "", ""}
}

// badParameter is Apicurio's answer to a parameter that does not parse: 404.
func badParameter(kind, name, value, detail string) *problem {
	return &problem{404, "NotFoundException", fmt.Sprintf(
		`RESTEASY003870: Unable to extract parameter from http request: jakarta.ws.rs.%s("%s") value is '%s'`, kind, name, value), 404, "", detail}
}
