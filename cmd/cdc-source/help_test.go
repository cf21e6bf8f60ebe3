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
