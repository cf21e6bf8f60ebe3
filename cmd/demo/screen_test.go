package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 424319: "424,319", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	got := table([]string{"name", "rows>"}, [][]string{{"ä", "1"}, {"longer", "10,000"}})
	want := "name      rows\n──────  ──────\nä            1\nlonger  10,000\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOutputToAFileHasNoControlCharacters(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.progress("50 %%")
	s.title("Title")
	s.block("a\nb\n")
	if diff := cmp.Diff("\nTitle\n    a\n    b\n", out.String()); diff != "" {
		t.Error(diff)
	}
}
