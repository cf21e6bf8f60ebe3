package capture

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tributary/envelope"
)

// TransformOptions are the chain of transforms, as Kafka Connect writes it.
type TransformOptions struct {
	Transforms []string          `opt:"transforms" doc:"names of transforms, in the order in which they are done"`
	Transform  map[string]string `opt:"transforms.*" doc:"transforms.NAME.type is the class of a transform, transforms.NAME.predicate and .negate say when it is done, and the others are its options under the names that Debezium and Kafka Connect have for them"`
	Predicates []string          `opt:"predicates" doc:"names of predicates"`
	Predicate  map[string]string `opt:"predicates.*" doc:"predicates.NAME.type: TopicNameMatches (with pattern), HasHeaderKey (with name) or RecordIsTombstone of Kafka Connect"`
}

// TransformClasses lists the classes of transforms that there are.
func TransformClasses() []string {
	return slices.Sorted(slices.Values(append(envelope.StepClasses(), envelope.UnwrapClass)))
}

// chain is what the options make of the transforms.
type chain struct {
	unwrap        *envelope.Unwrap
	before, after []envelope.Step
}

// of returns the options of one transform or predicate.
func of(all map[string]string, prefix, name string) map[string]string {
	out := make(map[string]string)
	for k, v := range all {
		if rest, ok := strings.CutPrefix(k, prefix+name+"."); ok {
			out[rest] = v
		}
	}
	return out
}

func (o *TransformOptions) chain() (c chain, faults []Fault) {
	predicates, faults := o.predicates()
	known := make(map[string]bool)
	for _, name := range o.Transforms {
		key := "transforms." + name
		if known[name] {
			faults = append(faults, Fault{"transforms", fmt.Sprintf("%q is in it twice", name)})
			continue
		}
		known[name] = true
		values := of(o.Transform, "transforms.", name)
		class := values["type"]
		if class == "" && name == "unwrap" {
			class = envelope.UnwrapClass
		}
		delete(values, "type")
		opts := envelope.NewStepOptions(values)
		when := o.when(opts, predicates)
		switch {
		case class == envelope.UnwrapClass && c.unwrap != nil:
			faults = append(faults, Fault{key + ".type", "there is one before that unwraps"})
		case class == envelope.UnwrapClass:
			c.unwrap = unwrap(opts)
			c.unwrap.When = when
			if when != nil && when.Topic == nil {
				faults = append(faults, Fault{key + ".predicate", "must be of TopicNameMatches: all records of a topic have one form"})
			}
		default:
			s, ok := envelope.NewStep(class, opts)
			if !ok {
				text := fmt.Sprintf("%q is not known; there are %s", class, strings.Join(TransformClasses(), ", "))
				if why := envelope.RefusedStep(class); why != "" {
					text = fmt.Sprintf("%s is not done: %s", class, why)
				}
				faults = append(faults, Fault{key + ".type", text})
				continue
			}
			if when != nil {
				s = envelope.When(*when, s)
			}
			if c.unwrap == nil {
				c.before = append(c.before, s)
			} else {
				c.after = append(c.after, s)
			}
		}
		for _, f := range opts.Faults() {
			faults = append(faults, Fault{key + "." + f.Option, f.Message})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(o.Transform)) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(k, "transforms."), "."); !known[name] {
			faults = append(faults, Fault{k, fmt.Sprintf("transforms has no %q", name)})
		}
	}
	return c, faults
}

// when reads the predicate of a transform, nil if it has none.
func (o *TransformOptions) when(opts *envelope.StepOptions, predicates map[string]envelope.Predicate) *envelope.Predicate {
	name := opts.Text("predicate", "")
	negate := opts.Text("negate", "false")
	if name == "" {
		return nil
	}
	p, ok := predicates[name]
	if !ok {
		opts.Fault("predicate", fmt.Sprintf("predicates has no %q", name))
		return nil
	}
	if negate != "true" && negate != "false" {
		opts.Fault("negate", fmt.Sprintf("%q is neither true nor false", negate))
	}
	p.Negate = negate == "true"
	return &p
}

