package postgres

import (
	"fmt"
	"time"

	"tributary/capture"
	"tributary/internal/config"
)

// Options are those of a PostgreSQL connector.
type Options struct {
	capture.Options

	Host     string        `opt:"database.hostname" required:"true" doc:"host of the server"`
	Port     int           `opt:"database.port" default:"5432" doc:"port of the server"`
	User     string        `opt:"database.user" required:"true" doc:"user with the REPLICATION attribute and SELECT on the captured tables"`
	Password config.Secret `opt:"database.password" doc:"the user's password"`
	Database string        `opt:"database.dbname" required:"true" doc:"database to capture"`
	SSLMode  string        `opt:"database.sslmode" default:"prefer" enum:"disable,allow,prefer,require,verify-ca,verify-full" doc:"whether to encrypt the connection, as in libpq"`
	SSLRoot  string        `opt:"database.sslrootcert" doc:"PEM file with the certificates to trust"`

	Plugin          string `opt:"plugin.name" default:"pgoutput" enum:"pgoutput" doc:"the logical decoding plugin"`
	Slot            string `opt:"slot.name" default:"tributary" doc:"replication slot; created if it does not exist"`
	Publication     string `opt:"publication.name" default:"tributary" doc:"publication; what happens if it does not exist is up to publication.autocreate.mode"`
	PublicationMode string `opt:"publication.autocreate.mode" default:"filtered" enum:"filtered,all_tables,disabled" doc:"filtered keeps a publication of the captured tables, all_tables makes one of everything, disabled expects it to exist"`
	Intervals       string `opt:"interval.handling.mode" default:"numeric" enum:"numeric,string" doc:"how intervals are written: numeric is microseconds with months of 30.4375 days, string is ISO 8601"`
	Hstores         string `opt:"hstore.handling.mode" default:"json" enum:"json,map" doc:"how hstore is written"`
	MoneyDigits     int    `opt:"money.fraction.digits" default:"2" doc:"fraction digits of money"`
	Unknown         bool   `opt:"include.unknown.datatypes" default:"false" doc:"write values of types without a mapping as the bytes of their text; such columns are left out otherwise"`
	Version         string `opt:"debezium.version" default:"3.0" enum:"3.0,3.5" doc:"whose form the events have: 3.5 adds origin and origin_lsn to the source block, and tsvector"`

	StatusInterval time.Duration `opt:"status.update.interval.ms" unit:"ms" default:"10000" doc:"how often to report the position to the server when nothing else makes us"`
}

// Validate returns what the tags cannot express.
func (o *Options) Validate() []config.Problem {
	var out []config.Problem
	for _, f := range o.Faults() {
		out = append(out, config.Problem{Key: f.Key, Message: f.Message})
	}
	if len(o.Slot) > 63 || !slotName(o.Slot) {
		out = append(out, config.Problem{Key: "slot.name", Message: fmt.Sprintf("%q must be 1 to 63 of a-z, 0-9 and _", o.Slot)})
	}
	if len(o.Publication) > 63 || o.Publication == "" {
		out = append(out, config.Problem{Key: "publication.name", Message: "must have 1 to 63 characters"})
	}
	if o.MoneyDigits < 0 || o.MoneyDigits > 18 {
		out = append(out, config.Problem{Key: "money.fraction.digits", Message: "must be 0 to 18"})
	}
	return out
}

// modes are the options that say how values are written.
func (o *Options) modes() modes {
	return modes{
		decimals: o.Decimals, times: o.Times, binaries: o.Binaries, intervals: o.Intervals, hstores: o.Hstores,
		moneyDigits: o.MoneyDigits, moneyServer: 2, unknown: o.Unknown, debezium35: o.Version == "3.5",
	}
}

func slotName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
