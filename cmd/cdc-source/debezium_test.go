package main

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/capture"
	"tributary/internal/config"
)

var update = flag.Bool("update", false, "write docs/options.md anew")

// differs has the options whose default is another than Debezium's, with the
// reason; "" as value is no default.
var differs = map[string]string{
	"topic.naming.strategy":                  "for MySQL and MariaDB, Debezium's default is DefaultTopicNamingStrategy, which gives the same names",
	"event.converting.failure.handling.mode": "no value becomes null in silence",
	"time.precision.mode":                    "for MySQL and MariaDB, Debezium's default is adaptive_time_microseconds, which is the same there",
	"max.batch.size":                         "only the speed depends on it",
	"snapshot.fetch.size":                    "only the speed depends on it; Debezium has 2,000 or 10,240, or reads row by row",
	"errors.retry.timeout":                   "Kafka Connect's is for converters and transforms; ours is for all faults that may heal",
	"errors.retry.delay.max.ms":              "as errors.retry.timeout",
	"database.server.id":                     "made from the connector's name; Debezium needs one",
	"plugin.name":                            "every server has pgoutput; decoderbufs has to be installed",
	"slot.name":                              "so that Debezium beside it is not disturbed; import writes Debezium's where none is given",
	"publication.name":                       "as slot.name",
	"publication.autocreate.mode":            "only the captured tables are published: it needs no superuser, and the server sends less; import writes Debezium's where none is given",
	"database.ssl.mode":                      "for MariaDB, Debezium's default is disable",
	"topic.creation.default.partitions":      "one partition keeps the order of a table, whatever the broker's default is",
}

// debezium reads the list of Debezium's options: by database, name and default.
func debezium(t *testing.T) map[string]map[string]string {
	t.Helper()
	f, err := os.Open("testdata/debezium-options.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	out := make(map[string]map[string]string)
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		parts := strings.Split(s.Text(), "\t")
		if len(parts) != 3 {
			t.Fatalf("line %q", s.Text())
		}
		for db := range strings.SplitSeq(parts[0], ",") {
			if out[db] == nil {
				out[db] = make(map[string]string)
			}
			out[db][parts[1]] = parts[2]
		}
	}
	return out
}

func optionSets() map[string]map[string]config.Option {
	out := make(map[string]map[string]config.Option)
	for db, dst := range map[string]any{"mysql": &mysqlOptions{}, "mariadb": &mysqlOptions{}, "postgres": &postgresOptions{}, "sqlserver": &sqlserverOptions{}} {
		out[db] = make(map[string]config.Option)
		for _, o := range config.Options(dst) {
			out[db][o.Name] = o
		}
	}
	return out
}

// TestEveryOptionOfDebezium takes the options of Debezium's connectors one by
// one: each exists with the same default or one that differs for a reason, or
// is ignored with a sentence, or its default is and other values are refused
// with one.
func TestEveryOptionOfDebezium(t *testing.T) {
	sets := optionSets()
	used := make(map[string]bool)
	for db, list := range debezium(t) {
		for name, def := range list {
			o, ok := sets[db][name]
			if !ok && prefixed(sets[db], name) {
				continue
			}
			if !ok {
				text, refused, known := capture.FindForeign(name, def)
				switch {
				case !known:
					t.Errorf("%s: nothing is known of %s", db, name)
				case refused && def != "":
					t.Errorf("%s: Debezium's default of %s, %q, is refused: %s", db, name, def, text)
				case len(text) < 10:
					t.Errorf("%s: %s: %q says nothing", db, name, text)
				}
				continue
			}
			if o.Default == def || o.Default == "" && (def == "" || def == "0") || o.Required && def == "" {
				continue
			}
			used[name] = true
			if differs[name] == "" {
				t.Errorf("%s: the default of %s is %q, in Debezium %q", db, name, o.Default, def)
			}
		}
	}
	for name, why := range differs {
		if why != "" && !used[name] && name != "database.ssl.mode" && name != "snapshot.fetch.size" {
			t.Errorf("the default of %s is that of Debezium", name)
		}
	}
}

