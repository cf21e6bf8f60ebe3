package lake

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// indexFile keeps a key index on a local disk, mapped into memory, so that a
// process need not read every key of a table before its first commit. It is a
// cache: whatever is odd about it makes it be built anew. Changes to the slots
// are bracketed by a mark, so that a process that dies between leaves a file
// that is seen to be of no use; a machine that goes down may lose any of it, so
// that a file counts only until the next boot.
//
// The file is a page of header, then the slots. Beside it lie a list of the
// file groups by number, and a lock.
type indexFile struct {
	path string
	lock *os.File
	file *os.File
	mem  []byte
}

const (
	indexMagic  = "tribidx1"
	indexHeader = 4096
)

// The header's numbers, by offset.
const (
	indexDirty = 8
	indexUsed  = 16
	indexBoot  = 32
)

// openIndexFile opens or makes the index of the table named id in dir. It fails
// when another process has it.
func openIndexFile(dir, id string) (*indexFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make index folder: %w", err)
	}
	sum := sha256.Sum256([]byte(id))
	f := &indexFile{path: filepath.Join(dir, hex.EncodeToString(sum[:16]))}
	var err error
	if f.lock, err = os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("open index lock: %w", err)
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock index: %w", err), f.lock.Close())
	}
	return f, nil
}

// load maps the file and returns its slots, the number used and the groups; ok
// is false when it is of no use.
func (f *indexFile) load() (slots []uint64, used int, groups []BaseFile, ok bool) {
	text, err := os.ReadFile(f.path + ".groups")
	if err != nil || json.Unmarshal(text, &groups) != nil {
		return nil, 0, nil, false
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, nil, false
	}
	info, err := file.Stat()
	if err != nil || info.Size() <= indexHeader || f.attach(file, int(info.Size())) != nil {
		file.Close()
		return nil, 0, nil, false
	}
	slots = f.slots()
	used = int(binary.LittleEndian.Uint64(f.mem[indexUsed:]))
	boot := bootID()
	good := string(f.mem[:len(indexMagic)]) == indexMagic && binary.LittleEndian.Uint64(f.mem[indexDirty:]) == 0 &&
		len(slots)&(len(slots)-1) == 0 && used <= len(slots)*3/4+1 &&
		boot != "-" && string(f.mem[indexBoot:indexBoot+len(boot)]) == boot
	if !good {
		f.detach()
		return nil, 0, nil, false
	}
	return slots, used, groups, true
}

func (f *indexFile) attach(file *os.File, size int) error {
	mem, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map index: %w", err)
	}
	f.detach()
	f.file, f.mem = file, mem
	return nil
}

func (f *indexFile) detach() {
	if f.mem != nil {
		_ = syscall.Munmap(f.mem)
		_ = f.file.Close()
	}
	f.file, f.mem = nil, nil
}

// slots returns the slots behind the header; a mapping begins at a page, so that
// they are aligned.
func (f *indexFile) slots() []uint64 {
	body := f.mem[indexHeader:]
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(body))), len(body)/8)
}

// grow makes a new file of n free slots, marked as being changed, in place of
// the one that is there. keep is called with the new slots before the old go.
func (f *indexFile) grow(n int, keep func([]uint64)) ([]uint64, error) {
	size := indexHeader + 8*n
	file, err := os.OpenFile(f.path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make index: %w", err)
	}
	fail := func(err error) ([]uint64, error) {
		return nil, errors.Join(fmt.Errorf("make index: %w", err), file.Close(), os.Remove(f.path+".new"))
	}
	// A full disk is to fail here, not as a fault of memory.
	if err := syscall.Fallocate(int(file.Fd()), 0, 0, int64(size)); err != nil {
		return fail(err)
	}
	next := &indexFile{path: f.path}
	if err := next.attach(file, size); err != nil {
		return fail(err)
	}
	copy(next.mem, indexMagic)
	copy(next.mem[indexBoot:], bootID())
	binary.LittleEndian.PutUint64(next.mem[indexDirty:], 1)
	if keep != nil {
		keep(next.slots())
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		next.detach()
		return nil, errors.Join(fmt.Errorf("make index: %w", err), os.Remove(f.path+".new"))
	}
	f.detach()
	f.file, f.mem = next.file, next.mem
	return f.slots(), nil
}

// begin marks the slots as being changed.
func (f *indexFile) begin() {
	if f.mem != nil {
		binary.LittleEndian.PutUint64(f.mem[indexDirty:], 1)
	}
}

// commit records the groups that the slots now speak of, and ends the mark.
func (f *indexFile) commit(used int, groups []BaseFile) error {
	if f.mem == nil {
		return nil
	}
	text, err := json.Marshal(groups)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := os.WriteFile(f.path+".groups.new", text, 0o600); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := os.Rename(f.path+".groups.new", f.path+".groups"); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	binary.LittleEndian.PutUint64(f.mem[indexUsed:], uint64(used))
	binary.LittleEndian.PutUint64(f.mem[indexDirty:], 0)
	return nil
}

// relax gives the mapped pages of a large file back to the system, which keeps
// them as long as it has room: the table's size shall not be the process's.
func (f *indexFile) relax() {
	if len(f.mem) > indexResident {
		_ = syscall.Madvise(f.mem, syscall.MADV_DONTNEED)
	}
}

func (f *indexFile) close() {
	f.detach()
	_ = f.lock.Close() // and with it the lock
}
