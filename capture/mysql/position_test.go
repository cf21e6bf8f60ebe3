package mysql

import (
	"testing"

	"tributary/internal/fault"
)

// FuzzPosition reads stored positions: one that is taken is the same when it is
// written and read again; one that is not needs a human. So for the sets of GTIDs
// of both servers.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		`{"file":"binlog.000001","pos":4}`, `{"file":"b.2","pos":157,"gtids":"6c5f7a8e-0d39-11ef-8f2e-0242ac110002:1-5:7,6c5f7a8e-0d39-11ef-8f2e-0242ac110003:tag:1","event":1,"row":2,"gtid":"x","done":3,"server":"s","epoch":1}`,
		`{"file":"b.2","pos":157,"gtids":"0-1-15,2-3-4"}`, `{"file":"b.2","pos":157,"prepared":{"file":"b.1","pos":4},"snapshot":{"table":"a.b","after":["AQ=="]}}`, `{"file":"","pos":4}`, `{"file":"b.1","pos":3}`, `{"file":"b.1","pos":5,"other":1}`, `null`, ``,
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
		once := p.encode()
		back, err := parsePosition(once)
		if err != nil {
			t.Fatalf("%s becomes %s: %v", text, once, err)
		}
		if twice := back.encode(); string(twice) != string(once) {
			t.Errorf("%s becomes %s", once, twice)
		}
		back.before(&p)
		back.start()
		if p.GTIDs == nil {
			return
		}
		for _, maria := range []bool{false, true} {
			set, err := parseGTIDs(maria, *p.GTIDs)
			if err != nil {
				continue
			}
			again, err := parseGTIDs(maria, set.String())
			if err != nil || again.String() != set.String() || !maria && !again.holds(&set) {
				t.Errorf("set %q becomes %q: %v", *p.GTIDs, set.String(), err)
			}
		}
	})
}
