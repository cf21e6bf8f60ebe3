package sqlserver

import (
	"bufio"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/capture"
	"tributary/internal/mssqltest"
)

// modelEnv has this binary be the model of SQL Server instead of running tests: a
// process of its own, so that profiles of the source have nothing of it.
const modelEnv = "TRIBUTARY_TEST_MODEL"

func TestMain(m *testing.M) {
	if rows := os.Getenv(modelEnv); rows != "" {
		if err := modelProcess(rows); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// modelProcess has a table like TICKIT's sale, whose rows are in the change table,
// inserted by transactions of so many rows. It tells for how long it has been idle
// when it is asked, and ends with its standard input.
func modelProcess(args string) error {
	var n, each int
	if _, err := fmt.Sscan(args, &n, &each); err != nil {
		return err
	}
	srv, err := mssqltest.Start(context.Background(), mssqltest.Options{Password: "Secret1!", Databases: []string{"crm"}})
	if err != nil {
		return err
	}
	db := srv.DB("crm")
	err = errors.Join(db.EnableCDC(), db.Exec(`CREATE TABLE dbo.sale (saleid int NOT NULL PRIMARY KEY, listid int NOT NULL, sellerid int NOT NULL, buyerid int NOT NULL, eventid int NOT NULL,
		dateid smallint NOT NULL, qtysold smallint NOT NULL, pricepaid decimal(8,2) NULL, commission decimal(8,2) NULL, saletime datetime2(3) NULL)`), db.EnableTable("dbo", "sale", ""))
	for at := 0; at < n && err == nil; at += each {
		var values []string
		for i := at; i < min(at+each, n); i++ {
			values = append(values, fmt.Sprintf("(%d,%d,%d,%d,%d,%d,%d,%d.%02d,%d.%02d,'2008-02-18T02:36:48')", i, i*3, i%49990, i%49989, i%8798, 1827+i%365, 1+i%8, i%9000, i%100, i%900, i%100))
		}
		err = db.Exec("INSERT INTO dbo.sale VALUES " + strings.Join(values, ","))
	}
	if err != nil {
		return err
	}
	low := db.MinLSN("dbo_sale")
	fmt.Println(srv.Addr(), low.String())
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		fmt.Println(int64(srv.Idle()))
	}
	return srv.Close()
}

// model is a modelProcess.
type model struct {
	addr, low string // where it listens, and where its changes begin
	cmd       *osexec.Cmd
	in        io.Writer
	out       *bufio.Reader
}

func startModel(b *testing.B, rows, each int) *model {
	b.Helper()
	cmd := osexec.Command(os.Args[0]) //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", modelEnv, rows, each))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	m := &model{cmd: cmd, in: in, out: bufio.NewReader(out)}
	m.read(b, &m.addr, &m.low)
	return m
}

func (m *model) read(b *testing.B, to ...any) {
	b.Helper()
	line, err := m.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(line, to...); err != nil {
		b.Fatal(err)
	}
}

// cpu is the CPU time that it has used so far.
func (m *model) cpu(b *testing.B) time.Duration {
	b.Helper()
	return processTime(b, m.cmd.Process.Pid)
}

// idle is for how long it has had nothing to do so far.
func (m *model) idle(b *testing.B) (d time.Duration) {
	b.Helper()
	fmt.Fprintln(m.in)
	m.read(b, &d)
	return d
}

// processTime is the CPU time of a process.
func processTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	ticks := 0
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // Linux has 100 a second
}

func ownTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPolling catches up with changes of a model that is a process of its own:
// "server" and "own" are the parts of the time in which each has kept a processor
// busy, "idle" that in which the server had nothing to do. BenchmarkPolling/floor has
// the driver read the same rows in one query and forget them.
func BenchmarkPolling(b *testing.B) {
	for _, x := range []struct {
		name       string
		rows, each int
	}{{"large", 200_000, 1000}, {"small", 50_000, 1}} {
		b.Run(x.name, func(b *testing.B) {
			p := &polling{model: startModel(b, x.rows, x.each), rows: x.rows}
			host, port, _ := strings.Cut(p.addr, ":")
			p.options = optionsAt(b, host, port, map[string]string{"snapshot.mode": "no_data"})
			b.Run("floor", p.floor)
			b.Run("source", p.source)
		})
	}
}

type polling struct {
	*model
	options Options
	rows    int
}

func (p *polling) measure(b *testing.B, run func(b *testing.B)) {
	server, idle, own := p.cpu(b), p.idle(b), ownTime(b)
	for b.Loop() {
		run(b)
	}
	s := b.Elapsed().Seconds()
	b.ReportMetric(float64(p.rows*b.N)/s, "changes/s")
	b.ReportMetric((p.cpu(b)-server).Seconds()/s, "server")
	b.ReportMetric((p.idle(b)-idle).Seconds()/s, "idle")
	b.ReportMetric((ownTime(b)-own).Seconds()/s, "own")
}

func (p *polling) floor(b *testing.B) {
	c, err := dial(b.Context(), &p.options, "crm")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.close() }() // it is only read
	p.measure(b, func(b *testing.B) {
		n := 0
		st, err := c.raw.Query(b.Context(), "SELECT c.*, TODATETIMEOFFSET(l.tran_begin_time, DATEPART(TZOFFSET, SYSDATETIMEOFFSET())) FROM cdc.[dbo_sale_CT] AS c LEFT JOIN cdc.lsn_time_mapping AS l ON l.start_lsn = c.[__$start_lsn]", nil)
		if err != nil {
			b.Fatal(err)
		}
		for v := make([]driver.Value, len(st.Columns())); st.Next(v) == nil; {
			n++
		}
		if err := st.Close(); err != nil || n != p.rows {
			b.Fatalf("%d rows, %v", n, err)
		}
	})
}

func (p *polling) source(b *testing.B) {
	s, err := New(p.options, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	from := capture.Position(`{"databases":{"crm":{"commit_lsn":"` + p.low + `"}}}`)
	p.measure(b, func(b *testing.B) {
		if err := s.Open(b.Context(), from); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < p.rows; {
			batch, err := s.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.List)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
