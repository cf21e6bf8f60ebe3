package envelope

import "testing"

// BenchmarkAppend makes the record of one update, in the forms that there are.
func BenchmarkAppend(b *testing.B) {
	table := chainTable()
	c := Change{Op: Update, Table: table, Key: AppendInt(nil, 7), Before: chainRow(7, "seven", 100, 1700000000123), After: chainRow(7, "sieben", 101, 1700000000124), TsNs: 1}
	class := func(name string, options map[string]string) Step {
		o := NewStepOptions(options)
		s, ok := NewStep(name, o)
		if !ok || len(o.Faults()) > 0 {
			b.Fatal(name, o.Faults())
		}
		return s
	}
	base := Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true}
	flat := base
	flat.Unwrap = &Unwrap{Deletes: DeleteRewrite, Prefix: "__"}
	masked := flat
	masked.Rewrite.Masks = []Mask{{Match: func(_ TableID, c *Column) bool { return c.Name == "name" }, Chars: 5}}
	routed := flat
	routed.After = []Step{class(connectPackage+"RegexRouter", map[string]string{"regex": "p\\.(.*)", "replacement": "$1"})}
	filtered := flat
	filtered.Before = []Step{class(debeziumPackage+"Filter", map[string]string{"condition": "value.op == 'u' && value.after.id > 5"})}
	chained := filtered
	chained.After = []Step{
		class(connectPackage+"ReplaceField$Value", map[string]string{"exclude": "price"}),
		class(connectPackage+"TimestampConverter$Value", map[string]string{"field": "at", "target.type": "Timestamp"}),
	}
	for name, o := range map[string]Options{"envelope": base, "flat": flat, "mask": masked, "route": routed, "filter": filtered, "chain": chained} {
		b.Run(name, func(b *testing.B) {
			f := mustTable(b, o, table)
			w := Wire{Key: make([]byte, 5), Value: make([]byte, 5)}
			var m Messages
			b.ReportAllocs()
			for b.Loop() {
				m.Reset()
				if err := f.Append(&m, w, &c); err != nil || len(m.List) != 1 {
					b.Fatal(len(m.List), err)
				}
			}
		})
	}
}
