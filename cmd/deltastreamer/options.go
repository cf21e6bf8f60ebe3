package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/ingest"
	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
	"tributary/lake/blob/s3"
)

const (
	modeOnce       = "once"
	modeContinuous = "continuous"

	opUpsert = "upsert"
)

// Options is the configuration file.
type Options struct {
	Name string `opt:"name" default:"deltastreamer" doc:"name of this streamer in logs"`
	Mode string `opt:"mode" default:"continuous" enum:"once,continuous" doc:"end when every table has what bronze holds, or go on"`

	Store s3.Settings // of bronze and, as a rule, the tables

	TopicsDir string `opt:"topics.dir" default:"topics" doc:"folder of the store under which the topics' folders lie, as the sink has it"`
	Lake      string `opt:"hoodie.streamer.ingestion.targetBasePath" doc:"where the databases go: a folder of the store, or file:///path or s3://bucket/prefix; default: the store's root"`
	Database  string `opt:"hoodie.database.name" default:"default" doc:"database of the tables, and the folder that they lie in"`

	Topics        []string `opt:"topics" doc:"topics to follow; default: all of topics.regex"`
	TopicsRegex   string   `opt:"topics.regex" doc:"topics to follow, as an expression for the whole name; default: all"`
	TopicsExclude string   `opt:"topics.exclude.regex" doc:"topics to leave out, as an expression for the whole name"`
	TableName     string   `opt:"table.name.format" default:"${table}" doc:"name of a topic's table: ${table} is the topic's last part, ${topic} all of it"`

	KeyFields   []string `opt:"hoodie.datasource.write.recordkey.field" doc:"key of the tables; default: the key that bronze tells"`
	Partition   []string `opt:"hoodie.datasource.write.partitionpath.field" doc:"fields whose values name a table's partition, such as __table; default: no partitions"`
	HivePaths   bool     `opt:"hoodie.datasource.write.hive_style_partitioning" default:"true" doc:"name partition folders field=value"`
	URLEncode   bool     `opt:"hoodie.datasource.write.partitionpath.urlencode" default:"false" doc:"write characters in partition folders that mean something in paths as %XX"`
	TimeType    string   `opt:"hoodie.keygen.timebased.timestamp.type" enum:"UNIX_TIMESTAMP,EPOCHMILLISECONDS,EPOCHMICROSECONDS,SCALAR,DATE_STRING,MIXED" doc:"what the partition field holds, to make folders of a time; default: folders of its value"`
	TimeUnit    string   `opt:"hoodie.keygen.timebased.timestamp.scalar.time.unit" enum:"SECONDS,MILLISECONDS,MICROSECONDS,NANOSECONDS,MINUTES,HOURS,DAYS" doc:"unit of the partition field, with SCALAR; a column of timestamps has MICROSECONDS"`
	TimeInput   []string `opt:"hoodie.keygen.timebased.input.dateformat" doc:"formats of the partition field's dates, such as yyyy-MM-dd, with DATE_STRING and MIXED"`
	TimeOutput  string   `opt:"hoodie.keygen.timebased.output.dateformat" doc:"format of the folders, such as yyyy/MM/dd"`
	TimeZone    string   `opt:"hoodie.keygen.timebased.timezone" default:"UTC" doc:"time zone of the folders"`
	Operation   string   `opt:"hoodie.datasource.write.operation" default:"upsert" enum:"upsert,insert,bulk_insert" doc:"upsert merges changes by key; insert and bulk_insert add them without looking for their keys, for a first load or for topics that only grow: insert fills small files up, bulk_insert makes new files, sorted by partition and key"`
	Combine     bool     `opt:"hoodie.combine.before.insert" default:"false" doc:"with insert and bulk_insert: of the changes of a commit with one key, only the newest"`
	FilterDupes bool     `opt:"hoodie.datasource.write.insert.drop.duplicates" default:"false" doc:"with insert and bulk_insert: leave out changes whose key the table has"`
	Payload     string   `opt:"hoodie.datasource.write.payload.class" doc:"how rows with one key are merged: DefaultHoodieRecordPayload (the later in the source's order stays) or OverwriteWithLatestAvroPayload (the one read last); default: what the table says, and the first for a new table"`
	HardDelete  bool     `opt:"hoodie.datasource.hard.delete" default:"false" doc:"a delete removes the row, instead of marking it __deleted = true"`
	DropColumns bool     `opt:"hoodie.datasource.write.schema.allow.auto.evolution.column.drop" default:"false" doc:"a column that the source drops stays in the table, null from then on, instead of stopping it"`
	Codec       string   `opt:"hoodie.parquet.compression.codec" default:"snappy" enum:"snappy,zstd,gzip,none" doc:"compression of base files"`
	MaxFile     int64    `opt:"hoodie.parquet.max.file.size" default:"125829120" doc:"bytes that a base file may have, about: more new rows than fit are split over several"`
	SmallFile   int64    `opt:"hoodie.parquet.small.file.limit" default:"104857600" doc:"bytes below which a base file takes new rows, up to the maximum size; 0: new rows always make new files"`
	CleanAuto   bool     `opt:"hoodie.clean.automatic" default:"true" doc:"remove base files that nobody can read any more, after commits"`
	CleanPolicy string   `opt:"hoodie.cleaner.policy" default:"KEEP_LATEST_BY_HOURS" enum:"KEEP_LATEST_BY_HOURS,KEEP_LATEST_COMMITS" doc:"what stays readable by time travel"`
	CleanHours  int      `opt:"hoodie.cleaner.hours.retained" default:"24" doc:"hours that stay readable, with KEEP_LATEST_BY_HOURS"`
	CleanKeep   int      `opt:"hoodie.cleaner.commits.retained" default:"10" doc:"commits that stay readable, with KEEP_LATEST_COMMITS"`
	CleanEvery  int      `opt:"hoodie.clean.max.commits" default:"10" doc:"commits from one look for files to remove to the next; each lists the table"`
	ArchiveAuto bool     `opt:"hoodie.archive.automatic" default:"true" doc:"move old instants off the active timeline, once cleaning has passed them"`
	ArchiveMin  int      `opt:"hoodie.keep.min.commits" default:"20" doc:"commits that archival leaves on the timeline"`
	ArchiveMax  int      `opt:"hoodie.keep.max.commits" default:"30" doc:"commits on the timeline above which archival begins"`
	FailedClean string   `opt:"hoodie.cleaner.policy.failed.writes" default:"EAGER" enum:"EAGER,LAZY" doc:"LAZY when other engines write the table too, with the storage-based lock: commits then show heartbeats, at two requests each"`
	Metadata    bool     `opt:"hoodie.metadata.enable" default:"false" doc:"false alone is possible: no metadata table is kept"`
	Cluster     bool     `opt:"hoodie.clustering.inline" default:"false" doc:"merge small base files of a partition into larger ones, after commits"`
	ClusterMax  int      `opt:"hoodie.clustering.inline.max.commits" default:"4" doc:"commits from one look for small files to the next"`
	ClusterFile int64    `opt:"hoodie.clustering.plan.strategy.small.file.limit" default:"0" doc:"bytes below which a base file is small; 0: half of hoodie.parquet.max.file.size"`
	IndexDir    string   `opt:"index.dir" doc:"local folder for the key indexes of the tables, a cache that spares reading all keys at the start; default: in the system's folder for temporary files; memory: none"`
	LockSecs    int      `opt:"hoodie.write.lock.storage.validity.timeout.secs" default:"60" doc:"how long the lease of a streamer that died keeps others out"`

	Placeholder string   `opt:"unavailable.value.placeholder" default:"__debezium_unavailable_value" doc:"what the source sends for a value that the database did not: the stored one stays"`
	SkipObjects []string `opt:"skip.objects" doc:"keys of damaged bronze objects to go on without"`

	Poll        time.Duration `opt:"poll.interval.ms" unit:"ms" default:"200" doc:"time between two looks for new objects; on S3 each is a request a topic, so 2000 and more saves money"`
	Refresh     time.Duration `opt:"metadata.max.age.ms" unit:"ms" default:"1000" doc:"time between two looks for new topics"`
	MinSync     time.Duration `opt:"min.sync.interval.ms" unit:"ms" default:"0" doc:"least time between two commits of a table"`
	SourceLimit int64         `opt:"source.limit" default:"8388608" doc:"bytes of bronze that one commit takes; memory grows with it"`
	Tasks       int           `opt:"tasks.max" default:"2" doc:"tables that are read into memory and written at once"`

	Listen string `opt:"http.address" doc:"host:port for health and metrics; none when empty"`
}

