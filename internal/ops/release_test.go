package ops

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestReleaseProgram: less of the program's file is in memory afterwards, and the
// program goes on.
func TestReleaseProgram(t *testing.T) {
	before := programMemory(t)
	if err := ReleaseProgram(); err != nil {
		t.Fatal(err)
	}
	after := programMemory(t)
	t.Logf("%d kB, then %d kB", before, after)
	if after >= before {
		t.Errorf("%d kB of files are in memory, before it were %d", after, before)
	}
}

func programMemory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the system does not tell")
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
