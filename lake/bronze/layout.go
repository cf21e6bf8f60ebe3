package bronze

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultRoot is the folder under which topics lie.
const DefaultRoot = "topics"

const suffix = ".avro"

// Name identifies an object.
type Name struct {
	Topic     string
	Folder    string // below the topic's, without slashes at its ends
	Partition int32
	First     int64 // offset of the first record
}

// Key returns the object's key under root.
func (n Name) Key(root string) string {
	return n.stem(root) + fmt.Sprintf("%010d", n.First) + suffix
}

// stem is the part of the key that all objects of the folder and partition
// share.
func (n Name) stem(root string) string {
	var b strings.Builder
	b.WriteString(TopicPrefix(root, n.Topic))
	if n.Folder != "" {
		b.WriteString(n.Folder)
		b.WriteByte('/')
	}
	b.WriteString(n.Topic)
	b.WriteByte('+')
	b.WriteString(strconv.Itoa(int(n.Partition)))
	b.WriteByte('+')
	return b.String()
}

// TopicPrefix returns what the keys of all objects of a topic begin with.
func TopicPrefix(root, topic string) string {
	if root == "" {
		return topic + "/"
	}
	return root + "/" + topic + "/"
}

// errName is why a key is not the name of an object of this layout.
var errName = errors.New("not the name of a bronze object")

// ParseKey is the inverse of Key.
func ParseKey(root, key string) (Name, error) {
	rest := key
	if root != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(key, root+"/"); !ok {
			return Name{}, fmt.Errorf("%w: %q is not under %s", errName, key, root)
		}
	}
	topic, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return Name{}, fmt.Errorf("%w: %q", errName, key)
	}
	n := Name{Topic: topic}
	base := rest
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		n.Folder, base = rest[:i], rest[i+1:]
	}
	base, ok1 := strings.CutSuffix(base, suffix)
	base, ok2 := strings.CutPrefix(base, topic+"+")
	partition, first, ok3 := strings.Cut(base, "+")
	if !ok1 || !ok2 || !ok3 {
		return Name{}, fmt.Errorf("%w: %q", errName, key)
	}
	p, err1 := strconv.ParseInt(partition, 10, 32)
	f, err2 := strconv.ParseInt(first, 10, 64)
	n.Partition, n.First = int32(p), f
	if err1 != nil || err2 != nil || p < 0 || f < 0 || n.Key(root) != key {
		return Name{}, fmt.Errorf("%w: %q", errName, key)
	}
	return n, nil
}

// Partitioner names the folder of a record.
type Partitioner struct {
	kind string
	zone *time.Location
}

// The partitioners, by the class names of the Confluent sink.
const (
	Daily   = "DailyPartitioner"   // year=YYYY/month=MM/day=dd
	Hourly  = "HourlyPartitioner"  // year=YYYY/month=MM/day=dd/hour=HH
	Default = "DefaultPartitioner" // partition=N
)

// NewPartitioner returns the partitioner of that class; the class may be given
// with its package (io.confluent.connect.storage.partitioner.DailyPartitioner).
// zone is where days and hours begin.
func NewPartitioner(class string, zone *time.Location) (*Partitioner, error) {
	short := class[strings.LastIndexByte(class, '.')+1:]
	switch short {
	case Daily, Hourly, Default:
		return &Partitioner{kind: short, zone: zone}, nil
	}
	return nil, fmt.Errorf("unknown partitioner class %q (known: %s, %s, %s)", class, Daily, Hourly, Default)
}

// Folder returns the folder of a record of that partition and time, which is in
// milliseconds since 1970, and until when (exclusive) the answer holds from
// there on, so that a caller need not ask for every record.
func (p *Partitioner) Folder(partition int32, ms int64) (folder string, from, until int64) {
	if p.kind == Default {
		return "partition=" + strconv.Itoa(int(partition)), minTime, maxTime + 1
	}
	ms = min(max(ms, minTime), maxTime)
	t := time.UnixMilli(ms).In(p.zone)
	y, m, d := t.Date()
	if p.kind == Hourly {
		start := ms - int64(t.Minute())*60_000 - int64(t.Second())*1000 - int64(t.Nanosecond())/1e6
		return fmt.Sprintf("year=%04d/month=%02d/day=%02d/hour=%02d", y, m, d, t.Hour()), start, start + 3_600_000
	}
	start := time.Date(y, m, d, 0, 0, 0, 0, p.zone)
	return fmt.Sprintf("year=%04d/month=%02d/day=%02d", y, m, d), start.UnixMilli(), start.AddDate(0, 0, 1).UnixMilli()
}

// The times that folders can name: years 1 to 9999. What lies outside, such as
// the -1 of a record without a time, is moved to the nearest.
const (
	minTime = -62135596800000
	maxTime = 253402300799999
)
