package capturetest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/envelope"
)

// Cell is a text as code in a cell of a table of Markdown.
func Cell(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

// AvroName says what Avro type an envelope's type is written as.
func AvroName(t *envelope.Type) string {
	switch {
	case t.Kind == envelope.Array || t.Kind == envelope.Map:
		return t.Kind.String() + " of " + AvroName(t.Items)
	case t.Logical == "decimal":
		return fmt.Sprintf("bytes, decimal(%d,%d)", t.Precision, t.Scale)
	case t.Int16:
		return "int (int16)"
	}
	return t.Kind.String()
}

// Written is what the row of a table with the one column v is written as, decoded by
// the schema of the records: JSON.
func Written(t *testing.T, v envelope.Column, row []byte) string {
	t.Helper()
	v.Name = "v"
	f := envelope.NewFormat(envelope.Options{Naming: envelope.Naming{Prefix: "p"}, Unwrap: &envelope.Unwrap{}})
	tf, err := f.Table(&envelope.Table{ID: envelope.TableID{Name: "t"}, Columns: []envelope.Column{v}})
	if err != nil {
		t.Fatal(err)
	}
	value, err := DecodeAvro(tf.ValueSchema, row)
	if err != nil {
		t.Fatalf("decode %x: %v", row, err)
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	s := strings.TrimSpace(out.String())
	return strings.TrimSuffix(strings.TrimPrefix(s, `{"v":`), "}")
}

// Documented holds the page of docs with that name against the text, or writes it.
func Documented(t *testing.T, page, text string, write bool) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", page)
	if write {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != text {
		t.Errorf("%s is not what the code does (%v): run this test with -update", path, err)
	}
}
