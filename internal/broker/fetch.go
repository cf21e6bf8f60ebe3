package broker

import (
	"math"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of what a fetch returns: all of it, and each partition's part.
const (
	fetchBytes        = 64 << 20
	maxPartitionBytes = 2 << 20
	minPartitionBytes = 64 << 10
)

// boundFetches has fetches end by the bounds of their partitions alone. Where
// the bound of a whole response is reached, kfake leaves out which transactions
// of the last partition were aborted, and readers of committed records are given
// aborted ones.
func boundFetches(cluster *kfake.Cluster) {
	// Fetch sessions tell of each partition once: what one asked for before
	// counts as well. Requests are served one after another.
	most := 1
	cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		q := r.(*kmsg.FetchRequest)
		n := 0
		for i := range q.Topics {
			n += len(q.Topics[i].Partitions)
		}
		most = max(most, n)
		limit := int32(min(max(fetchBytes/most, minPartitionBytes), maxPartitionBytes))
		for i := range q.Topics {
			for j := range q.Topics[i].Partitions {
				p := &q.Topics[i].Partitions[j]
				p.PartitionMaxBytes = min(p.PartitionMaxBytes, limit)
			}
		}
		q.MaxBytes = math.MaxInt32
		return nil, nil, false
	})
}
