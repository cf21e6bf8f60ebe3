// Package golden holds what real programs were recorded to do, for tests to be
// held against: Debezium's records of known statements with the logs of the
// databases, and the calls of registries and their clients. The archive has:
//
//	debezium/SERVER/SCENARIO/            setup.sql, changes.sql, schemas.json; binlog.* or pgoutput.jsonl: the log of that run
//	debezium/SERVER/SCENARIO/VARIANT/    connector.json, records.jsonl, offsets.jsonl, schemahistory.jsonl, registry.json
//	registry/transcripts/SERVER/API/     what Apicurio Registry answered, call by call, each file on a fresh server
//	registry/serde_calls/                the calls that clients made (http-*), and what they put on the wire (wire-*)
//	registry/glue/                       the same for AWS's serializer with moto
//	registry/avro_compat_pairs.json      pairs of schemas, with the verdicts of Avro's Java library
//
// Debezium is 3.0.8 (3.0.1 for MariaDB), and 3.5.0 in the variants v35-*; the
// databases are MySQL 9.7, MariaDB 10.11 and PostgreSQL 15, the registries Apicurio
// 2.6.13 and 3.3.3.
package golden

import (
	"archive/tar"
	"bytes"
	_ "embed"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

//go:embed golden.tar.zst
var archive []byte

// Roots returns folders with recordings: the archive, unpacked until t ends, and
// those that GOLDEN_EXTRA names.
func Roots(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	if err := unpack(dir); err != nil {
		t.Fatalf("unpack the recordings: %v", err)
	}
	roots := []string{dir}
	for _, extra := range filepath.SplitList(os.Getenv("GOLDEN_EXTRA")) {
		if extra != "" {
			roots = append(roots, extra)
		}
	}
	return roots
}

// Files returns the files of all roots that match the pattern (with /), and the name
// of each below its root.
func Files(t testing.TB, pattern string) (files, names []string) {
	t.Helper()
	for _, root := range Roots(t) {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			files, names = append(files, f), append(names, filepath.ToSlash(name))
		}
	}
	if len(files) == 0 {
		t.Fatalf("there is no recording %s", pattern)
	}
	return files, names
}

func unpack(dir string) error {
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir {
			if err := root.MkdirAll(h.Name, 0o755); err != nil {
				return err
			}
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := root.WriteFile(h.Name, b, 0o644); err != nil {
			return err
		}
	}
}
