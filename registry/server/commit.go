package server

import (
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// committer runs changes that come at once in one transaction: what comes
// while a transaction is being written waits for the next, however many they
// are, so that a change waits for two writes at most.
type committer struct {
	db *bolt.DB

	mu      sync.Mutex
	leading bool      // whether somebody is writing
	queue   []*change // waiting for the next transaction
}

// change is one caller's part of a transaction.
type change struct {
	do   func(t tx) error
	err  error
	told chan bool // true: it is done; false: its caller is to write the next
}

// run does f in a transaction that is on disk when run returns nil. f may be
// run more than once; it must not have changed anything when it returns a
// *problem, and whatever else it returns undoes it.
func (c *committer) run(f func(t tx) error) error {
	own := &change{do: f, told: make(chan bool, 1)}
	c.mu.Lock()
	c.queue = append(c.queue, own)
	if c.leading {
		c.mu.Unlock()
		if <-own.told {
			return own.err
		}
	} else {
		c.leading = true
		c.mu.Unlock()
	}
	c.mu.Lock()
	group := c.queue
	c.queue = nil
	c.mu.Unlock()
	c.write(group)
	for _, x := range group {
		if x != own {
			x.told <- true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		c.queue[0].told <- false // it stays in the queue, and writes it
	} else {
		c.leading = false
	}
	return own.err
}

// safely keeps a panic from taking those down who wait for the same
// transaction.
func (x *change) safely(t tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("change of the registry panicked: %v", p)
		}
	}()
	return x.do(t)
}

// write does a group of changes at once or, if one fails, each by itself.
func (c *committer) write(group []*change) {
	err := c.db.Update(func(b *bolt.Tx) error {
		for _, x := range group {
			var p *problem
			if x.err = x.safely(tx{b}); x.err != nil && !errors.As(x.err, &p) {
				return x.err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	if len(group) == 1 {
		group[0].err = err
		return
	}
	for _, x := range group {
		c.write([]*change{x})
	}
}
