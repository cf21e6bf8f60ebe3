package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// decision is the file that holds how the transaction ends that is being
// ended: written before the broker marks the first partition, blanked when the
// next records arrive. Requests are served one after another, so one slot is
// enough: if it names a producer, whatever of that producer is open belongs to
// the transaction decided upon.
//
// Layout, big-endian: 8 bytes producer id, 1 byte (1 = commit, 0 = abort),
// 4 bytes CRC-32 of the 9 before. All zero: no decision.
type decision struct {
	file *os.File
	set  bool
}

const decisionSize = 13

func openDecision(dir string) (*decision, error) {
	f, err := os.OpenFile(filepath.Join(dir, "tributary.decision"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the broker's decision file: %w", err)
	}
	d := &decision{file: f, set: true}
	return d, d.clear()
}

// watch has the decision follow the requests that cluster serves.
func (d *decision) watch(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		q := r.(*kmsg.EndTxnRequest)
		// An error closes the client's connection: nothing was decided.
		err := d.put(q.ProducerID, q.Commit)
		return nil, err, err != nil
	})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		err := d.clear()
		return nil, err, err != nil
	})
}

func (d *decision) put(producer int64, commit bool) error {
	buf := binary.BigEndian.AppendUint64(nil, uint64(producer))
	buf = append(buf, 0)
	if commit {
		buf[8] = 1
	}
	buf = binary.BigEndian.AppendUint32(buf, crc32.ChecksumIEEE(buf))
	d.set = true
	_, err := d.file.WriteAt(buf, 0)
	return err
}

func (d *decision) clear() error {
	if !d.set {
		return nil
	}
	_, err := d.file.WriteAt(make([]byte, decisionSize), 0)
	d.set = err != nil
	return err
}

// readDecision returns the decision that a kill left, if there is one.
func readDecision(dir string) (producer int64, commit, ok bool, err error) {
	f, err := os.Open(filepath.Join(dir, "tributary.decision"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, false, nil
	}
	if err != nil {
		return 0, false, false, err
	}
	defer f.Close()
	buf := make([]byte, decisionSize)
	if _, err := io.ReadFull(f, buf); err != nil {
		// Shorter: it was never written whole.
		return 0, false, false, nil
	}
	if crc32.ChecksumIEEE(buf[:9]) != binary.BigEndian.Uint32(buf[9:]) {
		return 0, false, false, nil
	}
	return int64(binary.BigEndian.Uint64(buf)), buf[8] == 1, true, nil
}
