package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"time"
)

// chaos kills what runs, at random, and has it come back.
type chaos struct {
	g      *rig
	r      *rand.Rand
	counts *counts
	query  func(ctx context.Context, q string) ([][]string, error)
	m      *model
	lang   dialect
	// database does something to the database
	database func(ctx context.Context, away time.Duration) error
	when     []string
}

// run ends with ctx, with everything up again.
func (c *chaos) run(ctx context.Context, every time.Duration) error {
	for ctx.Err() == nil {
		sleep(ctx, time.Duration(c.r.Int64N(int64(2*every))))
		if err := c.g.supervise(c.counts); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		if err := c.strike(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

func (c *chaos) strike(ctx context.Context) error {
	away := time.Duration(c.r.IntN(300)) * time.Millisecond
	switch n := c.r.IntN(27); {
	case n < 12:
		return c.again("kill of cdc-source", c.g.source, away)
	case n >= 25:
		return c.takeOver(ctx)
	case n >= 20:
		return c.readAgain(ctx)
	case n < 14:
		return c.again("kill of the broker", c.g.broker, away)
	case n < 15:
		return c.again("kill of the registry", c.g.registry, away)
	case n < 16: // everything at once
		if err := c.g.broker.kill(); err != nil {
			return err
		}
		if err := c.again("kill of all but the database", c.g.source, away); err != nil {
			return err
		}
		return c.g.broker.start()
	case n < 17:
		return c.hangUp(ctx)
	default:
		return c.database(ctx, away)
	}
}

// killDatabase ends the database and starts it again.
func (c *chaos) killDatabase(ctx context.Context, away time.Duration) error {
	if err := c.g.server.Kill(); err != nil {
		return err
	}
	sleep(ctx, away)
	c.did("kill of the database")
	if err := c.g.server.Restart(ctx); err != nil {
		return err
	}
	settle(ctx, c.g.server, c.counts)
	return nil
}

const clock = "15:04:05.000"

// did counts a strike and keeps when it was, to be held against other times.
func (c *chaos) did(what string) {
	c.counts.did(what)
	c.when = append(c.when, time.Now().UTC().Format(clock)+" "+what)
}

func (c *chaos) again(what string, d *daemon, away time.Duration) error {
	if err := d.kill(); err != nil {
		return err
	}
	time.Sleep(away)
	c.did(what)
	return d.start()
}

// takeOver starts a second cdc-source while the first is at work, as happens
// where an orchestrator loses sight of one. The first must not do any harm.
func (c *chaos) takeOver(ctx context.Context) error {
	first := c.g.source
	second := *first
	c.g.source = &second
	if err := second.start(); err != nil {
		return err
	}
	c.did("second cdc-source")
	sleep(ctx, time.Duration(c.r.IntN(1200))*time.Millisecond)
	return first.kill()
}

// readAgain orders an incremental snapshot of a table with a key.
func (c *chaos) readAgain(ctx context.Context) error {
	t := c.m.pick(c.r)
	if !c.g.signals || !t.keyed {
		return nil
	}
	args := []string{"signal", "execute-snapshot", "-c", c.g.source.spec.Args[2], "-t", strings.ReplaceAll(c.lang.schema(), ".", "[.]") + "[.]" + t.name}
	what := "incremental snapshot"
	if c.r.IntN(2) == 0 {
		args, what = append(args, "-blocking"), "blocking snapshot"
	}
	cmd := exec.CommandContext(ctx, source, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.counts.fault(fmt.Errorf("order a snapshot: %w: %s", err, out))
		return nil // something that it needs was away
	}
	c.did(what)
	return nil
}

// hangUp has the database end the connection of the log, or rotate its files.
func (c *chaos) hangUp(ctx context.Context) error {
	switch c.lang {
	case transact:
		return c.database(ctx, 0)
	case postgres:
		_, err := c.query(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
		c.did("ended connection of the log")
		return err
	}
	_, err := c.query(ctx, "FLUSH BINARY LOGS")
	c.did("rotated log")
	return err
}

// supervise starts cdc-source again if it ended with a fault that may heal, as
// whoever supervises a daemon does. Any other end is an error.
func (g *rig) supervise(n *counts) error {
	switch code := g.source.ended(); code {
	case -1:
	case 1:
		n.did("cdc-source ended with status 1")
		g.t.Logf("cdc-source ended with status 1: %s", g.source.tail(1))
		return g.source.start()
	default:
		// Of two daemons either may be the one that is fenced off.
		if code == 2 && n.of("second cdc-source") > 0 && strings.Contains(g.source.tail(12), "another instance named") {
			n.did("cdc-source was fenced off")
			return g.source.start()
		}
		return fmt.Errorf("cdc-source ended with status %d:\n%s", code, g.source.tail(12))
	}
	for _, d := range []*daemon{g.broker, g.registry} {
		if code := d.ended(); code != -1 {
			return fmt.Errorf("the %s ended with status %d:\n%s", d.name, code, d.tail(12))
		}
	}
	return nil
}
