package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of this kind of source.
type metrics struct {
	streamed prometheus.Counter
	spooled  prometheus.Counter
	retained prometheus.Gauge
	behind   prometheus.Gauge
	headroom prometheus.Gauge
}

func newMetrics() *metrics {
	const ns = "tributary_postgres_"
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: ns + name, Help: help})
	}
	return &metrics{
		streamed: prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "streamed_transactions_total", Help: "Transactions that were received before they committed."}),
		spooled:  prometheus.NewCounter(prometheus.CounterOpts{Name: ns + "spooled_bytes_total", Help: "Bytes of those that went through files."}),
		retained: gauge("slot_retained_bytes", "Log that the server keeps for the slot."),
		behind:   gauge("slot_behind_bytes", "Log that is not acknowledged yet."),
		headroom: gauge("slot_headroom_bytes", "Log that may be written before the slot is lost (max_slot_wal_keep_size); -1 = no limit."),
	}
}

// Collectors are the metrics of the source, to be registered once.
func (s *Source) Collectors() []prometheus.Collector {
	m := s.metrics
	return []prometheus.Collector{m.streamed, m.spooled, m.retained, m.behind, m.headroom}
}

// slotLag is what the server keeps for the slot.
type slotLag struct {
	status   string // wal_status
	retained int64  // bytes since restart_lsn
	behind   int64  // bytes since confirmed_flush_lsn
	headroom int64  // bytes that may be written before the slot is lost, -1 = no limit
	limit    int64  // max_slot_wal_keep_size in bytes, -1 = none
}

const querySlotLag = `
SELECT coalesce(s.wal_status, ''), coalesce((w.at - s.restart_lsn)::bigint, 0), coalesce((w.at - s.confirmed_flush_lsn)::bigint, 0),
  coalesce(s.safe_wal_size, -1), (SELECT CASE WHEN setting::bigint < 0 THEN -1 ELSE setting::bigint * 1048576 END FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
FROM pg_replication_slots s,
  (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) w(at)
WHERE s.slot_name = $1`

func readSlotLag(ctx context.Context, conn *pgx.Conn, name string) (l slotLag, err error) {
	err = conn.QueryRow(ctx, querySlotLag, name).Scan(&l.status, &l.retained, &l.behind, &l.headroom, &l.limit)
	return l, err
}

// warning says what is wrong, "" = nothing. The slot is lost when the server
// has kept the most that it may, and its disk is full when there is no limit.
func (l slotLag) warning(most int64) string {
	switch {
	case l.status == "lost":
		return "the slot is lost: the server has removed log that it needs"
	case l.status == "unreserved":
		return "the slot is about to be lost: the server keeps more log than max_slot_wal_keep_size and removes it at the next checkpoint"
	case l.limit > 0 && l.headroom >= 0 && l.headroom < l.limit/5:
		return "less than a fifth of max_slot_wal_keep_size is left before the slot is lost"
	case most > 0 && l.retained > most:
		return "the server keeps more log for the slot than slot.lag.warn.bytes: its disk may fill"
	}
	return ""
}

// watch looks at the slot's lag until ctx ends, on a connection of its own,
// and tells when it becomes dangerous and when that is over.
func (s *Source) watch(ctx context.Context) {
	if s.opts.LagInterval <= 0 {
		return
	}
	c := &catalog{server: &server{opts: &s.opts}}
	defer func() { _ = c.close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	tick := time.NewTicker(s.opts.LagInterval)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var lag slotLag
		err := c.query(ctx, func(conn *pgx.Conn) (err error) {
			lag, err = readSlotLag(ctx, conn, s.opts.Slot)
			return err
		})
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, pgx.ErrNoRows) {
				s.log.Debug("look at the slot", "error", err)
			}
			continue
		}
		s.metrics.retained.Set(float64(lag.retained))
		s.metrics.behind.Set(float64(lag.behind))
		s.metrics.headroom.Set(float64(lag.headroom))
		switch warning := lag.warning(s.opts.LagWarning); {
		case warning != "" && warning != told:
			s.log.Warn(warning, "slot", s.opts.Slot, "retained_bytes", lag.retained, "behind_bytes", lag.behind, "headroom_bytes", lag.headroom,
				"hint", fmt.Sprintf("make capturing keep up, raise max_slot_wal_keep_size or the disk, or drop slot %s if it is not used any more", s.opts.Slot))
			told = warning
		case warning == "" && told != "":
			s.log.Info("the slot's lag is no danger any more", "slot", s.opts.Slot, "retained_bytes", lag.retained)
			told = ""
		}
	}
}
