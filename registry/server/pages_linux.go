package server

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// The file is mapped into memory, and what of it is mapped counts as the
// process's: reading everything once would make it as large as the file. So
// that containers need no more than the registry itself does, pages are given
// back when they get many. They stay in the kernel's cache as long as it has
// room, so reading them again costs a fault and no disk access.

// maxResident is how many bytes may be resident before pages are given back.
const maxResident = 64 << 20

// trimEvery is how often that is looked at.
const trimEvery = 500 * time.Millisecond

// trim gives pages back until ctx ends.
func (s *store) trim(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if resident() > maxResident {
			if err := s.giveBack(); err != nil {
				return err
			}
		}
	}
}

// resident is the process's resident memory, bytes; 0 if it is not known.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// giveBack unmaps the file's pages. A read transaction keeps the mapping where
// it is meanwhile; other readers just fault the pages in again.
func (s *store) giveBack() error {
	return s.view(func(t tx) error {
		at := s.db.Info().Data
		if at == 0 || t.Size() == 0 {
			return nil
		}
		// The mapping is bbolt's, which says where it is as a number.
		data := unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), t.Size())
		return syscall.Madvise(data, syscall.MADV_DONTNEED)
	})
}
