package sqlserver

import (
	"fmt"
	"testing"

	"tributary/capture/snapshot"
	"tributary/internal/mssqltest"
)

// TestBlockedBehindIterations has a blocking snapshot be asked for while the stream is
// many iterations behind: all of them come before its rows, what is captured later comes
// after these, each once, in lives of all lengths.
func TestBlockedBehindIterations(t *testing.T) {
	for batches := 1; batches < 4; batches++ {
		t.Run(fmt.Sprint(batches), func(t *testing.T) {
			srv, db := tracked(t, mssqltest.Options{})
			l := born(t, srv, db, map[string]string{"max.iteration.transactions": "2", "max.batch.size": "3", "snapshot.fetch.size": "4"})
			want := numbered(t, db, 0, 15)
			s := open(t, l.o, l.pos)
			pos, err := s.Block(l.pos, snapshot.Progress{Only: []snapshot.Part{{Table: "crm.dbo.t"}}, Waits: true})
			check(t, err, s.Close())
			l.pos = pos
			want = append(want, "r crm.t -1,-1")
			for i := range 15 {
				want = append(want, fmt.Sprintf("r crm.t %d,%d", i, i))
			}
			for n := 0; len(l.got) < len(want) && n < 100; n++ {
				l.live(batches, len(want))
			}
			for i := range 5 { // of rows that the snapshot has passed
				exec(t, db, fmt.Sprintf("UPDATE dbo.t SET v = 100 WHERE id = %d", i))
				want = append(want, fmt.Sprintf("u crm.t %d,%d %d,100", i, i, i))
			}
			for n := 0; len(l.got) < len(want) && n < 100; n++ {
				l.live(batches, len(want))
			}
			if len(l.errors) > 0 {
				t.Error(l.errors)
			}
			l.want(want)
		})
	}
}
