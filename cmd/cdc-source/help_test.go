package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/config"
	"tributary/internal/fault"
)

// TestHelpHasEveryOption compares what --help prints with what the files of
// both kinds of connector take.
func TestHelpHasEveryOption(t *testing.T) {
	printed := make(map[string]bool)
	for _, g := range append(optionGroups(), commonGroup()) {
		for _, o := range config.Options(g.Options) {
			printed[o.Name] = true
		}
	}
	for _, dst := range []any{&postgresOptions{}, &mysqlOptions{}, &sqlserverOptions{}} {
		for _, o := range config.Options(dst) {
			if !printed[o.Name] {
				t.Errorf("--help leaves out %s", o.Name)
			}
			if o.Doc == "" {
				t.Errorf("%s has no description", o.Name)
			}
		}
	}
}

// TestValuesThatAnOptionDoesNotHave: an option of one database that the others ignore is
// not ignored where it is one, whatever its value.
func TestValuesThatAnOptionDoesNotHave(t *testing.T) {
	const file = "name: t\nconnector.class: sqlserver\ntopic.prefix: p\ndatabase: {hostname: h, user: u, names: n}\nbootstrap.servers: b:1\nschema.registry.url: http://r\n"
	path := filepath.Join(t.TempDir(), "x.yaml")
	for line, want := range map[string]string{
		"snapshot.isolation.mode: snapshoot": `"snapshoot" is not one of exclusive, repeatable_read`,
		"poll.interval.ms: 5 min":            `"5 min" is not a whole number`,
		"driver.encrypt: maybe":              `"maybe" is not one of true, false, strict`,
		"snapshot.lock.timeout.ms: x":        `"x" is not a whole number`,
	} {
		if err := os.WriteFile(path, []byte(file+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(t.Context(), "run", []string{"-c", path}, slog.New(slog.DiscardHandler))
		if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestIgnoredOptionsThatAreNearOnes: a name that is ignored, but for a letter or two is
// one of ours.
func TestIgnoredOptionsThatAreNearOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	const file = "name: t\nconnector.class: sqlserver\ntopic.prefix: p\ndatabase: {hostname: h, user: u, names: n}\nbootstrap.servers: b:1\nschema.registry.url: http://r\ndriver.encrpt: false\ndriver.loginTimeout: 3\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	warnings, err := config.Read(path, &sqlserverOptions{})
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[0].Message, `did you mean "driver.encrypt"?`) || strings.Contains(warnings[1].Message, "did you mean") {
		t.Errorf("%v %v", warnings, err)
	}
}

func TestLoadTellsWhichClassesThereAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "connector.yaml")
	if err := os.WriteFile(path, []byte("name: x\nconnector.class: oracle\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := load(t.Context(), "run", []string{"-c", path}, slog.New(slog.DiscardHandler))
	if !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "connector.yaml:2") || !strings.Contains(err.Error(), "mariadb") {
		t.Errorf("error %v", err)
	}
}
