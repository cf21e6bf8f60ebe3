package sqlserver

import "context"

// cursor goes over the rows of a capture instance in an interval. While the rows of a
// page are delivered the next page is read.
type cursor struct {
	in    *instance
	pages *pages
	lane  *lane

	page   page
	next   int          // row of it
	coming coming[page] // what follows; nil = there are no more
}

// head is the row that is next, nil at the end.
func (c *cursor) head() *change {
	if c.next < len(c.page.rows) {
		return &c.page.rows[c.next]
	}
	return nil
}

// advance goes to the row after head.
func (c *cursor) advance(ctx context.Context) error {
	c.next++
	for c.next >= len(c.page.rows) && c.coming != nil {
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
	c.page, c.next, c.coming = p, 0, nil
	if !p.last {
		c.coming = ask(c.lane, func() (page, error) { return c.pages.next(ctx) })
	}
}

// half is a row as it was or as it is: one half of a change.
type half struct {
	row, key []byte // of the codec; the page's memory. key is nil without a key
	failed   *failure
	mark     string // "" = it is none
}

// half is the row at the head.
func (c *cursor) half() half {
	x, r := &c.page, &c.page.rows[c.next]
	end := r.start + r.row
	h := half{row: x.buf[r.start:end:end], mark: x.marks[c.next]}
	if r.id > 0 {
		h.key = x.buf[end : end+r.id : end+r.id]
	}
	if f, ok := x.failed[c.next]; ok {
		h.failed = &f
	}
	return h
}
