package topic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tributary/internal/fault"
)

// ReaderOptions says what to read and as which group. It is meant to be
// embedded in a daemon's options beside Options.
type ReaderOptions struct {
	Group      string   `opt:"group.id" required:"true" doc:"consumer group; its committed offsets are where reading resumes"`
	InstanceID string   `opt:"group.instance.id" doc:"fixed name of this instance in the group: a restart takes its partitions back at once instead of waiting for session.timeout.ms"`
	Topics     []string `opt:"topics" doc:"topics to read"`
	Regex      string   `opt:"topics.regex" doc:"regular expression of topics to read, instead of topics; new topics are found while running"`
	Reset      string   `opt:"auto.offset.reset" default:"earliest" enum:"earliest,latest,none" doc:"where a group without a committed offset starts; records that were deleted unread are always an error"`

	MetadataMaxAge    time.Duration `opt:"metadata.max.age.ms" unit:"ms" default:"1000" doc:"how soon a new topic is found, and so the time between two questions about topics to a broker"`
	SessionTimeout    time.Duration `opt:"session.timeout.ms" unit:"ms" default:"10000" doc:"after how long without a sign of life the group gives this instance's partitions to others"`
	FetchMaxBytes     int           `opt:"fetch.max.bytes" default:"8388608" doc:"most bytes of one fetch, and so of what is held in memory before it is handed out"`
	PartitionMaxBytes int           `opt:"max.partition.fetch.bytes" default:"2097152" doc:"most bytes of one partition in one fetch"`
}

// NoOffset stands for the committed offset of a partition of which the group
// has committed none.
const NoOffset int64 = -1

// Owner is told which partitions the Reader holds. Its methods are called
// while the goroutine that reads is inside Poll or Close and never otherwise,
// so owner and reading loop may share state without a lock. They must return
// well within session.timeout.ms. An error of theirs ends the Reader: Poll
// returns it.
type Owner interface {
	// Assigned is called before the first record of the partitions is handed
	// out. It gets what the group has committed (the next offset to read, or
	// NoOffset) and may lower or raise it in place to read from elsewhere.
	Assigned(ctx context.Context, committed map[Partition]int64) error

	// Revoked is called while the partitions are still held: the moment to
	// flush what was read of them and to Commit. No further record of them is
	// handed out.
	Revoked(ctx context.Context, partitions []Partition) error

	// Lost is called when the partitions were taken away: others may already
	// read them. Whatever is held of them is to be dropped, not committed.
	Lost(partitions []Partition)
}

// Batch holds consecutive records of one partition, in order; the offsets may
// have gaps. It is valid for as long as it is referenced.
type Batch struct {
	Partition     Partition
	HighWatermark int64 // the broker's end of the partition when it answered
	records       []*kgo.Record
}

// Len returns the number of records, at least 1.
func (b *Batch) Len() int { return len(b.records) }

// Record returns record i. Its slices alias the fetched bytes and must not be
// changed.
func (b *Batch) Record(i int) Record { return fromKgo(b.records[i]) }

// Offset returns the offset of record i.
func (b *Batch) Offset(i int) int64 { return b.records[i].Offset }

// Key returns the key of record i, as Record does.
func (b *Batch) Key(i int) []byte { return b.records[i].Key }

// Value returns the value of record i, as Record does.
func (b *Batch) Value(i int) []byte { return b.records[i].Value }

// Time returns the timestamp of record i.
func (b *Batch) Time(i int) time.Time { return b.records[i].Timestamp }

// Headers returns the headers of record i, as Record does.
func (b *Batch) Headers(i int) []Header { return b.records[i].Headers }

// Reader reads committed records as a member of a consumer group. It is for
// one goroutine.
type Reader struct {
	cl    *kgo.Client
	group string
	owner Owner

	// turn is held by the reading goroutine except while it is inside Poll or
	// Close, and by the group's callbacks while they run the owner.
	turn   sync.Mutex
	owned  map[Partition]bool
	err    error // of the owner
	wakeMu sync.Mutex
	wake   context.CancelFunc // ends the Poll in progress
}

