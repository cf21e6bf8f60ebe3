package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"tributary/internal/avro"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/topic"
	"tributary/lake/blob"
	"tributary/lake/blob/s3"
	"tributary/lake/bronze"
	"tributary/registry"
)

// options are named as those of the Confluent S3 sink, as far as it has them.
type options struct {
	topic.Options
	topic.ReaderOptions

	Registry registry.Settings

	Store    s3.Settings
	PartSize int64 `opt:"s3.part.size" default:"16777216" doc:"size in bytes from which on objects are put in parts; at least 5242880"`
	Retries  int   `opt:"s3.part.retries" default:"5" doc:"how often a request to the store is tried again at once"`

	TopicsDir    string `opt:"topics.dir" default:"topics" doc:"folder under which the topics' folders lie"`
	Format       string `opt:"format.class" default:"io.confluent.connect.s3.format.avro.AvroFormat" doc:"only Avro is written"`
	Codec        string `opt:"avro.codec" default:"null" doc:"compression inside the files: null, deflate, snappy or zstandard"`
	Partitioner  string `opt:"partitioner.class" default:"DailyPartitioner" doc:"folder of a record: DailyPartitioner, HourlyPartitioner, or DefaultPartitioner (by Kafka partition)"`
	Extractor    string `opt:"timestamp.extractor" default:"Record" enum:"Record,RecordField,Wallclock" doc:"time that names the folder: the record's, that of its timestamp.field, or the clock's when it is read"`
	TimeField    string `opt:"timestamp.field" default:"timestamp" doc:"field for RecordField, as in after.updated_at; where it is null the record's own time counts"`
	Timezone     string `opt:"timezone" default:"UTC" doc:"where days and hours begin, as in Europe/Berlin"`
	NullValues   string `opt:"behavior.on.null.values" default:"ignore" enum:"ignore,fail" doc:"what to do with tombstones, which no Avro file of values can hold"`
	Tolerance    string `opt:"errors.tolerance" default:"none" enum:"none,all" doc:"what to do with a record without a known schema: stop, or keep it aside under <topics.dir>/_quarantine and go on"`
	MaxOpenFiles int    `opt:"partitioner.max.open.files" default:"200" doc:"most folders of one partition that are open at once"`

	FlushSize      int64         `opt:"flush.size" required:"true" doc:"records after which a partition's files are put"`
	FlushBytes     int64         `opt:"flush.bytes" default:"67108864" doc:"bytes after which a partition's files are put"`
	RotateSchedule time.Duration `opt:"rotate.schedule.interval.ms" unit:"ms" default:"-1" doc:"put files at every full interval of the clock; -1 = never"`
	RotateInterval time.Duration `opt:"rotate.interval.ms" unit:"ms" default:"-1" doc:"put files when a record's time is so much after the first one's; -1 = never"`
	RotateIdle     time.Duration `opt:"rotate.idle.ms" unit:"ms" default:"-1" doc:"put a partition's files when no record came for so long; -1 = never"`

	BufferBytes int64  `opt:"buffer.bytes" default:"33554432" doc:"memory for open files in bytes; what is more goes to temporary files"`
	BufferDir   string `opt:"buffer.dir" doc:"where temporary files are made; the system's place when empty"`
	Listen      string `opt:"http.address" doc:"host:port for health and metrics; none when empty"`

	zone *time.Location
}

// Validate reports what only several options together show.
func (o *options) Validate() []config.Problem {
	problems := append(o.Check(), o.Registry.Check()...)
	add := func(key, format string, args ...any) {
		problems = append(problems, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	if (len(o.Topics) == 0) == (o.Regex == "") {
		add("topics", "name the topics with either topics or topics.regex")
	}
	var err error
	if o.zone, err = time.LoadLocation(o.Timezone); err != nil {
		add("timezone", "%v", err)
	} else if _, err := bronze.NewPartitioner(o.Partitioner, o.zone); err != nil {
		add("partitioner.class", "%v", err)
	}
	// YAML reads a bare null as nothing, which ParseCodec takes for null too.
	if _, err := avro.ParseCodec(o.Codec); err != nil {
		add("avro.codec", "%v", err)
	}
	if !strings.Contains(strings.ToLower(o.Format), "avro") {
		add("format.class", "only Avro is written: leave it out, or name AvroFormat")
	}
	for key, v := range map[string]int64{
		"flush.size": o.FlushSize, "flush.bytes": o.FlushBytes, "buffer.bytes": o.BufferBytes,
		"partitioner.max.open.files": int64(o.MaxOpenFiles),
	} {
		if v < 1 {
			add(key, "must be 1 or more")
		}
	}
	if strings.Trim(o.TopicsDir, "/") != o.TopicsDir {
		add("topics.dir", "must not begin or end with a slash")
	}
	return append(problems, o.Store.Problems()...)
}

// checker is a store that can prove that it is usable.
type checker interface {
	Check(ctx context.Context, prefix string) error
}

func (o *options) openStore(ctx context.Context) (blob.Store, error) {
	if rest, ok := strings.CutPrefix(o.Store.URL, "file:"); ok {
		u, err := url.Parse(o.Store.URL)
		if err != nil || u.Host != "" || u.Path == "" {
			return nil, fault.Humanf("write it as file:///path", "store.url %q names no local directory", rest)
		}
		store, err := blob.NewDir(u.Path)
		if err != nil {
			return nil, fmt.Errorf("open the store in %s: %w", u.Path, err)
		}
		return store, nil
	}
	opt := o.Store.Options(o.Store.Bucket)
	opt.PartSize, opt.Retries = o.PartSize, o.Retries
	return s3.New(ctx, opt)
}

// openRegistry returns a client that tries again for as long as patience what
// fails.
func (o *options) openRegistry(patience time.Duration, log *slog.Logger) (*registry.Client, error) {
	return o.Registry.Client(patience, log)
}

// checkRegistry asks the registry for a sign of life, with little patience: at
// the start a missing registry is to be reported.
func (o *options) checkRegistry(ctx context.Context, log *slog.Logger) error {
	client, err := o.openRegistry(3*time.Second, log)
	if err != nil {
		return err
	}
	return client.Check(ctx)
}

func (o *options) bronze(store blob.Store) (bronze.Options, error) {
	codec, err := avro.ParseCodec(o.Codec)
	return bronze.Options{
		Store: store, Root: o.TopicsDir, Codec: codec, Linear: o.Extractor == "Wallclock",
		Spool: bronze.NewSpool(o.BufferDir, o.BufferBytes),
	}, err
}
