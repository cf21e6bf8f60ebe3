package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/ops"
	"tributary/registry"
	"tributary/registry/server"
)

const registryUsage = `-c FILE  serve the embedded schema registry
  cdc-source registry export FROM ZIP  write what a registry holds, with its ids, to an archive
  cdc-source registry import ZIP TO  take an archive into a registry, which keeps the ids
  cdc-source registry copy FROM TO  both at once; FROM and TO: a URL, or @FILE with schema.registry.url and its login`

// movePatience is how long a move goes on trying what a retry may heal.
const movePatience = 10 * time.Second

// registryCommand serves the embedded registry, or moves registries.
func registryCommand(ctx context.Context, args []string, log *slog.Logger) error {
	if len(args) == 0 {
		return serveRegistry(ctx, args, log)
	}
	switch verb := args[0]; verb {
	case "export", "import", "copy":
		if len(args) != 3 {
			return fault.Humanf("call it as: registry "+map[string]string{"export": "export FROM ZIP", "import": "import ZIP TO", "copy": "copy FROM TO"}[verb],
				"registry %s: two arguments are needed", verb)
		}
		said, err := moveRegistry(ctx, args[0], args[1], args[2], log)
		if err == nil {
			fmt.Println(said)
		}
		return err
	}
	return serveRegistry(ctx, args, log)
}

func serveRegistry(ctx context.Context, args []string, log *slog.Logger) error {
	path, err := ops.ConfigFile("registry", args)
	if err != nil {
		return err
	}
	var c server.Config
	if err := config.Load(path, &c); err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(server.MemoryLimit)
	}
	return server.Run(ctx, c, log)
}

// moveRegistry does one of the verbs, and returns what is to be said of it.
func moveRegistry(ctx context.Context, verb, from, to string, log *slog.Logger) (string, error) {
	var archive []byte
	var err error
	if verb == "import" {
		if archive, err = os.ReadFile(from); err != nil {
			return "", fault.Human(fmt.Errorf("read the archive: %w", err), "give the path of an archive that Apicurio or registry export wrote")
		}
	} else {
		var out bytes.Buffer
		client, err := openRegistry(from, log)
		if err == nil {
			err = client.Export(ctx, &out)
		}
		if err != nil {
			return "", err
		}
		archive = out.Bytes()
	}
	if verb == "export" {
		if err := writeWhole(to, archive); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: %d bytes", to, len(archive)), nil
	}
	client, err := openRegistry(to, log)
	if err != nil {
		return "", err
	}
	n, err := client.Import(ctx, archive)
	if err != nil {
		return "", err
	}
	return n.String() + " are there with their ids", nil
}

// openRegistry makes a client of the registry at a URL, or of the one that a
// file names, which may have a daemon's other options too.
func openRegistry(where string, log *slog.Logger) (*registry.Client, error) {
	path, isFile := strings.CutPrefix(where, "@")
	if !isFile {
		return registry.New(where, registry.Options{Patience: movePatience, Log: log})
	}
	var file struct {
		registry.Settings
		Rest map[string]string `opt:"*"`
	}
	if err := config.Load(path, &file); err != nil {
		return nil, err
	}
	if problems := file.Check(); len(problems) > 0 {
		return nil, fault.Humanf("correct the file", "%s: %s: %s", path, problems[0].Key, problems[0].Message)
	}
	return file.Client(movePatience, log)
}

// writeWhole writes a file that is either whole or not there.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".registry-*")
	if err != nil {
		return fault.Human(fmt.Errorf("write the archive: %w", err), "give a path in a folder that can be written to")
	}
	_, err = io.Copy(f, bytes.NewReader(data))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the archive: %w", err), os.Remove(f.Name()))
	}
	return nil
}
