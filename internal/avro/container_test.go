package avro

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/column"
)

const rowSchema = `{"type":"record","name":"Row","namespace":"t","fields":[{"name":"id","type":"long"},{"name":"text","type":["null","string"],"default":null}],"connect.name":"t.Row"}`

func row(id int) []byte {
	b := AppendLong(nil, int64(id))
	if id%7 == 0 {
		return AppendLong(b, 0)
	}
	return AppendString(AppendLong(b, 1), fmt.Sprintf("row number %d", id))
}

// container returns a file of n rows.
func container(t testing.TB, codec Codec, n int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, rowSchema, codec, map[string]string{"zebra": "z", "apple": "a", "middle": "m"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Append(row(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if w.Records() != int64(n) {
		t.Errorf("%d records", w.Records())
	}
	return file.Bytes()
}

func TestContainer(t *testing.T) {
	const n = 30_000
	for _, codec := range []Codec{CodecNull, CodecDeflate, CodecSnappy, CodecZstd} {
		t.Run(string(codec), func(t *testing.T) {
			file := container(t, codec, n)
			if !bytes.Equal(file, container(t, codec, n)) {
				t.Error("the same rows make other bytes")
			}
			r, err := NewReader(bytes.NewReader(file), int64(len(file)), "f")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if v, _ := r.Meta("apple"); v != "a" || r.SchemaText() != rowSchema {
				t.Errorf("header: %q, %q", v, r.SchemaText())
			}
			plan, err := Compile(mustParse(t, r.SchemaText()), []Target{{Path: "id", Kind: column.Int}})
			if err != nil {
				t.Fatal(err)
			}
			b, blocks := plan.NewBatch(), 0
			for {
				block, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				blocks++
				if err := plan.WalkAll(block.Data, block.Count, b); err != nil {
					t.Fatal(err)
				}
			}
			if b.Len != n || blocks < 3 {
				t.Fatalf("%d rows in %d blocks", b.Len, blocks)
			}
			for i, id := range b.Cols[0].Ints {
				if id != int64(i) {
					t.Fatalf("row %d is %d", i, id)
				}
			}
		})
	}
}

// TestContainerDamage changes every byte of a small file, one after another, and
// cuts it everywhere: with a codec that checks, no change of a block may pass
// unseen; without one, none may be misread as more rows.
func TestContainerDamage(t *testing.T) {
	for _, codec := range []Codec{CodecNull, CodecSnappy} {
		file := container(t, codec, 20)
		good, _, err := readAll(file)
		if err != nil || good != 20 {
			t.Fatal(good, err)
		}
		for cut := range file {
			if _, _, err := readAll(file[:cut]); err == nil && cut != headerSize(t, file) {
				t.Errorf("%s: cut to %d of %d bytes and no error", codec, cut, len(file))
			} else if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut to %d: %v", codec, cut, err)
			}
		}
		_, sum, _ := readAll(file)
		for i := range file {
			for _, flip := range []byte{1, 0x80} {
				bad := bytes.Clone(file)
				bad[i] ^= flip
				n, badSum, err := readAll(bad)
				body := i >= headerSize(t, file)
				if err == nil && body && badSum == sum {
					t.Errorf("%s: byte %d changed and neither an error nor another checksum", codec, i)
				}
				if err == nil && n != 20 {
					t.Errorf("%s: byte %d changed, %d rows and no error", codec, i, n)
				}
				if err == nil && codec == CodecSnappy && body {
					t.Errorf("%s: byte %d changed and no error", codec, i)
				}
			}
		}
	}
}

func headerSize(t *testing.T, file []byte) int {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), int64(len(file)), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return int(r.Offset())
}

func readAll(file []byte) (rows int64, sum uint32, err error) {
	r, err := NewReader(bytes.NewReader(file), int64(len(file)), "dir/file.avro")
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Records(), r.BodyCRC(), nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

func TestContainerErrorsSayWhere(t *testing.T) {
	file := container(t, CodecNull, 20)
	bad := bytes.Clone(file)
	bad[len(bad)-1] ^= 1
	_, _, err := readAll(bad)
	var where *FileError
	if !errors.As(err, &where) || where.File != "dir/file.avro" || where.Offset != int64(headerSize(t, file)) {
		t.Errorf("%v", err)
	}
	for name, text := range map[string]string{"empty": "", "parquet": "PAR1xxxxxxxx", "json": `{"a":1}`} {
		if _, _, err := readAll([]byte(text)); !errors.Is(err, errMagic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	odd := AppendHeader(nil, map[string]string{MetaSchema: rowSchema, MetaCodec: "lzma"}, Sync{})
	if _, _, err := readAll(odd); err == nil || !strings.Contains(err.Error(), "lzma") {
		t.Errorf("unknown codec: %v", err)
	}
	none := AppendHeader(nil, map[string]string{"a": "b"}, Sync{})
	if _, _, err := readAll(none); !errors.Is(err, errNoMeta) {
		t.Errorf("no schema: %v", err)
	}
}

// TestBombs gives compressed blocks that claim to be, or are, far larger than a
// block may be.
func TestBombs(t *testing.T) {
	head := func(codec Codec) []byte {
		return AppendHeader(nil, map[string]string{MetaSchema: rowSchema, MetaCodec: string(codec)}, Sync{})
	}
	for _, codec := range []Codec{CodecDeflate, CodecZstd} {
		c, err := newCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		data, err := c.compress(make([]byte, MaxBlock+1))
		if err != nil {
			t.Fatal(err)
		}
		file := AppendLong(AppendLong(head(codec), 1), int64(len(data)))
		file = append(append(file, data...), make([]byte, 16)...)
		if _, _, err := readAll(file); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", codec, err)
		}
	}
	// Snappy says in front how long the output will be.
	data := []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0}
	file := AppendLong(AppendLong(head(CodecSnappy), 1), int64(len(data)))
	file = append(append(file, data...), make([]byte, 16)...)
	if _, _, err := readAll(file); !errors.Is(err, ErrCorrupt) {
		t.Errorf("snappy: %v", err)
	}
}

// python returns the interpreter of the build folder, which has fastavro.
func python(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs("../../build/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(bin, "-c", "import fastavro").Run(); err != nil {
		t.Fatalf("fastavro is missing (%v); install it with: python3 -m venv build/venv && build/venv/bin/pip install fastavro", err)
	}
	return bin
}

// TestFastavroReads lets another maker's reader read our files, and us read its.
func TestFastavroReads(t *testing.T) {
	bin, dir := python(t), t.TempDir()
	for _, codec := range []Codec{CodecNull, CodecDeflate} {
		path := filepath.Join(dir, string(codec)+".avro")
		if err := os.WriteFile(path, container(t, codec, 20_000), 0o644); err != nil {
			t.Fatal(err)
		}
		script := `
import fastavro, json, sys
with open(sys.argv[1], "rb") as f:
    r = fastavro.reader(f)
    rows = [x for x in r]
    meta = r.metadata
with open(sys.argv[2], "wb") as f:
    fastavro.writer(f, json.loads(meta["avro.schema"]), rows, codec=meta["avro.codec"])
print(json.dumps({"rows": len(rows), "first": rows[:8], "sum": sum(x["id"] for x in rows), "meta": {k: meta[k] for k in ("apple", "zebra")}}))
`
		back := filepath.Join(dir, string(codec)+"-back.avro")
		out, err := exec.Command(bin, "-c", script, path, back).Output()
		if err != nil {
			t.Fatalf("fastavro: %v", err)
		}
		var got struct {
			Rows, Sum int
			First     []struct {
				ID   int
				Text *string
			}
			Meta map[string]string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if got.Rows != 20_000 || got.Sum != 20_000*19_999/2 || got.Meta["apple"] != "a" || got.First[0].Text != nil || *got.First[3].Text != "row number 3" {
			t.Errorf("%s: fastavro read %s", codec, out)
		}
		file, err := os.ReadFile(back)
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := readAll(file); n != 20_000 || err != nil {
			t.Errorf("%s: fastavro's file: %d rows, %v", codec, n, err)
		}
	}
}
