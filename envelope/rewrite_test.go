package envelope

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func column(name string) func(TableID, *Column) bool {
	return func(_ TableID, c *Column) bool { return c.Name == name }
}

func TestMasks(t *testing.T) {
	table := &Table{ID: TableID{Schema: "s", Name: "t"}, Key: []int{0}, Columns: []Column{
		{Name: "id", Type: TypeOf(String)},
		{Name: "stars", Type: TypeOf(String), Nullable: true},
		{Name: "short", Type: TypeOf(String), Nullable: true, Native: "varchar(10)"},
		{Name: "hash", Type: TypeOf(String), Native: "varchar(8)"},
		{Name: "n", Type: TypeOf(Int)},
	}}
	hasher, err := Hasher("SHA-256", []byte("salt"), 2)
	if err != nil {
		t.Fatal(err)
	}
	w := Rewrite{Masks: []Mask{
		{Match: column("stars"), Chars: 3}, {Match: column("short"), Truncate: 2}, {Match: column("hash"), Hash: hasher},
		{Match: column("id"), Chars: 1}, {Match: column("n"), Chars: 1},
	}}
	f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Unwrap: &Unwrap{}, Rewrite: w}, table)
	row := func(id, stars, short, hash string) Row {
		out := AppendString(nil, id)
		for _, v := range []string{stars, short} {
			if v == "" {
				out = append(out, 0)
			} else {
				out = AppendString(append(out, 2), v)
			}
		}
		return append(AppendString(out, hash), 8)
	}
	sum := sha256.Sum256([]byte("salt" + "secret"))
	for name, c := range map[string]struct{ in, want Row }{
		"values": {row("k", "abcdef", "ab𝄞", "secret"), row("*", "***", "ab", hex.EncodeToString(sum[:])[:8])},
		"null":   {row("k", "", "", "secret"), row("*", "***", "", hex.EncodeToString(sum[:])[:8])},
	} {
		t.Run(name, func(t *testing.T) {
			var m Messages
			f.Append(&m, Wire{}, &Change{Op: Create, Table: table, Key: AppendString(nil, "k"), After: c.in})
			if got := string(m.List[0].Value); got != string(c.want) {
				t.Errorf("row %q, want %q", got, c.want)
			}
			if got := string(m.List[0].Key); got != string(AppendString(nil, "k")) {
				t.Errorf("key %q", got)
			}
			parseWhole(t, f.ValueSchema, m.List[0].Value)
		})
	}
	for _, want := range []string{`"masked":"true"`, `"truncateLength":"2"`} {
		if !strings.Contains(f.ValueSchema, want) {
			t.Errorf("no %s in %s", want, f.ValueSchema)
		}
	}
	if strings.Contains(f.KeySchema, "masked") {
		t.Errorf("key schema %s", f.KeySchema)
	}
}

func TestHasherOfTheFirstVersionHashesWhatJavaWrites(t *testing.T) {
	h, err := Hasher("MD5", nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	// printf '\xac\xed\x00\x05t\x00\x03abc' | md5sum
	if got := string(h(nil, []byte("abc"))); got != "2a582c703dbdc724871fabe09e5bf210" {
		t.Errorf("hash %s", got)
	}
	if _, err := Hasher("CRC", nil, 1); err == nil {
		t.Error("an unknown algorithm is taken")
	}
}

func TestAnotherKey(t *testing.T) {
	table := testTable()
	w := Rewrite{Keys: []KeyRule{{Match: func(id TableID) bool { return id.Name == "t" }, Columns: []string{"name", "id"}}}}
	f := mustTable(t, Options{Block: testBlock(), Naming: Naming{Prefix: "p"}, Tombstones: true, Rewrite: w}, table)
	before, key := testRow(1)
	after, newKey := testRow(2)
	var m Messages
	f.Append(&m, Wire{}, &Change{Op: Update, Table: table, Key: key, Before: before, After: before})
	f.Append(&m, Wire{}, &Change{Op: Update, Table: table, Key: newKey, OldKey: key, Before: before, After: after})
	if len(m.List) != 1+3 {
		t.Fatalf("%d messages", len(m.List))
	}
	for i, id := range []int32{1, 1, 1, 2} {
		want := AppendInt(AppendString([]byte{2}, "n"), id)
		if string(m.List[i].Key) != string(want) {
			t.Errorf("key %x, want %x", m.List[i].Key, want)
		}
		parseWhole(t, f.KeySchema, m.List[i].Key)
	}
	w.Keys[0].Columns = []string{"nothing"}
	if _, err := NewFormat(Options{Block: testBlock(), Rewrite: w}).Table(table); err == nil {
		t.Error("a key of a column that is not there")
	}
}
