package avrotext

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChanges(t *testing.T) {
	const env = `{"type":"record","name":"Envelope","namespace":"s","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","fields":[%]}],"default":null},{"name":"after","type":["null","Value"],"default":null}]}`
	with := func(fields string) string {
		return string(slices.Replace([]byte(env), indexOf(env), indexOf(env)+1, []byte(fields)...))
	}
	const id = `{"name":"id","type":"int"}`
	for name, c := range map[string]struct {
		older, newer string
		want         []string
	}{
		"column int -> string":        {with(id), with(`{"name":"id","type":"string"}`), []string{"before.id changed its type from int to string: both"}},
		"column widened":              {with(id), with(`{"name":"id","type":"long"}`), []string{"before.id changed its type from int to long: forward"}},
		"not null column added":       {with(id), with(id + `,{"name":"c","type":"string"}`), []string{"before.c was added without a default: backward"}},
		"nullable column added":       {with(id), with(id + `,{"name":"c","type":["null","string"],"default":null}`), []string{"before.c was added: "}},
		"column dropped":              {with(id + `,{"name":"c","type":"string"}`), with(id), []string{"before.c was removed: forward"}},
		"column became nullable":      {with(id), with(`{"name":"id","type":["null","int"],"default":null}`), []string{"before.id got a default: ", "before.id may be null now: forward"}},
		"nullable column not null":    {with(`{"name":"id","type":["null","int"]}`), with(id), []string{"before.id may not be null any more: backward"}},
		"nullable column's type":      {with(`{"name":"id","type":["null","int"]}`), with(`{"name":"id","type":["null","string"]}`), []string{"before.id changed its type from int to string: both"}},
		"list of enums":               {with(`{"name":"l","type":{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]}}}`), with(`{"name":"l","type":{"type":"array","items":{"type":"enum","name":"E","symbols":["A"]}}}`), []string{"before.l[] lost the symbol B: backward"}},
		"the same":                    {with(id), with(id), nil},
		"top level":                   {`"int"`, `"string"`, []string{"the schema changed its type from int to string: both"}},
		"renamed with an alias":       {with(id), with(`{"name":"key","aliases":["id"],"type":"int"}`), nil},
		"recursive schema, new field": {`{"type":"record","name":"R","fields":[{"name":"n","type":["null","R"]}]}`, `{"type":"record","name":"R","fields":[{"name":"n","type":["null","R"]},{"name":"x","type":"int"}]}`, []string{"x was added without a default: backward"}},
	} {
		var got []string
		for _, x := range Changes(mustParse(t, c.older), mustParse(t, c.newer)) {
			got = append(got, x.String()+": "+x.Breaks)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func indexOf(s string) int { return slices.Index([]byte(s), '%') }

func TestAgainst(t *testing.T) {
	for _, c := range []struct {
		breaks, level string
		want          bool
	}{
		{"backward", "BACKWARD", true}, {"backward", "FORWARD_TRANSITIVE", false}, {"backward", "FULL_ALL", true},
		{"forward", "BACKWARD_TRANSITIVE", false}, {"forward", "FORWARD", true}, {"both", "FORWARD_ALL", true},
		{"", "FULL", false}, {"both", "NONE", false}, {"forward", "", true},
	} {
		if got := (Change{Breaks: c.breaks}).Against(c.level); got != c.want {
			t.Errorf("%s against %s: %v", c.breaks, c.level, got)
		}
	}
}

func TestSameLayout(t *testing.T) {
	const r = `{"type":"record","name":"R","namespace":"n","doc":"d","fields":[{"name":"a","type":["null","long"],"default":null},{"name":"l","type":{"type":"array","items":"R"}}]}`
	for other, want := range map[string]bool{
		r: true,
		`{"type":"record","name":"n.R","aliases":["Q"],"fields":[{"name":"a","type":["null",{"type":"long","connect.version":1}]},{"name":"l","type":{"type":"array","items":"R"}}]}`: true,
		`{"type":"record","name":"n.R","fields":[{"name":"a","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},{"name":"l","type":{"type":"array","items":"R"}}]}`:    false,
		`{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":["long","null"]},{"name":"l","type":{"type":"array","items":"R"}}]}`:                                false,
		`{"type":"record","name":"R","namespace":"n","fields":[{"name":"l","type":{"type":"array","items":"R"}},{"name":"a","type":["null","long"]}]}`:                                false,
		`{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":["null","long"]},{"name":"l","type":{"type":"array","items":"int"}}]}`:                              false,
		`{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":["null","long"]}]}`:                                                                                 false,
		`{"type":"record","name":"R","namespace":"m","fields":[{"name":"a","type":["null","long"]},{"name":"l","type":{"type":"array","items":"R"}}]}`:                                false,
	} {
		if got := SameLayout(mustParse(t, r), mustParse(t, other)); got != want {
			t.Errorf("%s: %v", other, got)
		}
	}
}
