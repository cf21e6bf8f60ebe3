package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"tributary/lake/blob"
)

// putID is the user metadata that marks the object of one call of Put. A
// conditional request that is repeated after its answer was lost is refused
// because of its own success; the mark tells that from another writer's.
const putID = "tributary-put"

// Put implements blob.Store. A reader that is no io.ReaderAt and io.Seeker is
// copied to memory, a part at a time.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64, cond blob.Cond) (blob.ETag, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	p := put{store: s, key: s.prefix + key, id: rand.Text(), cond: cond, size: size}
	var err error
	if p.src, err = s.source(r, size); err != nil {
		return "", fmt.Errorf("put %s: %w", key, err)
	}
	// Two writers at the same moment: S3 refuses one with 409 and asks to try
	// again, which then shows who won.
	for try := 0; ; try++ {
		tag, err := p.once(ctx)
		if err == nil {
			return tag, nil
		}
		if c := code(err); (c == "ConditionalRequestConflict" || c == "OperationAborted") && try < 8 && p.src.repeatable() {
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(time.Duration(50<<try) * time.Millisecond):
			}
			continue
		}
		if isPrecondition(err) {
			return p.refused(ctx, key)
		}
		return "", s.explain("put "+key, err)
	}
}

// source gives an object's parts as readers.
type source struct {
	at   io.ReaderAt // nil: a stream
	r    io.Reader
	base int64
}

func (s *Store) source(r io.Reader, size int64) (source, error) {
	if at, ok := r.(io.ReaderAt); ok {
		if seek, ok := r.(io.Seeker); ok {
			base, err := seek.Seek(0, io.SeekCurrent)
			if err != nil {
				return source{}, err
			}
			end, err := seek.Seek(0, io.SeekEnd)
			if err == nil && end-base != size {
				err = fmt.Errorf("%d bytes announced, %d given", size, end-base)
			}
			return source{at: at, base: base}, err
		}
	}
	if size <= s.partSize {
		buf, err := readPart(r, size)
		if err == nil {
			err = readEnd(r)
		}
		return source{at: bytes.NewReader(buf)}, err
	}
	return source{r: r}, nil
}

// readEnd reports whether r is at its end.
func readEnd(r io.Reader) error {
	if n, _ := io.CopyN(io.Discard, r, 1); n > 0 {
		return errors.New("more bytes given than announced")
	}
	return nil
}

func (s source) repeatable() bool { return s.at != nil }

func (s source) part(off, n int64) (io.ReadSeeker, error) {
	if s.at != nil {
		return io.NewSectionReader(s.at, s.base+off, n), nil
	}
	buf, err := readPart(s.r, n)
	return bytes.NewReader(buf), err
}

func readPart(r io.Reader, n int64) ([]byte, error) {
	buf := make([]byte, n)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, fmt.Errorf("read what is to be put: %w", err)
	}
	return buf, nil
}

// put is one call of Put.
type put struct {
	store *Store
	key   string
	id    string
	cond  blob.Cond
	size  int64
	src   source
}

func (p *put) conditions() (ifNoneMatch, ifMatch *string) {
	if p.cond.Absent() {
		ifNoneMatch = aws.String("*")
	}
	if tag, ok := p.cond.Match(); ok {
		ifMatch = aws.String(string(tag))
	}
	return ifNoneMatch, ifMatch
}

func (p *put) once(ctx context.Context) (blob.ETag, error) {
	if p.size > p.store.partSize {
		return p.multipart(ctx)
	}
	body, err := p.src.part(0, p.size)
	if err != nil {
		return "", err
	}
	in := &s3.PutObjectInput{
		Bucket: &p.store.bucket, Key: &p.key, Body: body, ContentLength: &p.size,
		Metadata: map[string]string{putID: p.id},
	}
	in.IfNoneMatch, in.IfMatch = p.conditions()
	out, err := p.store.client.PutObject(ctx, in)
	if err != nil {
		return "", err
	}
	return blob.ETag(aws.ToString(out.ETag)), nil
}

// uploads is how many parts of one object are under way at once.
const uploads = 4

func (p *put) multipart(ctx context.Context) (tag blob.ETag, err error) {
	c := p.store.client
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &p.store.bucket, Key: &p.key, Metadata: map[string]string{putID: p.id},
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			// Parts of an upload that nobody ends cost money for ever.
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_, abortErr := c.AbortMultipartUpload(late, &s3.AbortMultipartUploadInput{
				Bucket: &p.store.bucket, Key: &p.key, UploadId: up.UploadId,
			})
			if code(abortErr) != "NoSuchUpload" && abortErr != nil {
				err = errors.Join(err, fmt.Errorf("abort the upload: %w", abortErr))
			}
		}
	}()
	parts, err := p.upload(ctx, up.UploadId)
	if err == nil && !p.src.repeatable() {
		err = readEnd(p.src.r)
	}
	if err != nil {
		return "", err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &p.store.bucket, Key: &p.key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	in.IfNoneMatch, in.IfMatch = p.conditions()
	out, err := c.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return "", err
	}
	return blob.ETag(aws.ToString(out.ETag)), nil
}

func (p *put) upload(ctx context.Context, id *string) ([]types.CompletedPart, error) {
	step := p.store.partSize
	if least := (p.size + maxParts - 1) / maxParts; step < least {
		step = least
	}
	n := int((p.size + step - 1) / step)
	parts := make([]types.CompletedPart, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	if !p.src.repeatable() {
		g.SetLimit(1) // each part is in memory
	}
	for i := range n {
		off := int64(i) * step
		size := min(step, p.size-off)
		body, err := p.src.part(off, size)
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			out, err := p.store.client.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: &p.store.bucket, Key: &p.key, UploadId: id, PartNumber: aws.Int32(int32(i + 1)),
				Body: body, ContentLength: &size, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
			})
			if err != nil {
				return fmt.Errorf("part %d of %d: %w", i+1, n, err)
			}
			parts[i] = types.CompletedPart{
				PartNumber: aws.Int32(int32(i + 1)), ETag: out.ETag,
				ChecksumCRC32: out.ChecksumCRC32,
			}
			return nil
		})
	}
	return parts, g.Wait()
}

// refused says what a condition that did not hold means.
func (p *put) refused(ctx context.Context, key string) (blob.ETag, error) {
	out, err := p.store.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.store.bucket, Key: &p.key})
	switch {
	case isNotFound(err):
		if p.cond.Absent() { // there a moment ago, and deleted since
			return "", fmt.Errorf("put %s: %w", key, blob.ErrExist)
		}
		return "", fmt.Errorf("put %s: %w", key, blob.ErrNotExist)
	case err != nil:
		return "", p.store.explain("put "+key, err)
	case out.Metadata[putID] == p.id:
		return blob.ETag(aws.ToString(out.ETag)), nil
	case p.cond.Absent():
		return "", fmt.Errorf("put %s: %w", key, blob.ErrExist)
	default:
		return "", fmt.Errorf("put %s: %w", key, blob.ErrConflict)
	}
}