func (o *TransformOptions) predicates() (map[string]envelope.Predicate, []Fault) {
	out := make(map[string]envelope.Predicate)
	var faults []Fault
	for _, name := range o.Predicates {
		values := of(o.Predicate, "predicates.", name)
		class := values["type"]
		delete(values, "type")
		opts := envelope.NewStepOptions(values)
		p, ok := envelope.NewPredicate(class, opts)
		if !ok {
			faults = append(faults, Fault{"predicates." + name + ".type", fmt.Sprintf("%q is none of Kafka Connect's TopicNameMatches, HasHeaderKey, RecordIsTombstone", class)})
			continue
		}
		for _, f := range opts.Faults() {
			faults = append(faults, Fault{"predicates." + name + "." + f.Option, f.Message})
		}
		out[name] = p
	}
	for _, k := range slices.Sorted(maps.Keys(o.Predicate)) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(k, "predicates."), "."); !slices.Contains(o.Predicates, name) {
			faults = append(faults, Fault{k, fmt.Sprintf("predicates has no %q", name)})
		}
	}
	return out, faults
}

// unwrap reads the options of ExtractNewRecordState.
func unwrap(o *envelope.StepOptions) *envelope.Unwrap {
	u := &envelope.Unwrap{
		Prefix: o.Text("add.fields.prefix", "__"), HeadersPrefix: o.Text("add.headers.prefix", "__"), RouteBy: o.Text("route.by.field", ""),
	}
	add := func(option string) (out []envelope.AddField) {
		for _, s := range o.List(option) {
			a, err := envelope.ParseAddField(s)
			if err != nil {
				o.Fault(option, err.Error())
				continue
			}
			out = append(out, a)
		}
		return out
	}
	u.Add, u.Headers = add("add.fields"), add("add.headers")
	u.Deletes = deleteMode(o)
	u.DropHeader = o.Text("drop.fields.header.name", "")
	u.NullToDefault = o.Text("replace.null.with.default", "false") == "true"
	if o.Text("drop.fields.from.key", "false") != "false" {
		o.Fault("drop.fields.from.key", "is not supported: keys of a table would have different schemas")
	}
	if o.Text("drop.fields.keep.schema.compatible", "true") != "true" {
		o.Fault("drop.fields.keep.schema.compatible", "only true is supported: records of a table have one schema, and fields that are dropped become null")
	}
	return u
}

// deleteMode reads what becomes of deletes, under the option's present name or
// its former two.
func deleteMode(o *envelope.StepOptions) envelope.DeleteMode {
	const name, old, stones = "delete.tombstone.handling.mode", "delete.handling.mode", "drop.tombstones"
	mode, former, drop := o.Text(name, ""), o.Text(old, ""), o.Text(stones, "")
	modes := []string{"drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"}
	switch {
	case mode != "" && (former != "" || drop != ""):
		o.Fault(old, "contradicts "+name+": give one of them")
	case mode != "" && !slices.Contains(modes, mode):
		o.Fault(name, fmt.Sprintf("%q is none of %s", mode, strings.Join(modes, ", ")))
	case former != "" && former != "drop" && former != "rewrite" && former != "none":
		o.Fault(old, fmt.Sprintf("%q is none of drop, rewrite, none", former))
	case drop != "" && drop != "true" && drop != "false":
		o.Fault(stones, fmt.Sprintf("%q is neither true nor false", drop))
	}
	switch {
	case mode != "":
		return envelope.DeleteMode(mode)
	case former == "" && drop == "":
		return envelope.DeleteTombstone
	case former == "rewrite" && drop == "false":
		return envelope.DeleteRewriteTombstone
	case former == "rewrite":
		return envelope.DeleteRewrite
	case former == "none":
		return envelope.DeleteToTombstone
	case drop == "false":
		return envelope.DeleteTombstone
	}
	return envelope.DeleteDrop
}
