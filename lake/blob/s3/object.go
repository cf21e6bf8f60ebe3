package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/lake/blob"
)

// headSize is how much of an object Open fetches with the first request: small
// objects and headers then need no other.
const headSize = 64 << 10

type object struct {
	ctx   context.Context // of Open: ReadAt has none of its own
	store *Store
	key   string
	size  int64
	etag  blob.ETag
	head  []byte
}

// Open implements blob.Store. ctx bounds the reading too.
func (s *Store) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	o := &object{ctx: ctx, store: s, key: key}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + key), Range: aws.String(fmt.Sprintf("bytes=0-%d", headSize-1)),
	})
	if code(err) == "InvalidRange" {
		return o, o.openEmpty(ctx)
	}
	if err != nil {
		return nil, s.explain("open "+key, err)
	}
	o.etag = blob.ETag(aws.ToString(out.ETag))
	o.head, err = io.ReadAll(out.Body)
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, s.explain("read "+key, err)
	}
	o.size = int64(len(o.head))
	if r := aws.ToString(out.ContentRange); r != "" {
		_, total, _ := strings.Cut(r, "/")
		if o.size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, fmt.Errorf("open %s in %s: the answer's range %q gives no size", key, s.where, r)
		}
	}
	return o, nil
}

// openEmpty opens an object of which no range can be asked for.
func (o *object) openEmpty(ctx context.Context) error {
	out, err := o.store.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &o.store.bucket, Key: aws.String(o.store.prefix + o.key),
	})
	if err != nil {
		return o.store.explain("open "+o.key, err)
	}
	o.size, o.etag = aws.ToInt64(out.ContentLength), blob.ETag(aws.ToString(out.ETag))
	return nil
}

func (o *object) Size() int64     { return o.size }
func (o *object) ETag() blob.ETag { return o.etag }
func (o *object) Close() error    { return nil }

// ReadAt reads in one request what the first one did not bring. An object that
// was replaced since Open is an error, never a mix.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset %d", o.key, off)
	}
	if off >= o.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	want := p
	if rest := o.size - off; int64(len(want)) > rest {
		want = want[:rest]
	}
	n := 0
	if off < int64(len(o.head)) {
		n = copy(want, o.head[off:])
	}
	if n < len(want) {
		m, err := o.fetch(want[n:], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fetchTries bounds how often a body that breaks off is asked for again; the
// client itself only repeats requests that fail before the body begins.
const fetchTries = 4

func (o *object) fetch(p []byte, off int64) (int, error) {
	n := 0
	for try := 1; ; try++ {
		m, err := o.fetchOnce(p[n:], off+int64(n))
		n += m
		if n == len(p) {
			return n, nil
		}
		if try == fetchTries || o.ctx.Err() != nil || code(err) != "" {
			return n, o.store.explain("read "+o.key, err)
		}
	}
}

func (o *object) fetchOnce(p []byte, off int64) (int, error) {
	out, err := o.store.client.GetObject(o.ctx, &s3.GetObjectInput{
		Bucket: &o.store.bucket, Key: aws.String(o.store.prefix + o.key),
		Range:   aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
		IfMatch: aws.String(string(o.etag)),
	})
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(out.Body, p)
	return n, errors.Join(err, out.Body.Close())
}
