package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"tributary/internal/avrotext"
)

// jsonDifferences compares two JSON Schemas and returns what makes documents
// that suit older unsuitable for newer, named as Apicurio names it: by
// constants in 2.6, in words in 3.3. It knows types, properties, required,
// additionalProperties, items, enum, const, the bounds of numbers, strings,
// arrays and objects, and combinations of schemas; what it does not know it
// takes for compatible.
func jsonDifferences(f flavour, older, newer []byte) ([]difference, error) {
	var a, b any
	if json.Unmarshal(older, &a) != nil || json.Unmarshal(newer, &b) != nil {
		return nil, &problem{status: 422, name: "UnprocessableSchemaException", code: 42201,
			message: "Could not execute compatibility rule on invalid JSON schema"}
	}
	work := maxJSONWork
	d := &jsonDiff{flavour: f, work: &work, older: a, newer: b, refs: make(map[[2]string]bool)}
	d.schemas(a, b, "")
	return d.found, nil
}

// checkJSONSchema tells why a text that is JSON is no JSON Schema: the first
// keyword whose value is not of its type, worded as Apicurio's library does.
func checkJSONSchema(text []byte) *violation {
	var v any
	if json.Unmarshal(text, &v) != nil {
		return nil
	}
	return checkKeywords(v, "#")
}

// checkKeywords checks that keywords have values of their type, those with
// schemas in them too.
func checkKeywords(v any, at string) *violation {
	o, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	for _, word := range slices.Sorted(maps.Keys(o)) {
		x, want := o[word], ""
		here := at + "/" + word
		switch word {
		case "type":
			if !validTypes(x) {
				return &violation{fmt.Sprintf("unknown type: [%v]", x), at}
			}
		case "properties", "patternProperties", "definitions", "$defs":
			sub, isObject := x.(map[string]any)
			if !isObject {
				want = "JsonObject"
			}
			for _, name := range slices.Sorted(maps.Keys(sub)) {
				if found := checkKeywords(sub[name], here+"/"+name); found != nil {
					return found
				}
			}
		case "required":
			if _, isList := x.([]any); !isList {
				want = "JsonArray"
			}
		case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
			if n, isNumber := x.(float64); !isNumber || n != float64(int64(n)) {
				want = "Integer"
			}
		case "minimum", "maximum", "multipleOf":
			if _, isNumber := x.(float64); !isNumber {
				want = "Number"
			}
		case "pattern", "format", "$ref", "title", "description", "$schema", "$id":
			if _, isText := x.(string); !isText {
				want = "String"
			}
		case "items", "additionalProperties", "not":
			if found := checkKeywords(x, here); found != nil {
				return found
			}
		}
		if want != "" {
			return &violation{"expected type: " + want + ", found: " + javaType(x), here}
		}
	}
	return nil
}

// javaType names the type of a JSON value as Apicurio's library does.
func javaType(x any) string {
	switch x := x.(type) {
	case nil:
		return "null"
	case bool:
		return "Boolean"
	case float64:
		if x == float64(int32(x)) {
			return "Integer"
		}
		return "Double"
	case string:
		return "String"
	case []any:
		return "JsonArray"
	}
	return "JsonObject"
}

func validTypes(x any) bool {
	list, ok := x.([]any)
	if !ok {
		list = []any{x}
	}
	for _, t := range list {
		name, _ := t.(string)
		if !slices.Contains([]string{"null", "boolean", "object", "array", "number", "integer", "string"}, name) {
			return false
		}
	}
	return true
}

// maxJSONWork bounds the pairs of schemas that one comparison judges: those of
// nested combinations would be without number. Real ones need some hundreds.
const maxJSONWork = 200_000

// maxJSONPath bounds a place in a schema, bytes: references to themselves make
// it ever longer.
const maxJSONPath = 4096

type jsonDiff struct {
	flavour flavour
	found   []difference
	work    *int // left, for all that belong to one comparison

	older, newer any                // the whole schemas, which references name parts of
	refs         map[[2]string]bool // pairs of references that are being or were compared
}

// referred returns the part of a schema that a local reference names, or nil.
func referred(root any, ref string) any {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if part == "" {
			continue
		}
		o, _ := root.(map[string]any)
		root = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return root
}

