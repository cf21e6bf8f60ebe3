package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// Options says where the objects are. Only Bucket is required: region and
// credentials are then found as the AWS tools find them (environment, shared
// files, the machine's or the task's role).
type Options struct {
	Bucket string
	// Prefix is put before every key, with a slash between; "" = none.
	Prefix string
	Region string
	// Endpoint is the URL of a store other than Amazon's.
	Endpoint string
	// PathStyle puts the bucket into the path of URLs rather than into the host.
	PathStyle bool
	// AccessKey, SecretKey and SessionToken are fixed credentials; empty = found.
	AccessKey, SecretKey, SessionToken string
	// PartSize in bytes: larger objects are put in parts. 0 = DefaultPartSize;
	// S3 allows no less than 5 MiB.
	PartSize int64
	// Retries is how often a request is tried again; 0 = 5.
	Retries int
}

// The sizes of parts, in bytes.
const (
	DefaultPartSize = 16 << 20
	minPartSize     = 5 << 20
	maxParts        = 10_000
)

// Store is a blob.Store in a bucket.
type Store struct {
	client   *s3.Client
	bucket   string
	prefix   string
	partSize int64
	where    string // for errors
}

// ErrNoRegion is returned by New when nothing tells the bucket's region.
var ErrNoRegion = errors.New("no region")

var _ blob.Store = (*Store)(nil)

// New returns a store. It reads credentials but does not connect: see Check.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.Bucket == "" {
		return nil, fault.Humanf("name the bucket", "open S3: no bucket")
	}
	if o.PartSize == 0 {
		o.PartSize = DefaultPartSize
	}
	if o.PartSize < minPartSize {
		return nil, fault.Humanf("set a part size of 5242880 bytes or more", "open bucket %s: part size %d is below what S3 allows", o.Bucket, o.PartSize)
	}
	if o.Retries == 0 {
		o.Retries = 5
	}
	load := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.AddWithMaxAttempts(retry.NewStandard(), o.Retries+1)
		}),
	}
	if o.Region != "" {
		load = append(load, awsconfig.WithRegion(o.Region))
	}
	if o.AccessKey != "" {
		load = append(load, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, o.SessionToken)))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fault.Human(fmt.Errorf("load the AWS configuration: %w", err), "check the AWS_* variables and ~/.aws")
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // what other makers' stores expect
		if o.Endpoint == "" {
			return nil, fault.Human(fmt.Errorf("open bucket %s: %w", o.Bucket, ErrNoRegion), "set s3.region or AWS_REGION")
		}
	}
	where := "s3://" + o.Bucket
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fault.Humanf("give it as http://host:port or https://host", "open bucket %s: %q is no URL of a store", o.Bucket, o.Endpoint)
		}
		where += " at " + o.Endpoint
	}
	client := s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			c.BaseEndpoint = aws.String(o.Endpoint)
		}
		// Objects are read in ranges, of which no checksum exists.
		c.DisableLogOutputChecksumValidationSkipped = true
	})
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Store{client: client, bucket: o.Bucket, prefix: prefix, partSize: o.PartSize, where: where}, nil
}

// URL returns the object's address as Hudi's engines write it.
func (s *Store) URL(key string) string { return "s3a://" + s.bucket + "/" + s.prefix + key }

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + prefix)}
		if after != "" {
			in.StartAfter = aws.String(s.prefix + after)
		}
		for {
			out, err := s.client.ListObjectsV2(ctx, in)
			if err != nil {
				yield(blob.Info{}, s.explain("list "+prefix, err))
				return
			}
			for _, o := range out.Contents {
				info := blob.Info{
					Key:      strings.TrimPrefix(aws.ToString(o.Key), s.prefix),
					Size:     aws.ToInt64(o.Size),
					Modified: aws.ToTime(o.LastModified),
				}
				if strings.HasSuffix(info.Key, "/") {
					continue // a folder made by a console: no object of ours
				}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

// deleteBatch is the most keys that one request deletes.
const deleteBatch = 1000

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for len(keys) > 0 {
		n := min(len(keys), deleteBatch)
		batch := make([]types.ObjectIdentifier, 0, n)
		for _, k := range keys[:n] {
			if err := checkKey(k); err != nil {
				return err
			}
			batch = append(batch, types.ObjectIdentifier{Key: aws.String(s.prefix + k)})
		}
		out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &s.bucket, Delete: &types.Delete{Objects: batch, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return s.explain("delete objects", err)
		}
		var errs error
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != "NoSuchKey" {
				errs = errors.Join(errs, fmt.Errorf("delete %s in %s: %s: %s", aws.ToString(e.Key), s.where, code, aws.ToString(e.Message)))
			}
		}
		if errs != nil {
			return errs
		}
		keys = keys[n:]
	}
	return nil
}

// checkKey refuses what the contract of blob.Store does not allow.
func checkKey(key string) error {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("object key %q: a part of it is empty, \".\" or \"..\"", key)
		}
	}
	return nil
}
