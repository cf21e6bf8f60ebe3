package sqlserver

import (
	"testing"

	"tributary/internal/fault"
)

// FuzzPosition reads stored positions: one that is taken is the same when it is
// written and read again; one that is not needs a human.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		`{"databases":{"crm":{"commit_lsn":"00000027:00000ac0:0002","change_lsn":"00000027:00000ac0:0001","event_serial_no":1,"command_id":3,"operation":4,"same":1,"instances":[5]}}}`,
		`{"databases":{"crm":{"commit_lsn":"NULL"},"ems":null}}`, `{"databases":{"a":{}},"snapshot":{"table":"a.b.c","after":["AQ=="]}}`, `{"databases":{}}`, `{"databases":{"a":{"commit_lsn":"1:2:3"}}}`, `null`, ``,
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
		if twice, err := back.append(nil); err != nil || string(twice) != string(once) {
			t.Errorf("%s becomes %s: %v", once, twice, err)
		}
		for name := range p.Databases {
			back.past(logTime{database: name})
			if back.Databases[name].partial() != p.Databases[name].partial() {
				t.Errorf("%s: the transaction of %s is done in one", once, name)
			}
		}
	})
}
