package pipeline

import (
	"testing"
	"time"
	"tributary/internal/tickit"
)

func TestCanonicalSpellings(t *testing.T) {
	for _, c := range []struct {
		typ  string
		same []string
	}{
		{tickit.Boolean, []string{"1", "t", "true"}},
		{tickit.Boolean, []string{"0", "f", "false"}},
		{tickit.Timestamp, []string{"2008-01-02 03:04:05", "2008-01-02 03:04:05+00", "2008-01-02T03:04:05Z", "2008-01-02 03:04:05.000000"}},
		{tickit.Zoned, []string{"2008-01-02 03:04:05", "2008-01-02T03:04:05Z"}},
		{"DATE", []string{"2008-01-02"}},
		{tickit.Boolean, []string{null}},
	} {
		want := appendCanonical(nil, c.typ, []byte(c.same[0]))
		for _, v := range c.same {
			if got := appendCanonical(nil, c.typ, []byte(v)); string(got) != string(want) {
				t.Errorf("%s %q: got %q, want %q", c.typ, v, got, want)
			}
		}
	}
}

func TestDifferentValuesStayDifferent(t *testing.T) {
	for _, c := range []struct{ typ, a, b string }{
		{tickit.Boolean, "t", "f"},
		{tickit.Boolean, null, "0"},
		{tickit.Timestamp, "2008-01-02 03:04:05", "2008-01-02 03:04:05.5"},
		{tickit.Timestamp, "2008-01-02 03:04:05+00", "2008-01-02 03:04:05+01"},
		{"VARCHAR(9)", "", null},
		{"VARCHAR(9)", "a ", "a"},
		{"DECIMAL(8,2)", "1.10", "1.1"},
	} {
		a, b := appendCanonical(nil, c.typ, []byte(c.a)), appendCanonical(nil, c.typ, []byte(c.b))
		if string(a) == string(b) {
			t.Errorf("%s: %q and %q are the same", c.typ, c.a, c.b)
		}
	}
}

func TestSumKnowsRowsButNotTheirOrder(t *testing.T) {
	sum := func(rows ...string) (s Sum) {
		for _, r := range rows {
			s.Add([]byte(r))
		}
		return s
	}
	if sum("a", "b", "c") != sum("c", "a", "b") {
		t.Error("the order counts")
	}
	for _, other := range []Sum{sum("a", "b"), sum("a", "b", "b"), sum("a", "b", "d"), sum("ab", "c", "")} {
		if sum("a", "b", "c") == other {
			t.Errorf("the same as %v", other)
		}
	}
}

func TestDecimal(t *testing.T) {
	for want, b := range map[string][]byte{"0.00": {0}, "1.27": {0x7f}, "-1.28": {0x80}, "4836.00": {0x07, 0x61, 0x10}, "-0.01": {0xff}} {
		if got := decimal(b, 2); got != want {
			t.Errorf("%x: got %s, want %s", b, got, want)
		}
	}
}

func TestMiddle(t *testing.T) {
	p50, most := Middle([]time.Duration{5, 1, 4, 2})
	if p50 != 2 || most != 5 {
		t.Errorf("got %d and %d", p50, most)
	}
}
