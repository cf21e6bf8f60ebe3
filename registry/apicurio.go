package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// apicurio2 is Apicurio's REST API v2.
type apicurio2 struct{ *remote }

// numbers are the two ids of a version in Apicurio's answers.
type numbers struct {
	ContentID int64 `json:"contentId"`
	GlobalID  int64 `json:"globalId"`
}

func (a *apicurio2) register(ctx context.Context, artifact, text string) (ID, error) {
	body, err := a.send(ctx, request{
		method: http.MethodPost,
		path:   "/groups/" + url.PathEscape(a.opts.Group) + "/artifacts?ifExists=RETURN_OR_UPDATE&canonical=false",
		header: map[string]string{
			"Content-Type":            "application/json",
			"X-Registry-ArtifactId":   artifact,
			"X-Registry-ArtifactType": "AVRO",
		},
		body: []byte(text),
	})
	var n numbers
	if err := decode(body, err, &n); err != nil {
		return ID{}, err
	}
	return ID{Content: n.ContentID, Global: n.GlobalID}, nil
}

func (a *apicurio2) byID(ctx context.Context, id ID) (schema, error) {
	return byNumber(ctx, a.remote, id)
}

func (a *apicurio2) byReference(ctx context.Context, r reference) (schema, error) {
	path := "/groups/" + url.PathEscape(groupOf(r)) + "/artifacts/" + url.PathEscape(r.Artifact) + "/versions/" + url.PathEscape(r.Version)
	return withReferences(ctx, a.remote, path, path+"/references")
}

func (a *apicurio2) check(ctx context.Context) error { return a.info(ctx) }

// apicurio3 is Apicurio's REST API v3.
type apicurio3 struct{ *remote }

func (a *apicurio3) register(ctx context.Context, artifact, text string) (ID, error) {
	type content struct {
		Content     string   `json:"content"`
		ContentType string   `json:"contentType"`
		References  []string `json:"references"`
	}
	type version struct {
		Content content `json:"content"`
	}
	create := struct {
		ArtifactID   string  `json:"artifactId"`
		ArtifactType string  `json:"artifactType"`
		FirstVersion version `json:"firstVersion"`
	}{artifact, "AVRO", version{content{text, "application/json", []string{}}}}
	q, err := json.Marshal(create)
	if err != nil {
		return ID{}, err
	}
	body, err := a.send(ctx, request{
		method: http.MethodPost,
		path:   "/groups/" + url.PathEscape(a.opts.Group) + "/artifacts?ifExists=FIND_OR_CREATE_VERSION&canonical=false",
		header: jsonHeader,
		body:   q,
	})
	var answer struct {
		Version numbers `json:"version"`
	}
	if err := decode(body, err, &answer); err != nil {
		return ID{}, err
	}
	return ID{Content: answer.Version.ContentID, Global: answer.Version.GlobalID}, nil
}

func (a *apicurio3) byID(ctx context.Context, id ID) (schema, error) {
	return byNumber(ctx, a.remote, id)
}

func (a *apicurio3) byReference(ctx context.Context, r reference) (schema, error) {
	path := "/groups/" + url.PathEscape(groupOf(r)) + "/artifacts/" + url.PathEscape(r.Artifact) + "/versions/" + url.PathEscape(r.Version)
	return withReferences(ctx, a.remote, path+"/content", path+"/references")
}

func (a *apicurio3) check(ctx context.Context) error { return a.info(ctx) }

func (r *remote) info(ctx context.Context) error {
	body, err := r.send(ctx, request{method: http.MethodGet, path: "/system/info"})
	var info struct{ Name string }
	return decode(body, err, &info)
}

// byNumber looks a schema up by whichever number is known; both API versions
// have the same paths for it.
func byNumber(ctx context.Context, r *remote, id ID) (schema, error) {
	path := fmt.Sprintf("/ids/globalIds/%d", id.Global)
	if id.Content != 0 {
		path = fmt.Sprintf("/ids/contentIds/%d", id.Content)
	}
	s, err := withReferences(ctx, r, path, path+"/references")
	return s, unknown(err)
}

func withReferences(ctx context.Context, r *remote, textPath, refsPath string) (schema, error) {
	text, err := r.send(ctx, request{method: http.MethodGet, path: textPath})
	if err != nil {
		return schema{}, err
	}
	body, err := r.send(ctx, request{method: http.MethodGet, path: refsPath})
	var refs []struct {
		GroupID, ArtifactID, Version, Name string
	}
	if err := decode(body, err, &refs); err != nil {
		return schema{}, err
	}
	s := schema{text: string(text)}
	for _, f := range refs {
		s.refs = append(s.refs, reference{Name: f.Name, Group: f.GroupID, Artifact: f.ArtifactID, Version: f.Version})
	}
	return s, nil
}

// groupOf returns the reference's group, which Apicurio leaves out for its
// default one.
func groupOf(r reference) string {
	if r.Group == "" {
		return "default"
	}
	return r.Group
}
