package registry

import (
	"context"
	"encoding/json"
	"errors"
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

func (n numbers) id() ID { return ID{Content: n.ContentID, Global: n.GlobalID} }

// artifacts is the path of a group's artifacts, and artifact of one.
func artifacts(a Artifact) string { return "/groups/" + url.PathEscape(a.Group) + "/artifacts" }

func artifact(a Artifact) string { return artifacts(a) + "/" + url.PathEscape(a.ID) }

func (a *apicurio2) register(ctx context.Context, of Artifact, text string) (ID, error) {
	body, err := a.send(ctx, request{
		method: http.MethodPost,
		path:   artifacts(of) + "?ifExists=RETURN_OR_UPDATE&canonical=false",
		header: map[string]string{
			"Content-Type":            "application/json",
			"X-Registry-ArtifactId":   of.ID,
			"X-Registry-ArtifactType": "AVRO",
		},
		body: []byte(text),
	})
	var n numbers
	err = decode(body, err, &n)
	return n.id(), err
}

func (a *apicurio2) find(ctx context.Context, of Artifact, text string) (ID, error) {
	body, err := a.send(ctx, request{method: http.MethodPost, path: artifact(of) + "/meta?canonical=true", header: jsonHeader, body: []byte(text)})
	var n numbers
	err = decode(body, err, &n)
	return n.id(), err
}

func (a *apicurio2) latest(ctx context.Context, of Artifact) (ID, schema, error) {
	return a.newest(ctx, artifact(of)+"/meta", a.byID)
}

// newest reads a version's ids, and gets its schema.
func (r *remote) newest(ctx context.Context, path string, byID func(context.Context, ID) (schema, error)) (ID, schema, error) {
	body, err := r.send(ctx, request{method: http.MethodGet, path: path})
	var n numbers
	if err := decode(body, err, &n); err != nil {
		return ID{}, schema{}, err
	}
	s, err := byID(ctx, n.id())
	return n.id(), s, err
}

func (a *apicurio2) level(ctx context.Context, of Artifact) (string, error) {
	return a.rule(ctx, artifact(of)+"/rules", "/admin/rules")
}

// rule returns the compatibility level of the first place that has one.
func (r *remote) rule(ctx context.Context, places ...string) (string, error) {
	for _, place := range places {
		body, err := r.send(ctx, request{method: http.MethodGet, path: place + "/COMPATIBILITY"})
		var rule struct{ Config string }
		if err := decode(body, err, &rule); err == nil {
			return rule.Config, nil
		} else if !errors.Is(err, errAbsent) {
			return "", err
		}
	}
	return "NONE", nil
}

func (a *apicurio2) relax(of Artifact) string { return a.turnOff(artifact(of), "type") }

// turnOff is a command for people; kind is how the API calls a rule's type.
func (r *remote) turnOff(path, kind string) string {
	return `give it the COMPATIBILITY rule NONE (POST {"` + kind + `":"COMPATIBILITY","config":"NONE"} to ` + r.base + path + "/rules, or PUT it to …/rules/COMPATIBILITY if it has one of its own)"
}

func (a *apicurio2) byID(ctx context.Context, id ID) (schema, error) {
	return byNumber(ctx, a.remote, id)
}

func (a *apicurio2) byReference(ctx context.Context, r reference) (schema, error) {
	path := artifact(Artifact{groupOf(r), r.Artifact}) + "/versions/" + url.PathEscape(r.Version)
	return withReferences(ctx, a.remote, path, path+"/references")
}

func (a *apicurio2) check(ctx context.Context) error { return a.info(ctx) }

// apicurio3 is Apicurio's REST API v3.
type apicurio3 struct{ *remote }

func (a *apicurio3) register(ctx context.Context, of Artifact, text string) (ID, error) {
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
	}{of.ID, "AVRO", version{content{text, "application/json", []string{}}}}
	q, err := json.Marshal(create)
	if err != nil {
		return ID{}, err
	}
	body, err := a.send(ctx, request{
		method: http.MethodPost,
		path:   artifacts(of) + "?ifExists=FIND_OR_CREATE_VERSION&canonical=false",
		header: jsonHeader,
		body:   q,
	})
	var answer struct {
		Version numbers `json:"version"`
	}
	err = decode(body, err, &answer)
	return answer.Version.id(), err
}

func (a *apicurio3) find(ctx context.Context, of Artifact, text string) (ID, error) {
	body, err := a.send(ctx, request{
		method: http.MethodPost,
		path: "/search/versions?canonical=true&artifactType=AVRO&limit=1&order=desc&orderby=globalId&groupId=" +
			url.QueryEscape(of.Group) + "&artifactId=" + url.QueryEscape(of.ID),
		header: jsonHeader, body: []byte(text),
	})
	var answer struct{ Versions []numbers }
	if err := decode(body, err, &answer); err != nil {
		return ID{}, err
	}
	if len(answer.Versions) == 0 {
		return ID{}, errAbsent
	}
	return answer.Versions[0].id(), nil
}

func (a *apicurio3) latest(ctx context.Context, of Artifact) (ID, schema, error) {
	return a.newest(ctx, artifact(of)+"/versions/branch=latest", a.byID)
}

func (a *apicurio3) level(ctx context.Context, of Artifact) (string, error) {
	return a.rule(ctx, artifact(of)+"/rules", "/groups/"+url.PathEscape(of.Group)+"/rules", "/admin/rules")
}

func (a *apicurio3) relax(of Artifact) string { return a.turnOff(artifact(of), "ruleType") }

func (a *apicurio3) byID(ctx context.Context, id ID) (schema, error) {
	return byNumber(ctx, a.remote, id)
}

func (a *apicurio3) byReference(ctx context.Context, r reference) (schema, error) {
	path := artifact(Artifact{groupOf(r), r.Artifact}) + "/versions/" + url.PathEscape(r.Version)
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
