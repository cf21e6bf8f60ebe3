package lake

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tributary/internal/column"
	"tributary/internal/fault"
	"tributary/lake/basefile"
)

const (
	nullKeyPart      = "__null__"
	emptyKeyPart     = "__empty__"
	defaultPartition = "__HIVE_DEFAULT_PARTITION__"
)

// keygen is Hudi's name for the way in which keys and partition paths are made.
type keygen string

const (
	keygenPackage = "org.apache.hudi.keygen."
	keygenNone    = keygen("NonpartitionedKeyGenerator")
	keygenSimple  = keygen("SimpleKeyGenerator")
	keygenComplex = keygen("ComplexKeyGenerator")
	keygenTime    = keygen("TimestampBasedKeyGenerator")
	keygenCustom  = keygen("CustomKeyGenerator")
)

// keygens are the types that Hudi 1.x records instead of classes. A class of 0.x
// may have Avro in its name, which makes no difference.
var keygens = map[string]keygen{
	"NON_PARTITION": keygenNone, "NON_PARTITION_AVRO": keygenNone,
	"SIMPLE": keygenSimple, "SIMPLE_AVRO": keygenSimple,
	"COMPLEX": keygenComplex, "COMPLEX_AVRO": keygenComplex,
	"TIMESTAMP": keygenTime, "TIMESTAMP_AVRO": keygenTime,
	"CUSTOM": keygenCustom, "CUSTOM_AVRO": keygenCustom,
}

// keygen returns how the table's keys are made. One that is not known needs a
// human. A table that tells none has the one that Hudi would choose.
func (p properties) keygen() (keygen, error) {
	class, kind := p[propKeygen], p[propKeygenType]
	if class == "" && kind == "" {
		switch partitions := len(p.list(propPartitions)); {
		case partitions == 0:
			return keygenNone, nil
		case partitions == 1 && len(p.list(propKeys)) == 1:
			return keygenSimple, nil
		default:
			return keygenComplex, nil
		}
	}
	if k, ok := keygens[strings.ToUpper(kind)]; ok && class == "" {
		return k, nil
	}
	name, in := strings.CutPrefix(class, keygenPackage)
	if k := keygen(strings.Replace(name, "Avro", "", 1)); in {
		switch k {
		case keygenNone, keygenSimple, keygenComplex, keygenTime, keygenCustom:
			return k, nil
		}
	}
	return "", fault.Humanf("write the table with Spark", "key generator %s is not one that is written here", or(class, kind))
}

// keyer makes record keys and partition paths of rows, in Hudi's encodings.
type keyer struct {
	fields     []keyField
	named      bool // a key of one field has the field's name before it too
	partitions []keyField
	hive       bool
	urlEncode  bool
}

type keyField struct {
	Field
	col  int
	time *timeKey // nil: the value itself
}

func newKeyer(p properties, s Schema) (*keyer, error) {
	k := &keyer{hive: p.is(propHive, false), urlEncode: p.is(propURLEncode, false)}
	find := func(names []string) ([]keyField, error) {
		var out []keyField
		for _, n := range names {
			i := s.Index(n)
			if i < 0 {
				return nil, fault.Humanf("the table's hoodie.properties and its schema disagree", "key or partition field %s is not a column", n)
			}
			out = append(out, keyField{Field: s.Fields[i], col: i})
		}
		return out, nil
	}
	how, err := p.keygen()
	if err != nil {
		return nil, err
	}
	if k.fields, err = find(p.list(propKeys)); err != nil {
		return nil, err
	}
	if len(k.fields) == 0 {
		return nil, fault.Humanf("set hoodie.table.recordkey.fields in its hoodie.properties", "the table has no key fields")
	}
	// A custom key generator's fields come with their kinds.
	names, timed := p.list(propPartitions), map[string]bool{}
	for i, n := range names {
		name, kind, _ := strings.Cut(n, ":")
		names[i], timed[name] = name, strings.EqualFold(kind, "TIMESTAMP") || how == keygenTime
	}
	if k.partitions, err = find(names); err != nil {
		return nil, err
	}
	for i := range k.partitions {
		if f := &k.partitions[i]; timed[f.Name] {
			if f.time, err = timePartition(p).compile(); err != nil {
				return nil, err
			}
		}
	}
	return k, nil
}

