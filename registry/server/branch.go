package server

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Branches that exist by themselves: latest has every version that is no
// draft, drafts the others.
const (
	branchLatest = "latest"
	branchDrafts = "drafts"
)

func isSystem(branch string) bool { return branch == branchLatest || branch == branchDrafts }

func checkBranchID(id string) error {
	bad := strings.ContainsFunc(id, func(r rune) bool {
		return !strings.ContainsRune("._-+", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if bad || id == "" || len(id) > 256 {
		return badRequest("ValidationException",
			"Branch ID '%s' is invalid. It must consist of alphanumeric characters or '._-+', and have length 1..256 (inclusive).", id)
	}
	return nil
}

func branchNotFound(k key, id string) *problem {
	return &problem{status: 404, name: "BranchNotFoundException", message: fmt.Sprintf("No branch '%s' was found in %s/%s.", id, k.group, k.artifact), code: 404}
}

func branchKey(k key, id string) []byte { return append(k.prefix(), id...) }

// branch returns a branch; the system's are made up from the versions.
func (t tx) branch(k key, id string) (*branch, error) {
	b, err := get[branch](t, bBranches, branchKey(k, id))
	if err == nil && b == nil && isSystem(id) {
		b, err = t.systemBranch(k, id)
	}
	if err == nil && b == nil {
		err = branchNotFound(k, id)
	}
	return b, err
}

func (t tx) systemBranch(k key, id string) (*branch, error) {
	all, err := t.versions(k)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(v *version) bool { return (v.State == stateDraft) != (id == branchDrafts) })
	if len(all) == 0 {
		a, err := t.artifact(k)
		if err != nil || a == nil || id == branchLatest && a.Ranks == 0 || id == branchDrafts && !a.Drafts {
			return nil, err
		}
		return &branch{ID: id, Created: a.Created, Modified: a.Modified}, nil // it had versions
	}
	slices.SortStableFunc(all, func(a, b *version) int { return a.Rank - b.Rank })
	b := &branch{ID: id, Created: all[0].Created, Modified: all[len(all)-1].Created}
	for _, v := range all {
		b.Versions = append(b.Versions, v.Version)
	}
	return b, nil
}

// branches returns an artifact's branches, by name.
func (t tx) branches(k key) ([]*branch, error) {
	if _, err := t.mustArtifact(k); err != nil {
		return nil, err
	}
	list := []*branch{}
	for _, id := range []string{branchDrafts, branchLatest} {
		b, err := t.systemBranch(k, id)
		if err != nil {
			return nil, err
		}
		if b != nil {
			list = append(list, b)
		}
	}
	err := t.ownBranches(k, func(b *branch) error {
		list = append(list, b)
		return nil
	})
	slices.SortFunc(list, func(a, b *branch) int { return strings.Compare(a.ID, b.ID) })
	return list, err
}

// ownBranches calls f for the branches that were made.
func (t tx) ownBranches(k key, f func(b *branch) error) error {
	var found []*branch
	err := t.scan(bBranches, k.prefix(), func(id, _ []byte) error {
		b, err := get[branch](t, bBranches, id)
		// The prefix is also that of the group's artifacts "artifact NUL …",
		// which do not exist: ids have no NUL.
		found = append(found, b)
		return err
	})
	for _, b := range found {
		if err != nil {
			return err
		}
		err = f(b)
	}
	return err
}

func (s *store) createBranch(k key, b *branch) error {
	if err := checkBranchID(b.ID); err != nil {
		return err
	}
	return s.update(func(t tx) error {
		if _, err := t.mustArtifact(k); err != nil {
			return err
		}
		if isSystem(b.ID) || t.Bucket(bBranches).Get(branchKey(k, b.ID)) != nil {
			return conflict("BranchAlreadyExistsException", "Branch '%s' already exists.", b.ID)
		}
		if err := t.haveVersions(k, b.Versions); err != nil {
			return err
		}
		b.Created, b.Modified = s.now(), s.now()
		return set(t, bBranches, branchKey(k, b.ID), b)
	})
}

func (t tx) haveVersions(k key, names []string) error {
	for _, name := range names {
		if _, err := t.mustNamed(k, name); err != nil {
			return err
		}
	}
	return nil
}

// editBranch changes a branch that was made. deleting says what is refused for
// the system's.
func (s *store) editBranch(k key, id, doing string, f func(t tx, b *branch) error) error {
	return s.update(func(t tx) error {
		if isSystem(id) {
			return conflict("NotAllowedException", "System generated branches cannot be %s.", doing)
		}
		b, err := t.branch(k, id)
		if err != nil {
			return err
		}
		b.Modified = s.now()
		if err := f(t, b); err != nil {
			return err
		}
		if doing == "deleted" {
			return t.Bucket(bBranches).Delete(branchKey(k, id))
		}
		return set(t, bBranches, branchKey(k, id), b)
	})
}

// toBranch appends a new version to a branch, which it makes if need be.
func (t tx) toBranch(v *version, id string, now time.Time) error {
	if isSystem(id) {
		return nil // it is there already
	}
	b, err := get[branch](t, bBranches, branchKey(v.key(), id))
	if err != nil {
		return err
	}
	if b == nil {
		b = &branch{ID: id, Created: now}
	}
	b.Modified, b.Versions = now, append(b.Versions, v.Version)
	return set(t, bBranches, branchKey(v.key(), id), b)
}

// fromBranches takes a deleted version out of all branches.
func (t tx) fromBranches(v *version) error {
	return t.ownBranches(v.key(), func(b *branch) error {
		if !slices.Contains(b.Versions, v.Version) {
			return nil
		}
		b.Versions = slices.DeleteFunc(b.Versions, func(name string) bool { return name == v.Version })
		return set(t, bBranches, branchKey(v.key(), b.ID), b)
	})
}

func (t tx) clearBranches(k key) error {
	return t.ownBranches(k, func(b *branch) error { return t.Bucket(bBranches).Delete(branchKey(k, b.ID)) })
}

func noTip(k key, branch string) *problem {
	return versionNotFound(k, fmt.Sprintf("<tip of the branch '%s'>", branch)).in(k)
}

// tip returns the newest version of a branch that is not disabled.
func (t tx) tip(k key, id string) (*version, error) {
	missing := noTip(k, id)
	if id == branchLatest {
		v, err := t.latest(k)
		if err == nil && v == nil {
			err = missing
		}
		return v, err
	}
	b, err := get[branch](t, bBranches, branchKey(k, id))
	if err == nil && b == nil && isSystem(id) {
		b, err = t.systemBranch(k, id)
	}
	if err != nil || b == nil {
		return nil, errorOr(err, missing)
	}
	for _, name := range slices.Backward(b.Versions) {
		if v, err := t.named(k, name); err != nil || v != nil && v.State != stateDisabled {
			return v, err
		}
	}
	return nil, missing
}
