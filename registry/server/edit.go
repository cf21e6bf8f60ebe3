package server

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// edit changes what an artifact, a version or a group is called. What is nil
// stays, or is emptied if the edit replaces everything, as v2 did in 2.6.
type edit struct {
	name, description *string
	labels            *labels
	owner             *string
	replace           bool
}

func (e edit) apply(m *meta) {
	if e.name != nil || e.replace {
		m.Name = e.name
	}
	if e.description != nil || e.replace {
		m.Description = e.description
	}
	if e.labels != nil {
		m.Labels = *e.labels
	} else if e.replace {
		m.Labels = nil
	}
	if e.owner != nil {
		m.Owner = *e.owner
	}
}

// editArtifact changes an artifact and, if asked, what its latest version is
// called too: v2 does not tell them apart.
func (s *store) editArtifact(k key, e edit, latestToo bool) error {
	return s.update(func(t tx) error {
		a, err := t.artifact(k)
		if err == nil && a == nil {
			err = artifactNotFound(k)
			if latestToo && s.flavour == v33 {
				err = noTip(k, branchLatest)
			}
		}
		if err != nil {
			return err
		}
		v, err := t.published(k)
		if s.flavour == v26 && err == nil {
			v, err = t.latest(k)
			if v == nil && latestToo {
				err = errorFirst(err, artifactNotFound(k))
			}
		}
		if err != nil {
			return err
		}
		e.apply(&a.meta)
		a.Modified = s.now()
		if err := t.putArtifact(a); err != nil || !latestToo || v == nil {
			return err
		}
		v.Modified = s.now()
		of := e
		of.owner = nil
		of.apply(&v.meta)
		return t.putVersion(v)
	})
}

func (s *store) editVersion(k key, name string, e edit) error {
	return s.update(func(t tx) error {
		v, err := t.mustNamed(k, name)
		if err != nil {
			return err
		}
		e.apply(&v.meta)
		v.Modified = s.now()
		return t.putVersion(v)
	})
}

// Groups.

func (s *store) createGroup(g *group) error {
	if g.ID == "" || g.ID == defaultGroup {
		return badRequest("BadRequestException", "The group name 'default' is reserved and cannot be used.")
	}
	if err := s.prepare(&draft{key: key{g.ID, "a"}, noContent: true}); err != nil {
		return err
	}
	return s.update(func(t tx) error {
		if t.Bucket(bGroups).Get([]byte(g.ID)) != nil {
			p := conflict("GroupAlreadyExistsException", "Group '%s' already exists.", g.ID)
			p.old = &problem{status: 409, name: p.name, message: fmt.Sprintf("The group '%s' already exists.", g.ID), code: 409}
			return p
		}
		g.Created, g.Modified, g.Explicit = s.now(), s.now(), true
		return set(t, bGroups, []byte(g.ID), g)
	})
}

func (t tx) group(id string) (*group, error) {
	g, err := get[group](t, bGroups, []byte(id))
	if err == nil && g == nil {
		err = groupNotFound(id)
	}
	return g, err
}

func (s *store) editGroup(id string, e edit) error {
	return s.update(func(t tx) error {
		g, err := t.group(id)
		if err != nil {
			return err
		}
		e.apply(&g.meta)
		g.Modified = s.now()
		return set(t, bGroups, []byte(id), g)
	})
}

// States.

var states = []string{stateEnabled, stateDisabled, stateDeprecated, stateDraft}

// setState moves a version to another state. A draft that is published gets
// the place of the newest version, and is found by its content from then on.
func (s *store) setState(k key, find func(t tx) (*version, error), state string, dryRun bool) error {
	return s.update(func(t tx) error {
		v, err := find(t)
		if state == stateDraft && (isProblem(err) || err == nil && v.State != state) {
			return badRequest("BadRequestException", "Illegal state transition: cannot transition to DRAFT state.")
		}
		if err != nil || v.State == state {
			return err
		}
		a, err := t.mustArtifact(k)
		if err != nil {
			return err
		}
		if v.State == stateDraft {
			if err := s.publish(t, a, v, state != stateDisabled, dryRun); err != nil {
				return err
			}
		}
		if dryRun {
			return nil
		}
		v.State, v.Modified = state, s.now()
		a.Revision++
		if err := t.putVersion(v); err != nil {
			return err
		}
		return t.putArtifact(a)
	})
}

// publish gives a draft its true content and its rank. It is judged by the
// rules unless it is to be disabled.
func (s *store) publish(t tx, a *artifact, v *version, judged, dryRun bool) error {
	old, err := t.content(v.ContentID)
	if err != nil || old == nil {
		return err
	}
	d := &draft{key: v.key(), artifactType: a.Type, publishes: v.GlobalID, text: old.Text, mediaType: old.MediaType, refs: old.Refs}
	d.hash = contentHash(d.text, d.refs)
	if judged {
		if err := s.applyRules(t, d); err != nil {
			return err
		}
	}
	if dryRun {
		return nil
	}
	c, err := s.contentFor(t, d)
	if err != nil {
		return err
	}
	if err := t.Bucket(bUses).Delete(append(number(v.ContentID), number(v.GlobalID)...)); err != nil {
		return err
	}
	if err := t.dropContent(old); err != nil {
		return err
	}
	v.ContentID = c.ID
	if err := t.Bucket(bUses).Put(append(number(v.ContentID), number(v.GlobalID)...), nil); err != nil {
		return err
	}
	a.Ranks = max(a.Ranks, a.Orders) + 1
	v.Rank = a.Ranks
	return nil
}

