package topic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tributary/internal/fault"
)

// Spec describes a topic that must exist.
type Spec struct {
	Name        string
	Partitions  int32             // 0: the broker's default
	Replication int16             // 0: the broker's default
	Config      map[string]string // Kafka's own names, such as cleanup.policy
	Loose       bool              // one that exists may have any settings
}

// Compacted is the Config of a topic that keeps the newest value of each key
// for ever.
func Compacted() map[string]string { return map[string]string{"cleanup.policy": "compact"} }

// Admin creates topics and reads small compacted ones. It may be used by many
// goroutines.
type Admin struct {
	cl  *kgo.Client
	adm *kadm.Client
}

// NewAdmin connects to the brokers. An unreachable broker is an error within
// seconds.
func NewAdmin(ctx context.Context, o Options, log *slog.Logger) (*Admin, error) {
	// Else the client remembers for seconds that a topic did not exist.
	cl, err := o.connect(ctx, log, kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &Admin{cl: cl, adm: kadm.NewClient(cl)}, nil
}

// Close gives up the connection.
func (a *Admin) Close() { a.cl.Close() }

// EnsureTopics creates those of the topics that do not exist. One that exists
// is left as it is, except that a topic which must be compacted and is not is
// an error for a human: what it is to keep for ever would be deleted by age.
func (a *Admin) EnsureTopics(ctx context.Context, specs ...Spec) error {
	var existing []string
	for _, s := range specs {
		if s.Partitions == 0 {
			s.Partitions = -1
		}
		if s.Replication == 0 {
			s.Replication = -1
		}
		conf := make(map[string]*string, len(s.Config))
		for k, v := range s.Config {
			conf[k] = &v
		}
		_, err := a.adm.CreateTopic(ctx, s.Partitions, s.Replication, conf, s.Name)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
			if !s.Loose && strings.Contains(s.Config["cleanup.policy"], "compact") {
				existing = append(existing, s.Name)
			}
		case err != nil:
			return classify(fmt.Errorf("create topic %s: %w", s.Name, err))
		}
	}
	if len(existing) == 0 {
		return nil
	}
	return a.checkCompacted(ctx, existing)
}

func (a *Admin) checkCompacted(ctx context.Context, topics []string) error {
	configs, err := a.adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return classify(fmt.Errorf("read the settings of %s: %w", strings.Join(topics, ", "), err))
	}
	for _, c := range configs {
		if c.Err != nil {
			return classify(fmt.Errorf("read the settings of %s: %w", c.Name, c.Err))
		}
		for _, kv := range c.Configs {
			if kv.Key == "cleanup.policy" && !strings.Contains(kv.MaybeValue(), "compact") {
				return fault.Humanf("set cleanup.policy=compact on the topic, or name another",
					"topic %s has cleanup.policy=%s: what it must keep for ever would be deleted", c.Name, kv.MaybeValue())
			}
		}
	}
	return nil
}

// Last returns the value of the newest committed record of key in a small
// compacted topic, in whichever partition it lies. ok is false if there is
// none, or a tombstone.
func (a *Admin) Last(ctx context.Context, topic string, key []byte) (value []byte, ok bool, err error) {
	all, err := a.ReadCompacted(ctx, topic)
	if err != nil {
		return nil, false, err
	}
	r, ok := all[string(key)]
	return r.Value, ok, nil
}

// ReadCompacted reads every partition of a small compacted topic up to what is
// its end now and returns the newest committed record of each key, tombstoned
// keys left out. A key that has moved between partitions counts by timestamp.
// It waits for transactions that are open in the topic, whoever holds them:
// what they hide may be newer than what is visible.
func (a *Admin) ReadCompacted(ctx context.Context, topic string) (map[string]Record, error) {
	meta, err := a.adm.Metadata(ctx, topic)
	if err != nil {
		return nil, classify(fmt.Errorf("look up topic %s: %w", topic, err))
	}
	detail := meta.Topics[topic]
	if errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("read topic %s: %w", topic, ErrNoTopic)
	}
	if detail.Err != nil {
		return nil, classify(fmt.Errorf("look up topic %s: %w", topic, detail.Err))
	}
	newest := make(map[string]Record)
	for _, p := range detail.Partitions.Numbers() {
		if err := a.readToEnd(ctx, detail, p, newest); err != nil {
			return nil, classify(fmt.Errorf("read %s partition %d to its end: %w", topic, p, err))
		}
	}
	for key, r := range newest {
		if r.Value == nil {
			delete(newest, key)
		}
	}
	return newest, nil
}

