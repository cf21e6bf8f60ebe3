package lake

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"tributary/lake/blob"
)

const (
	heartbeats = ".hoodie/.heartbeat/"
	// heartbeatEvery is Hudi's default interval; two missed ones mean death.
	heartbeatEvery = time.Minute
)

// heartbeat is an empty object that is written anew while a write goes on, so
// that engines that look for failed writes now and then leave it alone.
type heartbeat struct {
	t       *Table
	instant string
	last    time.Time
}

// keep writes the heartbeat when that is due.
func (h *heartbeat) keep(ctx context.Context) error {
	now := h.t.opt.Now()
	if !h.t.opt.Heartbeat || now.Sub(h.last) < heartbeatEvery {
		return nil
	}
	h.last = now
	_, err := h.t.store.Put(ctx, join(h.t.base, heartbeats+h.instant), bytes.NewReader(nil), 0, blob.Always())
	if err != nil {
		return fmt.Errorf("write heartbeat: %w", err)
	}
	return nil
}

func (h *heartbeat) end(ctx context.Context) error {
	if !h.t.opt.Heartbeat {
		return nil
	}
	return h.t.deletePaths(ctx, []string{heartbeats + h.instant})
}
