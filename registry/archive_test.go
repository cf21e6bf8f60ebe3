package registry

import (
	"bytes"
	"testing"
	"time"
)

// FuzzArchive reads what claims to be an archive; what reads is written and
// read again as the same.
func FuzzArchive(f *testing.F) {
	h := &holding{level: "FULL", levels: map[Artifact]string{{"default", "a"}: "NONE"}, versions: []heldVersion{
		{Artifact: Artifact{"default", "a"}, order: 1, name: "1", id: ID{Content: 7, Global: 3}, kind: "AVRO", text: `"int"`},
		{Artifact: Artifact{"g/..", "b c"}, order: 2, name: "x.y", id: ID{Content: 9, Global: 4}, kind: "JSON", text: `{}`, deleted: true,
			refs: []reference{{Name: "n", Group: "default", Artifact: "a", Version: "1"}}},
	}}
	var seed bytes.Buffer
	if err := h.write(&seed, time.Unix(0, 0)); err != nil {
		f.Fatal(err)
	}
	f.Add(seed.Bytes())
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		h, err := readHolding(archive)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := h.write(&again, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := readHolding(again.Bytes()); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func TestArchiveKeepsEverything(t *testing.T) {
	h := &holding{level: "FULL", levels: map[Artifact]string{{"default", "a"}: "NONE"}, versions: []heldVersion{
		{Artifact: Artifact{"default", "a"}, order: 1, name: "1", id: ID{Content: 7, Global: 3}, kind: "AVRO", text: `"int"`},
		{Artifact: Artifact{"g/..", "b c"}, order: 2, name: "x.y", id: ID{Content: 9, Global: 4}, kind: "JSON", text: `{}`, deleted: true,
			refs: []reference{{Name: "n", Group: "other", Artifact: "a", Version: "1"}}},
	}}
	var out bytes.Buffer
	if err := h.write(&out, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	got, err := readHolding(out.Bytes())
	if err != nil || got.level != h.level || len(got.levels) != 1 || got.levels[h.versions[0].Artifact] != "NONE" || len(got.versions) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, v := range got.versions {
		w := h.versions[i]
		if v.Artifact != w.Artifact || v.order != w.order || v.name != w.name || v.id != w.id || v.kind != w.kind || v.text != w.text || v.deleted != w.deleted ||
			len(v.refs) != len(w.refs) || len(v.refs) > 0 && v.refs[0] != w.refs[0] {
			t.Errorf("version %+v, was %+v", v, w)
		}
	}
}
