package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tributary/internal/fault"
)

// Contents counts what an archive holds.
type Contents struct{ Artifacts, Versions int }

func (c Contents) String() string {
	return fmt.Sprintf("%d artifacts, %d versions", c.Artifacts, c.Versions)
}

// mover is an api that a registry can be moved by with its ids.
type mover interface {
	// export returns everything as an archive of Apicurio's.
	export(ctx context.Context, w io.Writer) error
	// take takes an archive in, ids and all.
	take(ctx context.Context, archive []byte) error
}

var errUnmoved = errors.New("AWS Glue gives the ids itself")

func (c *Client) mover() (mover, error) {
	m, ok := c.api.(mover)
	if !ok {
		return nil, fault.Human(errUnmoved, "records of AWS Glue's format are read with its own registry only")
	}
	return m, nil
}

// Export writes everything that the registry holds as an archive in Apicurio's
// form, from which every id can be had back. A registry that knows the
// Confluent API alone is asked for every version that it has, deleted ones too.
func (c *Client) Export(ctx context.Context, w io.Writer) error {
	m, err := c.mover()
	if err == nil {
		err = m.export(ctx, w)
	}
	if err != nil {
		return fmt.Errorf("export the registry: %w", err)
	}
	return nil
}

// Import takes an archive into the registry, which keeps the ids of the
// archive. A registry that knows the Confluent API alone gets every version in
// mode IMPORT; what the archive holds beside versions and compatibility levels
// has no place there. What is there already, with the same ids, stays.
func (c *Client) Import(ctx context.Context, archive []byte) (Contents, error) {
	h, err := readHolding(archive)
	if err != nil {
		return Contents{}, fault.Human(err, "give an archive that Apicurio or registry export wrote")
	}
	m, err := c.mover()
	if err == nil {
		err = m.take(ctx, archive)
	}
	if err != nil {
		return Contents{}, fmt.Errorf("import into the registry: %w", err)
	}
	return h.contents(), nil
}

// archivePatience is for a request that carries a whole registry.
const archivePatience = 10 * time.Minute

func (a *apicurio2) export(ctx context.Context, w io.Writer) error { return a.exportZip(ctx, w) }
func (a *apicurio3) export(ctx context.Context, w io.Writer) error { return a.exportZip(ctx, w) }
func (a *apicurio2) take(ctx context.Context, zip []byte) error    { return a.importZip(ctx, zip) }
func (a *apicurio3) take(ctx context.Context, zip []byte) error    { return a.importZip(ctx, zip) }

func (r *remote) exportZip(ctx context.Context, w io.Writer) error {
	body, err := r.send(ctx, request{method: http.MethodGet, path: "/admin/export", large: true, header: map[string]string{"Accept": "application/zip"}})
	if err == nil {
		_, err = w.Write(body)
	}
	return err
}

func (r *remote) importZip(ctx context.Context, zip []byte) error {
	_, err := r.send(ctx, request{method: http.MethodPost, path: "/admin/import", large: true, body: zip, header: map[string]string{
		"Content-Type": "application/zip", "X-Registry-Preserve-GlobalId": "true", "X-Registry-Preserve-ContentId": "true",
	}})
	return err
}

// subjectVersion is a version as the Confluent API gives and takes it.
type subjectVersion struct {
	Subject    string             `json:"subject,omitempty"`
	ID         int64              `json:"id,omitempty"`
	Version    int                `json:"version,omitempty"`
	SchemaType string             `json:"schemaType,omitempty"`
	Schema     string             `json:"schema"`
	References []subjectReference `json:"references,omitempty"`
}

type subjectReference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// list gets a JSON value.
func (c *confluent) list(ctx context.Context, path string, into any) error {
	body, err := c.send(ctx, request{method: http.MethodGet, path: path, header: confluentHeader})
	return decode(body, err, into)
}

// export asks for every version there is.
func (c *confluent) export(ctx context.Context, w io.Writer) error {
	h := &holding{levels: make(map[Artifact]string)}
	var subjects []string
	if err := c.list(ctx, "/subjects?deleted=true", &subjects); err != nil {
		return err
	}
	var global struct{ CompatibilityLevel string }
	if err := c.list(ctx, "/config", &global); err != nil {
		return err
	}
	h.level = global.CompatibilityLevel
	for _, s := range subjects {
		if err := c.exportSubject(ctx, h, s); err != nil {
			return fmt.Errorf("subject %s: %w", s, err)
		}
	}
	h.sort()
	return h.write(w, time.Now())
}

func (c *confluent) exportSubject(ctx context.Context, h *holding, s string) error {
	base := "/subjects/" + url.PathEscape(s) + "/versions"
	var all, live []int
	if err := c.list(ctx, base+"?deleted=true", &all); err != nil {
		return err
	}
	if err := c.list(ctx, base, &live); err != nil && !errors.Is(err, errAbsent) {
		return err // a subject that is deleted as a whole has none
	}
	a := Artifact{defaultGroup, s}
	for _, n := range all {
		var v subjectVersion
		if err := c.list(ctx, base+"/"+strconv.Itoa(n)+"?deleted=true", &v); err != nil {
			return fmt.Errorf("version %d: %w", n, err)
		}
		held := heldVersion{Artifact: a, order: n, id: ID{Content: v.ID}, kind: v.SchemaType, text: v.Schema, deleted: !slices.Contains(live, n)}
		if held.kind == "" {
			held.kind = "AVRO"
		}
		for _, r := range v.References {
			held.refs = append(held.refs, reference{Name: r.Name, Artifact: r.Subject, Version: strconv.Itoa(r.Version)})
		}
		h.versions = append(h.versions, held)
	}
	// Its own level where that says something; a subject that is deleted has
	// none.
	if level, err := c.level(ctx, a); err == nil && level != h.level {
		h.levels[a] = level
	}
	return ctx.Err()
}

