package server

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"tributary/internal/avrotext"
)

// scopeOf is what the rules below a path are for.
type scopeOf func(t tx, r *http.Request) (scope, error)

func globally(tx, *http.Request) (scope, error) { return everything(), nil }

func ofGroupPath(t tx, r *http.Request) (scope, error) {
	id := r.PathValue("group")
	if id == defaultGroup && r.Method != http.MethodPost {
		return nil, groupNotFound("null")
	}
	if id == defaultGroup {
		return nil, &problem{status: 405, name: "NotAllowedException", message: "HTTP 405 Method Not Allowed", allow: "GET"}
	}
	_, err := t.group(id)
	return ofGroup(id), err
}

func ofArtifactPath(t tx, r *http.Request) (scope, error) {
	k := artifactKey(r)
	_, err := t.mustArtifact(k)
	var p *problem
	if errors.As(err, &p) && r.Method == http.MethodPost {
		err = p.in(k)
		p.old = nil // both say so
	}
	return ofArtifact(k), err
}

// ruleBody is a rule; v3 calls its type ruleType.
type ruleBody struct {
	Config   string `json:"config"`
	Type     string `json:"type,omitempty"`
	RuleType string `json:"ruleType,omitempty"`
}

func ruleOf(a api, kind, config string) ruleBody {
	if a == apiV3 {
		return ruleBody{Config: config, RuleType: kind}
	}
	return ruleBody{Config: config, Type: kind}
}

// rules serves the rules of a scope.
func (h *handler) rules(mux *http.ServeMux, a api, base string, of scopeOf) {
	read := func(f func(t tx, s scope, r *http.Request) (answer, error)) call {
		return func(r *http.Request) (out answer, err error) {
			err = h.store.view(func(t tx) error {
				s, err := of(t, r)
				if err == nil {
					out, err = f(t, s, r)
				}
				return err
			})
			return out, err
		}
	}
	change := func(r *http.Request, f func(t tx, s scope) error) error {
		return h.store.update(func(t tx) error {
			s, err := of(t, r)
			if err != nil {
				return err
			}
			return f(t, s)
		})
	}
	h.on(mux, a, base, "GET ", read(func(t tx, s scope, _ *http.Request) (answer, error) { return asJSON(t.rules(s)) }))
	h.on(mux, a, base, "POST ", func(r *http.Request) (answer, error) {
		kind, config, err := newRule(a, r)
		if err != nil {
			return answer{}, err
		}
		return done(change(r, func(t tx, s scope) error {
			if t.rule(s, kind) != "" {
				return conflict("RuleAlreadyExistsException", "A rule named '%s' already exists.", kind)
			}
			return t.setRule(s, kind, config)
		}))
	})
	h.on(mux, a, base, "DELETE ", func(r *http.Request) (answer, error) {
		return done(change(r, func(t tx, s scope) error {
			for _, kind := range t.rules(s) {
				if err := t.setRule(s, kind, ""); err != nil {
					return err
				}
			}
			return nil
		}))
	})
	h.on(mux, a, base, "GET /{rule}", read(func(t tx, s scope, r *http.Request) (answer, error) {
		kind, err := pathRule(r)
		if err != nil {
			return answer{}, err
		}
		config := t.rule(s, kind)
		if config == "" {
			return answer{}, ruleNotFound(kind)
		}
		return asJSON(ruleOf(a, kind, config))
	}))
	replace := func(r *http.Request, config string) error {
		kind, err := pathRule(r)
		if err != nil {
			return err
		}
		return change(r, func(t tx, s scope) error {
			if t.rule(s, kind) == "" {
				return ruleNotFound(kind)
			}
			if config == "" && r.Method == http.MethodPut {
				return missing("config")
			}
			return t.setRule(s, kind, config)
		})
	}
	h.on(mux, a, base, "PUT /{rule}", func(r *http.Request) (answer, error) {
		var q struct{ Config string }
		if err := bodyJSON(r, &q); err != nil {
			return answer{}, err
		}
		if q.Config == "" && a == apiV3 {
			return answer{}, missing("config") // before the rule is looked for
		}
		if err := replace(r, q.Config); err != nil {
			return answer{}, err
		}
		return asJSON(ruleOf(a, r.PathValue("rule"), q.Config))
	})
	h.on(mux, a, base, "DELETE /{rule}", func(r *http.Request) (answer, error) { return done(replace(r, "")) })
}

