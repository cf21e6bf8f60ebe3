package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"tributary/capture"
	"tributary/internal/config"
	"tributary/internal/fault"
)

// importCommand turns a Kafka Connect connector's JSON into a file for run.
func importCommand(_ context.Context, args []string, _ *slog.Logger) error {
	if len(args) != 1 {
		return fault.Humanf("call it as: import connector.json > connector.yaml", "import: one file is needed")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return fault.Human(fmt.Errorf("read connector: %w", err), "give the path of a connector's JSON")
	}
	out, err := convert(text)
	if err != nil {
		return fmt.Errorf("import %s: %w", args[0], err)
	}
	fmt.Print(out)
	fmt.Fprint(os.Stderr, summary(out))
	return nil
}

// summary says what of a connector was not taken, "" if all was. It is what the file
// has in comments at its end, which whoever redirects it does not see.
func summary(file string) string {
	var missing []string
	todo := 0
	for line := range strings.Lines(file) {
		if text, ok := strings.CutPrefix(line, "# not supported: "); ok {
			missing = append(missing, "  "+text)
		}
		if strings.HasPrefix(line, "# to do: ") {
			todo++
		}
	}
	text := ""
	if len(missing) > 0 {
		text = fmt.Sprintf("import: %d options were not taken; without them the records may be others:\n%s", len(missing), strings.Join(missing, ""))
	}
	if todo > 0 {
		text += fmt.Sprintf("import: %d things are to be done, see the comments at the end of the file\n", todo)
	}
	return text
}

// renamed are former names of options, and Kafka Connect's names of what
// stands by itself here.
var renamed = map[string]string{
	"database.server.name": "topic.prefix", "heartbeat.topics.prefix": "topic.heartbeat.prefix", "toasted.value.placeholder": "unavailable.value.placeholder",
	"table.whitelist": "table.include.list", "table.blacklist": "table.exclude.list", "column.whitelist": "column.include.list",
	"column.blacklist": "column.exclude.list", "schema.whitelist": "schema.include.list", "schema.blacklist": "schema.exclude.list",
	"database.whitelist": "database.include.list", "database.blacklist": "database.exclude.list",
	"producer.override.compression.type": "compression.type", "producer.override.max.request.size": "max.request.size",
	"producer.override.delivery.timeout.ms": "delivery.timeout.ms", "producer.override.transaction.timeout.ms": "transaction.timeout.ms",
	"producer.override.client.id": "client.id",
}

// rename gives options their present names, unless those are given too.
func rename(in map[string]string) {
	for from, to := range renamed {
		if v, ok := in[from]; ok && in[to] == "" {
			in[to] = v
			delete(in, from)
		}
	}
	if in["sanitize.field.names"] == "true" && in["field.name.adjustment.mode"] == "" {
		in["field.name.adjustment.mode"] = "avro"
		delete(in, "sanitize.field.names")
	}
	if n, err := strconv.Atoi(in["errors.max.retries"]); err == nil && n == 0 && in["errors.retry.timeout"] == "" {
		in["errors.retry.timeout"] = "0"
		delete(in, "errors.max.retries")
	}
}

// keptDefaults are Debezium's defaults of names that ours differ from: whoever
// did not give them has them in the database.
var keptDefaults = map[string]map[string]string{
	"postgres": {"slot.name": "debezium", "publication.name": "dbz_publication", "publication.autocreate.mode": "all_tables",
		"event.converting.failure.handling.mode": "warn"},
}

// convert makes the text of a YAML file of a connector's JSON, which is either
// the options themselves or {"name": …, "config": {…}}. What has no
// counterpart is listed in comments at its end.
func convert(text []byte) (string, error) {
	in, err := readConnector(text)
	if err != nil {
		return "", fault.Human(err, "give the JSON that Kafka Connect's REST API takes")
	}
	known, err := optionsOf(in["connector.class"])
	if err != nil {
		return "", err
	}
	rename(in)
	out := make(map[string]string)
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	takeConverters(in, known, out, note)
	takeCustomConverters(in, out)
	for key, value := range in {
		o, ok := known[key]
		switch {
		case ok && !legal(o.Enum, value):
			note("%s", illegal(key, value, o.Enum))
		case ok || prefixed(known, key):
			out[key] = value
		default:
			text, refused, ok := capture.FindForeign(key, value)
			switch {
			case !ok:
				note("not supported: %s: %s", key, value)
			case refused:
				note("not supported: %s: %s (%s)", key, value, text)
			default:
				note("ignored: %s: %s", key, text)
			}
		}
	}
	for key, value := range keptDefaults[databaseOf(in["connector.class"])] {
		if _, given := in[key]; !given {
			out[key] = value
		}
	}
	complete(in, out, note)
	refuse(out, note)
	slices.Sort(notes)
	return render(out, notes), nil
}

// legal reports whether each of the values, which have commas between, is one
// of enum.
func legal(enum []string, value string) bool {
	if len(enum) == 0 {
		return true
	}
	for v := range strings.SplitSeq(value, ",") {
		if v = strings.TrimSpace(v); v != "" && !slices.Contains(enum, v) {
			return false
		}
	}
	return true
}

// illegal says why an option does not have that value.
func illegal(key, value string, enum []string) string {
	text, refused, ok := capture.FindForeignValue(key, value)
	switch {
	case ok && !refused:
		return fmt.Sprintf("ignored: %s: %s: %s", key, value, text)
	case ok:
		return fmt.Sprintf("not supported: %s: %s (%s)", key, value, text)
	}
	return fmt.Sprintf("not supported: %s: %s (one of %s)", key, value, strings.Join(enum, ", "))
}

