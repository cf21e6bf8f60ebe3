// Package glue is a client of AWS Glue Schema Registry: the calls that AWS's
// own serializers make, and no more. It is the only importer of the AWS library
// for it. Credentials and region are found as the AWS tools find them.
package glue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"tributary/internal/fault"
)

// DefaultRegistry is the registry that AWS's serializers use when none is
// named.
const DefaultRegistry = "default-registry"

// Options say where the registry is, and how schemas are made.
type Options struct {
	Registry      string // name; DefaultRegistry when empty
	Region        string // found as the AWS tools find it when empty
	Endpoint      string // URL of another service than Amazon's
	Compatibility string // of schemas that are made: BACKWARD when empty, NONE, FULL_ALL, …
	Description   string // of schemas that are made
	// Patience is for how long a new version may stay pending; 0 = 30 s.
	Patience time.Duration
	// Attempts is how often a request is made that a retry may heal; 0 = 8.
	Attempts int
}

// Levels lists the compatibility modes of AWS Glue.
func Levels() []string {
	var out []string
	for _, c := range types.Compatibility("").Values() {
		out = append(out, string(c))
	}
	return out
}

// ErrNotFound marks the error of what the registry does not have.
var ErrNotFound = errors.New("AWS Glue has no such schema")

// RefusedError tells that a schema's compatibility mode refused a version.
type RefusedError struct{ Schema, Version, Mode string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("AWS Glue refused the new version of schema %s, whose compatibility is %s", e.Schema, e.Mode)
}

// Client talks to one registry. It is safe for many goroutines.
type Client struct {
	opts Options

	mu  sync.Mutex
	api *glue.Client // once it is needed
}

// New makes a client. It neither connects nor looks for credentials yet.
func New(o Options) (*Client, error) {
	if o.Registry == "" {
		o.Registry = DefaultRegistry
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 8
	}
	o.Compatibility = strings.ToUpper(o.Compatibility)
	if o.Compatibility == "" {
		o.Compatibility = string(types.CompatibilityBackward)
	}
	known := false
	for _, c := range Levels() {
		known = known || c == o.Compatibility
	}
	if !known {
		return nil, fault.Humanf("set one of "+strings.Join(Levels(), ", "), "AWS Glue has no compatibility %q", o.Compatibility)
	}
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fault.Humanf("give it as https://host", "%q is no URL of AWS Glue", o.Endpoint)
		}
	}
	return &Client{opts: o}, nil
}

// String names the registry in messages.
func (c *Client) String() string {
	if c.opts.Endpoint != "" {
		return fmt.Sprintf("AWS Glue registry %s at %s", c.opts.Registry, c.opts.Endpoint)
	}
	return "AWS Glue registry " + c.opts.Registry
}

// service finds region and credentials when they are needed first.
func (c *Client) service(ctx context.Context) (*glue.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api != nil {
		return c.api, nil
	}
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithRetryer(func() aws.Retryer {
		return retry.AddWithMaxAttempts(retry.NewStandard(), c.opts.Attempts)
	})}
	if c.opts.Region != "" {
		load = append(load, awsconfig.WithRegion(c.opts.Region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fault.Human(fmt.Errorf("load the AWS configuration: %w", err), "check the AWS_* variables and ~/.aws")
	}
	if cfg.Region == "" {
		return nil, fault.Humanf("add ?region=… to the registry's URL, or set value.converter.region or AWS_REGION", "%s: no region", c)
	}
	c.api = glue.NewFromConfig(cfg, func(o *glue.Options) {
		if c.opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.opts.Endpoint)
		}
	})
	return c.api, nil
}

func (c *Client) schemaID(name string) *types.SchemaId {
	return &types.SchemaId{RegistryName: aws.String(c.opts.Registry), SchemaName: aws.String(name)}
}

// Check asks for the registry, which must exist.
func (c *Client) Check(ctx context.Context) error {
	api, err := c.service(ctx)
	if err != nil {
		return err
	}
	_, err = api.GetRegistry(ctx, &glue.GetRegistryInput{RegistryId: &types.RegistryId{RegistryName: aws.String(c.opts.Registry)}})
	return c.explain("ask for the registry", err)
}

