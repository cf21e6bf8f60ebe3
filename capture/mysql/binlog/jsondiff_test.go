package binlog

import (
	"encoding/binary"
	"encoding/json"
	"testing"
)

// small is the binary form of a small object or array of one int16 under "a".
func smallObject() []byte {
	// type, count 1, size 12, key at 11 of length 1, int16 inlined, key
	return []byte{jsonSmallObject, 1, 0, 12, 0, 11, 0, 1, 0, jsonInt16, 7, 0, 'a'}
}

func diff(op byte, path string, value []byte) []byte {
	out := append([]byte{op, byte(len(path))}, path...)
	if op != diffRemove {
		out = append(append(out, byte(len(value))), value...)
	}
	return out
}

func int16JSON(v int16) []byte {
	return binary.LittleEndian.AppendUint16([]byte{jsonInt16}, uint16(v))
}

func TestJSONDiffs(t *testing.T) {
	array := []byte{jsonSmallArray, 2, 0, 10, 0, jsonInt16, 1, 0, jsonLiteral, 1, 0}
	for _, c := range []struct {
		doc   []byte
		diffs [][]byte
		want  string // "" = refused
	}{
		{smallObject(), [][]byte{diff(diffReplace, "$.a", int16JSON(8))}, `{"a":8}`},
		{smallObject(), [][]byte{diff(diffInsert, "$.b", array), diff(diffInsert, "$.b[1]", int16JSON(9)), diff(diffRemove, "$.a", nil)}, `{"b":[1,9,true]}`},
		{smallObject(), [][]byte{diff(diffInsert, `$."a b\""`, int16JSON(1)), diff(diffInsert, "$.A", int16JSON(2))}, `{"A":2,"a":7,"a b\"":1}`},
		{smallObject(), [][]byte{diff(diffReplace, "$.a[0]", int16JSON(8))}, `{"a":8}`},
		{array, [][]byte{diff(diffInsert, "$[2]", int16JSON(3)), diff(diffRemove, "$[0]", nil)}, `[true,3]`},
		{array, [][]byte{diff(diffReplace, "$", int16JSON(3))}, `3`},
		{nil, [][]byte{diff(diffReplace, "$", array)}, `[1,true]`},
		{smallObject(), [][]byte{diff(diffRemove, "$.b", nil)}, ""},
		{smallObject(), [][]byte{diff(diffReplace, "$.b.c", int16JSON(1))}, ""},
		{smallObject(), [][]byte{diff(diffInsert, "$.a", int16JSON(1))}, ""},
		{array, [][]byte{diff(diffReplace, "$[5]", int16JSON(1))}, ""},
		{array, [][]byte{diff(diffRemove, "$", nil)}, ""},
		{array, [][]byte{diff(7, "$[0]", int16JSON(1))}, ""},
		{array, [][]byte{diff(diffRemove, "a", nil)}, ""},
		{array, [][]byte{diff(diffRemove, "$[x]", nil)}, ""},
		{array, [][]byte{{diffRemove, 9, '$'}}, ""},
	} {
		var diffs []byte
		for _, d := range c.diffs {
			diffs = append(diffs, d...)
		}
		got, ok := AppendJSONDiffs(nil, c.doc, diffs)
		if ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("%x: %s %v, want %s", diffs, got, ok, c.want)
		}
	}
}

// FuzzJSONDiffs applies noise to noise: what comes out is JSON.
func FuzzJSONDiffs(f *testing.F) {
	f.Add(smallObject(), append(diff(diffInsert, "$.b", int16JSON(2)), diff(diffRemove, "$.a", nil)...))
	f.Add(smallObject(), diff(diffReplace, `$."é"[3].c`, smallObject()))
	f.Fuzz(func(t *testing.T, doc, diffs []byte) {
		out, ok := AppendJSONDiffs(nil, doc, diffs)
		if ok && !json.Valid(out) {
			t.Fatalf("%s", out)
		}
	})
}

// FuzzColumns reads noise as a compressed column, an enumeration and a vector.
func FuzzColumns(f *testing.F) {
	f.Add([]byte{0x8a, 0x02, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, v []byte) {
		if out, ok := uncompressColumn(v); ok && len(v) > 0 && v[0] == 0 && len(out) != len(v)-1 {
			t.Fatalf("%d bytes of %d", len(out), len(v))
		}
		var table CharsetTable
		table.Add([]byte{'a'}, "a")
		table.Add([]byte{0x81, 0x40}, "é")
		for _, d := range []Decoder{Latin1, UTF16, UTF16LE, UTF32, table.Decode} {
			if out := d(nil, v); len(out) > 4*len(v) {
				t.Fatalf("%d bytes of %d", len(out), len(v))
			}
		}
	})
}
