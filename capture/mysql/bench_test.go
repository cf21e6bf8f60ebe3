package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"tributary/capture"
	"tributary/capture/mysql/binlog"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// saleDef is TICKIT's table sale.
func saleDef() *tableDef {
	d := &tableDef{ID: envelope.TableID{Catalog: "ecomm", Name: "sale"}, Key: []string{"saleid"}}
	for _, c := range []struct{ name, typ, full string }{
		{"saleid", "int", "int"}, {"listid", "int", "int"}, {"sellerid", "int", "int"}, {"buyerid", "int", "int"}, {"eventid", "int", "int"},
		{"dateid", "smallint", "smallint"}, {"qtysold", "smallint", "smallint"},
		{"pricepaid", "decimal", "decimal(8,2)"}, {"commission", "decimal", "decimal(8,2)"}, {"saletime", "timestamp", "timestamp"},
	} {
		n := columnDef{Name: c.name, DataType: c.typ, Full: c.full}
		if c.typ == "decimal" {
			n.Precision, n.Scale, n.Nullable = 8, 2, true
		}
		n.Nullable = n.Nullable || c.typ == "timestamp"
		d.Columns = append(d.Columns, n)
	}
	return d
}

func generic(typ byte, pos uint32, body []byte) *replication.BinlogEvent {
	return &replication.BinlogEvent{
		Header: &replication.EventHeader{Timestamp: 1, EventType: replication.EventType(typ), ServerID: 1, EventSize: uint32(binlog.HeaderSize + len(body)), LogPos: pos},
		Event:  &replication.GenericEvent{Data: body},
	}
}

// saleEvents are the events of one transaction of so many row events, each of
// 200 rows.
func saleEvents(events int) []*replication.BinlogEvent {
	tableMap := []byte{7, 0, 0, 0, 0, 0, 1, 0, 5, 'e', 'c', 'o', 'm', 'm', 0, 4, 's', 'a', 'l', 'e', 0, 10,
		binlog.ColLong, binlog.ColLong, binlog.ColLong, binlog.ColLong, binlog.ColLong, binlog.ColShort, binlog.ColShort, binlog.ColNewDecimal, binlog.ColNewDecimal, binlog.ColTimestamp2,
		5, 8, 2, 8, 2, 0, 0x80, 0x03}
	rows := []byte{7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 10, 0xff, 0x03}
	for i := range 200 {
		rows = append(rows, 0, 0)
		rows = binary.LittleEndian.AppendUint32(rows, uint32(i))
		rows = append(rows, 0x50, 0xbb, 2, 0, 0x3f, 0x32, 0, 0, 0x1b, 0x5a, 0, 0, 0xd3, 8, 0, 0, 0x31, 8, 4, 0,
			0x80, 0x11, 0xb8, 0x27, 0x80, 0x02, 0xa8, 0x2e, 0x48, 0xad, 0x62, 0x71)
	}
	gtid := make([]byte, 42)
	gtid[17] = 1 // the number; a zero would be none
	out := []*replication.BinlogEvent{generic(binlog.TypeGTID, 100, gtid), generic(binlog.TypeTableMap, 200, tableMap)}
	for i := range events {
		out = append(out, generic(binlog.TypeWriteRowsV2, uint32(300+i), rows))
	}
	return append(out, generic(binlog.TypeXID, uint32(300+events), make([]byte, 8)))
}

func benchStream(b *testing.B) (*stream, *capture.Pipe) {
	b.Helper()
	o := Options{Options: capture.Options{Class: "mysql", Prefix: "t", BatchSize: 10_000, BatchBytes: 4 << 20}}
	cfg, err := newSettings(&o)
	if err != nil {
		b.Fatal(err)
	}
	t := &table{}
	if err := t.use(saleDef(), cfg); err != nil {
		b.Fatal(err)
	}
	pipe := capture.NewPipe(cfg.Limits())
	at := position{File: "bin.000001", Pos: 4}
	return newStream(b.Context(), cfg, &goldenCatalog{}, pipe, quiet(), at, gtidSet{}, map[string]*table{"ecomm.sale": t}, newHistory(false)), pipe
}

