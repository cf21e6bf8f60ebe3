package ingest

import (
	"encoding/json"
	"testing"

	"tributary/internal/avro"
)

const nestedSchema = `{"type":"record","name":"R","fields":[
	{"name":"list","type":{"type":"array","items":["null","string",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]}},
	{"name":"map","type":{"type":"map","values":"double"}},
	{"name":"self","type":["null","R"]},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
	{"name":"f","type":{"type":"fixed","name":"F","size":3}},
	{"name":"b","type":"boolean"},
	{"name":"g","type":"float"}]}`

func TestNestedToJSON(t *testing.T) {
	s, err := avro.Parse(nestedSchema)
	must(t, err)
	v := avro.AppendLong(nil, 3)                                           // a block of three items
	v = avro.AppendLong(v, 0)                                              // null
	v = avro.AppendString(avro.AppendLong(v, 1), "a\"<é")                  //
	v = avro.AppendBytes(avro.AppendLong(v, 2), []byte{0xff, 0x38})        // -2.00
	v = avro.AppendLong(v, 0)                                              // end of the list
	v = avro.AppendLong(avro.AppendLong(v, -1), 10)                        // a block with its size
	v = avro.AppendDouble(avro.AppendString(v, "k"), 0.5)                  //
	v = avro.AppendLong(v, 0)                                              // end of the map
	v = avro.AppendLong(avro.AppendLong(v, 0), 1)                          // no self, B
	v = avro.AppendFloat(avro.AppendBoolean(append(v, 1, 2, 3), true), 16) //
	got, err := appendNested(nil, s, v)
	must(t, err)
	var back map[string]any
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	want := `{"list":[null,"a\"\u003cé",-2.00],"map":{"k":0.5},"self":null,"e":"B","f":"AQID","b":true,"g":16}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPlainDecimals(t *testing.T) {
	for _, c := range []struct {
		unscaled []byte
		scale    int
		want     string
	}{
		{nil, 0, "0"}, {nil, 2, "0.00"}, {[]byte{0}, 3, "0.000"}, {[]byte{1}, 3, "0.001"}, {[]byte{0xff}, 2, "-0.01"},
		{[]byte{0x80}, 0, "-128"}, {[]byte{0x00, 0x80}, 1, "12.8"}, {[]byte{5}, -3, "5000"}, {[]byte{0}, -3, "0"},
		{[]byte{0xff, 0xff, 0xff}, 1, "-0.1"},
	} {
		if got := string(appendUnscaled(nil, c.unscaled, c.scale)); got != c.want {
			t.Errorf("%x scale %d: got %s, want %s", c.unscaled, c.scale, got, c.want)
		}
	}
}

// Whatever the bytes are, reading them ends, and what comes of valid ones is
// JSON.
func FuzzNested(f *testing.F) {
	s, err := avro.Parse(nestedSchema)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 0, 0, 0, 1, 2, 3, 1, 0, 0, 0, 0})
	f.Add([]byte{2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, src []byte) {
		if avro.Check(s, src) != nil {
			return // the walk refuses such bytes before they get here
		}
		// Blocks that tell their size are passed over unseen by the walk, so an
		// error is possible still.
		got, err := appendNested(nil, s, src)
		if err == nil && !json.Valid(got) {
			t.Fatalf("%x became %s", src, got)
		}
	})
}
