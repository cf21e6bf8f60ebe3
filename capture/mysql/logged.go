package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tributary/capture/mysql/binlog"
)

// LogEnd returns where the binary log ends.
func (s *Source) LogEnd(ctx context.Context) (file string, pos uint64, err error) {
	c, err := dial(ctx, s.cfg)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	rows, err := c.table(ctx, "SHOW BINARY LOG STATUS") // MySQL 8.2 on
	if code(err) == errParse {
		rows, err = c.table(ctx, "SHOW MASTER STATUS")
	}
	if err != nil {
		return "", 0, fmt.Errorf("read where the binlog ends: %w", err)
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return "", 0, errors.New("the server tells no binlog position")
	}
	if pos, err = strconv.ParseUint(rows[0][1], 10, 64); err != nil {
		return "", 0, fmt.Errorf("binlog position %q: %w", rows[0][1], err)
	}
	return rows[0][0], pos, nil
}

// logPatience is how long the log may keep still while it is read to its end.
const logPatience = 10 * time.Second

// Logged calls each for the events of the log, from a place to its end, that are of one
// database: the header and the body, without a checksum, which each may keep. Other
// databases' rows and statements are left out, and transactions in which nothing else
// is. Compressed transactions with rows of the database and of others are an error.
func (s *Source) Logged(ctx context.Context, file string, pos uint64, database string, each func(file string, event []byte)) (err error) {
	c, err := dial(ctx, s.cfg)
	if err != nil {
		return err
	}
	version, err := c.table(ctx, "SELECT VERSION()")
	if err = errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	maria := len(version) == 1 && strings.Contains(version[0][0], "MariaDB")
	d, err := openDump(ctx, s.cfg, maria, logPatience)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.fromFile(file, pos, rand.Uint32()|1<<31, dumpNonBlock); err != nil {
		return err
	}
	k := &keeper{database: database, maria: maria, idSize: 6, each: each, file: file, tables: make(map[uint64]bool)}
	if err := d.run(ctx, k); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the binlog: %w", explainDump(err))
	}
	return nil
}

// keeper takes the events of one database out of a log. It is a taker.
type keeper struct {
	database string
	maria    bool
	idSize   int
	tables   map[uint64]bool // ids of the database's tables, since the last TABLE_MAPs
	each     func(file string, event []byte)
	file     string

	waiting [][]byte // of the transaction in work
	bracket bool     // it goes on until COMMIT or XID
	ours    bool     // it has something of the database
}

// take implements taker.
func (k *keeper) take(h *binlog.Header, body []byte) error {
	switch h.Type {
	case binlog.TypeRotate:
		if len(body) < 8 {
			return fmt.Errorf("%w: rotate event", binlog.ErrMalformed)
		}
		k.file = string(body[8:])
		k.each(k.file, whole(h, body))
	case binlog.TypeFormatDescription:
		k.idSize = idSize(body)
		k.each(k.file, whole(h, body))
	case binlog.TypeGTID, binlog.TypeAnonymousGTID, binlog.TypeGTIDTagged, binlog.TypeMariaGTID:
		k.waiting, k.bracket, k.ours, k.tables = [][]byte{whole(h, body)}, false, false, make(map[uint64]bool)
	case binlog.TypeXID, binlog.TypeXAPrepare:
		k.add(h, body)
		k.finish()
	case binlog.TypeQuery, binlog.TypeMariaQueryCompr:
		return k.query(h, body)
	case binlog.TypeRowsQuery, binlog.TypeMariaAnnotateRows:
		if bytes.Contains(body, []byte(k.database)) {
			k.add(h, body)
		}
	case binlog.TypeTableMap:
		m, err := binlog.ParseTableMap(body, k.idSize, k.maria)
		if err != nil {
			return err
		}
		if string(m.Schema) == k.database {
			k.tables[m.ID], k.ours = true, true
			k.add(h, body)
		}
	default:
		if binlog.IsRows(h.Type) && k.tables[rowsOf(body, k.idSize)] {
			k.add(h, body)
		}
	}
	return nil
}

// largestKept is above what a compressed transaction is not kept.
const largestKept = 64 << 20

// takeCompressed implements taker: the transaction is kept as it is, if there is
// nothing of others in it.
func (k *keeper) takeCompressed(h *binlog.Header, body io.Reader) error {
	whole, err := io.ReadAll(io.LimitReader(body, largestKept+1))
	if err != nil {
		return fmt.Errorf("read a compressed transaction: %w", err)
	}
	var p payload
	others := false
	err = p.each(bytes.NewReader(whole), func(h *binlog.Header, body []byte) error {
		if h.Type != binlog.TypeTableMap {
			return nil
		}
		m, err := binlog.ParseTableMap(body, k.idSize, k.maria)
		if err == nil && string(m.Schema) == k.database {
			k.ours = true
		} else {
			others = true
		}
		return err
	})
	switch {
	case len(whole) > largestKept:
		return fmt.Errorf("a compressed transaction has more than %d bytes", largestKept)
	case err != nil:
		return err
	case k.ours && others:
		return errors.New("a compressed transaction has rows of other databases too")
	}
	k.add(h, whole)
	k.finish()
	return nil
}

func (k *keeper) query(h *binlog.Header, body []byte) error {
	q, err := parseQuery(h.Type, body)
	if err != nil {
		return err
	}
	switch text := trimComments(q.Query); {
	case bytes.Equal(text, []byte("BEGIN")):
		k.bracket = true
		k.add(h, body)
	case bytes.Equal(text, []byte("COMMIT")), bytes.EqualFold(text, []byte("ROLLBACK")):
		k.add(h, body)
		k.finish()
	case string(q.Schema) == k.database, bytes.Contains(text, []byte(k.database)):
		k.ours = true
		k.add(h, body)
		if !k.bracket {
			k.finish()
		}
	}
	return nil
}

func (k *keeper) add(h *binlog.Header, body []byte) { k.waiting = append(k.waiting, whole(h, body)) }

// finish gives the events of the transaction away, if it is of the database.
func (k *keeper) finish() {
	for _, e := range k.waiting {
		if k.ours {
			k.each(k.file, e)
		}
	}
	k.waiting, k.ours, k.bracket = nil, false, false
}

// rowsOf is the id of the table that a rows event is of.
func rowsOf(body []byte, size int) uint64 {
	var id [8]byte
	copy(id[:], body[:min(size, len(body))])
	return binary.LittleEndian.Uint64(id[:])
}

// whole is an event in one piece.
func whole(h *binlog.Header, body []byte) []byte {
	b := make([]byte, 0, binlog.HeaderSize+len(body))
	b = binary.LittleEndian.AppendUint32(b, h.Timestamp)
	b = append(b, h.Type)
	b = binary.LittleEndian.AppendUint32(b, h.ServerID)
	b = binary.LittleEndian.AppendUint32(b, h.Size)
	b = binary.LittleEndian.AppendUint32(b, h.NextPos)
	b = binary.LittleEndian.AppendUint16(b, h.Flags)
	return append(b, body...)
}
