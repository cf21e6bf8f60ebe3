package avro

import (
	"errors"
	"fmt"
	"math"

	hamba "github.com/hamba/avro/v2"

	"tributary/internal/avrotext"
)

// Limits of schema text. Text comes from a registry or from the header of a
// file, so it is not trusted.
const (
	MaxSchemaSize  = 4 << 20 // bytes
	maxSchemaDepth = 200     // of brackets in the text
	maxSchemaNodes = 200_000 // of types in the model
	maxFixed       = 1 << 30 // bytes
)

// ErrSchema is in the chain of every error of Parse.
var ErrSchema = errors.New("invalid avro schema")

// Parse reads schema text (JSON). The text must be whole: it cannot refer to
// types defined elsewhere.
func Parse(text string) (s *Schema, err error) {
	if len(text) > MaxSchemaSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrSchema, len(text), MaxSchemaSize)
	}
	if d := avrotext.Depth(text); d > maxSchemaDepth {
		return nil, fmt.Errorf("%w: nested %d deep, the limit is %d", ErrSchema, d, maxSchemaDepth)
	}
	// The library is archived; a panic in it is one more kind of bad schema.
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("%w: %v", ErrSchema, r)
		}
	}()
	// A cache of its own: the library's shared one mixes up schemas that bear
	// the same name.
	parsed, err := hamba.ParseWithCache(text, "", &hamba.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	c := converter{named: map[string]*Schema{}}
	if s, err = c.convert(parsed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if err := c.measure(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if s.text == "" {
		s.text = text
	}
	return s, nil
}

// converter turns the library's model into ours. A named type is converted
// once; references share it.
type converter struct {
	named map[string]*Schema
	all   []*Schema
}

func (c *converter) new(t Type) (*Schema, error) {
	if len(c.all) == maxSchemaNodes {
		return nil, fmt.Errorf("more than %d types", maxSchemaNodes)
	}
	s := &Schema{Type: t}
	c.all = append(c.all, s)
	return s, nil
}

func (c *converter) convert(in hamba.Schema) (*Schema, error) {
	switch in := in.(type) {
	case *hamba.NullSchema:
		return c.withProps(Null, in.Props())
	case *hamba.PrimitiveSchema:
		return c.primitive(in)
	case *hamba.RefSchema:
		if s := c.named[in.Schema().FullName()]; s != nil {
			return s, nil
		}
		return c.convert(in.Schema())
	case *hamba.RecordSchema:
		return c.record(in)
	case *hamba.EnumSchema:
		if s := c.named[in.FullName()]; s != nil {
			return s, nil
		}
		s, err := c.withProps(Enum, in.Props())
		if err != nil {
			return nil, err
		}
		s.Name, s.Symbols, s.Doc = in.FullName(), in.Symbols(), in.Doc()
		c.named[s.Name] = s
		return s, nil
	case *hamba.FixedSchema:
		return c.fixed(in)
	case *hamba.ArraySchema:
		return c.items(Array, in.Items(), in.Props())
	case *hamba.MapSchema:
		return c.items(Map, in.Values(), in.Props())
	case *hamba.UnionSchema:
		s, err := c.new(Union)
		if err != nil {
			return nil, err
		}
		for _, t := range in.Types() {
			b, err := c.convert(t)
			if err != nil {
				return nil, err
			}
			s.Branches = append(s.Branches, b)
		}
		if len(s.Branches) == 0 {
			return nil, errors.New("union without branches")
		}
		return s, nil
	default:
		return nil, fmt.Errorf("unknown kind of type %T", in)
	}
}

func (c *converter) withProps(t Type, props map[string]any) (*Schema, error) {
	s, err := c.new(t)
	if err == nil && len(props) > 0 {
		s.Props = props
	}
	return s, err
}

func (c *converter) primitive(in *hamba.PrimitiveSchema) (*Schema, error) {
	t, ok := primitiveTypes[in.Type()]
	if !ok {
		return nil, fmt.Errorf("unknown type %q", in.Type())
	}
	s, err := c.withProps(t, in.Props())
	if err != nil {
		return nil, err
	}
	s.setLogical(in.Logical())
	return s, nil
}

var primitiveTypes = map[hamba.Type]Type{
	hamba.Boolean: Boolean, hamba.Int: Int, hamba.Long: Long, hamba.Float: Float,
	hamba.Double: Double, hamba.Bytes: Bytes, hamba.String: String, hamba.Null: Null,
}

func (s *Schema) setLogical(l hamba.LogicalSchema) {
	if l == nil {
		return
	}
	s.Logical = string(l.Type())
	if d, ok := l.(*hamba.DecimalLogicalSchema); ok {
		s.Precision, s.Scale = d.Precision(), d.Scale()
	}
}

func (c *converter) record(in *hamba.RecordSchema) (*Schema, error) {
	if s := c.named[in.FullName()]; s != nil {
		return s, nil
	}
	s, err := c.withProps(Record, in.Props())
	if err != nil {
		return nil, err
	}
	s.Name, s.Doc = in.FullName(), in.Doc()
	c.named[s.Name] = s
	s.Fields = make([]Field, 0, len(in.Fields()))
	for _, f := range in.Fields() {
		ft, err := c.convert(f.Type())
		if err != nil {
			return nil, err
		}
		out := Field{Name: f.Name(), Doc: f.Doc(), Schema: ft, HasDefault: f.HasDefault()}
		if out.HasDefault {
			out.Default = f.Default()
		}
		if len(f.Props()) > 0 {
			out.Props = f.Props()
		}
		s.Fields = append(s.Fields, out)
	}
	return s, nil
}

func (c *converter) fixed(in *hamba.FixedSchema) (*Schema, error) {
	if s := c.named[in.FullName()]; s != nil {
		return s, nil
	}
	if in.Size() < 0 || in.Size() > maxFixed {
		return nil, fmt.Errorf("fixed %s of size %d", in.FullName(), in.Size())
	}
	s, err := c.withProps(Fixed, in.Props())
	if err != nil {
		return nil, err
	}
	s.Name, s.Size = in.FullName(), in.Size()
	s.setLogical(in.Logical())
	c.named[s.Name] = s
	return s, nil
}

func (c *converter) items(t Type, in hamba.Schema, props map[string]any) (*Schema, error) {
	s, err := c.withProps(t, props)
	if err != nil {
		return nil, err
	}
	s.Items, err = c.convert(in)
	return s, err
}

// endless marks a schema whose every value would be infinite: a record that
// holds itself with no union, array or map between.
const endless = math.MaxInt32

// measure sets minSize everywhere: the least fixed point, reached from above,
// so that a cycle without a way out stays endless.
func (c *converter) measure() error {
	for _, s := range c.all {
		s.minSize = endless
	}
	for changed := true; changed; {
		changed = false
		// Inner types were made after the outer ones: backwards settles in one
		// round but for recursion.
		for i := len(c.all) - 1; i >= 0; i-- {
			s := c.all[i]
			if n := s.measured(); n < s.minSize {
				s.minSize, changed = n, true
			}
		}
	}
	for _, s := range c.all {
		if s.minSize == endless {
			return fmt.Errorf("record %s contains itself without end", s.Name)
		}
	}
	return nil
}

func (s *Schema) measured() int {
	switch s.Type {
	case Null:
		return 0
	case Float:
		return 4
	case Double:
		return 8
	case Fixed:
		return min(s.Size, endless-1)
	case Record:
		n := 0
		for i := range s.Fields {
			m := s.Fields[i].Schema.minSize
			if m == endless {
				return endless
			}
			n = min(n+m, endless-1)
		}
		return n
	case Union:
		n := endless
		for _, b := range s.Branches {
			n = min(n, b.minSize)
		}
		if n == endless {
			return endless
		}
		return min(n+1, endless-1)
	default:
		return 1
	}
}