// readToEnd reads one partition from its start to its present high watermark.
// It asks the broker itself instead of consuming, because only so is it known
// how far the log was read where its tail holds nothing but transaction
// markers, aborted records, or gaps that compaction left.
func (a *Admin) readToEnd(ctx context.Context, topic kadm.TopicDetail, partition int32, newest map[string]Record) error {
	starts, err := a.adm.ListStartOffsets(ctx, topic.Topic)
	if err != nil {
		return err
	}
	ends, err := a.adm.ListEndOffsets(ctx, topic.Topic)
	if err != nil {
		return err
	}
	start, ok1 := starts.Lookup(topic.Topic, partition)
	end, ok2 := ends.Lookup(topic.Topic, partition)
	if err := errors.Join(start.Err, end.Err); err != nil {
		return err
	}
	if !ok1 || !ok2 {
		return fmt.Errorf("broker gave no offsets")
	}
	tries := 0
	for next := start.Offset; next < end.Offset; {
		got, after, err := a.fetch(ctx, topic, partition, next)
		if err != nil {
			if tries++; tries > fetchTries || !kerr.IsRetriable(err) && !kgo.IsRetryableBrokerErr(err) {
				return err
			}
			if err := sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
			// The leader may have moved.
			if meta, err := a.adm.Metadata(ctx, topic.Topic); err == nil && meta.Topics[topic.Topic].Err == nil {
				topic = meta.Topics[topic.Topic]
			}
			continue
		}
		for _, r := range got {
			key := string(r.Key)
			if old, ok := newest[key]; ok && old.Partition != partition && old.Timestamp.After(r.Timestamp) {
				continue
			}
			newest[key] = fromKgo(r)
		}
		next = after
	}
	return nil
}

// fetch reads the committed records of one partition from offset on and
// returns where to go on. The latter equals offset while an open transaction
// hides the rest.
func (a *Admin) fetch(ctx context.Context, topic kadm.TopicDetail, partition int32, offset int64) ([]*kgo.Record, int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = 50
	req.MinBytes = 1
	req.MaxBytes = 8 << 20
	req.IsolationLevel = 1
	req.SessionEpoch = -1 // no fetch session
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic.Topic
	t.TopicID = topic.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition = partition
	p.FetchOffset = offset
	p.PartitionMaxBytes = 8 << 20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)

	resp, err := req.RequestWith(ctx, a.cl.Broker(int(topic.Partitions[partition].Leader)))
	if err != nil {
		return nil, offset, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, offset, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, offset, fmt.Errorf("broker answered for %d topics where 1 was asked", len(resp.Topics))
	}
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic.Topic, Partition: partition,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if fp.Err != nil {
		return nil, offset, fp.Err
	}
	return fp.Records, next, nil
}

// End returns the offset after the last committed record of each partition of
// the topics. ErrNoTopic: one of them does not exist.
func (a *Admin) End(ctx context.Context, topics ...string) (map[Partition]int64, error) {
	ends, err := a.adm.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = errors.Join(ErrNoTopic, err)
	}
	if err != nil {
		return nil, classify(fmt.Errorf("list the ends of %s: %w", strings.Join(topics, ", "), err))
	}
	out := make(map[Partition]int64)
	ends.Each(func(o kadm.ListedOffset) { out[Partition{o.Topic, o.Partition}] = o.Offset })
	return out, nil
}

// Committed returns what the group has committed: the next offset to read of
// each partition.
func (a *Admin) Committed(ctx context.Context, group string) (map[Partition]int64, error) {
	offsets, err := a.adm.FetchOffsets(ctx, group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return nil, classify(fmt.Errorf("read the offsets of group %s: %w", group, err))
	}
	out := make(map[Partition]int64)
	offsets.Each(func(o kadm.OffsetResponse) { out[Partition{o.Topic, o.Partition}] = o.At })
	return out, nil
}

func fromKgo(r *kgo.Record) Record {
	return Record{
		Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value,
		Headers: r.Headers, Timestamp: r.Timestamp, Offset: r.Offset,
	}
}

// fetchTries bounds how often a broker's transient refusal is put up with,
// 200 ms apart.
const fetchTries = 50

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
