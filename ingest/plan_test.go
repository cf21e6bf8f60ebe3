package ingest

import (
	"errors"
	"strings"
	"testing"

	"tributary/internal/avro"
	"tributary/internal/fault"
	"tributary/lake"
	"tributary/lake/blob"
)

// A table whose first object is damaged is not made.
func TestNoTableOfADamagedObject(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"cut off": func(b []byte) []byte { return b[:len(b)-10] },
		"a bit":   func(b []byte) []byte { b[len(b)-25] ^= 4; return b },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
			src := newSales()
			w := newSink(t, bronzeStore, saleTopic, 0, 0)
			r := src.record("c", 1, 1, "x")
			w.put(r)
			w.flush()
			restore := damage(t, bronzeStore, "topics/t.s.sale/year=2023/month=11/day=14/t.s.sale+0+0000000000.avro", change)
			s := newService(t, bronzeStore, lakeStore)
			if err := s.Once(t.Context()); !fault.NeedsHuman(err) {
				t.Fatalf("got %v", err)
			}
			for info, err := range lakeStore.List(t.Context(), "", "") {
				t.Errorf("the lake has %s, %v", info.Key, err)
			}
			if _, err := lake.Open(t.Context(), lakeStore, saleBase, lake.Options{}); !errors.Is(err, lake.ErrNoTable) {
				t.Errorf("there is a table: %v", err)
			}
			restore()
			once(t, s)
			compare(t, saleBase, readTable(t, lakeStore, saleBase, ""), fold(t, []recorded{r}, false))
		})
	}
}

// A plan names every object that cannot be taken, and changes nothing.
func TestPlanLooksAtHeaders(t *testing.T) {
	bronzeStore, lakeStore := new(blob.Mem), new(blob.Mem)
	src := newSales()
	w := newSink(t, bronzeStore, saleTopic, 0, 0)
	for i := range 5 {
		w.put(src.record("c", i, i, "x"))
		w.flush()
	}
	src.schema = saleSchema(`{"name":"id","type":"int"},{"name":"qty","type":["null","boolean"],"default":null},{"name":"note","type":["null","string"],"default":null}`)
	odd := src.finish(src.meta(avro.AppendString(avro.AppendLong(append(avro.AppendLong(avro.AppendLong(nil, 1), 1), 1), 1), "b"), "u"), `{}`)
	odd.schemaID = 2
	w.put(odd)
	w.flush()
	other := newSink(t, bronzeStore, "t.s.well", 0, 0)
	src = newSales()
	other.put(src.record("c", 1, 1, "x"))
	other.flush()
	key := func(n string) string {
		return "topics/t.s.sale/year=2023/month=11/day=14/t.s.sale+0+000000000" + n + ".avro"
	}
	damage(t, bronzeStore, key("1"), func([]byte) []byte { return nil })
	damage(t, bronzeStore, key("3"), func(b []byte) []byte { return append([]byte("nothing"), b[7:]...) })
	s := newService(t, bronzeStore, lakeStore)
	lines, err := s.Plan(t.Context())
	if !fault.NeedsHuman(err) || len(lines) != 2 {
		t.Fatalf("lines %q, error %v", lines, err)
	}
	for _, want := range []string{key("1"), key("3"), key("5"), "column qty cannot change from int to boolean", "skip.objects"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), key("2")) || !strings.Contains(lines[0], "3 of the objects") || !strings.Contains(lines[1], "t.s.well -> silver/db/well") {
		t.Errorf("lines %q, error %v", lines, err)
	}
	for info := range lakeStore.List(t.Context(), "", "") {
		t.Errorf("the plan made %s", info.Key)
	}
	s.SkipObjects = []string{key("1"), key("3"), key("5")}
	if lines, err := s.Plan(t.Context()); err != nil || len(lines) != 2 {
		t.Errorf("without them: %q, %v", lines, err)
	}
}
