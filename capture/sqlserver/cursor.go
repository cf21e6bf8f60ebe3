package sqlserver

import "context"

// cursor goes over the rows of a capture instance in an interval. While the rows of a
// page are delivered the next page is read.
type cursor struct {
	in      *instance
	pages   *pages
	ahead   *ahead
	objects []int64 // place.Instances of the interval

	rows   []change
	next   int
	coming coming[page] // nil = rows are the last
}

// head is the row that is next, nil at the end.
func (c *cursor) head() *change {
	if c.next < len(c.rows) {
		return &c.rows[c.next]
	}
	return nil
}

// advance goes to the row after head.
func (c *cursor) advance(ctx context.Context) error {
	c.next++
	for c.next >= len(c.rows) && c.coming != nil {
		p, err := c.coming.take(ctx)
		if err != nil {
			return err
		}
		c.turn(ctx, p)
	}
	return nil
}

// turn goes to a page, and has the one after it read.
func (c *cursor) turn(ctx context.Context, p page) {
	c.rows, c.next, c.coming = p.rows, 0, nil
	if !p.last {
		c.coming = ask(c.ahead, func() (page, error) { return c.pages.next(ctx, c.objects) })
	}
}