// newRule reads a rule to make.
func newRule(a api, r *http.Request) (kind, config string, err error) {
	var q struct{ Type, RuleType, Config string }
	if err := bodyJSON(r, &q); err != nil {
		return "", "", err
	}
	name := "type"
	kind = q.Type
	if a == apiV3 {
		kind, name = q.RuleType, "ruleType"
	}
	switch {
	case kind == "":
		return "", "", missing(name)
	case kind != ruleValidity && kind != ruleCompatibility && kind != ruleIntegrity:
		return "", "", errMistyped()
	case q.Config == "" && a == apiV2:
		return "", "", missing("Config")
	case q.Config == "":
		return "", "", missing("config")
	}
	return kind, q.Config, nil
}

// artifactTypes are those that each Apicurio lists. Avro and JSON are
// understood; the others are kept as text.
func artifactTypes(f flavour) []string {
	if f == v26 {
		return []string{"ASYNCAPI", "AVRO", "GRAPHQL", "JSON", "KCONNECT", "OPENAPI", "PROTOBUF", "WSDL", "XML", "XSD"}
	}
	return []string{
		"PROTOBUF", "OPENAPI", "ASYNCAPI", "JSON", "AVRO", "GRAPHQL", "KCONNECT", "WSDL", "XSD", "XML", "AGENT_CARD", "MCP_TOOL",
		"ICEBERG_TABLE", "ICEBERG_VIEW", "OPENRPC", "MODEL_SCHEMA", "PROMPT_TEMPLATE", "ODCS_CONTRACT", "THRIFT",
	}
}

type info struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Version     string `json:"version"`
	BuiltOn     string `json:"builtOn"`
}

// systemInfo names the Apicurio whose behaviour the server has: clients decide
// by it what they may ask. The header Server tells whose server it is.
func systemInfo(f flavour) info {
	if f == v26 {
		return info{"apicurio-registry", "High performance, runtime registry for schemas and API designs.", "2.6.13.Final", "2025-07-16T18:29:52+0000"}
	}
	return info{"Apicurio Registry (SQL)", "High performance, runtime registry for schemas and API designs.", "3.3.3", "2026-09-08T16:57:33Z"}
}

type user struct {
	Username    string `json:"username"`
	DisplayName string `json:"displayName"`
	Admin       bool   `json:"admin"`
	Developer   bool   `json:"developer"`
	Viewer      bool   `json:"viewer"`
}

// system serves what is about the registry itself.
func (h *handler) system(mux *http.ServeMux, a api, base string) {
	on := func(pattern string, f call) { h.on(mux, a, base, pattern, f) }
	on("GET /system/info", func(*http.Request) (answer, error) { return asJSON(systemInfo(h.flavour)) })
	on("GET /users/me", func(r *http.Request) (answer, error) {
		name, _ := r.Context().Value(userKey{}).(string)
		return asJSON(user{Username: name, DisplayName: name, Admin: true})
	})
	noRoles := func(*http.Request) (answer, error) {
		if h.flavour == v26 {
			return answer{}, &problem{status: 403, name: "ForbiddenException", message: "Application RBAC not enabled.", silent: true}
		}
		return answer{json: map[string]any{"title": "Application RBAC not enabled.", "status": 403, "name": "ForbiddenException"}, status: http.StatusForbidden}, nil
	}
	for _, pattern := range []string{"GET /admin/roleMappings", "POST /admin/roleMappings", "GET /admin/roleMappings/{principal}", "PUT /admin/roleMappings/{principal}", "DELETE /admin/roleMappings/{principal}"} {
		on(pattern, noRoles)
	}
	if h.flavour == v26 {
		on("GET /admin/loggers", func(*http.Request) (answer, error) { return asJSON([]string{}) })
	}
	types := "/admin/config/artifactTypes"
	if a == apiV2 {
		types = "/admin/artifactTypes"
		on("GET /system/limits", func(*http.Request) (answer, error) { return asJSON(h.limits()) })
	} else {
		on("GET /system/uiConfig", func(*http.Request) (answer, error) { return asJSON(h.uiConfig()) })
		on("POST /content/canonicalize", h.canonicalize)
	}
	on("GET "+types, func(*http.Request) (answer, error) {
		list := []map[string]string{}
		for _, t := range artifactTypes(h.flavour) {
			list = append(list, map[string]string{"name": t})
		}
		return asJSON(list)
	})
	on("GET /admin/config/properties", func(*http.Request) (answer, error) { return asJSON(h.properties()) })
	on("GET /admin/config/properties/{property}", h.property)
	on("PUT /admin/config/properties/{property}", h.setProperty)
	on("DELETE /admin/config/properties/{property}", h.setProperty)
	on("GET /admin/export", h.export)
	on("POST /admin/import", h.importZip)
}

