package mysql

import (
	"fmt"

	"tributary/envelope"
)

// Block is the source block of this connector's events. version is what
// source.version says.
func Block(o *Options, version string) envelope.Block {
	b := envelope.Block{Version: version, Connector: "mysql", Package: "io.debezium.connector.mysql", Name: o.Prefix}
	if o.maria() {
		b.Connector, b.Package = "mariadb", "io.debezium.connector.mariadb"
	}
	if o.Version == "3.5" {
		b.Revision = 1
	}
	b.Fields = append(envelope.CommonFields(nil),
		envelope.TableField(true),
		envelope.LongField("server_id", false, func(s *envelope.Source) int64 { return s.ServerID }),
		envelope.StringField("gtid", true, func(s *envelope.Source) string { return s.GTID }),
		envelope.StringField("file", false, func(s *envelope.Source) string { return s.File }),
		envelope.LongField("pos", false, func(s *envelope.Source) int64 { return s.Pos }),
		envelope.IntField("row", func(s *envelope.Source) int32 { return s.Row }),
		envelope.LongField("thread", true, func(s *envelope.Source) int64 { return s.Thread }),
		envelope.StringField("query", true, func(s *envelope.Source) string { return s.Query }),
	)
	b.Transaction = transactionID
	return b
}

// transactionID is the GTID, and without one the place in the log.
func transactionID(dst []byte, s *envelope.Source) []byte {
	if s.GTID != "" {
		return append(dst, s.GTID...)
	}
	return fmt.Appendf(dst, "file=%s,pos=%d", s.File, s.Pos)
}
