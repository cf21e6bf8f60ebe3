//go:build !linux

package lake

import "errors"

// indexFile keeps a key index on a local disk, on systems where that is done.
type indexFile struct{}

func openIndexFile(string, string) (*indexFile, error) {
	return nil, errors.New("the key index stays in memory on this system")
}

func (f *indexFile) load() ([]uint64, int, []BaseFile, bool)    { return nil, 0, nil, false }
func (f *indexFile) grow(int, func([]uint64)) ([]uint64, error) { return nil, errors.ErrUnsupported }
func (f *indexFile) begin()                                     {}
func (f *indexFile) commit(int, []BaseFile) error               { return nil }
func (f *indexFile) relax()                                     {}
func (f *indexFile) close()                                     {}
