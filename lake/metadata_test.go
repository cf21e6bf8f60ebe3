package lake

import (
	"strings"
	"testing"
)

// TestMetadataTableGoes writes to a table for which Spark keeps a metadata table:
// engines that go by it would not see the new file.
func TestMetadataTableGoes(t *testing.T) {
	store := unzip(t, "testdata/spark/hudi-0.15.0/sale_cow_mdt.zip")
	tab, err := Open(t.Context(), store, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if tab.props[propMetadata] == "" {
		t.Fatal("the fixture has no metadata table")
	}
	before, err := tab.AsOf(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	want := readGolden(t, before, "")
	if err := tab.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tab.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), store, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m := again.props[propMetadata]; m != "" {
		t.Errorf("hoodie.properties still names the metadata table: %s", m)
	}
	for k, v := range tab.props {
		if k != propMetadata && again.props[k] != v {
			t.Errorf("%s was %q, is %q", k, v, again.props[k])
		}
	}
	for info, err := range store.List(t.Context(), ".hoodie/metadata", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(info.Key, ".hoodie/metadata/") {
			t.Fatalf("%s is left", info.Key)
		}
	}
	after, err := again.AsOf(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, readGolden(t, after, ""), want)
}