// follow puts what references name in their place, and reports false for a
// pair of them that was met before: a recursive schema.
func (d *jsonDiff) follow(a, b map[string]any, at string) (older, newer any, path string, ok bool) {
	refA, isA := a["$ref"].(string)
	refB, isB := b["$ref"].(string)
	older, newer, path = a, b, at
	if isA {
		older = referred(d.older, refA)
	}
	if isB {
		newer, path = referred(d.newer, refB), at+"/[ref #"+at+"]"
	}
	here := [2]string{refA, refB}
	if !isA || !isB {
		here[0] += " " + at // which of many parts is compared with what is named
	}
	if d.refs[here] || len(path) > maxJSONPath {
		return nil, nil, "", false
	}
	d.refs[here] = true
	return older, newer, path, older != nil && newer != nil
}

// words are the reasons that 3.3 does not simply spell out.
var words = map[string]string{
	"OBJECT_TYPE_REQUIRED_PROPERTIES_MEMBER_ADDED":    "A new required property was added",
	"OBJECT_TYPE_ADDITIONAL_PROPERTIES_TRUE_TO_FALSE": "Additional properties are no longer allowed",
}

func (d *jsonDiff) add(reason, at string) {
	if d.flavour == v33 {
		text, ok := words[reason]
		if !ok {
			text = strings.ToLower(strings.ReplaceAll(reason, "_", " "))
			text = strings.ToUpper(text[:1]) + text[1:]
		}
		reason = text
	}
	if at == "" {
		at = "/"
	}
	if len(d.found) >= avrotext.MaxIncompatibilities {
		return
	}
	d.found = append(d.found, difference{violation: violation{reason, at}})
}

// jsonKind is the one type that a schema demands, or "".
func jsonKind(o map[string]any) string {
	if t, ok := o["type"].(string); ok {
		return t
	}
	switch {
	case o["properties"] != nil || o["required"] != nil || o["additionalProperties"] != nil:
		return "object"
	case o["items"] != nil:
		return "array"
	}
	return ""
}

func (d *jsonDiff) schemas(older, newer any, at string) {
	if *d.work--; *d.work < 0 {
		d.add("UNDEFINED_UNUSED", at) // too large to tell
		return
	}
	if reflect.DeepEqual(older, newer) {
		return
	}
	a, okA := older.(map[string]any)
	b, okB := newer.(map[string]any)
	if newer == true || okB && len(b) == 0 {
		return // takes everything
	}
	if !okA || !okB {
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
		return
	}
	if a["$ref"] != nil || b["$ref"] != nil {
		if older, newer, path, ok := d.follow(a, b, at); ok {
			d.schemas(older, newer, path)
		}
		return
	}
	if d.combined(a, b, at) {
		return
	}
	if (a["not"] == nil) != (b["not"] == nil) {
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
		return
	}
	from, to := jsonKind(a), jsonKind(b)
	if list, ok := b["type"].([]any); ok { // more types than before are fine
		known := make(map[string]bool, len(list))
		for _, t := range list {
			known[jsonText(t)] = true // not every value can be compared as it is
		}
		for _, t := range typesOf(a) {
			if !known[jsonText(t)] {
				d.add("SUBSCHEMA_TYPE_CHANGED", at)
				return
			}
		}
		return
	}
	switch {
	case from == "integer" && to == "number":
	case from == "number" && to == "integer":
		d.add("NUMBER_TYPE_INTEGER_REQUIRED_FALSE_TO_TRUE", at+"/type")
	case from != to:
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
		return
	}
	d.values(a, b, at)
	switch to {
	case "object":
		d.objects(a, b, at)
	case "array":
		d.arrays(a, b, at)
	case "string":
		d.bounds(a, b, at, "STRING_TYPE", "minLength", "MIN_LENGTH", true)
		d.bounds(a, b, at, "STRING_TYPE", "maxLength", "MAX_LENGTH", false)
		d.fixed(a, b, at, "STRING_TYPE_PATTERN", "pattern")
		d.fixed(a, b, at, "STRING_TYPE_FORMAT", "format")
	case "number", "integer":
		d.bounds(a, b, at, "NUMBER_TYPE", "minimum", "MINIMUM", true)
		d.bounds(a, b, at, "NUMBER_TYPE", "exclusiveMinimum", "EXCLUSIVE_MINIMUM", true)
		d.bounds(a, b, at, "NUMBER_TYPE", "maximum", "MAXIMUM", false)
		d.bounds(a, b, at, "NUMBER_TYPE", "exclusiveMaximum", "EXCLUSIVE_MAXIMUM", false)
		d.multiples(a, b, at)
	}
}

