package server

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tributary/internal/avrotext"
)

// The types of rules.
const (
	ruleValidity      = "VALIDITY"
	ruleCompatibility = "COMPATIBILITY"
	ruleIntegrity     = "INTEGRITY"
)

var ruleTypes = []string{ruleValidity, ruleCompatibility, ruleIntegrity}

// scope is what a rule holds for: everything, a group or an artifact.
type scope []byte

func everything() scope          { return scope("*\x00") }
func ofGroup(group string) scope { return scope("g\x00" + group + "\x00") }
func ofArtifact(k key) scope     { return append(scope("a\x00"), k.prefix()...) }

func (s scope) rule(kind string) []byte { return append(slices.Clip([]byte(s)), kind...) }

// rule returns a rule's configuration, or "" where there is none.
func (t tx) rule(s scope, kind string) string { return string(t.Bucket(bRules).Get(s.rule(kind))) }

// rules returns the types of the scope's rules, in the order of ruleTypes.
func (t tx) rules(s scope) []string {
	list := []string{}
	for _, kind := range ruleTypes {
		if t.rule(s, kind) != "" {
			list = append(list, kind)
		}
	}
	return list
}

// setRule stores a rule; an empty configuration deletes it.
func (t tx) setRule(s scope, kind, config string) error {
	b := t.Bucket(bRules)
	if _, err := b.NextSequence(); err != nil {
		return err
	}
	if config == "" {
		return b.Delete(s.rule(kind))
	}
	return b.Put(s.rule(kind), []byte(config))
}

// effective returns the configuration that holds for an artifact: its own,
// else its group's, else the global one.
func (t tx) effective(k key, kind string) string {
	for _, s := range []scope{ofArtifact(k), ofGroup(k.group), everything()} {
		if config := t.rule(s, kind); config != "" {
			return config
		}
	}
	return ""
}

// ruleState changes whenever the outcome of rules may.
func (t tx) ruleState(a *artifact) string {
	if a == nil {
		return fmt.Sprint(t.Bucket(bRules).Sequence(), " new")
	}
	return fmt.Sprint(t.Bucket(bRules).Sequence(), a.Revision)
}

func ruleNotFound(kind string) *problem {
	return &problem{status: 404, name: "RuleNotFoundException", message: fmt.Sprintf("No rule named '%s' was found.", kind), code: 404}
}

// refusal is a rule's, for the reasons given.
func refusal(message string, causes ...violation) *problem {
	return &problem{status: 409, name: "RuleViolationException", message: message, code: 409, rule: true, causes: causes}
}

// ruleLevels are what rules may be configured to. Apicurio stores anything, and
// fails when the rule is to be applied.
var ruleLevels = map[string][]string{
	ruleValidity:      {"NONE", "SYNTAX_ONLY", "FULL"},
	ruleCompatibility: levels,
	ruleIntegrity:     {"NONE", "REFS_EXIST", "ALL_REFS_MAPPED", "NO_DUPLICATES", "FULL"},
}

// ruleEnums are the names of their Java types, for messages.
var ruleEnums = map[string]string{
	ruleValidity: "validity.ValidityLevel", ruleCompatibility: "compatibility.CompatibilityLevel", ruleIntegrity: "integrity.IntegrityLevel",
}

// checkRules refuses to apply rules that are configured to nonsense.
func (t tx) checkRules(k key) error {
	for _, kind := range ruleTypes {
		for level := range strings.SplitSeq(t.effective(k, kind), ",") {
			if level = strings.TrimSpace(level); level != "" && !slices.Contains(ruleLevels[kind], level) {
				return &problem{status: 422, name: "IllegalArgumentException", code: 42203,
					message: "No enum constant io.apicurio.registry.rules." + ruleEnums[kind] + "." + level}
			}
		}
	}
	return nil
}

// applyRules checks the draft by the rules that hold for its artifact.
func (s *store) applyRules(t tx, d *draft) error {
	if err := t.checkRules(d.key); err != nil {
		return err
	}
	if level := t.effective(d.key, ruleValidity); level != "" && level != "NONE" {
		if err := s.valid(t, d, level); err != nil {
			return err
		}
	}
	if level := t.effective(d.key, ruleCompatibility); level != "" && level != "NONE" {
		if err := s.compatible(t, d, level); err != nil {
			return err
		}
	}
	if level := t.effective(d.key, ruleIntegrity); level != "" && level != "NONE" {
		return s.integrity(t, d, level)
	}
	return nil
}

// valid applies the rule VALIDITY. Of a JSON Schema, SYNTAX_ONLY asks no more
// than that it is JSON.
func (s *store) valid(t tx, d *draft, level string) error {
	var err error
	switch d.artifactType {
	case "AVRO":
		var schema *avrotext.Schema
		if schema, err = t.parse(string(d.text), d.refs); err == nil {
			err = schema.CheckDefaults()
		}
	case "JSON":
		if !json.Valid(d.text) {
			err = errNotJSON
		}
		if level == "FULL" {
			return s.semantics(d, err != nil)
		}
	default:
		return nil // kept as text; see the package's comment
	}
	if err == nil {
		return nil
	}
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	kind := "Avro"
	if d.artifactType == "JSON" {
		kind = "JSON Schema"
	}
	p = refusal("Syntax violation for "+kind+" artifact.", []violation{}...)
	p.causes = []violation{}
	var unknown *avrotext.UnknownTypeError
	switch {
	case errors.As(err, &unknown):
		p.detail = "AvroTypeException: Undefined schema: " + unknown.Name
	case !json.Valid(d.text):
		p.detail = "JsonParseException: " + notJSON(s.flavour, d.text)
	default:
		p.detail = "SchemaParseException: " + err.Error()
	}
	return p
}

