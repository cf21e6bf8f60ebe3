package topic

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Header is one Kafka record header: Key string, Value []byte.
type Header = kgo.RecordHeader

// ByKey as a record's partition has it chosen from the key exactly as the Java
// producer does (murmur2). Records without a key go to partition 0, so that
// their order is kept.
const ByKey int32 = -1

// Record is one record to write or one that was read.
type Record struct {
	Topic     string
	Partition int32 // ByKey, or a partition's number
	Key       []byte
	Value     []byte // nil is a tombstone
	Headers   []Header
	Timestamp time.Time // to the millisecond; when writing, the zero time means now
	Offset    int64     // when read; ignored when writing
}

// Partition names one partition of a topic.
type Partition struct {
	Topic string
	ID    int32
}

// javaHasher is the hash of Kafka's own default partitioner.
var javaHasher = kgo.KafkaHasher(murmur2)

func murmur2(b []byte) uint32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(b))
	for len(b) >= 4 {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		b = b[4:]
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// choosePartition is the Writer's partitioner.
func choosePartition(string) func(*kgo.Record, int) int {
	return func(r *kgo.Record, n int) int {
		switch {
		case r.Partition >= 0:
			return int(r.Partition)
		case r.Key == nil:
			return 0
		}
		return javaHasher(r.Key, n)
	}
}