// limits are v2's, -1 being none.
func (h *handler) limits() map[string]int64 {
	l := make(map[string]int64)
	for _, name := range []string{
		"maxTotalSchemasCount", "maxArtifactsCount", "maxVersionsPerArtifactCount", "maxArtifactPropertiesCount",
		"maxPropertyKeySizeBytes", "maxPropertyValueSizeBytes", "maxArtifactLabelsCount", "maxLabelSizeBytes",
		"maxArtifactNameLengthChars", "maxArtifactDescriptionLengthChars", "maxRequestsPerSecondCount",
	} {
		l[name] = -1
	}
	l["maxSchemaSizeBytes"] = h.store.maxText
	return l
}

func (h *handler) uiConfig() any {
	return map[string]any{
		"ui":   map[string]string{"contextPath": "/", "navPrefixPath": "/", "oaiDocsUrl": "/docs/", "editorsUrl": "/editors/"},
		"auth": map[string]any{"type": "none", "rbacEnabled": false, "obacEnabled": false},
		"features": map[string]any{
			"readOnly": h.store.readOnly.Load(), "breadcrumbs": true, "roleManagement": false, "settings": true,
			"deleteGroup": true, "deleteArtifact": true, "deleteVersion": true, "draftMutability": false, "agents": false,
			"searchIndex": false, "urlImportMaxContentLength": 5242880,
		},
	}
}

// canonicalize answers with the form that stands for all texts of equal
// meaning.
func (h *handler) canonicalize(r *http.Request) (answer, error) {
	text, err := body(r)
	if err != nil {
		return answer{}, err
	}
	switch kind := r.URL.Query().Get("artifactType"); kind {
	case "", "AVRO":
		canon, err := avrotext.Canonical(string(text))
		if err != nil {
			return answer{}, &problem{status: 422, name: "UnprocessableSchemaException", message: err.Error(), code: 42201}
		}
		return answer{text: []byte(canon), contentType: "application/json"}, nil
	case "JSON":
		var v any
		if json.Unmarshal(text, &v) != nil {
			return answer{}, errNotJSON
		}
		canon, err := json.Marshal(v)
		return answer{text: canon, contentType: "application/json"}, err
	default:
		return answer{}, badRequest("BadRequestException", "Artifacts of type %s have no canonical form here.", kind)
	}
}

// The settings of Apicurio 3.3 with its defaults. Only read-only mode can be
// changed here.
//
//go:embed properties.json
var propertiesJSON []byte

type property struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Type        string `json:"type"`
	Label       string `json:"label"`
	Description string `json:"description"`
}

const readOnlyProperty = "apicurio.storage.read-only.enabled"

func (h *handler) properties() []property {
	var list []property
	// The file is part of the program, which a test reads.
	_ = json.Unmarshal(propertiesJSON, &list)
	for i := range list {
		if list[i].Name == readOnlyProperty {
			list[i].Value = strconv.FormatBool(h.store.readOnly.Load())
		}
	}
	return list
}

func (h *handler) property(r *http.Request) (answer, error) {
	name := r.PathValue("property")
	for _, p := range h.properties() {
		if p.Name == name {
			return asJSON(p)
		}
	}
	return answer{}, &problem{status: 404, name: "ConfigPropertyNotFoundException",
		message: fmt.Sprintf("No configuration property named '%s' was found.", name), code: 404}
}

// setProperty turns read-only mode on and off; DELETE gives the default back.
func (h *handler) setProperty(r *http.Request) (answer, error) {
	if _, err := h.property(r); err != nil {
		return answer{}, err
	}
	if r.PathValue("property") != readOnlyProperty {
		return answer{}, conflict("NotAllowedException", "This property cannot be changed in this registry.")
	}
	on := false
	if r.Method == http.MethodPut {
		var q struct{ Value string }
		if err := bodyJSON(r, &q); err != nil {
			return answer{}, err
		}
		var err error
		if on, err = strconv.ParseBool(q.Value); err != nil {
			return answer{}, badRequest("InvalidPropertyValueException", "Invalid configuration property value for: %s", readOnlyProperty)
		}
	}
	return done(h.store.setReadOnly(on))
}

// errKeptReadOnly is the answer to who would turn off what the file says.
var errKeptReadOnly = conflict("ReadOnlyStorageException",
	"The registry is read-only by the option read.only of its file, which this property does not change.")

// setReadOnly turns read-only mode on or off, for good.
func (s *store) setReadOnly(on bool) error {
	if s.keptReadOnly {
		return errKeptReadOnly
	}
	err := s.changes.run(func(t tx) error { // in read-only mode too
		return t.Bucket(bSettings).Put([]byte(readOnlyProperty), strconv.AppendBool(nil, on))
	})
	if err == nil {
		s.readOnly.Store(on)
	}
	return err
}

// loadReadOnly takes read-only mode up where it was left.
func (s *store) loadReadOnly() error {
	return s.view(func(t tx) error {
		s.readOnly.Store(t.setting(readOnlyProperty) == "true")
		return nil
	})
}