// Validate implements the check that config.Load makes.
func (o *Options) Validate() []config.Problem {
	var ps []config.Problem
	bad := func(key, format string, args ...any) {
		ps = append(ps, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	for key, expr := range map[string]string{"topics.regex": o.TopicsRegex, "topics.exclude.regex": o.TopicsExclude} {
		if _, err := regexp.Compile(expr); err != nil {
			bad(key, "%v", err)
		}
	}
	if len(o.Topics) > 0 && o.TopicsRegex != "" {
		bad("topics.regex", "topics is given too: leave one of them out")
	}
	if !strings.Contains(o.TableName, "${table}") && !strings.Contains(o.TableName, "${topic}") && len(o.Topics) != 1 {
		bad("table.name.format", "without ${table} or ${topic}, all topics would go to one table")
	}
	if o.Database == "" || strings.ContainsAny(o.Database, "/ ") {
		bad("hoodie.database.name", "%q is no name of a folder", o.Database)
	}
	for key, v := range map[string]int64{"poll.interval.ms": int64(o.Poll), "metadata.max.age.ms": int64(o.Refresh), "source.limit": o.SourceLimit, "tasks.max": int64(o.Tasks)} {
		if v < 1 {
			bad(key, "must be 1 or more")
		}
	}
	for key, v := range map[string]int{"hoodie.cleaner.hours.retained": o.CleanHours, "hoodie.cleaner.commits.retained": o.CleanKeep, "hoodie.clean.max.commits": o.CleanEvery, "hoodie.keep.min.commits": o.ArchiveMin} {
		if v < 1 {
			bad(key, "must be 1 or more")
		}
	}
	if _, err := lake.ParsePayload(o.Payload); err != nil {
		bad("hoodie.datasource.write.payload.class", "%v", err)
	}
	for key, set := range map[string]bool{"hoodie.combine.before.insert": o.Combine, "hoodie.datasource.write.insert.drop.duplicates": o.FilterDupes} {
		if set && o.Operation == opUpsert {
			bad(key, "is for hoodie.datasource.write.operation: insert or bulk_insert; an upsert never makes two rows of a key")
		}
	}
	if o.Metadata {
		bad("hoodie.metadata.enable", "the metadata table is not kept up, and a stale one would hide files from Spark: set it to false, in other writers of the table too")
	}
	if o.MaxFile < 1<<16 {
		bad("hoodie.parquet.max.file.size", "must be 65536 or more")
	}
	if o.SmallFile < 0 {
		bad("hoodie.parquet.small.file.limit", "must be 0 or more")
	}
	if p := o.byTime(); p != nil {
		if err := p.Check(); err != nil {
			bad("hoodie.keygen.timebased", "%v", err)
		}
		if len(o.Partition) != 1 {
			bad("hoodie.datasource.write.partitionpath.field", "partitions by time need one field")
		}
	}
	if o.ArchiveMax <= o.ArchiveMin {
		bad("hoodie.keep.max.commits", "must be more than hoodie.keep.min.commits, which is %d", o.ArchiveMin)
	}
	if o.CleanPolicy == "KEEP_LATEST_COMMITS" && o.CleanKeep >= o.ArchiveMin {
		bad("hoodie.keep.min.commits", "must be more than hoodie.cleaner.commits.retained, which is %d", o.CleanKeep)
	}
	if scheme, _, ok := strings.Cut(o.Lake, "://"); ok && !slices.Contains([]string{"file", "s3", "s3a"}, scheme) {
		bad("hoodie.streamer.ingestion.targetBasePath", "%s:// is not supported; give a folder, file:///path or s3://bucket/prefix", scheme)
	}
	if strings.Trim(o.TopicsDir, "/") != o.TopicsDir {
		bad("topics.dir", "must not begin or end with a slash")
	}
	return append(ps, o.Store.Problems()...)
}

// service wires the streamer. Local folders that are not there are made, or an
// error.
func (o *Options) service(ctx context.Context, log *slog.Logger, metrics *prometheus.Registry, makeFolders bool) (*ingest.Service, error) {
	bronze, err := o.openStore(ctx, makeFolders)
	if err != nil {
		return nil, err
	}
	lakeStore, lakeRoot, err := o.openLake(ctx, bronze, makeFolders)
	if err != nil {
		return nil, err
	}
	log = log.With("name", o.Name)
	return &ingest.Service{
		Settings: ingest.Settings{
			Bronze: bronze, BronzeRoot: o.TopicsDir, Lake: lakeStore, LakeRoot: lakeRoot, Database: o.Database,
			TableName: o.TableName, KeyFields: o.KeyFields, Partition: o.Partition, HivePaths: o.HivePaths, URLEncode: o.URLEncode, ByTime: o.byTime(),
			HardDelete: o.HardDelete, DropColumns: o.DropColumns, Placeholder: o.Placeholder, SkipObjects: o.SkipObjects,
			Insert: o.insertion(), CommitBytes: o.SourceLimit, Log: log, Now: time.Now,
			Table: lake.Options{
				Log: log, Codec: o.Codec, MaxFileBytes: o.MaxFile, SmallFileBytes: o.smallFile(), Payload: o.payload(), LockValidity: time.Duration(o.LockSecs) * time.Second,
				Services: o.services(), IndexDir: o.indexDir(), Heartbeat: o.FailedClean == "LAZY",
			},
		},
		Wants: o.wants(), Poll: o.Poll, Refresh: o.Refresh, MinSync: o.MinSync, Parallel: o.Tasks,
		Metrics: ingest.NewMetrics(metrics),
	}, nil
}

// smallFile is the lake's form of the option, in which 0 is its default.
func (o *Options) smallFile() int64 {
	if o.SmallFile == 0 {
		return -1
	}
	return min(o.SmallFile, o.MaxFile)
}

// payload is the rule that was asked for, "" if none was.
func (o *Options) payload() lake.Payload {
	if o.Payload == "" {
		return ""
	}
	p, _ := lake.ParsePayload(o.Payload) // Validate has seen it
	return p
}

// insertion is how rows are added, or nil for an upsert.
func (o *Options) insertion() *lake.Insertion {
	if o.Operation == opUpsert {
		return nil
	}
	return &lake.Insertion{Bulk: o.Operation == "bulk_insert", Combine: o.Combine, DropDuplicates: o.FilterDupes}
}

// byTime is how folders are made of the partition field's time, or nil.
func (o *Options) byTime() *lake.TimePartition {
	if o.TimeType == "" {
		return nil
	}
	return &lake.TimePartition{Type: o.TimeType, Unit: o.TimeUnit, InputFormats: o.TimeInput, Output: o.TimeOutput, Zone: o.TimeZone}
}

// indexDir is the folder of key indexes, which no other user shares; "" is none.
func (o *Options) indexDir() string {
	switch o.IndexDir {
	case "memory":
		return ""
	case "":
		return filepath.Join(os.TempDir(), "tributary-index-"+strconv.Itoa(os.Getuid()))
	default:
		return o.IndexDir
	}
}

// services is what the tables do by themselves after a commit.
func (o *Options) services() lake.Services {
	s := lake.Services{
		Clean: o.CleanAuto, CleanEvery: o.CleanEvery,
		Archive: o.ArchiveAuto, ArchiveLeast: o.ArchiveMin, ArchiveMost: o.ArchiveMax,
		Cluster: o.Cluster, ClusterEvery: o.ClusterMax, Clustering: lake.Clustering{SmallFile: o.ClusterFile},
	}
	if o.CleanPolicy == "KEEP_LATEST_COMMITS" {
		s.Keep.Commits = o.CleanKeep
	} else {
		s.Keep.Hours = o.CleanHours
	}
	return s
}

// wants returns the choice of topics.
func (o *Options) wants() func(string) bool {
	whole := func(expr string) *regexp.Regexp { return regexp.MustCompile("^(?:" + expr + ")$") }
	include, exclude := whole(".*"), whole("[^\\s\\S]")
	if o.TopicsRegex != "" {
		include = whole(o.TopicsRegex)
	}
	if o.TopicsExclude != "" {
		exclude = whole(o.TopicsExclude)
	}
	return func(topic string) bool {
		if len(o.Topics) > 0 && !slices.Contains(o.Topics, topic) {
			return false
		}
		return include.MatchString(topic) && !exclude.MatchString(topic)
	}
}

// openStore opens the store of bronze.
func (o *Options) openStore(ctx context.Context, makeFolders bool) (blob.Store, error) {
	if o.Store.Local() {
		return openDir("store.url", o.Store.URL, makeFolders)
	}
	return s3.New(ctx, o.Store.Options(o.Store.Bucket))
}

// openLake returns the store of the tables and the folder in it under which the
// databases lie.
func (o *Options) openLake(ctx context.Context, bronze blob.Store, makeFolders bool) (blob.Store, string, error) {
	const key = "hoodie.streamer.ingestion.targetBasePath"
	if !strings.Contains(o.Lake, "://") {
		return bronze, strings.Trim(o.Lake, "/"), nil
	}
	if strings.HasPrefix(o.Lake, "file:") {
		store, err := openDir(key, o.Lake, makeFolders)
		return store, "", err
	}
	u, err := url.Parse(o.Lake)
	if err != nil {
		return nil, "", fault.Human(fmt.Errorf("read %s: %w", key, err), "give it as s3://bucket/prefix")
	}
	store, err := s3.New(ctx, o.Store.Options(u.Host))
	return store, strings.Trim(u.Path, "/"), err
}

// openDir opens a local directory. One that is not there is made when the streamer
// runs, since the sink may start after it; else the path may be mistyped.
func openDir(key, where string, makeFolders bool) (blob.Store, error) {
	u, err := url.Parse(where)
	if err != nil || u.Host != "" || u.Path == "" {
		return nil, fault.Humanf("write it as file:///path", "%s %q names no local directory", key, where)
	}
	if info, err := os.Stat(u.Path); !makeFolders && (err != nil || !info.IsDir()) {
		return nil, fault.Humanf("correct the path, or make the folder, if that is where it is to be", "%s: %s is no folder", key, u.Path)
	}
	store, err := blob.NewDir(u.Path)
	if err != nil {
		return nil, fault.Human(fmt.Errorf("open %s: %w", where, err), "check the path and its permissions")
	}
	return store, nil
}

// checkStores proves the rights on the stores with objects of its own.
func (o *Options) checkStores(ctx context.Context, set *ingest.Settings) error {
	type checker interface {
		Check(ctx context.Context, prefix string) error
	}
	if c, ok := set.Lake.(checker); ok {
		if err := c.Check(ctx, strings.TrimPrefix(set.LakeRoot+"/"+o.Database, "/")); err != nil {
			return fmt.Errorf("check the lake: %w", err)
		}
	}
	return nil
}
