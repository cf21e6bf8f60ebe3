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

	Plugin          string        `opt:"plugin.name" default:"pgoutput" enum:"pgoutput" doc:"the logical decoding plugin"`
	Slot            string        `opt:"slot.name" default:"tributary" doc:"replication slot; created if it does not exist"`
	Publication     string        `opt:"publication.name" default:"tributary" doc:"publication; what happens if it does not exist is up to publication.autocreate.mode"`
	PublicationMode string        `opt:"publication.autocreate.mode" default:"filtered" enum:"filtered,all_tables,disabled" doc:"filtered keeps a publication of the captured tables, all_tables makes one of everything, disabled expects it to exist"`
	StatusInterval  time.Duration `opt:"status.update.interval.ms" unit:"ms" default:"10000" doc:"how often to report the position to the server when nothing else makes us"`
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
	return out
}

func slotName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
