package sqlserver

import "tributary/envelope"

// Block is the source block of this connector's events. version is what
// source.version says.
func Block(o *Options, version string) envelope.Block {
	b := envelope.Block{Version: version, Connector: "sqlserver", Package: "io.debezium.connector.sqlserver", Name: o.Prefix}
	if o.Version == "3.5" {
		b.Revision = 1
	}
	b.Fields = append(envelope.CommonFields(nil),
		envelope.SchemaField(),
		envelope.TableField(false),
		envelope.PositionField("change_lsn", func(s *envelope.Source) *envelope.LogPosition { return &s.ChangeLSN }),
		envelope.PositionField("commit_lsn", func(s *envelope.Source) *envelope.LogPosition { return &s.CommitLSN }),
		envelope.LongField("event_serial_no", true, func(s *envelope.Source) int64 { return s.SerialNo }),
	)
	b.Transaction = func(dst []byte, s *envelope.Source) []byte { return s.CommitLSN.Append(dst) }
	return b
}