// Deletion.

// deleteVersion forgets a version. Its id and, unless it is 2.6, its content
// stay taken.
func (s *store) deleteVersion(t tx, a *artifact, v *version) error {
	for bucket, id := range map[string][]byte{
		string(bOf):       orderKey(v.key(), v.Order),
		string(bNames):    nameKey(v.key(), v.Version),
		string(bUses):     append(number(v.ContentID), number(v.GlobalID)...),
		string(bVersions): number(v.GlobalID),
	} {
		if err := t.Bucket([]byte(bucket)).Delete(id); err != nil {
			return err
		}
	}
	if err := t.clear(bComments, number(v.GlobalID), 8); err != nil {
		return err
	}
	if err := t.fromBranches(v); err != nil {
		return err
	}
	a.Revision++
	if v.Order == a.Orders {
		// As in Apicurio, the number of the newest version is free again.
		var err error
		if a.Orders, err = t.lastOrder(a.key()); err != nil {
			return err
		}
	}
	if s.flavour != v26 {
		return nil
	}
	if k, _ := t.Bucket(bUses).Cursor().Seek(number(v.ContentID)); k != nil && parseNumber(k[:8]) == v.ContentID {
		return nil
	}
	c, err := t.content(v.ContentID)
	if err != nil || c == nil {
		return err
	}
	return t.dropContent(c)
}

// deleteArtifact forgets an artifact with all that belongs to it.
func (s *store) deleteArtifact(t tx, a *artifact) error {
	all, err := t.versions(a.key())
	if err != nil {
		return err
	}
	for _, v := range all {
		if err := s.deleteVersion(t, a, v); err != nil {
			return err
		}
	}
	for _, kind := range ruleTypes {
		if t.rule(ofArtifact(a.key()), kind) != "" {
			if err := t.setRule(ofArtifact(a.key()), kind, ""); err != nil {
				return err
			}
		}
	}
	if err := t.clearBranches(a.key()); err != nil {
		return err
	}
	return t.Bucket(bArtifacts).Delete(a.key().bytes())
}

// deleteGroup forgets the artifacts of a group, and the group itself if asked.
func (s *store) deleteGroup(id string, itself bool) error {
	return s.update(func(t tx) error {
		if itself {
			if _, err := t.group(id); err != nil {
				return err
			}
		}
		var ids []string
		prefix := append([]byte(id), 0)
		err := t.scan(bArtifacts, prefix, func(k, _ []byte) error {
			ids = append(ids, string(k[len(prefix):]))
			return nil
		})
		if len(ids) == 0 && !itself {
			return artifactNotFound(key{id, "null"})
		}
		for _, artifactID := range ids {
			a, e := t.artifact(key{id, artifactID})
			if e == nil {
				e = s.deleteArtifact(t, a)
			}
			if err = errorFirst(err, e); err != nil {
				return err
			}
		}
		if err != nil || !itself {
			return err
		}
		for _, kind := range ruleTypes {
			if err := t.setRule(ofGroup(id), kind, ""); err != nil {
				return err
			}
		}
		return t.Bucket(bGroups).Delete([]byte(id))
	})
}

func errorFirst(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Comments.

func commentNotFound(id string) *problem {
	return &problem{
		status: 404, name: "CommentNotFoundException", message: fmt.Sprintf("No comment with ID '%s' was found.", id), code: 404,
		old: &problem{status: 404, name: "CommentNotFoundException", message: "Comment not found.", code: 404},
	}
}

func (s *store) addComment(value string, find func(t tx) (*version, error)) (c *comment, err error) {
	err = s.update(func(t tx) error {
		v, err := find(t)
		if err != nil {
			return err
		}
		n, err := t.next(bComments)
		if err != nil {
			return err
		}
		c = &comment{ID: strconv.FormatInt(n, 10), Value: value, Created: s.now()}
		return set(t, bComments, append(number(v.GlobalID), number(n)...), c)
	})
	return c, err
}

// comments returns a version's comments, newest first.
func (t tx) comments(k key, version string) ([]*comment, error) {
	v, err := t.mustNamed(k, version)
	if err != nil {
		return nil, err
	}
	list := []*comment{}
	err = t.scan(bComments, number(v.GlobalID), func(id, _ []byte) error {
		c, err := get[comment](t, bComments, id)
		list = append(list, c)
		return err
	})
	slices.Reverse(list)
	return list, err
}

// editComment changes a comment; without a value it deletes it.
func (s *store) editComment(k key, version, id string, value *string) error {
	return s.update(func(t tx) error {
		v, err := t.mustNamed(k, version)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return commentNotFound(id)
		}
		at := append(number(v.GlobalID), number(n)...)
		c, err := get[comment](t, bComments, at)
		if err != nil || c == nil {
			return errorOr(err, commentNotFound(id))
		}
		if value == nil {
			return t.Bucket(bComments).Delete(at)
		}
		c.Value = *value
		return set(t, bComments, at, c)
	})
}

// stamps are how the APIs write times.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// stamp2 is v2's; 2.6 wrote its zone out.
func stamp2(f flavour, t time.Time) string {
	if f == v26 {
		return t.UTC().Format("2006-01-02T15:04:05+0000")
	}
	return stamp(t)
}
