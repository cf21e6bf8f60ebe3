package basefile

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/parquet-go/parquet-go"

	"tributary/internal/column"
)

type nestedItem struct {
	A int32   `parquet:"a"`
	B *string `parquet:"b,optional"`
}

type nestedRow struct {
	ID    int64             `parquet:"id"`
	List  []*int64          `parquet:"list,list,optional"`
	Bare  []string          `parquet:"bare"`
	Items []nestedItem      `parquet:"items,list"`
	Map   map[string]string `parquet:"map,optional"`
	Rec   *nestedItem       `parquet:"rec,optional"`
}

// nestedFile writes rows with the library's own writer.
func nestedFile(t testing.TB, rows []nestedRow) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[nestedRow](&buf)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func nestedRows() []nestedRow {
	b, one := "x \"y\"", int64(1)
	return []nestedRow{
		{ID: 1, List: []*int64{&one, nil, &one}, Bare: []string{"p", "q"}, Items: []nestedItem{{1, &b}, {2, nil}}, Map: map[string]string{"k": "v"}, Rec: &nestedItem{3, nil}},
		{ID: 2},
		{ID: 3, List: []*int64{nil}, Bare: []string{""}, Items: []nestedItem{{4, nil}}},
	}
}

func TestNested(t *testing.T) {
	f := open(t, nestedFile(t, nestedRows()))
	for name, want := range map[string][3]string{
		"list":  {`[1,null,1]`, ``, `[null]`},
		"bare":  {`["p","q"]`, `[]`, `[""]`},
		"items": {`[{"a":1,"b":"x \"y\""},{"a":2,"b":null}]`, `[]`, `[{"a":4,"b":null}]`},
		"map":   {`{"k":"v"}`, ``, ``},
		"rec":   {`{"a":3,"b":null}`, ``, ``},
	} {
		got := column.Column{Kind: column.Bytes}
		if err := f.Read(0, Column{Name: name, Nested: true}, &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for r, w := range want {
			if got.IsNull(r) != (w == "") || string(got.Value(r)) != w {
				t.Errorf("%s of row %d is %q, want %q", name, r, got.Value(r), w)
			}
		}
	}
	ids := column.Column{Kind: column.Int}
	if err := f.Read(0, Column{Name: "id", Physical: Int64}, &ids); err != nil || len(ids.Ints) != 3 || ids.Ints[2] != 3 {
		t.Errorf("a plain column beside them: %v, %v", ids.Ints, err)
	}
}

// FuzzNested changes the bytes of a file with nested columns: what is read is JSON.
func FuzzNested(f *testing.F) {
	f.Add(nestedFile(f, nestedRows()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			return
		}
		file, err := Open(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		for g := range min(file.Groups(), 2) {
			if file.GroupRows(g) > 1<<16 {
				continue
			}
			for _, c := range file.Columns() {
				if !c.Nested {
					continue
				}
				got := column.Column{Kind: column.Bytes}
				if file.Read(g, c, &got) != nil {
					continue
				}
				for r := range got.Len() {
					if !got.IsNull(r) && !json.Valid(got.Value(r)) {
						t.Fatalf("%s of row %d is no JSON: %q", c.Name, r, got.Value(r))
					}
				}
			}
		}
	})
}
