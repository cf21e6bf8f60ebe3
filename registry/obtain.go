package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tributary/internal/avrotext"
	"tributary/internal/fault"
)

// ErrNotRegistered marks the error for a schema that the registry does not
// have, and that the client may not register.
var ErrNotRegistered = errors.New("the schema is not registered")

// ErrIncompatible marks the error for a schema that a rule of the registry
// refused.
var ErrIncompatible = errors.New("the schema breaks a compatibility rule")

// errAbsent is what an api returns for an artifact, or a version of it, that
// there is not.
var errAbsent = errors.New("not in the registry")

// obtain gets an id for the schema in the way that the mode tells.
func (c *Client) obtain(ctx context.Context, a Artifact, text string) (ID, error) {
	switch c.mode {
	case FindOnly:
		id, err := c.api.find(ctx, a, text)
		if errors.Is(err, errAbsent) {
			return ID{}, fault.Human(fmt.Errorf("look for the schema of %s: %w: %w", a.ID, ErrNotRegistered, err),
				"register this schema for "+a.ID+" first, or let it be registered: auto.register.schemas (apicurio.registry.auto-register, value.converter.schemaAutoRegistrationEnabled): true")
		}
		if err != nil {
			err = fmt.Errorf("look for the schema of %s: %w", a.ID, err)
		}
		return id, err
	case FindLatest:
		return c.useLatest(ctx, a, text)
	}
	id, err := c.api.register(ctx, a, text)
	if err != nil {
		err = fmt.Errorf("register a schema for %s: %w", a.ID, err)
	}
	if errors.Is(err, ErrIncompatible) {
		err = c.explainRefusal(ctx, a, text, err)
	}
	return id, err
}

// useLatest takes the artifact's latest version. Records are laid out by the
// schema at hand, so what differs in more than docs, defaults and properties
// would be read as something else.
func (c *Client) useLatest(ctx context.Context, a Artifact, text string) (ID, error) {
	id, s, err := c.api.latest(ctx, a)
	if errors.Is(err, errAbsent) {
		return ID{}, fault.Human(fmt.Errorf("look for the latest schema of %s: %w: %w", a.ID, ErrNotRegistered, err),
			"register a schema for "+a.ID+" first, or let it be registered: auto.register.schemas: true")
	}
	if err == nil {
		s.text, err = resolve(ctx, c.api, s)
	}
	if err != nil {
		return ID{}, fmt.Errorf("look for the latest schema of %s: %w", a.ID, err)
	}
	latest, err := avrotext.Parse(s.text)
	if err != nil {
		return ID{}, fault.Human(fmt.Errorf("read the latest schema of %s, %s: %w", a.ID, id, err), "register an Avro schema for it, or let it be registered: auto.register.schemas: true")
	}
	ours, err := avrotext.Parse(text)
	if err != nil {
		return ID{}, fmt.Errorf("read the schema of %s: %w", a.ID, err)
	}
	if !avrotext.SameLayout(latest, ours) {
		return ID{}, fault.Humanf("register the new schema for "+a.ID+", or let it be registered: auto.register.schemas: true, and no use.latest.version or find-latest",
			"the records of %s do not fit its latest schema, %s%s", a.ID, id, listed(": ", avrotext.Changes(latest, ours)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	put(c.texts, id, s.text)
	return id, nil
}

// maxListed bounds the changes that a message tells.
const maxListed = 10

func listed(before string, changes []avrotext.Change) string {
	if len(changes) == 0 {
		return before + "the order or the meaning of its fields differs"
	}
	var out []string
	for i, x := range changes {
		if i == maxListed {
			out = append(out, fmt.Sprintf("and %d more", len(changes)-i))
			break
		}
		out = append(out, x.String())
	}
	return before + strings.Join(out, "; ")
}

// explainRefusal adds to a registry's refusal which fields of the schema broke
// the rule, as far as the latest version and the rule's level can be had, and
// what can be done about it.
func (c *Client) explainRefusal(ctx context.Context, a Artifact, text string, refusal error) error {
	level, err := c.api.level(ctx, a)
	if err != nil {
		level = ""
	}
	broken := c.broken(ctx, a, text, level)
	rule := "the compatibility rule of " + a.ID
	if level != "" {
		rule += " (" + level + ")"
	}
	if len(broken) == 0 {
		return fault.Human(refusal, "the change breaks "+rule+": undo it, "+
			"or if nobody needs it, turn the rule off: "+c.api.relax(a)+"; or delete the versions that it breaks if nobody reads them; then start again")
	}
	var remedies []string
	for _, x := range broken {
		if r := x.Field + ": " + x.Remedy; !slices.Contains(remedies, r) && len(remedies) < maxListed {
			remedies = append(remedies, r)
		}
	}
	return fault.Human(fmt.Errorf("%w; compared with the latest version, %s", refusal, listed("", broken)),
		fmt.Sprintf("the change breaks %s, %s. Change the table so that it keeps the rule (%s); or turn the rule off: %s; or delete the old versions if nobody reads them; then start again",
			rule, meaning(level), strings.Join(remedies, "; "), c.api.relax(a)))
}

// broken lists the changes since the latest version that the level forbids.
func (c *Client) broken(ctx context.Context, a Artifact, text, level string) []avrotext.Change {
	_, s, err := c.api.latest(ctx, a)
	if err == nil {
		s.text, err = resolve(ctx, c.api, s)
	}
	if err != nil {
		return nil
	}
	older, err := avrotext.Parse(s.text)
	if err != nil {
		return nil
	}
	newer, err := avrotext.Parse(text)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(avrotext.Changes(older, newer), func(x avrotext.Change) bool { return !x.Against(level) })
}

// meaning says what a level asks for.
func meaning(level string) string {
	switch {
	case strings.HasPrefix(level, "BACKWARD"):
		return "by which older records must be readable with the new schema"
	case strings.HasPrefix(level, "FORWARD"):
		return "by which new records must be readable with older schemas"
	case strings.HasPrefix(level, "FULL"):
		return "by which new records must be readable with older schemas, and older ones with the new schema"
	}
	return "which its registry has"
}
