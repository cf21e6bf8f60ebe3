package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"tributary/internal/fault"
)

// confluent is the API of Confluent's Schema Registry, of Karapace, Redpanda,
// and of Apicurio's ccompat.
type confluent struct{ *remote }

var confluentHeader = map[string]string{
	"Content-Type": "application/vnd.schemaregistry.v1+json",
	"Accept":       "application/vnd.schemaregistry.v1+json, application/json",
}

func (c *confluent) register(ctx context.Context, a Artifact, text string) (ID, error) {
	return c.post(ctx, "/subjects/"+url.PathEscape(a.ID)+"/versions", text)
}

func (c *confluent) find(ctx context.Context, a Artifact, text string) (ID, error) {
	return c.post(ctx, "/subjects/"+url.PathEscape(a.ID), text)
}

// post sends a schema, and returns the id that the answer has.
func (c *confluent) post(ctx context.Context, path, text string) (ID, error) {
	q, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return ID{}, err
	}
	body, err := c.send(ctx, request{method: http.MethodPost, path: path, header: confluentHeader, body: q})
	var answer struct{ ID int64 }
	err = decode(body, err, &answer)
	return ID{Content: answer.ID}, err
}

func (c *confluent) latest(ctx context.Context, a Artifact) (ID, schema, error) {
	return c.get(ctx, "/subjects/"+url.PathEscape(a.ID)+"/versions/latest")
}

func (c *confluent) level(ctx context.Context, a Artifact) (string, error) {
	body, err := c.send(ctx, request{method: http.MethodGet, path: "/config/" + url.PathEscape(a.ID) + "?defaultToGlobal=true", header: confluentHeader})
	var answer struct{ CompatibilityLevel string }
	err = decode(body, err, &answer)
	return answer.CompatibilityLevel, err
}

func (c *confluent) relax(a Artifact) string {
	return `PUT {"compatibility":"NONE"} to ` + c.base + "/config/" + url.PathEscape(a.ID)
}

func (c *confluent) byID(ctx context.Context, id ID) (schema, error) {
	if id.Content == 0 {
		return schema{}, fault.Humanf("give the registry's Apicurio URL (…/apis/registry/v2 or v3)",
			"the Confluent API cannot find a schema by Apicurio's %s", id)
	}
	_, s, err := c.get(ctx, fmt.Sprintf("/schemas/ids/%d", id.Content))
	return s, unknown(err)
}

func (c *confluent) byReference(ctx context.Context, r reference) (schema, error) {
	_, s, err := c.get(ctx, "/subjects/"+url.PathEscape(r.Artifact)+"/versions/"+url.PathEscape(r.Version))
	return s, err
}

// get returns a schema, and its id where the answer tells it.
func (c *confluent) get(ctx context.Context, path string) (ID, schema, error) {
	body, err := c.send(ctx, request{method: http.MethodGet, path: path, header: confluentHeader})
	var answer struct {
		ID         int64
		Schema     string
		SchemaType string
		References []struct {
			Name, Subject string
			Version       int
		}
	}
	if err := decode(body, err, &answer); err != nil {
		return ID{}, schema{}, err
	}
	if answer.SchemaType != "" && answer.SchemaType != "AVRO" {
		return ID{}, schema{}, fault.Humanf("only Avro topics can be read", "schema is of type %s", answer.SchemaType)
	}
	s := schema{text: answer.Schema}
	for _, f := range answer.References {
		s.refs = append(s.refs, reference{Name: f.Name, Artifact: f.Subject, Version: strconv.Itoa(f.Version)})
	}
	return ID{Content: answer.ID}, s, nil
}

func (c *confluent) check(ctx context.Context) error {
	body, err := c.send(ctx, request{method: http.MethodGet, path: "/schemas/types", header: confluentHeader})
	var types []string
	return decode(body, err, &types)
}