// prefixed reports whether there is an option for all names that begin as key
// does.
func prefixed(known map[string]config.Option, key string) bool {
	for name := range known {
		if p, ok := strings.CutSuffix(name, "*"); ok && strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// refuse takes out what the check of the options finds fault with: transforms
// that are not known, masks of types that there are not, and the like. A
// transform goes as a whole, with all of its options.
func refuse(out map[string]string, note func(string, ...any)) {
	for range len(out) {
		faults := commonOf(out).Faults()
		if len(faults) == 0 {
			return
		}
		f := faults[0]
		value, given := out[f.Key]
		if !given && strings.HasPrefix(f.Key, "transforms.") || strings.HasSuffix(f.Key, ".type") || f.Key == "transforms" {
			name, _, _ := strings.Cut(strings.TrimPrefix(f.Key, "transforms."), ".")
			note("not supported: transform %s: %s", name, f.Message)
			drop(out, name)
			continue
		}
		note("not supported: %s: %s (%s)", f.Key, value, f.Message)
		if !given {
			return // it is of nothing that could be taken out
		}
		delete(out, f.Key)
	}
}

func drop(out map[string]string, transform string) {
	var stay []string
	for t := range strings.SplitSeq(out["transforms"], ",") {
		if t = strings.TrimSpace(t); t != transform && t != "" {
			stay = append(stay, t)
		}
	}
	out["transforms"] = strings.Join(stay, ",")
	for k := range out {
		if strings.HasPrefix(k, "transforms."+transform+".") {
			delete(out, k)
		}
	}
}

// commonOf reads the options that all databases have in common.
func commonOf(out map[string]string) *capture.Options {
	known := make(map[string]bool)
	all := make(map[string]config.Option)
	for _, o := range config.Options(&capture.Options{}) {
		known[o.Name], all[o.Name] = true, o
	}
	text := ""
	for k, v := range out {
		if (known[k] || prefixed(all, k)) && !strings.HasPrefix(v, "${") {
			text += k + ": " + scalar(v) + "\n"
		}
	}
	for _, k := range []string{"name", "connector.class", "topic.prefix"} {
		if out[k] == "" || strings.HasPrefix(out[k], "${") {
			text += k + ": x\n"
		}
	}
	o := &capture.Options{}
	_ = config.Parse("imported", []byte(text), o) // what cannot be read at all is told by run
	return o
}

func readConnector(text []byte) (map[string]string, error) {
	var outer struct {
		Name   string         `json:"name"`
		Config map[string]any `json:"config"`
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, err
	}
	options := outer.Config
	if options == nil {
		if err := json.Unmarshal(text, &options); err != nil {
			return nil, err
		}
	}
	in := make(map[string]string, len(options))
	for k, v := range options {
		in[k] = fmt.Sprint(v) // Connect takes numbers and booleans for their text
	}
	if in["name"] == "" {
		in["name"] = outer.Name
	}
	return in, nil
}

// optionsOf lists the options of a connector class.
func optionsOf(class string) (map[string]config.Option, error) {
	var list []config.Option
	switch databaseOf(class) {
	case "postgres":
		list = config.Options(&postgresOptions{})
	case "mysql":
		list = config.Options(&mysqlOptions{})
	case "sqlserver":
		list = config.Options(&sqlserverOptions{})
	default:
		return nil, fault.Humanf("only connectors of PostgreSQL, MySQL, MariaDB and SQL Server can be imported", "connector.class %q is not known", class)
	}
	known := make(map[string]config.Option, len(list))
	for _, o := range list {
		known[o.Name] = o
	}
	return known, nil
}

// complete adds what our file needs and a connector has elsewhere or in
// another form.
func complete(in, out map[string]string, note func(string, ...any)) {
	if out["name"] == "" {
		out["name"] = out["topic.prefix"]
	}
	for key, env := range map[string]string{"bootstrap.servers": "KAFKA_BROKERS", "schema.registry.url": "REGISTRY_URL"} {
		if out[key] == "" {
			out[key] = "${env:" + env + "}"
			note("to do: set %s, in the file or in the environment as %s", key, env)
		}
	}
	if p := out["database.password"]; p != "" && !strings.HasPrefix(p, "${") {
		out["database.password"] = "${env:DATABASE_PASSWORD}"
		note("to do: set DATABASE_PASSWORD in the environment; the password was not copied")
	}
	for key, value := range out {
		if strings.HasPrefix(value, "${") && !strings.HasPrefix(value, "${env:") && !strings.HasPrefix(value, "${file:") {
			note("to do: %s: %s names a provider that is not known; use ${env:NAME} or ${file:PATH:KEY}", key, value)
		}
	}
}

func render(out map[string]string, notes []string) string {
	var b strings.Builder
	first := []string{"name", "connector.class", "topic.prefix"}
	keys := slices.Clone(first)
	var rest []string
	for k := range out {
		if !slices.Contains(first, k) {
			rest = append(rest, k)
		}
	}
	slices.Sort(rest)
	for _, k := range append(keys, rest...) {
		if v := out[k]; v != "" || strings.HasSuffix(k, ".static.value") || strings.HasSuffix(k, ".replacement") {
			fmt.Fprintf(&b, "%s: %s\n", k, scalar(v))
		}
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range notes {
		b.WriteString("# " + strings.Map(printable, n) + "\n")
	}
	return b.String()
}

// printable has a space for what may not stand in a comment of YAML.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

// scalar writes a YAML value, quoted where it needs to be. JSON's strings are
// YAML's too.
func scalar(v string) string {
	if v != "" && strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") == "" && v[0] != '-' {
		return v
	}
	quoted, _ := json.Marshal(v) // a string always marshals
	return string(quoted)
}
