package server

import (
	"fmt"
	"strings"
)

// flavour is the Apicurio whose behaviour the server has where 2.6 and 3.3
// differ.
type flavour int

const (
	v33 flavour = iota
	v26
)

// problem is an error that a client is told of, named as Apicurio names it.
type problem struct {
	status  int
	name    string // Apicurio's exception
	message string
	code    int      // Confluent's error_code
	ccompat string   // the message in Confluent's terms; message when empty
	detail  string   // "name: message" when empty
	old     *problem // how 2.6 says it, where it says it otherwise
	allow   string   // the methods that are allowed, for 405
	silent  bool     // told by the status alone

	rule   bool        // a rule refused
	causes []violation // why
}

// violation is one reason of a rule's refusal.
type violation struct {
	Description string `json:"description"`
	Context     string `json:"context"`
}

func (p *problem) Error() string { return p.message }

// as returns the problem as the flavour tells it.
func (p *problem) as(f flavour) *problem {
	if f == v26 && p.old != nil {
		return p.old
	}
	return p
}

func (p *problem) details() string {
	if p.detail != "" {
		return p.detail
	}
	return p.name + ": " + p.message
}

// withCauses is the message with the reasons.
func (p *problem) withCauses() string {
	if len(p.causes) == 0 {
		return p.message
	}
	list := make([]string, len(p.causes))
	for i, c := range p.causes {
		list[i] = c.Description + " at " + c.Context
	}
	return p.message + " Causes: " + strings.Join(list, ", ")
}

func (p *problem) ccompatMessage() string {
	if p.ccompat != "" {
		return p.ccompat
	}
	return p.message
}

// shown is the group as messages have it.
func shown(group string) string {
	if group == defaultGroup {
		return "null"
	}
	return group
}

func artifactNotFound(k key) *problem {
	p := &problem{
		status: 404, name: "ArtifactNotFoundException", code: 40401,
		message: fmt.Sprintf("No artifact with ID '%s' in group '%s' was found.", k.artifact, shown(k.group)),
	}
	old := *p
	p.old, p.ccompat = &old, fmt.Sprintf("Subject '%s' not found.", k.artifact)
	return p
}

func versionNotFound(k key, v string) *problem {
	p := &problem{
		status: 404, name: "VersionNotFoundException", code: 40402,
		message: fmt.Sprintf("No version '%s' found for artifact with ID '%s' in group '%s'.", v, k.artifact, shown(k.group)),
	}
	old := *p
	p.old, p.ccompat = &old, fmt.Sprintf("Version %s not found.", v)
	return p
}

// in names the default group as it is called, where 3.3's messages do.
func (p *problem) in(k key) *problem {
	if k.group == defaultGroup {
		p.message = strings.Replace(p.message, "in group 'null'", "in group 'default'", 1)
	}
	return p
}

func globalNotFound(id int64) *problem {
	return &problem{
		status: 404, name: "VersionNotFoundException", message: fmt.Sprintf("No version with global ID '%d' found.", id), code: 40402,
		old: disabledGlobal(id),
	}
}

// disabledGlobal is what both say of the globalId of a disabled version.
func disabledGlobal(id int64) *problem { return artifactNotFound(key{"null", fmt.Sprint(id)}) }

// contentNotFound is for an id or a hash; in 2.6's words, for "contentId-7" or
// "contentHash-ab…".
func contentNotFound(kind, id string) *problem {
	oldKind := "contentId-"
	if kind == "hash" {
		oldKind = "contentHash-"
	}
	return &problem{
		status: 404, name: "ContentNotFoundException", message: fmt.Sprintf("No content with %s '%s' was found.", kind, id), code: 40403,
		ccompat: fmt.Sprintf("Schema %s not found.", id),
		old: &problem{
			status: 404, name: "ContentNotFoundException", message: fmt.Sprintf("No content with id/hash '%s%s' was found.", oldKind, id), code: 40403,
		},
	}
}

func groupNotFound(id string) *problem {
	return &problem{status: 404, name: "GroupNotFoundException", message: fmt.Sprintf("No group '%s' was found.", id), code: 404}
}

func badRequest(name, format string, args ...any) *problem {
	return &problem{status: 400, name: name, message: fmt.Sprintf(format, args...), code: 400}
}

// conflict is a refusal to make what exists.
func conflict(name, format string, args ...any) *problem {
	return &problem{status: 409, name: name, message: fmt.Sprintf(format, args...), code: 409}
}

// badParameter is Apicurio's answer to a parameter that does not parse: 404.
func badParameter(kind, name, value, detail string) *problem {
	return &problem{status: 404, name: "NotFoundException", message: fmt.Sprintf(
		`RESTEASY003870: Unable to extract parameter from http request: jakarta.ws.rs.%s("%s") value is '%s'`, kind, name, value), detail: detail}
}

// noConstant is badParameter for one of a Java enum's values.
func noConstant(kind, name, value, enum string) *problem {
	return badParameter(kind, name, value, "IllegalArgumentException: No enum constant io.apicurio.registry."+enum+"."+value)
}
