package mysql

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/capture/capturetest"
	"tributary/envelope"
	"tributary/internal/testdb"
)

// order is the place of a change in the log: file, position and row.
func order(c *envelope.Change) string {
	name, epoch, _ := strings.Cut(c.Source.File, "@")
	servers, _ := strconv.Atoi(epoch)
	file := fileNumber(name) + uint64(servers)<<24
	return fmt.Sprintf("%08x-%012x-%06x", file, c.Source.Pos, c.Source.Row)
}

func TestSuite(t *testing.T) {
	for name, c := range map[string]struct {
		open    func(testing.TB) *testdb.Database
		threads int
	}{
		"mysql": {testdb.MySQL, 1}, "mysql without gtid": {testdb.MySQLWithoutGTID, 1}, "mariadb": {testdb.MariaDB, 1}, "mariadb 11": {testdb.MariaDB11, 1},
		"mysql with threads": {testdb.MySQL, 3}, "mariadb with threads": {testdb.MariaDB, 3},
	} {
		t.Run(name, func(t *testing.T) {
			capturetest.Suite(t, func(t *testing.T) capturetest.Harness {
				db := c.open(t)
				db.MustExec(t, "SELECT 1") // the goroutine of its session is not ours
				return capturetest.Harness{
					DB:    db,
					Order: order,
					Source: func(t *testing.T, limits capture.Limits, fetchSize int) capture.Source {
						o := options(t, db)
						o.Threads = c.threads
						o.BatchSize, o.BatchBytes, o.FetchSize = limits.Changes, limits.Bytes, fetchSize
						s, err := New(o, quiet())
						if err != nil {
							t.Fatal(err)
						}
						return s
					},
				}
			})
		})
	}
}
