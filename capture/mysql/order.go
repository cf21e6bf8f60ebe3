package mysql

import (
	"path"
	"strconv"
	"strings"
)

// The log of another server is in files of other numbers. So that what comes
// after a failover sorts behind what came before it, the position counts the
// servers that were followed, and source.file names that number after the
// file: bin.000003 of the first server, bin.000002@1 of the next.

// told is the name of a binlog file as events have it.
func told(file string, epoch int) string {
	if epoch == 0 {
		return file
	}
	return file + "@" + strconv.Itoa(epoch)
}

// fileNumber is the number at the end of a file's name.
func fileNumber(file string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(path.Ext(file), "."), 10, 64) // 0 sorts first
	return n
}
