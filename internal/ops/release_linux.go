package ops

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ReleaseProgram gives back the pages of the program's own file that are in
// memory: those that its start needed and nothing needs any more. Those that are
// needed come back one by one, from the system's cache. It is to be called once,
// when the work begins.
//
// Only mappings that are as the file has them are given back.
func ReleaseProgram() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program's file: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("read the program's mappings: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	var from, to uintptr             // of the mapping at hand, if it is of the file and never written to
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if copied, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			if from != 0 && strings.TrimSpace(copied) == "0 kB" {
				if err := madvise(from, to); err != nil {
					return fmt.Errorf("give the program's pages back: %w", err)
				}
			}
			from = 0
			continue
		}
		// 00400000-01957000 r-xp 00000000 fe:00 10855556   /path
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "r-xp" && f[1] != "r--p" || !strings.HasSuffix(line, " "+self) {
			continue
		}
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
			from = 0
		}
	}
	return lines.Err()
}

func madvise(from, to uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	if errno != 0 {
		return errno
	}
	return nil
}
