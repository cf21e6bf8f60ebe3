package lake

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/blob"
)

// promotion is a change of a column's type, with values before and their text
// after.
type promotion struct {
	from, to Type
	old      []any // int64, float64, string or []byte
	want     []string
	rsDiffer bool // hudi-rs writes such values otherwise
}

var promotionCases = []promotion{
	{from: Simple(Int), to: Simple(Long), old: []any{int64(-5)}, want: []string{"-5"}},
	{from: Simple(Int), to: Simple(Float), old: []any{int64(7), int64(1<<24 + 1)}, want: []string{"7.0", "1.6777216E7"}},
	{from: Simple(Int), to: Simple(Double), old: []any{int64(1<<24 + 1)}, want: []string{"1.6777217E7"}},
	{from: Simple(Int), to: Simple(String), old: []any{int64(-12), int64(0)}, want: []string{"-12", "0"}},
	{from: Simple(Long), to: Simple(Float), old: []any{int64(1) << 40}, want: []string{"1.0995116E12"}},
	{from: Simple(Long), to: Simple(Double), old: []any{int64(1)<<53 + 1}, want: []string{"9.007199254740992E15"}},
	{from: Simple(Long), to: Simple(String), old: []any{int64(1)<<62 + 1}, want: []string{"4611686018427387905"}},
	{from: Simple(Float), to: Simple(Double), old: []any{0.5, float64(float32(0.1))}, want: []string{"0.5", "0.1"}, rsDiffer: true},
	{from: Simple(Float), to: Simple(String), old: []any{0.5, float64(float32(0.1)), float64(float32(1e10))}, want: []string{"0.5", "0.1", "1.0E10"}, rsDiffer: true},
	{from: Simple(Double), to: Simple(String), old: []any{0.25, 1e-5}, want: []string{"0.25", "1.0E-5"}, rsDiffer: true},
	{from: Simple(Date), to: Simple(String), old: []any{int64(13927)}, want: []string{"2008-02-18"}},
	{from: DecimalType(8, 2), to: Simple(String), old: []any{[]byte{0xff, 0xff, 0xfb, 0x2e}, []byte{0, 0, 0, 5}}, want: []string{"-12.34", "0.05"}},
	{from: DecimalType(8, 2), to: DecimalType(12, 2), old: []any{[]byte{0xff, 0xff, 0xfb, 0x2e}, []byte{0, 0, 0, 5}}, want: []string{"-12.34", "0.05"}},
	{from: DecimalType(8, 2), to: DecimalType(20, 5), old: []any{[]byte{0xfa, 0x0a, 0x1f, 0x01}, []byte{0x05, 0xf5, 0xe0, 0xff}, []byte{0, 0, 0, 0}}, want: []string{"-999999.99000", "999999.99000", "0.00000"}},
	{from: Simple(String), to: Simple(Bytes), old: []any{"Zoë"}, want: []string{"5a6fc3ab"}},
	{from: Simple(Bytes), to: Simple(String), old: []any{[]byte("Zoë"), []byte{'a', 0xff}}, want: []string{"Zoë", "a\uFFFD"}, rsDiffer: true},
}

func promotionRows(s Schema, first int, note string, values []any) *column.Batch {
	b := s.NewBatch()
	for i, v := range values {
		b.Cols[0].AppendInt(int64(first + i))
		switch v := v.(type) {
		case int64:
			b.Cols[1].AppendInt(v)
		case float64:
			b.Cols[1].AppendFloat(v)
		case string:
			b.Cols[1].AppendString(v)
		case []byte:
			b.Cols[1].AppendBytes(v)
		default:
			b.Cols[1].AppendNull()
		}
		b.Cols[2].AppendString(note)
		b.Len++
	}
	return b
}

// TestPromotions widens a column. One file stays as it is and is read, one is
// written anew; hudi-rs reads both; then the first is written anew too.
func TestPromotions(t *testing.T) {
	for _, c := range promotionCases {
		t.Run(c.from.String()+" to "+c.to.String(), func(t *testing.T) {
			dir, err := blob.NewDir(t.TempDir())
			must(t, err)
			schema := Schema{Fields: []Field{{"id", Simple(Long), false}, {"v", c.from, true}, {"__seq", Simple(String), true}}}
			cfg := Config{Table: "p", Schema: schema, KeyFields: []string{"id"}, Precombine: "__seq"}
			tab := create(t, dir, cfg, Options{Now: newClock().now, MaxFileRows: len(c.old) + 1})
			put := func(first int, note string, values []any) {
				t.Helper()
				_, err := tab.Upsert(t.Context(), Rows{Batch: promotionRows(tab.Schema(), first, note, values)}, nil)
				must(t, err)
			}
			put(0, "a", append([]any{nil}, c.old...))
			put(100, "a", append([]any{nil}, c.old...))
			changed, err := tab.Evolve(Schema{Fields: []Field{{"v", c.to, false}}})
			if err != nil || !changed {
				t.Fatalf("evolve: %v, %v", changed, err)
			}
			check := func(when string) {
				t.Helper()
				var got, want []string
				for _, first := range []int{0, 100} {
					for i := range c.old {
						want = append(want, fmt.Sprintf("%d|%s", first+1+i, c.want[i]))
					}
				}
				for _, l := range dump(t, tab, "") {
					if cells := strings.Split(l, "|"); cells[1] != "-" {
						got = append(got, cells[0]+"|"+cells[1])
					}
				}
				sort.Strings(want)
				sort.Strings(got)
				wantLines(t, when, got, want...)
			}
			put(100, "b", []any{nil})
			check("after the commit")
			s, err := tab.AsOf(t.Context(), "")
			must(t, err)
			if s.Schema().Fields[1].Type != c.to || len(s.files) != 2 {
				t.Fatalf("schema %v, %d files", s.Schema(), len(s.files))
			}
			first, err := tab.AsOf(t.Context(), tab.Timeline().Oldest().Time)
			must(t, err)
			if first.Schema().Fields[1].Type != c.from {
				t.Errorf("the first instant has %s", first.Schema().Fields[1].Type)
			}
			if !c.rsDiffer {
				sameAsHudiRs(t, tab, filepath.Join(dir.Path(""), tab.Base()))
			}
			put(0, "c", []any{nil})
			check("when all is written anew")
			hudiCheck(t, filepath.Join(dir.Path(""), tab.Base()))
		})
	}
}

// TestPromotionsThatMoveRowsAreRefused changes columns that rows are found,
// placed or ordered by.
func TestPromotionsThatMoveRowsAreRefused(t *testing.T) {
	schema := Schema{Fields: []Field{{"id", Simple(Int), false}, {"p", Simple(Int), true}, {"seq", Simple(Int), true}, {"v", Simple(Int), true}}}
	tab := create(t, new(blob.Mem), Config{Table: "p", Schema: schema, KeyFields: []string{"id"}, PartitionFields: []string{"p"}, Precombine: "seq"}, Options{})
	for _, c := range []struct {
		field string
		to    Kind
		ok    bool
	}{
		{"id", Double, false}, {"p", Float, false}, {"p", Double, false}, {"seq", String, false},
		{"id", Long, true}, {"seq", Long, true}, {"seq", Double, true}, {"p", Long, true}, {"id", String, true}, {"p", String, true}, {"v", String, true},
	} {
		_, err := tab.Evolve(Schema{Fields: []Field{{c.field, Simple(c.to), true}}})
		if (err == nil) != c.ok || err != nil && (!fault.NeedsHuman(err) || !strings.Contains(err.Error(), c.field)) {
			t.Errorf("%s to %s: %v", c.field, c.to, err)
		}
	}
}
