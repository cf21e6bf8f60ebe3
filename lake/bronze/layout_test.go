package bronze

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tributary/lake/blob"
)

func TestKeyAndBack(t *testing.T) {
	n := Name{Topic: "tickit.ecomm.sale", Folder: "year=2026/month=11/day=25", Partition: 3, First: 42}
	if got, want := n.Key("bronze/topics"), "bronze/topics/tickit.ecomm.sale/year=2026/month=11/day=25/tickit.ecomm.sale+3+0000000042.avro"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := Name{
			Topic:     rapid.StringMatching(`[a-zA-Z0-9._-]{1,30}`).Draw(t, "topic"),
			Folder:    rapid.SampledFrom([]string{"", "partition=3", "year=2026/month=01/day=02", "year=2026/month=01/day=02/hour=23"}).Draw(t, "folder"),
			Partition: rapid.Int32Min(0).Draw(t, "partition"),
			First:     rapid.Int64Min(0).Draw(t, "first"),
		}
		root := rapid.SampledFrom([]string{"", "topics", "a/b"}).Draw(t, "root")
		back, err := ParseKey(root, n.Key(root))
		if err != nil || back != n {
			t.Errorf("%s: %+v, %v", n.Key(root), back, err)
		}
	})
	for _, key := range []string{
		"", "topics", "topics/t", "topics/t/x.avro", "topics/t/t+0+1.avro", "topics/t/t+0+0000000001.parquet",
		"topics/t/u+0+0000000001.avro", "other/t/t+0+0000000001.avro", "topics/t/t+-1+0000000001.avro",
		"topics/t/t+0+-000000001.avro", "topics/t/t+00+0000000001.avro", "topics/t/t+0+0000000001.avro/x",
		"topics/_quarantine/t/t+0+0000000001.avro",
	} {
		if n, err := ParseKey("topics", key); err == nil && n.Key("topics") != key || err != nil && !errors.Is(err, errName) {
			t.Errorf("%q: %+v, %v", key, n, err)
		} else if err == nil {
			t.Errorf("%q was taken for %+v", key, n)
		}
	}
}

func TestFolders(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) int64 {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixMilli()
	}
	for _, c := range []struct {
		class string
		zone  *time.Location
		ms    int64
		want  string
	}{
		{Daily, time.UTC, at("2026-11-25T23:59:59.999Z"), "year=2026/month=11/day=25"},
		{Daily, time.UTC, at("2026-11-26T00:00:00Z"), "year=2026/month=11/day=26"},
		{Daily, berlin, at("2026-11-25T23:00:00Z"), "year=2026/month=11/day=26"},
		{Hourly, berlin, at("2026-07-01T10:30:00Z"), "year=2026/month=07/day=01/hour=12"},
		{"io.confluent.connect.storage.partitioner.HourlyPartitioner", time.UTC, at("2026-07-01T10:30:00Z"), "year=2026/month=07/day=01/hour=10"},
		{Default, time.UTC, at("2026-07-01T10:30:00Z"), "partition=5"},
		{Daily, time.UTC, -1, "year=1969/month=12/day=31"},
		{Daily, time.UTC, -1 << 62, "year=0001/month=01/day=01"},
		{Daily, time.UTC, 1 << 62, "year=9999/month=12/day=31"},
	} {
		p, err := NewPartitioner(c.class, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := p.Folder(5, c.ms); got != c.want {
			t.Errorf("%s of %d: %s, want %s", c.class, c.ms, got, c.want)
		}
	}
	if _, err := NewPartitioner("FieldPartitioner", time.UTC); err == nil {
		t.Error("an unknown partitioner was taken")
	}
}

// TestFolderRange checks that the range in which the answer holds is the
// greatest: within it no other folder, at its ends another.
func TestFolderRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"}).Draw(t, "zone")
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPartitioner(rapid.SampledFrom([]string{Daily, Hourly}).Draw(t, "class"), loc)
		if err != nil {
			t.Fatal(err)
		}
		ms := rapid.Int64Range(0, 4e12).Draw(t, "ms")
		folder, from, until := p.Folder(0, ms)
		if ms < from || ms >= until {
			t.Fatalf("%d is not in [%d, %d)", ms, from, until)
		}
		probe := rapid.Int64Range(from, until-1).Draw(t, "probe")
		for _, at := range []int64{from, until - 1, probe} {
			if got, _, _ := p.Folder(0, at); got != folder {
				t.Errorf("%s at %d, %s at %d", folder, ms, got, at)
			}
		}
	})
}

func TestListJumpsAndSkips(t *testing.T) {
	store := &blob.Mem{}
	add := func(key string) {
		t.Helper()
		if _, err := store.Put(t.Context(), key, strings.NewReader("x"), 1, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"year=2026/month=11/day=24", "year=2026/month=11/day=25"} {
		for p := range int32(2) {
			for i := range int64(1200) {
				add(Name{Topic: "t", Folder: folder, Partition: p, First: i * 10}.Key("topics"))
			}
		}
	}
	add("topics/t/readme.txt")
	add("topics/t/year=2026/month=11/day=25/t+0+0000000001.avro.tmp")
	add("topics/t2/t2+0+0000000000.avro")
	add("topics/_quarantine/t/t+0+0000000000.avro")
	counting := &countingStore{Store: store}
	var got []string
	next := func(partition int32, folder string) int64 {
		if strings.HasSuffix(folder, "25") {
			return 11_955 // between two objects
		}
		return int64(partition) * 12_000 // all new, none new
	}
	for o, err := range List(t.Context(), counting, "topics", "t", next) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(o.Folder[len(o.Folder)-2:], " ", o.Partition, " ", o.First))
	}
	var want []string
	for i := range 1200 {
		want = append(want, fmt.Sprint("24 0 ", i*10))
	}
	for p := range 2 {
		for i := 1196; i < 1200; i++ {
			want = append(want, fmt.Sprint("25 ", p, " ", i*10))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d objects, want %d: %v", len(got), len(want), got[max(0, len(got)-10):])
	}
	if counting.seen > 4000 {
		t.Errorf("the listing read %d names: it does not jump", counting.seen)
	}
	topics, err := Topics(t.Context(), store, "topics")
	if err != nil || !slices.Equal(topics, []string{"t", "t2"}) {
		t.Errorf("topics %q, %v", topics, err)
	}
}