// appendKey appends the record key of row r.
func (k *keyer) appendKey(dst []byte, b *column.Batch, r int) ([]byte, error) {
	if len(k.fields) == 1 {
		f := &k.fields[0]
		c := &b.Cols[f.col]
		if k.named {
			dst = append(append(dst, f.Name...), ':')
		}
		value := len(dst)
		if !c.IsNull(r) {
			dst = appendText(dst, f.Type, c, r)
		}
		if len(dst) == value {
			return dst, fault.Humanf("choose key fields that every row has", "key field %s is null or empty", f.Name)
		}
		return dst, nil
	}
	blank := true
	for i := range k.fields {
		f := &k.fields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, f.Name...), ':')
		at := len(dst)
		c := &b.Cols[f.col]
		if c.IsNull(r) {
			dst = append(dst, nullKeyPart...)
			continue
		}
		if dst = appendText(dst, f.Type, c, r); len(dst) == at {
			dst = append(dst, emptyKeyPart...)
			continue
		}
		blank = false
	}
	if blank {
		return dst, fault.Humanf("choose key fields that every row has", "all key fields are null or empty")
	}
	return dst, nil
}

// appendPartition appends the partition path of row r.
func (k *keyer) appendPartition(dst []byte, b *column.Batch, r int) ([]byte, error) {
	for i := range k.partitions {
		f := &k.partitions[i]
		if i > 0 {
			dst = append(dst, '/')
		}
		if k.hive {
			dst = append(append(dst, f.Name...), '=')
		}
		at := len(dst)
		if c := &b.Cols[f.col]; f.time != nil {
			var err error
			if dst, err = f.time.append(dst, f, c, r); err != nil {
				return dst, err
			}
		} else if !c.IsNull(r) {
			dst = appendText(dst, f.Type, c, r)
		}
		switch {
		case len(dst) == at:
			dst = append(dst, defaultPartition...)
		case k.urlEncode:
			dst = append(dst[:at], escapePath(string(dst[at:]))...)
		}
	}
	for part := range strings.SplitSeq(string(dst), "/") {
		if (part == "" || part == "." || part == "..") && len(k.partitions) > 0 {
			return dst, fault.Humanf("partition by another column", "partition value makes the folder %q", dst)
		}
	}
	return dst, nil
}

// AppendText appends a value as Hudi writes it where it becomes text: in keys, in
// partition paths, and in columns that became strings. The value is not null.
func AppendText(dst []byte, t Type, c *column.Column, row int) []byte {
	return appendText(dst, t, c, row)
}

// appendText appends a value as Java's toString writes it.
func appendText(dst []byte, t Type, c *column.Column, r int) []byte {
	switch t.Kind {
	case Boolean:
		return strconv.AppendBool(dst, c.Ints[r] != 0)
	case Date:
		return time.Unix(c.Ints[r]*86400, 0).UTC().AppendFormat(dst, "2006-01-02")
	case Float:
		return appendJavaFloat(dst, c.Floats[r], 32)
	case Double:
		return appendJavaFloat(dst, c.Floats[r], 64)
	case Bytes, Fixed:
		return hex.AppendEncode(dst, c.Value(r))
	case Decimal:
		return append(dst, decimalText(c.Value(r), t.Scale)...)
	case String:
		return append(dst, c.Value(r)...)
	default:
		return strconv.AppendInt(dst, c.Ints[r], 10)
	}
}

// AppendDecimal appends a decimal's unscaled value with digits more behind the
// point.
func AppendDecimal(dst, unscaled []byte, digits int) []byte {
	return basefile.AppendDecimal(dst, unscaled, digits, 0)
}

// WidenFloat makes a double of a float as Hudi does when a column of floats has
// become one of doubles: the double with the same digits.
func WidenFloat(v float32) float64 { return basefile.WidenFloat(v) }

// appendJavaFloat writes v as Double.toString does.
func appendJavaFloat(dst []byte, v float64, bits int) []byte {
	return basefile.AppendFloat(dst, v, bits)
}

// decimalText writes an unscaled big-endian two's complement number with scale
// digits after the point.
func decimalText(b []byte, scale int) string { return basefile.DecimalText(b, scale) }

// escapePath is Hudi's url-encoding of partition values.
func escapePath(s string) string {
	const special = "\"#%'*/:=?\\\x7f{[]^"
	var b strings.Builder
	for _, r := range s {
		if r > 0 && r < ' ' || strings.ContainsRune(special, r) {
			fmt.Fprintf(&b, "%%%02X", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
