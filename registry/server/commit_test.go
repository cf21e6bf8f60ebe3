package server

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What one change does wrong does not concern those that share its
// transaction.
func TestChangesShareTransactionsButNotFaults(t *testing.T) {
	s, err := openStore(filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	before := s.db.Stats()
	const n = 400
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = s.update(func(t tx) error {
				switch i % 4 {
				case 1:
					return groupNotFound("none")
				case 2:
					if err := t.Bucket(bSettings).Put([]byte(fmt.Sprint(i)), []byte("half done")); err != nil {
						return err
					}
					return errors.New("disk of the change is full")
				case 3:
					if i%8 == 3 {
						panic("in a change")
					}
				}
				return t.Bucket(bSettings).Put([]byte(fmt.Sprint(i)), []byte("x"))
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		stored := ""
		if e := s.view(func(t tx) error { stored = t.setting(fmt.Sprint(i)); return nil }); e != nil {
			t.Fatal(e)
		}
		want, text := "x", ""
		switch {
		case i%4 == 1:
			want, text = "", "No group"
		case i%4 == 2:
			want, text = "", "is full"
		case i%8 == 3:
			want, text = "", "panicked"
		}
		if stored != want || (text == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("change %d: stored %q, error %v", i, stored, err)
		}
	}
	after := s.db.Stats()
	t.Logf("%d changes, %d transactions written", n, after.TxStats.GetWrite()-before.TxStats.GetWrite())
}
