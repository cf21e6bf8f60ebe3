package s3

import (
	"strings"

	"tributary/internal/config"
)

// Settings say which store a daemon's objects are in, as files of options give it: a
// bucket or a local directory. They are to be a part of the daemon's options.
type Settings struct {
	URL       string        `opt:"store.url" doc:"file:///path for a local directory, or the URL of a store other than Amazon's that speaks S3"`
	Bucket    string        `opt:"s3.bucket.name" doc:"bucket of bronze, and of the tables"`
	Region    string        `opt:"s3.region" doc:"the bucket's region; found as the AWS tools do when empty"`
	PathStyle bool          `opt:"s3.path.style.access.enabled" default:"true" doc:"put the bucket into the path of URLs; only with store.url"`
	AccessKey string        `opt:"aws.access.key.id" doc:"access key; found as the AWS tools do when empty"`
	SecretKey config.Secret `opt:"aws.secret.access.key" doc:"the access key's secret"`
}

// Local reports whether the store is a local directory.
func (s *Settings) Local() bool { return strings.HasPrefix(s.URL, "file:") }

// Problems reports what only several options together show.
func (s *Settings) Problems() []config.Problem {
	switch {
	case s.Local() && s.Bucket != "":
		return []config.Problem{{Key: "store.url", Message: "a local directory has no bucket: remove s3.bucket.name, or the file: URL"}}
	case !s.Local() && s.Bucket == "":
		return []config.Problem{{Key: "s3.bucket.name", Message: "name a bucket, or set store.url to file:///path for a local directory"}}
	}
	return nil
}

// Options are those of a store in the bucket, which may be another than that of the
// settings. Where they name a local directory, it is one of Amazon's.
func (s *Settings) Options(bucket string) Options {
	o := Options{Bucket: bucket, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey.Reveal()}
	if s.URL != "" && !s.Local() {
		o.Endpoint, o.PathStyle = s.URL, s.PathStyle
	}
	return o
}
