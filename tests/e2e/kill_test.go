package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
	"tributary/internal/pipeline"
	"tributary/internal/tickit"
	"tributary/lake/blob"
	"tributary/lake/bronze"
)

// kills is how often each daemon is killed: half of the times so soon after its
// start that the first rows are still under way.
const kills = 12

// A daemon that is killed at any moment and started again loses nothing,
// repeats nothing in bronze, and leaves no wrong row.
func TestKilledAtAnyMoment(t *testing.T) {
	for name, pick := range map[string]func(p *pipeline.Pipeline) []*pipeline.Daemon{
		"cdc-source":    func(p *pipeline.Pipeline) []*pipeline.Daemon { return p.Sources },
		"s3-sink":       func(p *pipeline.Pipeline) []*pipeline.Daemon { return []*pipeline.Daemon{p.Sink} },
		"deltastreamer": func(p *pipeline.Pipeline) []*pipeline.Daemon { return []*pipeline.Daemon{p.Streamer} },
	} {
		t.Run(name, func(t *testing.T) { testKilled(t, pick) })
	}
}

func testKilled(t *testing.T, pick func(p *pipeline.Pipeline) []*pipeline.Daemon) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("E2E_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("seed %d (E2E_SEED=%[1]d runs it again)", seed)
	data := tickit.New(tickit.Small(60000))
	p := start(t, data)
	w := newWorkload(p, data, seed)
	if err := w.loadShare(t.Context(), 0.7); err != nil {
		t.Fatal(err)
	}
	if err := p.StartDaemons(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Changes go on while the daemon dies and comes back.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := w.step(t.Context()); err != nil {
				done <- err
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		done <- nil
	}()
	moments := rand.New(rand.NewPCG(seed, 2))
	for i := range kills {
		for _, d := range pick(p) {
			longest := 1200
			if i < kills/2 { // so soon that the snapshot is not done
				longest = 250
			}
			time.Sleep(time.Duration(20+moments.IntN(longest)) * time.Millisecond)
			if err := d.Err(); err != nil {
				t.Fatal(err)
			}
			if err := d.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	waitEqual(t, p, 2*time.Minute)
	checkBronze(t, p)
}

// checkBronze checks that bronze holds every record of Kafka once.
func checkBronze(t *testing.T, p *pipeline.Pipeline) {
	t.Helper()
	store, err := blob.NewDir(p.Lake() + "/bronze")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tickit.Tables() {
		topic := pipeline.Topic(table)
		want, err := p.Count(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		records, next := int64(0), map[string]int64{}
		for info, err := range bronze.List(t.Context(), store, bronze.DefaultRoot, topic, nil) {
			if err != nil {
				t.Fatal(err)
			}
			object, err := bronze.Open(t.Context(), store, info.Key)
			if err != nil {
				t.Fatal(err)
			}
			if object.First < next[info.Folder] {
				t.Errorf("%s begins at %d: the object before it reaches to %d", info.Key, object.First, next[info.Folder]-1)
			}
			next[info.Folder] = object.Last + 1
			records += object.Records
			if err := object.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if records != want {
			t.Errorf("%s: %d records in bronze, %d in Kafka", topic, records, want)
		}
	}
}
