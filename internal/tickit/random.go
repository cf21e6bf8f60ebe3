package tickit

// random is splitmix64, the only source of chance here.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9E3779B97F4A7C15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// n returns a number from 0 to k-1.
func (r *random) n(k int) int { return int(r.next() % uint64(k)) }

// between returns a number from lo to hi.
func (r *random) between(lo, hi int) int { return lo + r.n(hi-lo+1) }

func pick[T any](r *random, from []T) T { return from[r.n(len(from))] }
