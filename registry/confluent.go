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

func (c *confluent) register(ctx context.Context, subject, text string) (ID, error) {
	q, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return ID{}, err
	}
	body, err := c.send(ctx, request{
		method: http.MethodPost, path: "/subjects/" + url.PathEscape(subject) + "/versions",
		header: confluentHeader, body: q,
	})
	var answer struct{ ID int64 }
	if err := decode(body, err, &answer); err != nil {
		return ID{}, err
	}
	return ID{Content: answer.ID}, nil
}

func (c *confluent) byID(ctx context.Context, id ID) (schema, error) {
	if id.Content == 0 {
		return schema{}, fault.Humanf("give the registry's Apicurio URL (…/apis/registry/v2 or v3)",
			"the Confluent API cannot find a schema by Apicurio's %s", id)
	}
	s, err := c.get(ctx, fmt.Sprintf("/schemas/ids/%d", id.Content))
	return s, unknown(err)
}

func (c *confluent) byReference(ctx context.Context, r reference) (schema, error) {
	return c.get(ctx, "/subjects/"+url.PathEscape(r.Artifact)+"/versions/"+url.PathEscape(r.Version))
}

func (c *confluent) get(ctx context.Context, path string) (schema, error) {
	body, err := c.send(ctx, request{method: http.MethodGet, path: path, header: confluentHeader})
	var answer struct {
		Schema     string
		SchemaType string
		References []struct {
			Name, Subject string
			Version       int
		}
	}
	if err := decode(body, err, &answer); err != nil {
		return schema{}, err
	}
	if answer.SchemaType != "" && answer.SchemaType != "AVRO" {
		return schema{}, fault.Humanf("only Avro topics can be read", "schema is of type %s", answer.SchemaType)
	}
	s := schema{text: answer.Schema}
	for _, f := range answer.References {
		s.refs = append(s.refs, reference{Name: f.Name, Artifact: f.Subject, Version: strconv.Itoa(f.Version)})
	}
	return s, nil
}

func (c *confluent) check(ctx context.Context) error {
	body, err := c.send(ctx, request{method: http.MethodGet, path: "/schemas/types", header: confluentHeader})
	var types []string
	return decode(body, err, &types)
}
