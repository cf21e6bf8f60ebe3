package tickit

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// Size says how many rows each table has. Category and date have always 11 and
// 365.
type Size struct {
	Venues, Events, Users, Listings, Sales int
}

// Full is the sample's own size: 424,319 rows.
func Full() Size {
	return Size{Venues: 202, Events: 8798, Users: 49990, Listings: 192497, Sales: 172456}
}

// Small is for tests: about n rows, at least 1,000, among them sale 200.
func Small(n int) Size {
	n = max(n, 1000)
	return Size{Venues: 20, Events: n / 40, Users: n / 8, Listings: n / 3, Sales: n * 3 / 10}
}

const (
	firstDate = 1827 // dateid of 2008-01-01
	dates     = 365
	day       = 24 * 60 * 60
	// Tickets of one listing, and the highest price of one in whole dollars:
	// their product fits DECIMAL(8,2).
	maxTickets, maxPrice = 30, 2500
)

var newYear = time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// Data is the data set in one size. What other rows refer to is held in
// memory (some 8 MB in full size); the rows themselves are made as they are
// written.
type Data struct {
	size     Size
	venues   []int16 // their ids
	events   []event
	listings []listing
}

type event struct {
	venue, category, date int16
	start                 int64 // Unix seconds
	name                  string
}

type listing struct {
	id, seller, event int32
	tickets           int16
	price             int32 // whole dollars
	time              int64
}

// New makes the data set of a size.
func New(size Size) *Data {
	d := &Data{size: size}
	r := random(0x7E4E)
	id := 0
	for range size.Venues {
		id += 1 + r.n(2) // ids have gaps
		d.venues = append(d.venues, int16(id))
	}
	d.makeEvents()
	d.makeListings()
	return d
}

func (d *Data) makeEvents() {
	r := random(0xE7E47)
	d.events = make([]event, d.size.Events)
	for i := range d.events {
		e := event{venue: pick(&r, d.venues), category: int16(r.between(6, 9))}
		e.name = eventName(&r, e.category)
		// Not in the first days of the year: listings and sales come before.
		n := r.between(7, dates-1)
		e.date = int16(firstDate + n)
		e.start = newYear + int64(n)*day + int64(r.between(28, 41))*1800 // 14:00 to 20:30
		d.events[i] = e
	}
}

func eventName(r *random, category int16) string {
	if names := shows[category-6]; names != nil {
		return pick(r, names)
	}
	return "The " + pick(r, bandWords) + " " + pick(r, bandNouns)
}

func (d *Data) makeListings() {
	r := random(0x115716)
	d.listings = make([]listing, d.size.Listings)
	id := int32(0)
	for i := range d.listings {
		id++
		if r.n(5) == 0 { // gaps
			id += int32(r.between(1, 2))
		}
		n := r.n(d.size.Events)
		d.listings[i] = listing{
			id: id, seller: int32(r.between(1, d.size.Users)), event: int32(n + 1), tickets: int16(r.between(1, maxTickets)),
			price: int32(r.between(20, maxPrice)),
			time:  before(&r, newYear, d.events[n].start),
		}
	}
}

// before returns a moment after from and before to.
func before(r *random, from, to int64) int64 { return from + 1 + int64(r.n(int(to-from-1))) }

// Rows returns how many rows a table has.
func (d *Data) Rows(table string) int {
	switch table {
	case "category":
		return len(categories)
	case "date":
		return dates
	case "venue":
		return d.size.Venues
	case "event":
		return d.size.Events
	case "user":
		return d.size.Users
	case "listing":
		return d.size.Listings
	case "sale":
		return d.size.Sales
	default:
		return 0
	}
}

// Total is the number of rows of all tables.
func (d *Data) Total() int {
	n := 0
	for _, t := range Tables() {
		n += d.Rows(t.Name)
	}
	return n
}

// Reader returns the text of the table with that name. Each call starts anew.
// The caller closes it.
func (d *Data) Reader(table string) io.ReadCloser { return d.Range(table, 0, d.Rows(table)) }

// Range is Reader for the rows from (counted from 0) up to but without to.
func (d *Data) Range(table string, from, to int) io.ReadCloser {
	pr, pw := io.Pipe()
	go func() {
		next, err := d.rows(table)
		if err != nil {
			pw.CloseWithError(err)
			return
		}
		buf := make([]byte, 0, 64<<10)
		for i := range to {
			mark := len(buf)
			buf = next(buf, i)
			if i < from { // made all the same: chance runs on
				buf = buf[:mark]
				continue
			}
			buf[len(buf)-1] = '\n' // instead of the last tab
			if len(buf) > cap(buf)-1024 {
				if _, err := pw.Write(buf); err != nil {
					return // the reader has closed
				}
				buf = buf[:0]
			}
		}
		_, err = pw.Write(buf)
		pw.CloseWithError(err)
	}()
	return pr
}

// rows returns the function that appends the i-th row, every field followed by
// a tab. It wants to be called for 0, 1, 2, ….
func (d *Data) rows(table string) (func(dst []byte, i int) []byte, error) {
	switch table {
	case "category":
		return func(dst []byte, i int) []byte {
			dst = appendInt(dst, i+1)
			for _, text := range categories[i] {
				dst = appendText(dst, text)
			}
			return dst
		}, nil
	case "date":
		return appendDate, nil
	case "venue":
		return d.venueRows(), nil
	case "event":
		return d.appendEvent, nil
	case "user":
		return userRows(), nil
	case "listing":
		return d.appendListing, nil
	case "sale":
		return d.saleRows(), nil
	default:
		return nil, fmt.Errorf("tickit has no table %q", table)
	}
}