// NewReader joins the group. owner may be nil.
func NewReader(ctx context.Context, o Options, ro ReaderOptions, owner Owner, log *slog.Logger) (*Reader, error) {
	r := &Reader{group: ro.Group, owner: owner, owned: make(map[Partition]bool)}
	// Out of range is an error, never a reset: records would be skipped.
	start := kgo.NoResetOffset().AtStart()
	switch ro.Reset {
	case "latest":
		start = kgo.NoResetOffset().AtEnd()
	case "none":
		start = kgo.NoResetOffset().AtCommitted()
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(ro.Group),
		kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(ro.SessionTimeout),
		kgo.HeartbeatInterval(ro.SessionTimeout / 5),
		kgo.FetchMaxBytes(int32(ro.FetchMaxBytes)),
		kgo.FetchMaxPartitionBytes(int32(ro.PartitionMaxBytes)),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.AdjustFetchOffsetsFn(r.onAssigned),
		kgo.OnPartitionsRevoked(r.onRevoked),
		kgo.OnPartitionsLost(r.onLost),
	}
	// The client's own least age is 5 s, and must not be greater.
	age := cmp.Or(ro.MetadataMaxAge, time.Second)
	opts = append(opts, kgo.MetadataMaxAge(age), kgo.MetadataMinAge(min(age, time.Second)/2))
	if ro.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(ro.InstanceID))
	}
	switch {
	case ro.Regex != "" && len(ro.Topics) > 0:
		return nil, fault.Humanf("remove one of the two", "both topics and topics.regex are set")
	case ro.Regex != "":
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+ro.Regex+")$"))
	case len(ro.Topics) > 0:
		opts = append(opts, kgo.ConsumeTopics(ro.Topics...))
	default:
		return nil, fault.Humanf("set topics or topics.regex", "no topic to read is named")
	}
	r.turn.Lock()
	cl, err := o.connect(ctx, log, opts...)
	if err != nil {
		return nil, err
	}
	r.cl = cl
	return r, nil
}

// Poll returns the next records, a batch for each partition that has any, or
// none after wait. It is where rebalances happen. maxRecords bounds the sum of
// all batches; 0 hands out whatever was fetched.
func (r *Reader) Poll(ctx context.Context, wait time.Duration, maxRecords int) ([]Batch, error) {
	poll, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	r.wakeMu.Lock()
	r.wake = cancel
	r.wakeMu.Unlock()

	r.turn.Unlock()
	r.cl.AllowRebalance()
	fetches := r.cl.PollRecords(poll, maxRecords)
	r.turn.Lock()

	if r.err != nil {
		return nil, r.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var (
		out     []Batch
		failure error
	)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil && !errors.Is(p.Err, context.DeadlineExceeded) && !errors.Is(p.Err, context.Canceled) && failure == nil {
			failure = r.explain(p)
		}
		if len(p.Records) > 0 {
			out = append(out, Batch{
				Partition:     Partition{p.Topic, p.Partition},
				HighWatermark: p.HighWatermark,
				records:       p.Records,
			})
		}
	})
	if failure != nil {
		return nil, failure
	}
	return out, nil
}

func (r *Reader) explain(p kgo.FetchTopicPartition) error {
	err := fmt.Errorf("read %s partition %d as group %s: %w", p.Topic, p.Partition, r.group, p.Err)
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(p.Err, kerr.OffsetOutOfRange), errors.As(p.Err, &loss):
		return fault.Human(err, "the offset to resume from is no longer in the topic: records were deleted before they were read, or the topic was made anew. "+
			"If their loss is acceptable, set the group's offset with kafka-consumer-groups --reset-offsets; else load the tables anew")
	case errors.Is(p.Err, kgo.ErrClientClosed):
		return fmt.Errorf("read as group %s: reader is closed", r.group)
	}
	return classify(err)
}