// BenchmarkStream takes events of 200 rows through the stream and the pipe;
// one operation is one row.
func BenchmarkStream(b *testing.B) {
	st, pipe := benchStream(b)
	events := saleEvents(50)
	rows, done := 0, make(chan int)
	go func() {
		n := 0
		for {
			batch, err := pipe.Next(context.Background())
			if err != nil {
				done <- n
				return
			}
			n += len(batch.List)
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		if rows++; rows%10_000 != 1 {
			continue
		}
		for _, e := range events {
			if err := st.HandleEvent(e); err != nil {
				b.Fatal(err)
			}
		}
		st.filePos = 0
	}
	pipe.Fail(io.EOF)
	if n := <-done; n < rows {
		b.Fatalf("%d rows of %d", n, rows)
	}
}

// BenchmarkSnapshotRow encodes the text of one row.
func BenchmarkSnapshotRow(b *testing.B) {
	o := Options{}
	cfg, err := newSettings(&o)
	if err != nil {
		b.Fatal(err)
	}
	v, err := newVersion(saleDef(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	var packet []byte
	for _, s := range []string{"172456", "179024", "12863", "23067", "2259", "2097", "4", "4536.39", "680.46", "2008-08-21 12:50:13"} {
		packet = append(append(packet, byte(len(s))), s...)
	}
	cells := make([][]byte, 10)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if !splitRow(cells, packet) {
			b.Fatal("malformed row")
		}
		if dst, err = v.codec.AppendRow(dst[:0], cells); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshotLive takes the snapshot of a table of 200,000 rows from a
// real server.
func BenchmarkSnapshotLive(b *testing.B) {
	db := testdb.MySQL(b)
	const digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) "
	db.MustExec(b, "CREATE TABLE sale (saleid INT NOT NULL PRIMARY KEY, listid INT NOT NULL, sellerid INT NOT NULL, buyerid INT NOT NULL, eventid INT NOT NULL,"+
		" dateid SMALLINT NOT NULL, qtysold SMALLINT NOT NULL, pricepaid DECIMAL(8,2), commission DECIMAL(8,2), saletime TIMESTAMP NULL)",
		"INSERT INTO sale SELECT n, n+1, n%49990, n%49981, n%8798, n%365, n%8, n%10000*1.01, n%1000*0.99, '2008-08-21 12:50:13' FROM (SELECT a.n*100000+b.n*10000+c.n*1000+d.n*100+e.n*10+f.n n FROM (SELECT 0 n UNION SELECT 1) a, "+
			digits+"b, "+digits+"c, "+digits+"d, "+digits+"e, "+digits+"f) x")
	o := options(b, db)
	rows := 0
	for b.Loop() {
		s, err := New(o, quiet())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Open(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
		for {
			batch := next(b, s)
			rows += len(batch.List)
			if p, err := parsePosition(batch.End); err != nil {
				b.Fatal(err)
			} else if p.Snapshot == nil {
				break
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkStreamLive reads 200,000 inserted rows from a real server's log.
func BenchmarkStreamLive(b *testing.B) {
	db := testdb.MySQL(b)
	db.MustExec(b, "CREATE TABLE sale (saleid INT NOT NULL PRIMARY KEY, listid INT NOT NULL, pricepaid DECIMAL(8,2), saletime TIMESTAMP NULL)")
	o := options(b, db)
	o.SnapshotMode = "no_data"
	s := openSource(b, o, nil)
	resume := append(capture.Position(nil), next(b, s).End...)
	if err := s.Close(); err != nil && !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	const digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) "
	db.MustExec(b, "INSERT INTO sale SELECT n, n+1, n%10000*1.01, '2008-08-21 12:50:13' FROM (SELECT a.n*100000+b.n*10000+c.n*1000+d.n*100+e.n*10+f.n n FROM (SELECT 0 n UNION SELECT 1) a, "+
		digits+"b, "+digits+"c, "+digits+"d, "+digits+"e, "+digits+"f) x")
	rows := 0
	for b.Loop() {
		s, err := New(o, quiet())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Open(b.Context(), resume); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < 200_000; {
			batch := next(b, s)
			n += len(batch.List)
			rows += len(batch.List)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