// take puts every version in its place in mode IMPORT, those that others refer
// to first.
func (c *confluent) take(ctx context.Context, archive []byte) error {
	h, err := readHolding(archive)
	if err != nil {
		return err
	}
	for _, v := range h.versions {
		if v.Group != defaultGroup {
			return fault.Humanf("import into …/apis/registry/v2 or v3, or take group "+v.Group+" out of the registry before it is exported",
				"artifact %s is of group %s, which the Confluent API does not have", v.ID, v.Group)
		}
	}
	var subjects []string
	for _, v := range h.versions {
		if !slices.Contains(subjects, v.ID) {
			subjects = append(subjects, v.ID)
		}
	}
	for _, s := range subjects {
		if err := c.put(ctx, "/mode/"+url.PathEscape(s)+"?force=true", map[string]string{"mode": "IMPORT"}); err != nil {
			return fault.Human(fmt.Errorf("turn mode IMPORT on for %s: %w", s, err), "the registry must allow it (Confluent: mode.mutability=true); for Apicurio, use …/apis/registry/v2 or v3")
		}
	}
	err = c.takeVersions(ctx, h)
	// The mode goes back, whatever happened.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, s := range subjects {
		if _, e := c.send(end, request{method: http.MethodDelete, path: "/mode/" + url.PathEscape(s), header: confluentHeader}); e != nil && err == nil {
			err = fmt.Errorf("turn mode IMPORT off for %s: %w", s, e)
		}
	}
	if err != nil {
		return err
	}
	for a, level := range h.levels {
		if err := c.put(ctx, "/config/"+url.PathEscape(a.ID), map[string]string{"compatibility": level}); err != nil {
			return fmt.Errorf("level of %s: %w", a.ID, err)
		}
	}
	if h.level != "" {
		if err := c.put(ctx, "/config", map[string]string{"compatibility": h.level}); err != nil {
			return fmt.Errorf("global level: %w", err)
		}
	}
	return nil
}

func (c *confluent) put(ctx context.Context, path string, v any) error {
	body, err := json.Marshal(v)
	if err == nil {
		_, err = c.send(ctx, request{method: http.MethodPut, path: path, header: confluentHeader, body: body})
	}
	return err
}

func (c *confluent) takeVersions(ctx context.Context, h *holding) error {
	byName := make(map[string]*heldVersion)
	name := func(subject, version string) string { return subject + "\x00" + version }
	for i := range h.versions {
		v := &h.versions[i]
		byName[name(v.ID, v.name)] = v
	}
	done := make(map[*heldVersion]bool)
	var take func(v *heldVersion) error
	take = func(v *heldVersion) error {
		if done[v] {
			return nil
		}
		done[v] = true // before its references: hostile ones could be a cycle
		q := subjectVersion{ID: v.id.Content, Version: v.order, SchemaType: v.kind, Schema: v.text}
		if q.SchemaType == "AVRO" {
			q.SchemaType = ""
		}
		for _, r := range v.refs {
			to := byName[name(r.Artifact, r.Version)]
			if to == nil {
				return fault.Humanf("correct the reference, or delete the version", "version %s of %s refers to version %s of %s, which the archive lacks", v.name, v.ID, r.Version, r.Artifact)
			}
			if err := take(to); err != nil {
				return err
			}
			q.References = append(q.References, subjectReference{r.Name, r.Artifact, to.order})
		}
		if err := c.takeVersion(ctx, v.ID, q); err != nil {
			return fmt.Errorf("version %d of %s: %w", v.order, v.ID, err)
		}
		return nil
	}
	for i := range h.versions {
		if err := take(&h.versions[i]); err != nil {
			return err
		}
	}
	for _, v := range h.versions {
		if !v.deleted {
			continue
		}
		path := "/subjects/" + url.PathEscape(v.ID) + "/versions/" + strconv.Itoa(v.order)
		var live subjectVersion
		err := c.list(ctx, path, &live)
		if errors.Is(err, errAbsent) {
			continue // it is deleted already
		}
		if err == nil {
			_, err = c.send(ctx, request{method: http.MethodDelete, path: path, header: confluentHeader})
		}
		if err != nil {
			return fmt.Errorf("delete version %d of %s: %w", v.order, v.ID, err)
		}
	}
	return nil
}

// takeVersion registers a version under its ids, unless it is there.
func (c *confluent) takeVersion(ctx context.Context, subject string, q subjectVersion) error {
	base := "/subjects/" + url.PathEscape(subject)
	var there subjectVersion
	err := c.list(ctx, base+"/versions/"+strconv.Itoa(q.Version)+"?deleted=true", &there)
	if err == nil && there.ID == q.ID {
		return nil
	}
	if err == nil {
		return fault.Humanf("import into a registry that is empty", "it has the id %d already, and is to have %d", there.ID, q.ID)
	}
	if !errors.Is(err, errAbsent) {
		return err
	}
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	answer, err := c.send(ctx, request{method: http.MethodPost, path: base + "/versions", header: confluentHeader, body: body})
	var got struct{ ID int64 }
	if err := decode(answer, err, &got); err != nil {
		return err
	}
	if got.ID != q.ID {
		return fault.Humanf("use a registry that has mode IMPORT; for Apicurio, use …/apis/registry/v2 or v3", "the registry gave it the id %d instead of %d", got.ID, q.ID)
	}
	return nil
}
