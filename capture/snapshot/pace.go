package snapshot

import (
	"time"
)

// pace tells every now and then how a table goes on.
type pace struct {
	table string
	since time.Time // when it began, or was gone on with
	from  int64     // rows that had been read then
	told  time.Time
}

// tellEvery is how often the progress of an incremental snapshot is logged.
const tellEvery = 10 * time.Second

// tell returns attributes of a line of the log: rows, rows a second and, if it
// is known how many there are, how long it will take; nil if it is too early.
func (p *pace) tell(now time.Time, table string, rows, of int64) []any {
	if p.table != table || rows < p.from {
		*p = pace{table: table, since: now, from: rows, told: now}
		return nil
	}
	if now.Sub(p.told) < tellEvery {
		return nil
	}
	p.told = now
	rate := float64(rows-p.from) / max(now.Sub(p.since).Seconds(), 1e-3)
	out := []any{"rows", rows, "rows_per_second", int64(rate)}
	if of > rows && rate > 0 {
		out = append(out, "expected", of, "left", time.Duration(float64(of-rows)/rate*1e9).Round(time.Second).String())
	}
	return out
}