// semantics judges a JSON Schema at the level FULL.
func (s *store) semantics(d *draft, broken bool) error {
	found := checkJSONSchema(d.text)
	if broken {
		found = &violation{"JSON schema not valid: " + notJSON(s.flavour, d.text), ""}
	}
	if found == nil {
		return nil
	}
	return refusal("Syntax or semantic violation for JSON Schema artifact.", *found)
}

// notJSON words a syntax error as Java's parser does, as far as it is the most
// common one: a bare word.
func notJSON(f flavour, text []byte) string {
	const at = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: %d]"
	word := strings.FieldsFunc(string(text), func(r rune) bool {
		return r != '_' && r != '$' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if len(word) > 0 && strings.HasPrefix(string(text), word[0]) {
		column := 1
		if f == v26 {
			column += len(word[0])
		}
		return "Unrecognized token '" + word[0] + "': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')" + fmt.Sprintf(at, column)
	}
	return "The content is not JSON." + fmt.Sprintf(at, 1)
}

// parse reads an Avro schema with its references in place.
func (t tx) parse(text string, refs []reference) (*avrotext.Schema, error) {
	if len(refs) > 0 {
		var err error
		if text, err = t.inline(text, refs); err != nil {
			return nil, err
		}
	}
	return avrotext.Parse(text)
}

// compatible applies the rule COMPATIBILITY at a level.
func (s *store) compatible(t tx, d *draft, level string) error {
	all, err := t.versions(d.key)
	if err != nil {
		return err
	}
	// As in Apicurio, drafts take part.
	all = slices.DeleteFunc(all, func(v *version) bool { return v.State == stateDisabled || d.publishes == v.GlobalID })
	return s.compatibleWith(t, d, level, all)
}

// compatibleWith compares the draft with older versions: all of them at a
// transitive level, else the last.
func (s *store) compatibleWith(t tx, d *draft, level string, older []*version) error {
	level, transitive := strings.CutSuffix(level, "_TRANSITIVE")
	if len(older) > 1 && !transitive {
		older = older[len(older)-1:]
	}
	compare := t.comparer(d)
	if compare == nil || len(older) == 0 {
		return nil
	}
	var backward, forward []difference
	seen := make(map[int64]bool)
	for _, v := range older {
		if d.ctx != nil && d.ctx.Err() != nil {
			return d.ctx.Err() // nobody waits for the verdict
		}
		if len(backward)+len(forward) >= avrotext.MaxIncompatibilities {
			break // there is enough to tell
		}
		if seen[v.ContentID] {
			continue // its reasons are told once only
		}
		seen[v.ContentID] = true
		b, f, err := compare(s.flavour, v, level)
		if err != nil {
			return err
		}
		backward, forward = append(backward, b...), append(forward, f...)
	}
	var found, listed []violation
	distinct := make(map[difference]bool)
	for _, d := range append(backward, forward...) {
		if !distinct[d] {
			listed = append(listed, d.violation)
		}
		found, distinct[d] = append(found, d.violation), true
	}
	if len(found) == 0 {
		return nil
	}
	causes := javaOrder(found, violation.javaHash)
	// 2.6 lists the same reason again for each pair of types, in no certain
	// order.
	if s.flavour == v33 {
		listed = javaOrder(found, func(v violation) uint32 { return 31 + v.javaHash() })
	}
	count, more := len(listed), ""
	if len(causes) > maxTold {
		causes = append(causes[:maxTold:maxTold], violation{fmt.Sprintf("and %d more", len(causes)-maxTold), "/"})
	}
	if count > maxTold {
		listed, more = listed[:maxTold], fmt.Sprintf(", and %d more", count-maxTold)
	}
	texts := make([]string, len(listed))
	for i, l := range listed {
		texts[i] = l.Description + " at " + l.Context
	}
	return refusal(fmt.Sprintf("Incompatible artifact: %s [%s], num of incompatible diffs: {%d}, list of diff types: [%s%s]",
		d.artifact, d.artifactType, count, strings.Join(texts, ", "), more), causes...)
}

// maxTold bounds the incompatibilities that a refusal names; how many more
// there are, it counts.
const maxTold = 100

// difference is a violation between two types, which are told apart by the
// hashes of their schemas.
type difference struct {
	violation
	reader, writer [sha256.Size]byte
}

// comparison tells what keeps the draft from reading what was written with an
// older version, and the other way round, as the level asks.
type comparison func(f flavour, older *version, level string) (backward, forward []difference, err error)

// errUncomparable is the answer where a schema to compare is none.
func errUncomparable() *problem {
	return &problem{
		status: 422, name: "UnprocessableSchemaException", message: "Syntax violation for Avro artifact.", code: 42201,
		ccompat: "Invalid schema: Syntax violation for Avro artifact.",
		old: &problem{status: 422, name: "UnprocessableSchemaException", code: 42201,
			message: "Could not execute compatibility rule on invalid Avro schema"},
	}
}

func (t tx) comparer(d *draft) comparison {
	wants := func(level, one string) bool { return level == one || level == "FULL" }
	switch d.artifactType {
	case "AVRO":
		var mine *avrotext.Schema
		return func(_ flavour, older *version, level string) (backward, forward []difference, err error) {
			if mine == nil {
				if mine, err = t.parse(string(d.text), d.refs); err != nil {
					return nil, nil, uncomparable(err)
				}
			}
			c, err := t.content(older.ContentID)
			if err != nil || c == nil {
				return nil, nil, err
			}
			// As Apicurio, which reads both with what the newer one refers to:
			// a reference to a newer version alone breaks nothing.
			theirs, err := t.parse(string(c.Text), d.refs)
			if err != nil {
				return nil, nil, uncomparable(err)
			}
			if wants(level, "BACKWARD") {
				backward = differences(avrotext.Compatible(mine, theirs))
			}
			if wants(level, "FORWARD") {
				forward = differences(avrotext.Compatible(theirs, mine))
			}
			return backward, forward, nil
		}
	case "JSON":
		return func(f flavour, older *version, level string) (backward, forward []difference, err error) {
			c, err := t.content(older.ContentID)
			if err != nil || c == nil {
				return nil, nil, err
			}
			if wants(level, "BACKWARD") {
				backward, err = jsonDifferences(f, c.Text, d.text)
			}
			if err == nil && wants(level, "FORWARD") {
				forward, err = jsonDifferences(f, d.text, c.Text)
			}
			return backward, forward, err
		}
	}
	return nil
}

// uncomparable hides what is wrong with a schema from the client, but no other
// error.
func uncomparable(err error) error {
	if errors.Is(err, avrotext.ErrNotAvro) {
		return errUncomparable()
	}
	return err
}

func differences(found []avrotext.Incompatibility) []difference {
	list := make([]difference, len(found))
	// All fields of a record tell of that record: it is printed once.
	hashes := make(map[*avrotext.Schema][sha256.Size]byte)
	hash := func(s *avrotext.Schema) [sha256.Size]byte {
		h, ok := hashes[s]
		if !ok {
			h = sha256.Sum256([]byte(s.String()))
			hashes[s] = h
		}
		return h
	}
	for i, f := range found {
		list[i] = difference{violation{f.Message, f.Location}, hash(f.Reader), hash(f.Writer)}
	}
	return list
}

// integrity applies the rule INTEGRITY at its levels, separated by commas.
func (s *store) integrity(t tx, d *draft, levels string) error {
	has := func(level string) bool {
		return slices.ContainsFunc(strings.Split(levels, ","), func(l string) bool {
			l = strings.TrimSpace(l)
			return l == level || l == "FULL"
		})
	}
	if has("REFS_EXIST") {
		var causes []violation
		for _, r := range d.refs {
			c, err := t.referenced(r)
			if err != nil {
				return err
			}
			if c == nil {
				group := r.Group
				if group == "" {
					group = "null"
				}
				causes = append(causes, violation{fmt.Sprintf("Referenced artifact (%s/%s @ %s) does not yet exist in the registry.", group, r.Artifact, r.Version), r.Name})
			}
		}
		if len(causes) > 0 {
			return refusal("Referenced artifact does not exist.", javaOrder(causes, violation.javaHash)...)
		}
	}
	if has("NO_DUPLICATES") {
		var causes []violation
		seen := make(map[string]bool)
		for _, r := range d.refs {
			if seen[r.Name] {
				causes = append(causes, violation{"Duplicate mapping for artifact reference with name: " + r.Name, r.Name})
			}
			seen[r.Name] = true
		}
		if len(causes) > 0 {
			return refusal("Duplicate artifact reference(s) detected.", javaOrder(causes, violation.javaHash)...)
		}
	}
	if !has("ALL_REFS_MAPPED") || d.artifactType != "AVRO" {
		return nil
	}
	var unknown *avrotext.UnknownTypeError
	if errors.As(unmapped(d), &unknown) {
		if s.flavour == v26 {
			return refusal("Missing reference detected in Avro artifact.", violation{"Missing reference detected.", "Undefined schema: " + unknown.Name})
		}
		return refusal("Missing reference detected.", violation{"Missing reference detected.", unknown.Name})
	}
	return nil
}

// unmapped tells the first type that the schema uses and neither defines nor
// has a reference for, whether or not there is what the reference names.
func unmapped(d *draft) error {
	texts := make(map[string]string)
	for _, r := range d.refs {
		texts[r.Name] = `{"type":"fixed","name":"` + r.Name + `","size":1}`
	}
	text, err := avrotext.Resolve(string(d.text), texts)
	if err == nil {
		_, err = avrotext.Print(text)
	}
	return err
}
