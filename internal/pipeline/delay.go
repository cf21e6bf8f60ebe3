package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"
	"tributary/internal/tickit"
)

// Change is one change of one row, which the lake can be asked for.
type Change struct {
	Table tickit.Table
	SQL   string // makes the change
	Where string // a condition that holds for a row of the lake's table after it and for none before
}

// Delay is how long after the start of a change's statement it was there.
type Delay struct {
	Commit time.Duration // its Hudi commit was complete
	Query  time.Duration // a query had returned it
}

// Measure makes a change and waits until a query sees it. Instant is the Hudi
// commit that brought it.
func (p *Pipeline) Measure(ctx context.Context, w *Watcher, c Change) (delay Delay, instant string, err error) {
	table, err := w.Table(ctx, c.Table.Name)
	if err != nil {
		return Delay{}, "", err
	}
	if table == nil {
		return Delay{}, "", fmt.Errorf("the lake has no table %s", c.Table.Name)
	}
	before := table.Timeline().Newest()
	server, _ := p.Server(c.Table)
	start := time.Now()
	if err := p.Exec(ctx, server, c.SQL); err != nil {
		return Delay{}, "", err
	}
	for time.Since(start) < time.Minute {
		if err := table.Refresh(ctx); err != nil {
			return Delay{}, "", err
		}
		newest := table.Timeline().Newest()
		if newest == before {
			if err := p.Err(); err != nil {
				return Delay{}, "", err
			}
			select {
			case <-ctx.Done():
				return Delay{}, "", ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
			continue
		}
		before = newest
		rows, err := p.Query(ctx, fmt.Sprintf(`SELECT "_hoodie_commit_time" FROM "%s" WHERE %s`, c.Table.Name, c.Where), "")
		if err != nil {
			return Delay{}, "", err
		}
		if len(rows) == 0 {
			continue
		}
		delay.Query = time.Since(start)
		completed, err := w.Completed(table, rows[0][0])
		if err != nil {
			return Delay{}, "", err
		}
		delay.Commit = completed.Sub(start)
		return delay, rows[0][0], nil
	}
	return Delay{}, "", fmt.Errorf("a change of %s was not in the lake after a minute", c.Table.FullName())
}

// Changes returns n changes, in the three databases in turn.
func Changes(n int) []Change {
	table := map[string]tickit.Table{}
	for _, t := range tickit.Tables() {
		table[t.Name] = t
	}
	changes := make([]Change, 0, n)
	for i := 1; i <= n; i++ {
		switch i % 3 {
		case 1:
			changes = append(changes, Change{
				table["sale"], fmt.Sprintf("UPDATE sale SET pricepaid = %d.25 WHERE salesid = %d", 1000+i, 300+i),
				fmt.Sprintf("salesid = %d AND pricepaid = %d.25", 300+i, 1000+i),
			})
		case 2:
			changes = append(changes, Change{
				table["event"], fmt.Sprintf("UPDATE ems.event SET eventname = 'Encore %d' WHERE eventid = %d", i, i),
				fmt.Sprintf("eventid = %d AND eventname = 'Encore %d'", i, i),
			})
		default:
			changes = append(changes, Change{
				table["user"], fmt.Sprintf("UPDATE crm.[user] SET city = 'New Haven %d' WHERE userid = %d", i, i),
				fmt.Sprintf("userid = %d AND city = 'New Haven %d'", i, i),
			})
		}
	}
	return changes
}

// Middle returns the median and the greatest of some durations.
func Middle(delays []time.Duration) (p50, greatest time.Duration) {
	sorted := slices.Sorted(slices.Values(delays))
	return sorted[(len(sorted)-1)/2], sorted[len(sorted)-1]
}
