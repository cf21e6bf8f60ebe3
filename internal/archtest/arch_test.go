package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "tributary"

// arrows says what each package of ours may import of ours. A package that is
// not listed fails the test: it has to be given its place first.
// internal/fault, which classifies errors, is open to all.
var arrows = map[string][]string{
	"internal/fault":  nil,
	"internal/column": nil,
	"internal/config": nil,
	"internal/ops":    {"internal/config"},
	"internal/avro":   {"internal/avrotext", "internal/column"},
	"internal/topic":  {"internal/config"},
	"internal/broker": nil,
	"internal/proc":   nil,
	"internal/testdb": {"internal/proc"},
	"internal/moto":   {"internal/proc"},
	"internal/tickit": nil,
	// Running the whole pipeline as processes stands beside the commands.
	"internal/pipeline": {"internal/proc", "internal/testdb", "internal/tickit", "internal/avro", "internal/column", "internal/topic", "lake", "lake/blob", "registry"},
	"internal/avrotext": nil,
	"internal/golden":   nil,
	// The model of SQL Server is for tests and the demo.
	"internal/mssqltest":      {"internal/mssqltest/tds", "internal/mssqltest/tsql"},
	"internal/mssqltest/tds":  nil,
	"internal/mssqltest/tsql": nil,

	"envelope":             {"internal/avro", "internal/column"},
	"capture":              {"envelope"},
	"capture/snapshot":     {"envelope", "capture"},
	"capture/postgres":     {"internal/config", "capture", "capture/snapshot", "envelope"},
	"capture/mysql":        {"internal/config", "capture", "capture/snapshot", "capture/mysql/binlog", "capture/mysql/ddl", "envelope"},
	"capture/sqlserver":    {"internal/config", "capture", "capture/snapshot", "envelope"},
	"capture/mysql/binlog": {"envelope"},
	"capture/mysql/ddl":    nil,
	"capture/rdsauth":      nil,
	"capture/emit":         {"internal/config", "capture", "envelope", "registry", "internal/topic"},
	"capture/conformance":  {"internal/config", "capture", "capture/changetext", "capture/mysql", "capture/postgres", "capture/sqlserver", "envelope"},
	"capture/changetext":   {"envelope"},
	"capture/capturetest":  {"capture", "capture/snapshot", "envelope", "internal/golden", "internal/testdb"},
	"registry":             {"internal/avrotext", "internal/config", "registry/glue"},
	"registry/glue":        nil,
	"registry/server":      {"internal/avrotext", "internal/config"},
	"lake":                 {"lake/merge", "lake/basefile", "lake/blob", "internal/avrotext", "internal/column"},
	"lake/merge":           {"internal/column"},
	"lake/basefile":        {"internal/column"},
	"lake/bronze":          {"lake/blob", "internal/avro", "internal/column"},
	"lake/blob":            nil,
	"lake/blob/blobtest":   {"lake/blob"},
	"lake/blob/s3":         {"internal/config", "lake/blob"},
	"ingest":               {"lake", "lake/bronze", "lake/blob", "internal/avro", "internal/column"},

	"cmd/cdc-source":    {"capture", "capture/emit", "capture/rdsauth", "capture/snapshot", "capture/postgres", "capture/mysql", "capture/sqlserver", "capture/conformance", "envelope", "registry", "registry/server", "internal/topic", "internal/config", "internal/ops"},
	"cmd/s3-sink":       {"internal/column", "lake/bronze", "lake/blob", "lake/blob/s3", "registry", "internal/topic", "internal/avro", "internal/config", "internal/ops"},
	"cmd/deltastreamer": {"ingest", "lake", "lake/bronze", "lake/blob", "lake/blob/s3", "internal/config", "internal/ops"},
	"cmd/lakeq":         {"lake", "lake/blob", "lake/blob/s3", "internal/column", "internal/ops"},
	"cmd/demo":          nil, // the demo stands above all
}

// owners names the one package that may import a heavy library, so that
// replacing it is a change of one package.
var owners = map[string][]string{
	"github.com/hamba/avro":          {"internal/avro"},
	"github.com/twmb/franz-go/pkg/k": {"internal/topic", "internal/broker"}, // kgo, kadm, kmsg; kfake
	"github.com/parquet-go":          {"lake/basefile"},
	"github.com/aws":                 {"lake/blob/s3", "registry/glue", "capture/rdsauth"},
	"github.com/jackc":               {"capture/postgres", "internal/testdb", "cmd/demo"},
	"github.com/go-mysql-org":        {"capture/mysql", "capture/mysql/binlog"},
	"github.com/pingcap":             {"capture/mysql/ddl"},
	"github.com/go-sql-driver":       {"capture/mysql", "internal/testdb", "cmd/demo"},
	"github.com/microsoft":           {"capture/sqlserver", "internal/testdb"},
	"github.com/duckdb":              {"cmd/lakeq"},
	"github.com/alecthomas/kong":     {"cmd/lakeq"},
	"go.etcd.io/bbolt":               {"registry/server"},
	"go.yaml.in/yaml":                {"internal/config"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("go list found %d packages only", len(list))
	}
	return list
}

func place(path string) string { return strings.TrimPrefix(path, module+"/") }

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		name := place(p.ImportPath)
		if name == "internal/archtest" || strings.HasPrefix(name, "tests/") {
			continue
		}
		allowed, listed := arrows[name]
		if !listed {
			t.Errorf("%s has no place in the table of arrows: give it one, as low as it can be", name)
			continue
		}
		if name == "cmd/demo" {
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") || place(imp) == "internal/fault" {
				continue
			}
			if !slices.Contains(allowed, place(imp)) {
				t.Errorf("%s must not import %s", name, place(imp))
			}
		}
	}
}

func TestEachHeavyLibraryHasOneImporter(t *testing.T) {
	for _, p := range packages(t) {
		name := place(p.ImportPath)
		for _, imp := range p.Imports {
			for library, who := range owners {
				if strings.HasPrefix(imp, library) && !slices.Contains(who, name) {
					t.Errorf("%s must not import %s: only %s may", name, imp, strings.Join(who, " and "))
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatLivesThere(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.Doc) < 40 {
			t.Errorf("%s has no package comment (or none that says anything): %q", place(p.ImportPath), p.Doc)
		}
	}
}
