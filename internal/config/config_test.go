package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/config"
	"tributary/internal/fault"
)

type flatOptions struct {
	Name   string `opt:"name" required:"true" doc:"name of the connector"`
	Inner  options2
	Hoodie map[string]string `opt:"hoodie.*" doc:"table options"`
}

type options2 struct {
	Host   string        `opt:"database.hostname" default:"localhost" doc:"host"`
	Port   int           `opt:"database.port" default:"5432" doc:"port"`
	Pass   config.Secret `opt:"database.password" doc:"password"`
	Tables []string      `opt:"table.include.list" doc:"tables"`
	Poll   time.Duration `opt:"poll.interval.ms" unit:"ms" default:"500" doc:"poll"`
	Keep   time.Duration `opt:"keep" default:"24h" doc:"keep"`
}

func TestFlatAndNestedAreTheSame(t *testing.T) {
	t.Setenv("TEST_PASSWORD", "s3cr3t: {}")
	for name, text := range map[string]string{
		"flat": "name: a\ndatabase.port: 15432\ndatabase.password: ${env:TEST_PASSWORD}\ntable.include.list: a.b, c.d\n" +
			"poll.interval.ms: 20\nhoodie.cleaner.policy: KEEP\n",
		"nested": "name: a\ndatabase:\n  port: 15432\n  password: ${env:TEST_PASSWORD}\ntable:\n  include:\n    list: [a.b, c.d]\n" +
			"poll.interval:\n  ms: 20\nhoodie:\n  cleaner.policy: KEEP\n",
	} {
		t.Run(name, func(t *testing.T) {
			var o flatOptions
			if err := config.Parse("x.yaml", []byte(text), &o); err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(o.Name, o.Inner.Host, o.Inner.Port, o.Inner.Tables, o.Inner.Poll, o.Inner.Keep, o.Hoodie)
			want := "alocalhost15432[a.b c.d]20ms24h0m0smap[hoodie.cleaner.policy:KEEP]"
			if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if o.Inner.Pass.Reveal() != "s3cr3t: {}" {
				t.Error("the password was not resolved")
			}
			if s := fmt.Sprintf("%v %+v %#v %s", o, o, o, o.Inner.Pass); strings.Contains(s, "s3cr3t") {
				t.Errorf("the password shows in %s", s)
			}
		})
	}
}

func TestAllFaultsAtOnceWithTheirLines(t *testing.T) {
	text := "database:\n  hostnam: x\n  port: many\nsnapshot.mode: never\nforce: maybe\ndatabase.port: 1\n"
	type all struct {
		Name  string `opt:"name" required:"true" doc:"name of the connector"`
		Inner options2
		Mode  string `opt:"snapshot.mode" enum:"initial,no_data" doc:"mode"`
		Force bool   `opt:"force" doc:"force"`
	}
	var o all
	err := config.Parse("x.yaml", []byte(text), &o)
	if err == nil {
		t.Fatal("no error")
	}
	if !fault.NeedsHuman(err) {
		t.Error("a fault of the configuration needs a human")
	}
	for _, want := range []string{
		`x.yaml: name: missing; name of the connector`,
		`x.yaml:2: database.hostnam: unknown option; did you mean "database.hostname"?`,
		`x.yaml:3: database.port: "many" is not a whole number`,
		`x.yaml:4: snapshot.mode: "never" is not one of initial, no_data`,
		`x.yaml:5: force: "maybe" is neither true nor false`,
		`x.yaml:6: database.port: given twice; first on line 3`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
}

func TestValidateIsLocated(t *testing.T) {
	err := config.Parse("x.yaml", []byte("name: a\nsnapshot.mode: no_data\n\nforce: true\n"), &struct{ Validating }{})
	if err == nil || !strings.Contains(err.Error(), "x.yaml:4: force: has no meaning") {
		t.Errorf("got %v", err)
	}
}

// Validating is embedded so that its Validate is promoted.
type Validating struct {
	Name  string `opt:"name" doc:"name"`
	Mode  string `opt:"snapshot.mode" doc:"mode"`
	Force bool   `opt:"force" doc:"force"`
}

func (v *Validating) Validate() []config.Problem {
	return []config.Problem{{Key: "force", Message: "has no meaning with snapshot.mode " + v.Mode}}
}

func TestFileReference(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secrets.properties"), []byte("# comment\npassword = p=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.yaml")
	if err := os.WriteFile(path, []byte("database.password: ${file:secrets.properties:password}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var o options2
	if err := config.Load(path, &o); err != nil {
		t.Fatal(err)
	}
	if o.Pass.Reveal() != "p=1" {
		t.Errorf("got %q", o.Pass.Reveal())
	}
}

func TestUnsetVariableIsAFault(t *testing.T) {
	var o options2
	err := config.Parse("x.yaml", []byte("database.password: ${env:TRIBUTARY_NOT_SET}\n"), &o)
	if err == nil || !strings.Contains(err.Error(), "x.yaml:1: database.password: environment variable TRIBUTARY_NOT_SET is not set") {
		t.Errorf("got %v", err)
	}
}

// migrating knows options of another program.
type migrating struct {
	Mode string `opt:"mode" default:"a" enum:"a,b" doc:"mode"`
	Twin string `opt:"twin" doc:"follows from mode"`
}

func (m *migrating) Foreign(key, value string, own bool) (config.Verdict, bool) {
	switch {
	case key == "tasks.max", key == "mode" && (value == "A" || !own):
		return config.Verdict{Message: "is not needed"}, true
	case key == "java.class":
		return config.Verdict{Message: "is Java", Refused: true}, true
	}
	return config.Verdict{}, false
}

func (m *migrating) Complete() { m.Twin = m.Mode + m.Mode }

func TestForeignOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("mode: A\n\ntasks.max: 3\n")
	var o migrating
	warnings, err := config.Read(path, &o)
	want := []config.Warning{{1, "mode", "is not needed"}, {3, "tasks.max", "is not needed"}}
	if err != nil || !slices.Equal(warnings, want) || o.Twin != "aa" {
		t.Errorf("%v %v %+v", warnings, err, o)
	}
	write("java.class: X\nmode: C\nother: 1\n")
	_, err = config.Read(path, &o)
	for _, want := range []string{"x.yaml:1: java.class: is Java", `x.yaml:2: mode: "C" is not one of a, b`, "x.yaml:3: other: unknown option"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a: b\nc: [1, 2]\nd: {e: f}\n")
	f.Add("x: &a {x: *a}\n")
	f.Fuzz(func(_ *testing.T, text string) {
		var o options2
		_ = config.Parse("x.yaml", []byte(text), &o)
	})
}