func appendInt(dst []byte, n int) []byte { return append(strconv.AppendInt(dst, int64(n), 10), '\t') }

func appendText(dst []byte, s string) []byte { return append(append(dst, s...), '\t') }

func appendNull(dst []byte) []byte { return append(dst, '\\', 'N', '\t') }

func appendTime(dst []byte, unix int64) []byte {
	return append(time.Unix(unix, 0).UTC().AppendFormat(dst, time.DateTime), '\t')
}

// appendCents appends an amount with two digits after the point.
func appendCents(dst []byte, cents int) []byte {
	dst = strconv.AppendInt(dst, int64(cents/100), 10)
	return append(dst, '.', byte('0'+cents/10%10), byte('0'+cents%10), '\t')
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, '1', '\t')
	}
	return append(dst, '0', '\t')
}

func appendDate(dst []byte, i int) []byte {
	at := time.Unix(newYear+int64(i)*day, 0).UTC()
	_, week := at.ISOWeek()
	dst = appendInt(dst, firstDate+i)
	dst = append(at.AppendFormat(dst, time.DateOnly), '\t')
	dst = appendText(dst, weekdays[at.Weekday()])
	dst = appendInt(dst, week)
	dst = appendText(dst, months[at.Month()-1])
	dst = appendInt(dst, (int(at.Month())+2)/3)
	dst = appendInt(dst, at.Year())
	return appendBool(dst, holidays[[2]int{int(at.Month()), at.Day()}])
}

func (d *Data) venueRows() func(dst []byte, i int) []byte {
	r := random(0x7E40E)
	return func(dst []byte, i int) []byte {
		city := pick(&r, cities)
		dst = appendInt(dst, int(d.venues[i]))
		dst = append(append(dst, pick(&r, venueWords)...), ' ')
		dst = appendText(dst, pick(&r, venueKinds))
		dst = appendText(dst, city.name)
		dst = appendText(dst, city.state)
		switch r.n(3) { // most seats are unknown
		case 0:
			return appendInt(dst, r.between(40, 900)*100)
		case 1:
			return appendInt(dst, 0)
		default:
			return appendNull(dst)
		}
	}
}

func (d *Data) appendEvent(dst []byte, i int) []byte {
	e := d.events[i]
	dst = appendInt(dst, i+1)
	dst = appendInt(dst, int(e.venue))
	dst = appendInt(dst, int(e.category))
	dst = appendInt(dst, int(e.date))
	dst = appendText(dst, e.name)
	return appendTime(dst, e.start)
}

func userRows() func(dst []byte, i int) []byte {
	r := random(0x71C417)
	lower := func(dst []byte, s string) []byte {
		for _, c := range []byte(s) {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != '\'' {
				dst = append(dst, c)
			}
		}
		return dst
	}
	return func(dst []byte, i int) []byte {
		first, last, city := pick(&r, firstNames), pick(&r, lastNames), pick(&r, cities)
		dst = appendInt(dst, i+1)
		for _, digit := range "AAA00AAA" {
			if digit == '0' {
				dst = append(dst, byte('0'+r.n(10)))
			} else {
				dst = append(dst, byte('A'+r.n(26)))
			}
		}
		dst = append(dst, '\t')
		dst = appendText(dst, first)
		dst = appendText(dst, last)
		dst = appendText(dst, city.name)
		dst = appendText(dst, city.state)
		dst = lower(append(lower(dst, first), '.'), last)
		dst = strconv.AppendInt(dst, int64(i+1), 10)
		dst = appendText(dst, "@example.com")
		dst = append(dst, '(')
		dst = strconv.AppendInt(dst, int64(r.between(201, 989)), 10)
		dst = append(dst, ") "...)
		dst = strconv.AppendInt(dst, int64(r.between(200, 999)), 10)
		dst = append(dst, '-')
		dst = appendInt(dst, r.between(1000, 9999))
		for range 10 {
			if likes := r.n(5); likes < 2 {
				dst = appendNull(dst)
			} else {
				dst = appendBool(dst, likes != 2)
			}
		}
		return dst
	}
}

func (d *Data) appendListing(dst []byte, i int) []byte {
	l := d.listings[i]
	dst = appendInt(dst, int(l.id))
	dst = appendInt(dst, int(l.seller))
	dst = appendInt(dst, int(l.event))
	dst = appendInt(dst, int(d.events[l.event-1].date))
	dst = appendInt(dst, int(l.tickets))
	dst = appendCents(dst, int(l.price)*100)
	dst = appendCents(dst, int(l.price)*int(l.tickets)*100)
	return appendTime(dst, l.time)
}

func (d *Data) saleRows() func(dst []byte, i int) []byte {
	r := random(0x5A1E5)
	left := make([]int16, len(d.listings))
	for i, l := range d.listings {
		left[i] = l.tickets
	}
	return func(dst []byte, i int) []byte {
		n := r.n(len(left))
		for left[n] == 0 { // sold out: the next one
			n = (n + 1) % len(left)
		}
		l := d.listings[n]
		sold := r.between(1, min(8, int(left[n])))
		left[n] -= int16(sold)
		e := d.events[l.event-1]
		paid := int(l.price) * sold * 100
		at := before(&r, l.time, e.start+1)
		dst = appendInt(dst, i+1)
		dst = appendInt(dst, int(l.id))
		dst = appendInt(dst, int(l.seller))
		dst = appendInt(dst, r.between(1, d.size.Users))
		dst = appendInt(dst, int(l.event))
		dst = appendInt(dst, firstDate+int((at-newYear)/day))
		dst = appendInt(dst, sold)
		dst = appendCents(dst, paid)
		dst = appendCents(dst, paid*15/100)
		return appendTime(dst, at)
	}
}