// Find returns the version of a schema that has exactly this text.
func (c *Client) Find(ctx context.Context, name, text string) (version string, err error) {
	api, err := c.service(ctx)
	if err != nil {
		return "", err
	}
	out, err := api.GetSchemaByDefinition(ctx, &glue.GetSchemaByDefinitionInput{SchemaId: c.schemaID(name), SchemaDefinition: aws.String(text)})
	if err != nil {
		return "", c.explain("look up schema "+name, err)
	}
	if out.Status != types.SchemaVersionStatusAvailable {
		return c.settle(ctx, api, name, aws.ToString(out.SchemaVersionId), out.Status)
	}
	return aws.ToString(out.SchemaVersionId), nil
}

// Register makes text a version of a schema, which it creates if need be, as
// AWS's serializers do: the text is looked up, then the schema is created, and
// if it exists the version is added. transport goes into the version's
// metadata. What the compatibility mode refuses is a *RefusedError.
func (c *Client) Register(ctx context.Context, name, transport, text string) (version string, err error) {
	version, err = c.Find(ctx, name, text)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return version, err
	}
	api, err := c.service(ctx)
	if err != nil {
		return "", err
	}
	in := &glue.CreateSchemaInput{
		RegistryId: &types.RegistryId{RegistryName: aws.String(c.opts.Registry)}, SchemaName: aws.String(name),
		DataFormat: types.DataFormatAvro, Compatibility: types.Compatibility(c.opts.Compatibility), SchemaDefinition: aws.String(text),
	}
	if c.opts.Description != "" {
		in.Description = aws.String(c.opts.Description)
	}
	created, err := api.CreateSchema(ctx, in)
	var exists *types.AlreadyExistsException
	switch {
	case err == nil:
		version, err = c.settle(ctx, api, name, aws.ToString(created.SchemaVersionId), created.SchemaVersionStatus)
	case errors.As(err, &exists):
		version, err = c.add(ctx, api, name, text)
	default:
		err = c.explain("create schema "+name, err)
	}
	if err != nil {
		return "", err
	}
	return version, c.mark(ctx, api, version, transport)
}

func (c *Client) add(ctx context.Context, api *glue.Client, name, text string) (string, error) {
	out, err := api.RegisterSchemaVersion(ctx, &glue.RegisterSchemaVersionInput{SchemaId: c.schemaID(name), SchemaDefinition: aws.String(text)})
	if err != nil {
		return "", c.explain("register a version of schema "+name, err)
	}
	return c.settle(ctx, api, name, aws.ToString(out.SchemaVersionId), out.Status)
}

// mark notes at a version where it is used. It is for people, so a version
// that has as many notes as it may have is no error.
func (c *Client) mark(ctx context.Context, api *glue.Client, version, transport string) error {
	_, err := api.PutSchemaVersionMetadata(ctx, &glue.PutSchemaVersionMetadataInput{
		SchemaVersionId:  aws.String(version),
		MetadataKeyValue: &types.MetadataKeyValuePair{MetadataKey: aws.String("x-amz-meta-transport"), MetadataValue: aws.String(transport)},
	})
	var noted *types.AlreadyExistsException
	var full *types.ResourceNumberLimitExceededException
	if errors.As(err, &noted) || errors.As(err, &full) {
		return nil
	}
	return c.explain("note the use of version "+version, err)
}