func typesOf(o map[string]any) []any {
	switch t := o["type"].(type) {
	case []any:
		return t
	case string:
		return []any{t}
	}
	return []any{nil}
}

// jsonText is the same for equal values.
func jsonText(v any) string {
	text, _ := json.Marshal(v) // what was decoded encodes
	return string(text)
}

// values compares enum and const.
func (d *jsonDiff) values(a, b map[string]any, at string) {
	now, limited := b["enum"].([]any)
	before, was := a["enum"].([]any)
	if limited && !was {
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
	}
	left := make(map[string]bool, len(now))
	for _, v := range now {
		left[jsonText(v)] = true
	}
	for _, v := range before {
		if limited && !left[jsonText(v)] {
			d.add("ENUM_TYPE_VALUES_MEMBER_REMOVED", at+"/enum")
			break
		}
	}
	if c, ok := b["const"]; ok && !reflect.DeepEqual(a["const"], c) {
		d.add("CONST_TYPE_VALUE_CHANGED", at+"/const")
	}
}

// bounds compares a lower or an upper bound.
func (d *jsonDiff) bounds(a, b map[string]any, at, kind, word, name string, lower bool) {
	now, limited := b[word].(float64)
	before, was := a[word].(float64)
	switch {
	case !limited:
	case !was:
		d.add(kind+"_"+name+"_ADDED", at+"/"+word)
	case lower && now > before:
		d.add(kind+"_"+name+"_INCREASED", at+"/"+word)
	case !lower && now < before:
		d.add(kind+"_"+name+"_DECREASED", at+"/"+word)
	}
}

// fixed compares what must not change once it is demanded.
func (d *jsonDiff) fixed(a, b map[string]any, at, name, word string) {
	switch now, was := b[word], a[word]; {
	case now == nil || now == was:
	case was == nil:
		d.add(name+"_ADDED", at+"/"+word)
	default:
		d.add(name+"_CHANGED", at+"/"+word)
	}
}

func (d *jsonDiff) multiples(a, b map[string]any, at string) {
	now, limited := b["multipleOf"].(float64)
	before, was := a["multipleOf"].(float64)
	switch {
	case !limited || now == 0:
	case !was:
		d.add("NUMBER_TYPE_MULTIPLE_OF_ADDED", at+"/multipleOf")
	case before/now != float64(int64(before/now)):
		d.add("NUMBER_TYPE_MULTIPLE_OF_UPDATED_IS_NOT_DIVISIBLE", at+"/multipleOf")
	}
}

