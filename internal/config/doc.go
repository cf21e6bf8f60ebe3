// Package config reads a connector's YAML file into a struct of options.
//
// Option names are the ecosystem's own dotted names (database.hostname,
// flush.size, hoodie.*). A file may write them flat or nested; the two are the
// same. Every fault of a file is reported at once, each with its file and
// line, the option's full name and, for a name that does not exist, the
// nearest one that does.
//
// A struct declares its options by field tags:
//
//	type Options struct {
//		Hostname string        `opt:"database.hostname" required:"true" doc:"host of the server"`
//		Port     int           `opt:"database.port" default:"5432" doc:"port of the server"`
//		Password config.Secret `opt:"database.password" doc:"password"`
//		Poll     time.Duration `opt:"poll.interval.ms" unit:"ms" default:"500" doc:"time between polls"`
//		Mode     string        `opt:"snapshot.mode" enum:"initial,no_data" default:"initial" doc:"…"`
//		Hoodie   map[string]string `opt:"hoodie.*" doc:"passed on to the table"`
//	}
//
// Embedded structs add their own. A value may name its source instead of
// itself: ${env:NAME} and ${file:path:key} (a Java properties file) are
// resolved after parsing, so that no secret can change the file's structure.
package config