// Commit stores the next offset to read of each partition in the group, and
// returns when the broker has done so. It may be called by an Owner.
func (r *Reader) Commit(ctx context.Context, next map[Partition]int64) error {
	if len(next) == 0 {
		return nil
	}
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for p, at := range next {
		if !r.owned[p] {
			return fmt.Errorf("commit offset %d of %s partition %d: %w", at, p.Topic, p.ID, ErrNotOwner)
		}
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.Topic][p.ID] = kgo.EpochOffset{Epoch: -1, Offset: at}
	}
	var failure error
	r.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failure = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil && failure == nil {
					failure = fmt.Errorf("%s partition %d: %w", t.Topic, p.Partition, err)
				}
			}
		}
	})
	if failure == nil {
		return nil
	}
	failure = fmt.Errorf("commit offsets of group %s: %w", r.group, failure)
	if errors.Is(failure, kerr.IllegalGeneration) || errors.Is(failure, kerr.UnknownMemberID) || errors.Is(failure, kerr.RebalanceInProgress) {
		return fmt.Errorf("%w: %w", ErrNotOwner, failure)
	}
	return classify(failure)
}

// Close has the owner give up its partitions (Revoked), leaves the group and
// disconnects. With group.instance.id the partitions stay reserved for
// session.timeout.ms. It returns the owner's error.
func (r *Reader) Close() error {
	r.turn.Unlock()
	r.cl.CloseAllowingRebalance()
	r.turn.Lock()
	return r.err
}

// onAssigned is called by the client library with the fetched offsets of newly
// assigned partitions.
func (r *Reader) onAssigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	committed := make(map[Partition]int64)
	for topic, parts := range offsets {
		for id, o := range parts {
			r.owned[Partition{topic, id}] = true
			committed[Partition{topic, id}] = max(o.EpochOffset().Offset, NoOffset)
		}
	}
	if r.owner == nil || len(committed) == 0 {
		return offsets, nil
	}
	if err := r.owner.Assigned(ctx, committed); err != nil {
		r.fail(fmt.Errorf("take over partitions: %w", err))
		return nil, r.err
	}
	for p, at := range committed {
		if was := offsets[p.Topic][p.ID]; at >= 0 && at != was.EpochOffset().Offset {
			offsets[p.Topic][p.ID] = kgo.NoResetOffset().At(at)
		}
	}
	return offsets, nil
}

func (r *Reader) onRevoked(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	r.turn.Lock()
	defer r.turn.Unlock()
	parts := r.held(lost)
	defer r.release(parts)
	if r.owner == nil || len(parts) == 0 || r.err != nil {
		return
	}
	// ctx ends with the client, and Close revokes as its first step.
	if err := r.owner.Revoked(context.WithoutCancel(ctx), parts); err != nil {
		r.fail(fmt.Errorf("give up partitions: %w", err))
	}
}

func (r *Reader) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	r.turn.Lock()
	defer r.turn.Unlock()
	parts := r.held(lost)
	r.release(parts)
	if r.owner != nil && len(parts) > 0 {
		r.owner.Lost(parts)
	}
}

// held returns those of the partitions that the owner knows of.
func (r *Reader) held(partitions map[string][]int32) []Partition {
	var out []Partition
	for topic, ids := range partitions {
		for _, id := range ids {
			if p := (Partition{topic, id}); r.owned[p] {
				out = append(out, p)
			}
		}
	}
	return out
}

func (r *Reader) release(partitions []Partition) {
	for _, p := range partitions {
		delete(r.owned, p)
	}
}

func (r *Reader) fail(err error) {
	r.err = err
	r.wakeMu.Lock()
	defer r.wakeMu.Unlock()
	if r.wake != nil {
		r.wake()
	}
}
