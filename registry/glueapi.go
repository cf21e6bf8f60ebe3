package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tributary/internal/fault"
	"tributary/registry/glue"
)

// glueAPI is AWS Glue Schema Registry.
type glueAPI struct{ client *glue.Client }

// newGlue reads glue://REGISTRY?region=…&endpoint=….
func newGlue(u *url.URL, o Options) (*glueAPI, error) {
	opts := o.Glue
	opts.Patience = o.Patience
	if opts.Registry == "" {
		opts.Registry = u.Host
	}
	for key, values := range u.Query() {
		var into *string
		switch key {
		case "region":
			into = &opts.Region
		case "endpoint":
			into = &opts.Endpoint
		case "compatibility":
			into = &opts.Compatibility
		default:
			return nil, fault.Humanf("write it as glue://REGISTRY?region=…, with endpoint=… and compatibility=… if need be", "the registry's URL has an unknown parameter %q", key)
		}
		if *into == "" {
			*into = values[0]
		}
	}
	client, err := glue.New(opts)
	return &glueAPI{client}, err
}

func (g *glueAPI) register(ctx context.Context, a Artifact, text string) (ID, error) {
	transport := strings.TrimSuffix(strings.TrimSuffix(a.ID, "-value"), "-key")
	version, err := g.client.Register(ctx, a.ID, transport, text)
	var refused *glue.RefusedError
	if errors.As(err, &refused) {
		return ID{}, fmt.Errorf("%w: %w", ErrIncompatible, err)
	}
	return g.id(version, err)
}

func (g *glueAPI) id(version string, err error) (ID, error) {
	if errors.Is(err, glue.ErrNotFound) {
		return ID{}, fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err != nil {
		return ID{}, err
	}
	u, err := ParseUUID(version)
	return ID{UUID: u}, err
}

func (g *glueAPI) find(ctx context.Context, a Artifact, text string) (ID, error) {
	return g.id(g.client.Find(ctx, a.ID, text))
}

func (g *glueAPI) latest(ctx context.Context, a Artifact) (ID, schema, error) {
	version, text, err := g.client.Latest(ctx, a.ID)
	id, err := g.id(version, err)
	return id, schema{text: text}, err
}

func (g *glueAPI) level(ctx context.Context, a Artifact) (string, error) {
	return g.client.Level(ctx, a.ID)
}

func (g *glueAPI) byID(ctx context.Context, id ID) (schema, error) {
	if id.UUID == (UUID{}) {
		return schema{}, fault.Humanf("point schema.registry.url at the registry that the records were written with", "AWS Glue cannot find a schema by %s", id)
	}
	text, err := g.client.Schema(ctx, id.UUID.String())
	if errors.Is(err, glue.ErrNotFound) {
		err = fault.Human(fmt.Errorf("%w: %w", ErrUnknownID, err), "the records were written with a registry of another account or region, or the version was deleted")
	}
	return schema{text: text}, err
}

func (g *glueAPI) byReference(context.Context, reference) (schema, error) {
	return schema{}, errors.New("schemas of AWS Glue refer to no others")
}

func (g *glueAPI) relax(a Artifact) string {
	return "aws glue update-schema --schema-id SchemaName=" + a.ID + ",RegistryName=… --schema-version-number LatestVersion=true --compatibility NONE"
}

func (g *glueAPI) check(ctx context.Context) error { return g.client.Check(ctx) }
