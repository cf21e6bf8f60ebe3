package mysql

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"tributary/capture/mysql/binlog"
)

// dump is a connection on which the server sends its log. Events are taken as
// they come: none is held as a whole that can be large without being one row.
type dump struct {
	conn *conn
	taker
	buf   []byte            // the packet in work
	sums  bool              // events end with a checksum, of checksumSize bytes
	piped *pipedTransaction // the event in work, if it is taken while it comes
}

// taker is told of events, with what they are of in the order of the log; what
// it gets is valid during the call only. A compressed transaction comes as a
// reader when it is large.
type taker interface {
	take(h *binlog.Header, body []byte) error
	takeCompressed(h *binlog.Header, body io.Reader) error
}

// The protocol's commands.
const (
	comBinlogDump     = 0x12
	comBinlogDumpGTID = 0x1e

	dumpNonBlock = 1 // end where the log ends
	dumpAnnotate = 2 // MariaDB: statements too
)

// largeEvent is above what a compressed transaction is held in memory, and kept
// buffers may take.
const largeEvent = 1 << 20

// openDump connects and has the server know how we read. patience is how long
// nothing may come, 0 = for ever.
func openDump(ctx context.Context, cfg *settings, maria bool, beat time.Duration) (*dump, error) {
	c, err := dialFor(ctx, cfg, 3*beat+10*time.Second)
	if err != nil {
		return nil, err
	}
	var id [16]byte // none that the server could take for a replica that it knows
	_, _ = rand.Read(id[:])
	settings := []string{
		"SET @master_binlog_checksum = 'NONE', @source_binlog_checksum = 'NONE'", // we know of checksums, and need none in the first event
		fmt.Sprintf("SET @slave_uuid = '%s', @replica_uuid = '%[1]s'", uuid(id)),
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %[1]d", beat.Nanoseconds()),
	}
	if maria { // it takes GTIDs and the events that go with them
		settings = append(settings, "SET @mariadb_slave_capability = 4")
	}
	for _, q := range settings {
		if err := c.exec(ctx, q); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return &dump{conn: c}, nil
}

// fromFile asks for the log from an offset of a file on.
func (d *dump) fromFile(file string, pos uint64, server uint32, flags uint16) error {
	p := append(make([]byte, 4), comBinlogDump)
	p = binary.LittleEndian.AppendUint32(p, uint32(pos)) //nolint:gosec // the protocol has no more
	p = binary.LittleEndian.AppendUint16(p, flags)
	p = binary.LittleEndian.AppendUint32(p, server)
	return d.ask(append(p, file...))
}

// fromGTIDs asks for what is in the log but not in a set.
func (d *dump) fromGTIDs(ctx context.Context, set *gtidSet, server uint32) error {
	if set.maria != nil {
		for _, q := range []string{"SET @slave_connect_state = " + quote(set.String()), "SET @slave_gtid_strict_mode = 1"} {
			if err := d.conn.exec(ctx, q); err != nil {
				return err
			}
		}
		return d.fromFile("", 0, server, dumpAnnotate)
	}
	have := set.my.encode()
	p := append(make([]byte, 4), comBinlogDumpGTID)
	p = binary.LittleEndian.AppendUint16(p, 0)
	p = binary.LittleEndian.AppendUint32(p, server)
	p = binary.LittleEndian.AppendUint32(p, 0) // no file
	p = binary.LittleEndian.AppendUint64(p, 4)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(have))) //nolint:gosec // below 4 GiB
	return d.ask(append(p, have...))
}

func (d *dump) ask(packet []byte) error {
	d.conn.c.ResetSequence()
	return d.conn.c.WritePacket(packet)
}

