package server

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
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
	d := &jsonDiff{flavour: f}
	d.schemas(a, b, "")
	return d.found, nil
}

// checkJSONSchema reports why a text is no JSON Schema.
func checkJSONSchema(text []byte) error {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	switch v.(type) {
	case bool, map[string]any:
		return checkKeywords(v, 0)
	}
	return fmt.Errorf("a JSON Schema is an object or a boolean")
}

// checkKeywords checks that keywords have values of their type.
func checkKeywords(v any, depth int) error {
	o, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	for word, x := range o {
		ok := true
		switch word {
		case "type":
			ok = validTypes(x)
		case "properties", "patternProperties", "definitions", "$defs":
			var sub map[string]any
			if sub, ok = x.(map[string]any); ok {
				for _, s := range sub {
					if err := checkKeywords(s, depth+1); err != nil {
						return err
					}
				}
			}
		case "required":
			_, ok = x.([]any)
		case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
			n, isNumber := x.(float64)
			ok = isNumber && n >= 0
		case "minimum", "maximum", "multipleOf":
			_, ok = x.(float64)
		case "pattern", "format", "$ref", "title", "description", "$schema", "$id":
			_, ok = x.(string)
		case "items", "additionalProperties", "not":
			if err := checkKeywords(x, depth+1); err != nil {
				return err
			}
		}
		if !ok {
			return fmt.Errorf("%s has a value of the wrong type", word)
		}
	}
	return nil
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

type jsonDiff struct {
	flavour flavour
	found   []difference
}

// words are the reasons that 3.3 does not simply spell out.
var words = map[string]string{
	"OBJECT_TYPE_REQUIRED_PROPERTIES_MEMBER_ADDED": "A new required property was added",
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
	if d.combined(a, b, at) {
		return
	}
	from, to := jsonKind(a), jsonKind(b)
	if list, ok := b["type"].([]any); ok { // more types than before are fine
		for _, t := range typesOf(a) {
			if !slices.Contains(list, t) {
				d.add("SUBSCHEMA_TYPE_CHANGED", at)
				return
			}
		}
		return
	}
	switch {
	case from == "integer" && to == "number":
	case from == "number" && to == "integer":
		d.add("NUMBER_TYPE_INTEGER_REQUIRED_FALSE_TO_TRUE", at)
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

// values compares enum and const.
func (d *jsonDiff) values(a, b map[string]any, at string) {
	now, limited := b["enum"].([]any)
	before, was := a["enum"].([]any)
	if limited && !was {
		d.add("SUBSCHEMA_TYPE_CHANGED", at)
	}
	for _, v := range before {
		if limited && !slices.ContainsFunc(now, func(x any) bool { return reflect.DeepEqual(x, v) }) {
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
	if slices.ContainsFunc(now, func(r string) bool { return !slices.Contains(before, r) }) {
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
	switch extraA, extraB := a["additionalProperties"], b["additionalProperties"]; {
	case extraB == false && extraA != false:
		d.add("OBJECT_TYPE_ADDITIONAL_PROPERTIES_TRUE_TO_FALSE", at+"/additionalProperties")
	case extraB != nil && extraB != true && extraB != false && extraA != false:
		d.schemas(orEverything(extraA), extraB, at+"/additionalProperties")
	}
	d.bounds(a, b, at, "OBJECT_TYPE", "minProperties", "MIN_PROPERTIES", true)
	d.bounds(a, b, at, "OBJECT_TYPE", "maxProperties", "MAX_PROPERTIES", false)
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

// combined compares allOf, anyOf and oneOf, and reports whether either schema
// is a combination.
func (d *jsonDiff) combined(a, b map[string]any, at string) bool {
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		before, was := a[word].([]any)
		now, is := b[word].([]any)
		if !was && !is {
			continue
		}
		name := "COMBINED_TYPE_" + strings.ToUpper(word[:3]) + "_OF_SIZE_"
		switch {
		case was != is:
			d.add("COMBINED_TYPE_CRITERION_CHANGED", at)
			return true
		case word == "allOf" && len(now) > len(before):
			d.add(name+"INCREASED", at)
		case word != "allOf" && len(now) < len(before):
			d.add(name+"DECREASED", at)
		}
		for i := range min(len(now), len(before)) {
			one := &jsonDiff{flavour: d.flavour}
			one.schemas(before[i], now[i], "")
			if len(one.found) > 0 {
				d.add("COMBINED_TYPE_SUBSCHEMA_NOT_COMPATIBLE", at)
				break
			}
		}
		return true
	}
	return false
}