// TestForeignOptionsOfAFile has the run of a file say the same.
func TestForeignOptionsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	base := "name: x\nconnector.class: postgres\ntopic.prefix: x\ndatabase.hostname: h\ndatabase.user: u\ndatabase.dbname: d\nbootstrap.servers: k:1\nschema.registry.url: http://r\n"
	if err := os.WriteFile(path, []byte(base+"tasks.max: 1\npoll.interval.ms: 5\nplugin.name: pgoutput\nsnapshot.mode: configuration_based\nsnapshot.mode.configuration.based.snapshot.data: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &postgresOptions{}
	warnings, err := config.Read(path, o)
	if err != nil || len(warnings) != 2 || warnings[0].Key != "tasks.max" || warnings[1].Line != 10 {
		t.Errorf("%v %v", warnings, err)
	}
	if o.Source.SnapshotMode != "initial_only" {
		t.Errorf("snapshot.mode %s", o.Source.SnapshotMode)
	}
	if err := config.Parse(path, []byte(base+"converters: a\nplugin.name: wal2json\nsnapshot.mode: custom\nxmin.fetch.interval.ms: 5\nsnapshot.lock.timeout.ms: 1\n"), o); err == nil {
		t.Error("what changes data is ignored")
	} else if n := strings.Count(err.Error(), "c.yaml:"); n != 4 {
		t.Errorf("%d faults: %v", n, err)
	}
}

func TestTokensNeedTLS(t *testing.T) {
	base := "name: x\nconnector.class: %s\ntopic.prefix: x\ndatabase.hostname: h\ndatabase.user: u\nbootstrap.servers: k:1\nschema.registry.url: http://r\ndatabase.authentication: aws-iam\n"
	for _, c := range []struct {
		dst        any
		class, key string
		good, bad  []string
	}{
		{&postgresOptions{}, "postgres\ndatabase.dbname: d", "database.sslmode", []string{"require", "verify-full"}, []string{"prefer", "disable", "allow"}},
		{&mysqlOptions{}, "mysql", "database.ssl.mode", []string{"required", "verify_identity"}, []string{"preferred", "disabled"}},
	} {
		for _, mode := range append(c.good, c.bad...) {
			err := config.Parse("x.yaml", fmt.Appendf(nil, base+"%s: %s\n", c.class, c.key, mode), c.dst)
			if good := slices.Contains(c.good, mode); good != (err == nil) {
				t.Errorf("%s %s: %v", c.key, mode, err)
			}
		}
	}
}

// TestDocumentOfOptions prints docs/options.md.
func TestDocumentOfOptions(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "options.md")
	want := optionsDocument(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/options.md is not what the code has: go test ./cmd/cdc-source -run DocumentOfOptions -update")
	}
}

func optionsDocument(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Options of cdc-source\n\nMade by `go test ./cmd/cdc-source -run DocumentOfOptions -update`.\nNames and defaults are those of Debezium and Kafka Connect. Where a default differs, the column Debezium has theirs and the reason. `cdc-source import connector.json` makes a file of a connector's JSON and says of each option that it leaves out why.\n")
	theirs := debezium(t)
	defaults := make(map[string]string)
	for _, db := range []string{"mysql", "postgres"} {
		maps.Copy(defaults, theirs[db])
	}
	table := func(title string, options []config.Option, seen map[string]bool) {
		fmt.Fprintf(&b, "\n## %s\n| option | default | Debezium | what it does |\n|---|---|---|---|\n", title)
		for _, o := range options {
			if seen[o.Name] {
				continue
			}
			seen[o.Name] = true
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, ourDefault(o), theirDefault(o, defaults), cell(o.Doc+values(o)))
		}
	}
	seen := make(map[string]bool)
	table("Of all databases", config.Options(commonGroup().Options), seen)
	for _, g := range optionGroups() {
		table(g.Title, config.Options(g.Options), seen)
	}
	b.WriteString("\n## Ignored\nThese may stand in a file. The log says of each that it does nothing, and why.\n| option | values | why nothing is lost |\n|---|---|---|\n")
	for _, f := range capture.ForeignOptions() {
		if f.Ignored != "" {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, foreignValues(f), cell(f.Ignored))
		}
	}
	b.WriteString("\n## Refused\nIgnoring these would change what is captured, so a file that has them is refused. An option that some database above has is refused for the others, and for values that it does not have.\n| option | values | why |\n|---|---|---|\n")
	for _, f := range capture.ForeignOptions() {
		if f.Refused != "" {
			what := "all others"
			if f.Ignored != "" {
				what = "others than " + foreignValues(f)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, what, cell(f.Refused))
		}
	}
	fmt.Fprintf(&b, "\n## Transforms\n")
	for _, c := range capture.TransformClasses() {
		fmt.Fprintf(&b, "- `%s`\n", c)
	}
	return b.String()
}

func ourDefault(o config.Option) string {
	switch {
	case o.Required:
		return "required"
	case o.Default == "":
		return ""
	}
	return "`" + o.Default + "`"
}

func theirDefault(o config.Option, defaults map[string]string) string {
	def, known := defaults[o.Name]
	switch {
	case !known || def == o.Default || differs[o.Name] == "":
		return ""
	case def == "":
		return cell(differs[o.Name])
	}
	return cell("`" + def + "`: " + differs[o.Name])
}

func values(o config.Option) string {
	if o.Enum == nil {
		return ""
	}
	return " (`" + strings.Join(o.Enum, "`, `") + "`)"
}

func foreignValues(f capture.Foreign) string {
	if f.Values == nil {
		return "all"
	}
	var out []string
	for _, v := range f.Values {
		if v == "" {
			v = "(empty)"
		}
		out = append(out, "`"+v+"`")
	}
	return cell(strings.Join(out, ", "))
}

var bars = regexp.MustCompile(`\|`)

func cell(text string) string { return bars.ReplaceAllString(strings.TrimSpace(text), `\|`) }

// TestForeignOptionsSayWhy has every entry be of use: it says something, and
// none hides another.
func TestForeignOptionsSayWhy(t *testing.T) {
	all := capture.ForeignOptions()
	for i, f := range all {
		if f.Ignored == "" && f.Refused == "" || f.Ignored == "" && f.Values != nil {
			t.Errorf("%s says nothing", f.Name)
		}
		for _, before := range all[:i] {
			prefix, open := strings.CutSuffix(before.Name, "*")
			if before.Name == f.Name || open && strings.HasPrefix(f.Name, prefix) {
				if before.Values == nil && !slices.Contains([]string{"database.query.timeout.ms"}, f.Name) {
					t.Errorf("%s is hidden by %s", f.Name, before.Name)
				}
			}
		}
	}
}
