package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

func openTable(t *testing.T, store blob.Store, opt Options) *Table {
	t.Helper()
	tab, err := Open(t.Context(), store, "silver/shop/sale", opt)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func readLock(t *testing.T, store blob.Store) lockBody {
	t.Helper()
	b, err := readObject(t.Context(), store, "silver/shop/sale/"+lockFile)
	if err != nil {
		t.Fatal(err)
	}
	var body lockBody
	if err := json.Unmarshal(b, &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func TestSecondWriterFailsLoudly(t *testing.T) {
	clk, mem := newClock(), new(blob.Mem)
	first := create(t, mem, saleConfig(), Options{Now: clk.now})
	upsert(t, first, nil, manyRows(1, 3, 0)...)
	second := openTable(t, mem, Options{Now: clk.now})
	err := second.Lock(t.Context())
	if !errors.Is(err, ErrLocked) || !fault.NeedsHuman(err) {
		t.Fatalf("second lock: %v", err)
	}
	if _, err := second.Upsert(t.Context(), rowsOf(manyRows(4, 5, 9)...), nil); !errors.Is(err, ErrLocked) {
		t.Fatalf("second upsert: %v", err)
	}
	upsert(t, first, nil, manyRows(4, 4, 9)...)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := readLock(t, mem); !b.Expired {
		t.Errorf("the lease is not given back: %+v", b)
	}
	upsert(t, second, nil, manyRows(5, 5, 20)...)
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLeaseExpires(t *testing.T) {
	clk, mem := newClock(), new(blob.Mem)
	first := create(t, mem, saleConfig(), Options{Now: clk.now, LockValidity: time.Minute})
	upsert(t, first, nil, manyRows(1, 3, 0)...)

	// Idle, but renewing.
	for range 10 {
		clk.at = clk.at.Add(20 * time.Second)
		if err := first.KeepLock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	second := openTable(t, mem, Options{Now: clk.now})
	if err := second.Lock(t.Context()); !errors.Is(err, ErrLocked) {
		t.Fatalf("lock beside a renewed lease: %v", err)
	}

	// Idle past the end: nobody took it, so it is still there to be renewed.
	clk.at = clk.at.Add(5 * time.Minute)
	upsert(t, first, nil, manyRows(4, 4, 9)...)

	// Idle past the end, and taken.
	clk.at = clk.at.Add(5 * time.Minute)
	upsert(t, second, nil, manyRows(5, 5, 20)...)
	if _, err := first.Upsert(t.Context(), rowsOf(manyRows(6, 6, 30)...), nil); !errors.Is(err, ErrLockLost) || !fault.NeedsHuman(err) {
		t.Fatalf("upsert without the lease: %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Errorf("close without the lease: %v", err)
	}
	if b := readLock(t, mem); b.Expired {
		t.Error("closing without the lease gave the other's back")
	}
	if got := len(dump(t, second, "")); got != 5 {
		t.Errorf("%d rows, want 5", got)
	}
	second.Close(t.Context())
}

// TestZombieCannotCommit freezes a writer at each of its operations for longer
// than its lease. Another writer takes over and commits. What the first does
// when it wakes must not change the table.
func TestZombieCannotCommit(t *testing.T) {
	t.Parallel()
	run := func(freezeAt int) (operations int, frozen string, zombieErr error) {
		dir, err := blob.NewDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		setup := create(t, dir, saleConfig(), Options{})
		upsert(t, setup, nil, manyRows(1, 5, 0)...)
		if err := setup.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		const validity = 150 * time.Millisecond
		f := blob.NewFault(dir)
		zombie := openTable(t, f, Options{LockValidity: validity})
		if err := zombie.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		f.StopAfter(1<<30, false)
		f.Before(func(op int, key string) {
			if op != freezeAt {
				return
			}
			once.Do(func() {
				frozen = key
				time.Sleep(validity + lockGrace + 50*time.Millisecond)
				other := openTable(t, dir, Options{})
				upsert(t, other, nil, row{id: 1, qty: 500, seq: 500})
				if err := other.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
		_, zombieErr = zombie.Upsert(t.Context(), rowsOf(row{id: 1, qty: 400, seq: 400}, row{id: 2, qty: 400, seq: 401}), nil)
		operations = f.Done()
		if freezeAt >= 0 && freezeAt < operations {
			tab := openTable(t, dir, Options{})
			got := strings.Join(dump(t, tab, ""), "\n")
			if !strings.Contains(got, "1|500|") {
				t.Errorf("frozen at %d: the other writer's row is gone:\n%s", freezeAt, got)
			}
			if zombieErr != nil && strings.Contains(got, "|400|") {
				t.Errorf("frozen at %d: the commit failed (%v) and is there", freezeAt, zombieErr)
			}
			// The next writer finds nothing that it cannot heal.
			if err := tab.Lock(t.Context()); err != nil {
				t.Errorf("frozen at %d: next lock: %v", freezeAt, err)
			}
			nothingLeft(t, fmt.Sprint("frozen at ", freezeAt), dir, tab)
			tab.Close(t.Context())
		}
		return operations, frozen, zombieErr
	}
	total, _, err := run(-1)
	if err != nil || total < 6 {
		t.Fatalf("without a freeze: %d operations, %v", total, err)
	}
	refused := 0
	for k := range total {
		// A slow machine makes the lease be renewed at any place, so that the number
		// of the commit's operation is not always the same.
		_, frozen, err := run(k)
		if err != nil {
			refused++
		} else if strings.HasSuffix(frozen, ".commit") {
			t.Errorf("frozen at %d of %d, the commit itself: it was published all the same", k, total)
		}
	}
	if refused < 3 {
		t.Errorf("only %d of %d frozen writers were refused", refused, total)
	}
}

func TestLockOfAProcessThatIsGoneIsTakenAtOnce(t *testing.T) {
	clk, mem := newClock(), new(blob.Mem)
	tab := create(t, mem, saleConfig(), Options{Now: clk.now})
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	me := processOwner()
	f := strings.Fields(me)
	if len(f) != 6 || f[1] == "-" || f[2] == "-" || f[4] == "-" {
		t.Fatalf("owner %q", me)
	}
	f[3], f[4] = fmt.Sprint(cmd.Process.Pid), startTime(cmd.Process.Pid)
	body, err := json.Marshal(lockBody{ValidUntil: clk.at.Add(time.Hour).UnixMilli(), Owner: strings.Join(f, " ")})
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.putNew(t.Context(), lockFile, body); err != nil {
		t.Fatal(err)
	}
	if err := tab.Lock(t.Context()); !errors.Is(err, ErrLocked) {
		t.Errorf("lock beside a live process: %v", err)
	}
	if err := cmd.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := tab.Lock(t.Context()); err != nil {
		t.Errorf("lock after the process has gone: %v", err)
	}
}

func TestOwnerOfAnotherMachineIsNotGone(t *testing.T) {
	me := strings.Fields(processOwner())
	for _, o := range []string{
		"", "c8a7b1de-0000-4000-8000-000000000000", "tributary a b 1 2 3",
		strings.Join(append([]string{me[0], "other-boot"}, me[2:]...), " "),
		strings.Join(append([]string{me[0], me[1], "pid:[1]"}, me[3:]...), " "),
		strings.Join(me, " "),
	} {
		if ownerIsGone(o) {
			t.Errorf("owner %q is taken for gone", o)
		}
	}
}

// lateStore is a store that carries out the put of a commit late.
type lateStore struct {
	blob.Store
	late func()
	err  error // that the writer gets at once, instead of waiting
	put  func()
}

func (s *lateStore) Put(ctx context.Context, key string, r io.Reader, size int64, cond blob.Cond) (blob.ETag, error) {
	if !strings.HasSuffix(key, ".commit") || s.late == nil {
		return s.Store.Put(ctx, key, r, size, cond)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	late := s.late
	s.late = nil
	put := func() (blob.ETag, error) {
		late()
		return s.Store.Put(context.Background(), key, bytes.NewReader(b), size, cond)
	}
	if s.err != nil {
		s.put = func() { _, _ = put() }
		return "", s.err
	}
	return put()
}

// TestLateCommitDoesNotCount has the put of a commit land after another writer has
// taken the lease and rolled the write back: while its own writer waits for it, and
// after that has given up.
func TestLateCommitDoesNotCount(t *testing.T) {
	for _, waits := range []bool{true, false} {
		for _, writes := range []bool{true, false} {
			t.Run(fmt.Sprintf("waits=%v,other writes=%v", waits, writes), func(t *testing.T) {
				clk, mem := newClock(), new(blob.Mem)
				setup := create(t, mem, saleConfig(), Options{Now: clk.now})
				upsert(t, setup, map[string]string{"cursor": "1"}, manyRows(1, 5, 0)...)
				must(t, setup.Close(t.Context()))
				want := dump(t, setup, "")
				store := &lateStore{Store: mem}
				if !waits {
					store.err = fmt.Errorf("put: %w", context.DeadlineExceeded)
				}
				store.late = func() {
					clk.at = clk.at.Add(5 * time.Minute)
					other := openTable(t, mem, Options{Now: clk.now})
					must(t, other.Lock(t.Context()))
					if writes {
						upsert(t, other, map[string]string{"cursor": "3"}, row{id: 1, qty: 500, seq: 500})
					}
					want = dump(t, other, "")
					must(t, other.Close(t.Context()))
				}
				zombie := openTable(t, store, Options{Now: clk.now, LockValidity: time.Minute})
				_, err := zombie.Upsert(t.Context(), rowsOf(row{id: 2, qty: 400, seq: 400}), map[string]string{"cursor": "2"})
				if !errors.Is(err, ErrLockLost) {
					t.Errorf("the late commit: %v", err)
				}
				if !waits {
					store.put()
				}
				left := countFiles(t, mem, ".commit")
				reader := openTable(t, mem, Options{Now: clk.now})
				wantLines(t, "afterwards", dump(t, reader, ""), want...)
				cursor, _, _, err := reader.Extra(t.Context(), "cursor")
				must(t, err)
				commits := 1
				if writes {
					commits = 2
				}
				if want := map[bool]string{true: "3", false: "1"}[writes]; cursor != want || len(reader.Timeline().Completed()) != commits {
					t.Errorf("cursor %s of %v, want %s", cursor, reader.Timeline().Completed(), want)
				}
				if waits && left != commits {
					t.Errorf("%d commits are left", left)
				}
				must(t, reader.Lock(t.Context()))
				nothingLeft(t, "healed", mem, reader)
				if left = countFiles(t, mem, ".commit"); left != commits {
					t.Errorf("%d commits after the healing", left)
				}
				wantLines(t, "healed", dump(t, reader, ""), want...)
				must(t, reader.Close(t.Context()))
			})
		}
	}
}

// TestCommitDuringItsRollback has the put of a commit land while another writer's
// rollback of it is under way, and that writer die there, after each of its steps:
// from the rollback's plan on no reader sees it.
func TestCommitDuringItsRollback(t *testing.T) {
	covered := 0
	for k := 0; ; k++ {
		clk, mem := newClock(), new(blob.Mem)
		setup := create(t, mem, saleConfig(), Options{Now: clk.now})
		upsert(t, setup, map[string]string{"cursor": "1"}, manyRows(1, 5, 0)...)
		must(t, setup.Close(t.Context()))
		want := dump(t, setup, "")
		store := &lateStore{Store: mem, err: fmt.Errorf("put: %w", context.DeadlineExceeded)}
		dying := blob.NewFault(mem)
		over := false
		store.late = func() {
			clk.at = clk.at.Add(5 * time.Minute)
			other := openTable(t, dying, Options{Now: clk.now})
			dying.StopAfter(k, false)
			over = other.Lock(t.Context()) == nil
		}
		zombie := openTable(t, store, Options{Now: clk.now, LockValidity: time.Minute})
		if _, err := zombie.Upsert(t.Context(), rowsOf(row{id: 2, qty: 400, seq: 400}), map[string]string{"cursor": "2"}); err == nil {
			t.Fatal("the commit was to be put late")
		}
		store.put()
		reader := openTable(t, mem, Options{Now: clk.now})
		if countFiles(t, mem, ".rollback.requested") > 0 {
			covered++
			wantLines(t, fmt.Sprintf("after %d steps", k), dump(t, reader, ""), want...)
			if cursor, _, _, err := reader.Extra(t.Context(), "cursor"); err != nil || cursor != "1" {
				t.Errorf("after %d steps: cursor %s, %v", k, cursor, err)
			}
			clk.at = clk.at.Add(5 * time.Minute)
			must(t, reader.Lock(t.Context()))
			nothingLeft(t, "healed", mem, reader)
			wantLines(t, "healed", dump(t, reader, ""), want...)
			must(t, reader.Close(t.Context()))
		}
		if over {
			break
		}
	}
	if covered < 5 {
		t.Errorf("the rollback has %d steps", covered)
	}
}

// TestPlanOfARollbackThatCannotBeRead leaves the plan of a rollback half written:
// readers go on, the next writer says what to do.
func TestPlanOfARollbackThatCannotBeRead(t *testing.T) {
	clk, mem := newClock(), new(blob.Mem)
	tab := create(t, mem, saleConfig(), Options{Now: clk.now})
	upsert(t, tab, nil, manyRows(1, 5, 0)...)
	must(t, tab.Close(t.Context()))
	want := dump(t, tab, "")
	at := FormatInstant(clk.now())
	putObject(t, mem, join(tab.Base(), ".hoodie/"+at+".rollback.requested"), []byte("Obj\x01\x04"))
	reader := openTable(t, mem, Options{Now: clk.now})
	wantLines(t, "rows", dump(t, reader, ""), want...)
	if err := reader.Lock(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), at+".rollback.requested") {
		t.Errorf("a writer: %v", err)
	}
}
