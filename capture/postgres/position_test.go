package postgres

import (
	"reflect"
	"testing"

	"tributary/internal/fault"
)

// FuzzPosition reads stored positions: one that is taken is the same when it is
// written and read again; one that is not needs a human.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		`{"slot":"s","system":"7","lsn":"16/B374D848"}`, `{"slot":"s","system":"7","lsn":"0/1","last_commit":"0/1","partial":{"commit":"0/2","changes":-1}}`,
		`{"slot":"s","system":"7","lsn":"0/1","snapshot":{"done":["a"],"table":"b","after":["AQ=="],"rows":9}}`, `{"slot":"s","system":"7","lsn":"0/1","snapshot":{"only":[{"table":"a","filter":"x"}],"waits":true}}`,
		`{"lsn":"0/1"}`, `{"slot":"s","system":"7","lsn":"0/1","partial":{}}`, `null`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePosition(text)
		if err != nil {
			if !fault.NeedsHuman(err) {
				t.Errorf("%q: %v needs no human", text, err)
			}
			return
		}
		once, err := p.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parsePosition(once)
		if err != nil {
			t.Fatalf("%s becomes %s: %v", text, once, err)
		}
		if twice, err := back.append(nil); err != nil || string(twice) != string(once) || back.LSN != p.LSN || back.LastCommit != p.LastCommit || !reflect.DeepEqual(back.Partial, p.Partial) {
			t.Errorf("%s becomes %s: %v", once, twice, err)
		}
	})
}