// run hands the events to t until it returns an error, ctx ends, or with io.EOF
// the log does.
func (d *dump) run(ctx context.Context, t taker) error {
	stop := context.AfterFunc(ctx, func() { _ = d.conn.c.Conn.Conn.Close() })
	defer stop()
	d.taker = t
	for {
		if err := d.next(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
}

// next takes one packet.
func (d *dump) next() error {
	if d.buf = d.buf[:0]; cap(d.buf) > largeEvent {
		d.buf = nil
	}
	err := d.conn.c.ReadPacketTo(d)
	if p := d.piped; p != nil {
		d.piped = nil
		return p.end(err)
	}
	if err != nil {
		return err
	}
	switch {
	case len(d.buf) == 0:
		return errors.New("empty packet")
	case d.buf[0] == mysql.ERR_HEADER:
		return d.conn.c.HandleErrorPacket(bytes.Clone(d.buf))
	case d.buf[0] == mysql.EOF_HEADER && len(d.buf) < 9:
		return io.EOF
	case d.buf[0] != mysql.OK_HEADER:
		return fmt.Errorf("%w: packet that begins with %#x", binlog.ErrMalformed, d.buf[0])
	}
	h, err := binlog.ParseHeader(d.buf[1:])
	if err != nil {
		return err
	}
	body := d.buf[1+binlog.HeaderSize:]
	switch {
	case h.Type == binlog.TypeFormatDescription:
		d.sums = summed(body)
	case d.sums && len(body) < checksumSize:
		return fmt.Errorf("%w: event without its checksum", binlog.ErrMalformed)
	case d.sums: // of what came over TCP
		body = body[:len(body)-checksumSize]
	}
	if h.Type == binlog.TypeTransactionPayload {
		return d.takeCompressed(&h, bytes.NewReader(body))
	}
	return d.take(&h, body)
}

const checksumSize = 4

// summed reports whether the events of a file that begins with such a description
// have checksums. Servers before MySQL 5.6 and MariaDB 5.3 know of none.
func summed(description []byte) bool {
	const server, length, crc32 = 2, 50, 1
	if len(description) < server+length+checksumSize+1 {
		return false
	}
	version := description[server : server+length]
	old := bytes.HasPrefix(version, []byte("5.0.")) || bytes.HasPrefix(version, []byte("5.1.")) || bytes.HasPrefix(version, []byte("5.5."))
	return !old && description[len(description)-checksumSize-1] == crc32
}

// Write implements io.Writer: the connection gives a packet piece by piece.
func (d *dump) Write(p []byte) (int, error) {
	if d.piped != nil {
		return d.piped.Write(p)
	}
	d.buf = append(d.buf, p...)
	const head = 1 + binlog.HeaderSize
	if len(d.buf) < largeEvent || d.buf[0] != mysql.OK_HEADER {
		return len(p), nil
	}
	h, err := binlog.ParseHeader(d.buf[1:])
	if err != nil {
		return 0, err
	}
	if h.Type == binlog.TypeTransactionPayload {
		d.piped = pipeTransaction(d.taker, &h, d.buf[head:])
	} else if size := int(h.Size) + 1; size > cap(d.buf) && size <= maxEvent {
		d.buf = slices.Grow(d.buf, size-len(d.buf))
	}
	return len(p), nil
}

// pipedTransaction is a compressed transaction that is taken, by a goroutine,
// while it comes.
type pipedTransaction struct {
	w      *io.PipeWriter
	failed bool // before all of it had come
	done   chan error
}

// pipeTransaction begins with the part that has come already.
func pipeTransaction(t taker, h *binlog.Header, begin []byte) *pipedTransaction {
	r, w := io.Pipe()
	p := &pipedTransaction{w: w, done: make(chan error, 1)}
	go func() {
		err := t.takeCompressed(h, io.MultiReader(bytes.NewReader(begin), r))
		if err == nil { // what is behind its events is of no interest
			_, err = io.Copy(io.Discard, r)
		}
		_ = r.CloseWithError(err)
		p.done <- err
	}()
	return p
}

// Write implements io.Writer.
func (p *pipedTransaction) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.failed = err != nil
	return n, err
}

// end waits for it; read is how reading its packet ended.
func (p *pipedTransaction) end(read error) error {
	_ = p.w.CloseWithError(read)
	if err := <-p.done; read == nil || p.failed {
		return err
	}
	return read
}

// close ends the connection.
func (d *dump) close() error { return d.conn.close() }