func texts(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func (d *jsonDiff) objects(a, b map[string]any, at string) {
	before, now := texts(a["required"]), texts(b["required"])
	propsA, _ := a["properties"].(map[string]any)
	propsB, _ := b["properties"].(map[string]any)
	var added []string
	for name := range propsB {
		if _, ok := propsA[name]; !ok {
			added = append(added, name)
		}
	}
	if len(added) > 0 && a["additionalProperties"] != false {
		// Older documents may have had anything under the new names.
		d.add("OBJECT_TYPE_PROPERTY_SCHEMAS_NARROWED", at+"/propertySchemasAdded")
	}
	were := make(map[string]bool, len(before))
	for _, r := range before {
		were[r] = true
	}
	if slices.ContainsFunc(now, func(r string) bool { return !were[r] }) {
		d.add("OBJECT_TYPE_REQUIRED_PROPERTIES_MEMBER_ADDED", at+"/required")
	}
	var common []string
	for name := range propsB {
		if _, ok := propsA[name]; ok {
			common = append(common, name)
		}
	}
	slices.Sort(common)
	for _, name := range common {
		d.schemas(propsA[name], propsB[name], at+"/properties/"+name)
	}
	if len(propsA) > len(common) && b["additionalProperties"] == false {
		d.add("OBJECT_TYPE_PROPERTY_SCHEMAS_NARROWED", at+"/propertySchemasRemoved")
	}
	d.keys(a, b, at, "patternProperties", "OBJECT_TYPE_PATTERN_PROPERTY_KEYS_MEMBER_ADDED")
	d.keys(a, b, at, "dependencies", "OBJECT_TYPE_PROPERTY_DEPENDENCIES_KEYS_MEMBER_ADDED")
	switch extraA, extraB := a["additionalProperties"], b["additionalProperties"]; {
	case extraB == false && extraA != false:
		d.add("OBJECT_TYPE_ADDITIONAL_PROPERTIES_TRUE_TO_FALSE", at+"/additionalProperties")
	case extraB != nil && extraB != true && extraB != false && extraA != false:
		d.schemas(orEverything(extraA), extraB, at+"/additionalProperties")
	}
	d.bounds(a, b, at, "OBJECT_TYPE", "minProperties", "MIN_PROPERTIES", true)
	d.bounds(a, b, at, "OBJECT_TYPE", "maxProperties", "MAX_PROPERTIES", false)
}

// keys finds what the newer schema demands for the first time under a keyword
// whose value is an object.
func (d *jsonDiff) keys(a, b map[string]any, at, word, reason string) {
	before, _ := a[word].(map[string]any)
	now, _ := b[word].(map[string]any)
	for name := range now {
		if _, ok := before[name]; !ok {
			d.add(reason, at+"/"+word)
			return
		}
	}
}

func orEverything(v any) any {
	if v == nil {
		return true
	}
	return v
}

func (d *jsonDiff) arrays(a, b map[string]any, at string) {
	switch from, to := a["items"], b["items"]; {
	case to == nil:
	case from == nil:
		d.add("ARRAY_TYPE_ALL_ITEM_SCHEMA_ADDED", at+"/allItemSchema")
	default:
		d.schemas(from, to, at+"/allItemSchema")
	}
	d.bounds(a, b, at, "ARRAY_TYPE", "minItems", "MIN_ITEMS", true)
	d.bounds(a, b, at, "ARRAY_TYPE", "maxItems", "MAX_ITEMS", false)
	if b["uniqueItems"] == true && a["uniqueItems"] != true {
		d.add("ARRAY_TYPE_UNIQUE_ITEMS_FALSE_TO_TRUE", at+"/uniqueItems")
	}
}

// combinations are the keywords that combine schemas.
var combinations = []string{"allOf", "anyOf", "oneOf"}

// combination returns the keyword by which a schema combines others.
func combination(o map[string]any) (word string, list []any) {
	for _, word := range combinations {
		if list, ok := o[word].([]any); ok {
			return word, list
		}
	}
	return "", nil
}

// combined compares allOf, anyOf and oneOf, and reports whether the newer
// schema is a combination, or the older one is and no schema within it can
// stand for it. A schema that is none counts as anyOf itself.
func (d *jsonDiff) combined(a, b map[string]any, at string) bool {
	from, before := combination(a)
	to, now := combination(b)
	switch {
	case from == "" && to == "":
		return false
	case to == "":
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
		return true
	case from == "" && (jsonKind(a) == "" || a["enum"] != nil || a["const"] != nil):
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
		return true
	case from == "":
		from, before = "anyOf", []any{a}
	}
	switch {
	case from == to:
	case to == "anyOf":
		return true // which takes more
	case from == "anyOf":
		d.add("COMBINED_TYPE_CRITERION_NARROWED", at+"/[criterion]")
		return true
	default:
		d.add("COMBINED_TYPE_CRITERION_CHANGED", at+"/[criterion]")
		return true
	}
	name := "COMBINED_TYPE_" + strings.ToUpper(to[:3]) + "_OF_SIZE_"
	switch {
	case to == "allOf" && len(now) > len(before):
		d.add(name+"INCREASED", at+"/[size]")
	case to != "allOf" && len(now) < len(before):
		d.add(name+"DECREASED", at+"/[size]")
	}
	if len(before) <= len(now) && !d.matched(before, now) {
		d.add("COMBINED_TYPE_SUBSCHEMA_NOT_COMPATIBLE", at)
	}
	return true
}

// matched reports whether each of the older schemas has a newer one of its own
// that takes what it takes.
func (d *jsonDiff) matched(before, now []any) bool {
	takes := func(i, j int) bool {
		if *d.work < 0 {
			return false
		}
		one := &jsonDiff{flavour: d.flavour, work: d.work, older: d.older, newer: d.newer, refs: maps.Clone(d.refs)}
		one.schemas(before[i], now[j], "")
		return len(one.found) == 0
	}
	of := make([]int, len(now)) // which older one has the newer, plus 1
	var place func(i int, tried []bool) bool
	place = func(i int, tried []bool) bool {
		for j := range now {
			if tried[j] || !takes(i, j) {
				continue
			}
			tried[j] = true
			if of[j] == 0 || place(of[j]-1, tried) {
				of[j] = i + 1
				return true
			}
		}
		return false
	}
	for i := range before {
		if !place(i, make([]bool, len(now))) {
			return false
		}
	}
	return true
}
