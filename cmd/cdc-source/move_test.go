package main

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/registry"
	"tributary/registry/server"
)

// guarded runs a registry of which one must be user, with a password.
func guarded(t *testing.T, version string) (address string) {
	t.Helper()
	s, err := server.Open(server.Config{File: filepath.Join(t.TempDir(), "registry.db"), Apicurio: version, Users: config.Secret("me:pass word")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		s.Close()
	})
	return web.URL
}

func TestRegistryMoves(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	with := func(address string) string { return strings.Replace(address, "http://", "http://me:pass%20word@", 1) }
	from := guarded(t, "2.6")
	client, err := registry.New(with(from)+"/apis/registry/v2", registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[registry.ID]string)
	for i := range 5 {
		text := fmt.Sprintf(`{"type":"record","name":"R%d","fields":[]}`, i)
		id, err := client.Register(t.Context(), fmt.Sprint("t-value", i%2), text)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = text
	}
	same := func(address string) {
		t.Helper()
		c, err := registry.New(with(address)+"/apis/registry/v3", registry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for id, text := range ids {
			for _, by := range []registry.ID{{Content: id.Content}, {Global: id.Global}} {
				if got, err := c.Schema(t.Context(), by); err != nil || got != text {
					t.Errorf("schema %s is %s, %v", by, got, err)
				}
			}
		}
	}

	zip := filepath.Join(t.TempDir(), "registry.zip")
	if err := registryCommand(t.Context(), []string{"export", with(from) + "/apis/registry/v2", zip}, log); err != nil {
		t.Fatal(err)
	}
	second := guarded(t, "3.3")
	if err := registryCommand(t.Context(), []string{"import", zip, with(second) + "/apis/registry/v3"}, log); err != nil {
		t.Fatal(err)
	}
	same(second)

	// By the files of daemons, which have other options besides.
	file := func(address string) string {
		path := filepath.Join(t.TempDir(), "daemon.yaml")
		text := "topics: [a]\nschema.registry.url: " + address + "\nschema.registry.user: me\nschema.registry.password: pass word\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + path
	}
	third := guarded(t, "3.3")
	said, err := moveRegistry(t.Context(), "copy", file(second+"/apis/registry/v3"), file(third+"/apis/registry/v2"), log)
	if err != nil || said != "2 artifacts, 5 versions are there with their ids" {
		t.Fatalf("%s, %v", said, err)
	}
	same(third)

	for name, args := range map[string][]string{
		"no password":    {"export", from + "/apis/registry/v2", zip},
		"no archive":     {"import", filepath.Join(t.TempDir(), "none.zip"), with(from)},
		"no place":       {"copy", with(from) + "/apis/registry/v2"},
		"no registry":    {"copy", with(from) + "/nowhere/apis/registry/v2", with(second) + "/apis/registry/v3"},
		"no URL":         {"copy", "here", "there"},
		"no such folder": {"export", with(from) + "/apis/registry/v2", filepath.Join(t.TempDir(), "a", "b.zip")},
		"unknown verb":   {"move", "here", "there"},
	} {
		if err := registryCommand(t.Context(), args, log); !fault.NeedsHuman(err) || fault.Hint(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An export that fails leaves what was there.
	if info, err := os.Stat(zip); err != nil || info.Size() == 0 {
		t.Errorf("the archive is gone: %v", err)
	}
}