// settle waits until the registry has judged a version.
func (c *Client) settle(ctx context.Context, api *glue.Client, name, version string, status types.SchemaVersionStatus) (string, error) {
	end := time.Now().Add(c.opts.Patience)
	for pause := 50 * time.Millisecond; status == types.SchemaVersionStatusPending; pause = min(2*pause, 2*time.Second) {
		if time.Now().After(end) {
			return "", fmt.Errorf("%s: version %s of schema %s is still pending after %s", c, version, name, c.opts.Patience)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
		out, err := api.GetSchemaVersion(ctx, &glue.GetSchemaVersionInput{SchemaVersionId: aws.String(version)})
		if err != nil {
			return "", c.explain("look up version "+version, err)
		}
		status = out.Status
	}
	switch status {
	case types.SchemaVersionStatusAvailable:
		return version, nil
	case types.SchemaVersionStatusFailure:
		return "", &RefusedError{Schema: name, Version: version, Mode: c.mode(ctx, api, name)}
	}
	return "", fmt.Errorf("%s: version %s of schema %s is %s: %w", c, version, name, status, ErrNotFound)
}

// mode is the schema's own, which need not be the one that we create with.
func (c *Client) mode(ctx context.Context, api *glue.Client, name string) string {
	out, err := api.GetSchema(ctx, &glue.GetSchemaInput{SchemaId: c.schemaID(name)})
	if err != nil {
		return "not known"
	}
	return string(out.Compatibility)
}

// Level returns the compatibility mode of a schema.
func (c *Client) Level(ctx context.Context, name string) (string, error) {
	api, err := c.service(ctx)
	if err != nil {
		return "", err
	}
	out, err := api.GetSchema(ctx, &glue.GetSchemaInput{SchemaId: c.schemaID(name)})
	if err != nil {
		return "", c.explain("look up schema "+name, err)
	}
	return string(out.Compatibility), nil
}

// Schema returns the text of a version.
func (c *Client) Schema(ctx context.Context, version string) (string, error) {
	_, text, err := c.version(ctx, "look up version "+version, &glue.GetSchemaVersionInput{SchemaVersionId: aws.String(version)})
	return text, err
}

// Latest returns the newest version of a schema, and its text.
func (c *Client) Latest(ctx context.Context, name string) (version, text string, err error) {
	return c.version(ctx, "look up the latest version of schema "+name, &glue.GetSchemaVersionInput{
		SchemaId: c.schemaID(name), SchemaVersionNumber: &types.SchemaVersionNumber{LatestVersion: true},
	})
}

func (c *Client) version(ctx context.Context, doing string, in *glue.GetSchemaVersionInput) (version, text string, err error) {
	api, err := c.service(ctx)
	if err != nil {
		return "", "", err
	}
	out, err := api.GetSchemaVersion(ctx, in)
	if err != nil {
		return "", "", c.explain(doing, err)
	}
	if out.DataFormat != "" && out.DataFormat != types.DataFormatAvro {
		return "", "", fault.Humanf("only Avro topics can be read", "%s: the schema is of type %s", c, out.DataFormat)
	}
	return aws.ToString(out.SchemaVersionId), aws.ToString(out.SchemaDefinition), nil
}

// explain says which errors are for a human: those that the service knows,
// throttling excepted.
func (c *Client) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %s: %w", c, doing, err)
	var missing *types.EntityNotFoundException
	var denied *types.AccessDeniedException
	var invalid *types.InvalidInputException
	var full *types.ResourceNumberLimitExceededException
	var code interface{ ErrorCode() string }
	switch {
	case errors.As(err, &missing):
		if strings.HasPrefix(doing, "ask") || strings.Contains(missing.ErrorMessage(), "Registry is not found") {
			return fault.Human(wrapped, "create the registry, or name one that exists in value.converter.registry.name")
		}
		return fmt.Errorf("%w: %w", ErrNotFound, wrapped)
	case errors.As(err, &denied):
		return fault.Human(wrapped, "give this role or user the glue:* rights on the registry and its schemas that docs/registry.md lists")
	case errors.As(err, &invalid):
		return fault.Human(wrapped, "the registry will not take this request; its message says why")
	case errors.As(err, &full):
		return fault.Human(wrapped, "delete old schema versions, or have the account's quota raised")
	case errors.As(err, &code):
		switch code.ErrorCode() {
		case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "InvalidClientTokenId", "IncompleteSignature", "MissingAuthenticationToken":
			return fault.Human(wrapped, "check the AWS credentials: the AWS_* variables, ~/.aws, or the role of the machine or task")
		}
	}
	return fault.Hinted(wrapped, "see that AWS Glue can be reached from here, and that there are credentials for it")
}
