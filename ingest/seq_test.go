package ingest

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestSeqForms(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string(appendLSNSeq(nil, 0x26215f8, 17)), "00000000026215f8-000000000011"},
		{string(appendLSNSeq(nil, -1, 0)), "ffffffffffffffff-000000000000"},
		{string(appendBinlogSeq(nil, []byte("bin.000009"), 2996, 2, 255)), "00000009-000000000bb4-000002-0000000000ff"},
		{string(appendBinlogSeq(nil, nil, -5, 1<<30, 1<<50)), "00000000-000000000000-ffffff-ffffffffffff"},
		{
			string(appendChangeSeq(nil, []byte("00000025:00000D98:0002"), []byte("00000025:00000d98:0001"), 2, 255)),
			"0000002500000d980002-0000002500000d980001-000002-0000000000ff",
		},
		{
			string(appendChangeSeq(nil, []byte("ffffffff:ffffffff:ffff"), nil, 0, 0)), "ffffffffffffffffffff-" + lastLSN + "-000000-000000000000",
		},
		{string(appendChangeSeq(nil, []byte("NULL"), []byte("00000025:00000d98:00"), 0, 7)), noLSN + "-" + lastLSN + "-000000-000000000007"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestBinlogNumber(t *testing.T) {
	for name, want := range map[string]int64{
		"bin.000009": 9, "mysql-bin.1000000": 1000000, "bin": 0, "": 0, "x.4294967295": 4294967295, "bin7.12": 12,
		"bin.000009@0": 9, "bin.000009@1": 1<<24 + 9, "bin.1@300": 255<<24 + 1, "bin.99999999@2": 2<<24 + 1<<24 - 1,
	} {
		if got := binlogNumber([]byte(name)); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

// Text order must be the order of the numbers, part by part.
func TestSeqSortsAsItsSource(t *testing.T) {
	type pos struct{ file, pos, row, kafka int64 }
	gen := rapid.Custom(func(t *rapid.T) pos {
		return pos{
			rapid.Int64Range(0, 1<<32-1).Draw(t, "file"), rapid.Int64Range(0, 1<<48-1).Draw(t, "pos"),
			rapid.Int64Range(0, 1<<24-1).Draw(t, "row"), rapid.Int64Range(0, 1<<48-1).Draw(t, "kafka"),
		}
	})
	less := func(a, b pos) bool {
		switch {
		case a.file != b.file:
			return a.file < b.file
		case a.pos != b.pos:
			return a.pos < b.pos
		case a.row != b.row:
			return a.row < b.row
		}
		return a.kafka < b.kafka
	}
	text := func(p pos) string {
		name := strconv.AppendInt([]byte("bin."), p.file, 10)
		return string(appendBinlogSeq(nil, name, p.pos, p.row, p.kafka))
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if rapid.Bool().Draw(t, "same file") {
			b.file = a.file
		}
		if rapid.Bool().Draw(t, "same pos") {
			b.pos = a.pos
		}
		if less(a, b) != (text(a) < text(b)) {
			t.Fatalf("%+v is %s, %+v is %s", a, text(a), b, text(b))
		}
		if la, lb := string(appendLSNSeq(nil, a.pos, a.kafka)), string(appendLSNSeq(nil, b.pos, b.kafka)); a.pos != b.pos && (la < lb) != (a.pos < b.pos) {
			t.Fatalf("lsn %d is %s, %d is %s", a.pos, la, b.pos, lb)
		}
	})
}
