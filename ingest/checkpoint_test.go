package ingest

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckpointForms(t *testing.T) {
	c := &Checkpoint{Topic: "tickit.ecomm.sale", Partitions: map[int32]Cursor{}}
	c.take(1, "year=2026/month=11/day=24", 41)
	c.take(1, "year=2026/month=11/day=25", 99)
	c.take(0, "year=2026/month=11/day=25", 7)
	c.raise(1, 50)
	c.SchemaID = 12
	if got, want := c.Kafka(), "tickit.ecomm.sale,0:0,1:50"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := `{"topic":"tickit.ecomm.sale","schema_id":12,"partitions":{"0":{"floor":0,"next":{"year=2026/month=11/day=25":8}},"1":{"floor":50,"next":{"year=2026/month=11/day=25":100}}}}`
	if got := c.JSON(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	back, err := parseCheckpoint("tickit.ecomm.sale", map[string]string{KeyCursor: c.JSON(), KeyCheckpoint: c.Kafka()})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, back); d != "" {
		t.Error(d)
	}
}

func TestCheckpointOfAnotherWriter(t *testing.T) {
	c, err := parseCheckpoint("t.a.b", map[string]string{KeyCheckpoint: "t.a.b,0:5,2:70"})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[int32]Cursor{0: {Floor: 5}, 2: {Floor: 70}}; !maps.EqualFunc(c.Partitions, want, func(a, b Cursor) bool { return a.Floor == b.Floor && len(a.Next) == 0 }) {
		t.Errorf("got %+v", c.Partitions)
	}
	if c, err := parseCheckpoint("t.a.b", map[string]string{"schema": "{}"}); c != nil || err != nil {
		t.Errorf("a commit without a checkpoint gave %v, %v", c, err)
	}
	for _, bad := range []map[string]string{
		{KeyCheckpoint: "other,0:5"}, {KeyCheckpoint: "t.a.b,0"}, {KeyCheckpoint: "t.a.b,x:1"},
		{KeyCheckpoint: "t.a.b,0:-1"}, {KeyCheckpoint: "1700000000"}, {KeyCursor: "{"},
	} {
		if _, err := parseCheckpoint("t.a.b", bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestCheckpointKeepsFoldersThatAreAhead(t *testing.T) {
	const day24, day25 = "year=2026/month=11/day=24", "year=2026/month=11/day=25"
	c := &Checkpoint{Topic: "t", Partitions: map[int32]Cursor{}}
	c.take(0, day25, 99)
	// Records 0 to 99 are in the folder of the 25th, but for those, not seen
	// yet, in the folder of the 24th.
	isNew := func(folder string, first int64) bool { return first >= c.Partitions[0].next(folder) }
	if !isNew(day24, 50) || isNew(day25, 0) || !isNew(day25, 100) {
		t.Error("an object of the 24th must be new, one of the 25th below 100 must not")
	}
	c.raise(0, 60)
	if isNew(day24, 50) || !isNew(day24, 60) || isNew(day25, 99) {
		t.Error("below the floor nothing is new")
	}
	c.raise(0, 10)
	if c.Partitions[0].Floor != 60 {
		t.Error("a floor went down")
	}
	d := c.clone()
	d.take(0, day25, 500)
	if c.Partitions[0].Next[day25] != 100 {
		t.Error("a clone shares its folders")
	}
}
