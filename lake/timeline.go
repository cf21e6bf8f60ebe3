package lake

// Timeline is the instants of a table at one moment, by ascending time. It does
// not change.
type Timeline struct {
	all []Instant
}

// All returns every instant of the active timeline, each with its furthest state.
func (t *Timeline) All() []Instant { return nil }

// Completed returns the instants that changed data and are completed.
func (t *Timeline) Completed() []Instant { return nil }

// Pending returns the instants that are not completed.
func (t *Timeline) Pending() []Instant { return nil }

// Newest returns the newest completed instant that changed data; zero if none.
func (t *Timeline) Newest() Instant { return Instant{} }

// Oldest returns the oldest completed instant that changed data and is still
// on the active timeline; zero if none.
func (t *Timeline) Oldest() Instant { return Instant{} }

// AsOf returns the newest completed instant that changed data at or before at;
// zero if none.
func (t *Timeline) AsOf(at string) Instant { return Instant{} }

// Horizon returns the oldest instant that can be read: "" if the table can be
// read from its beginning.
func (t *Timeline) Horizon() string { return "" }
