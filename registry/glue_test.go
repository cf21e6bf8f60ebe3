package registry_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/config"
	"tributary/internal/fault"
	"tributary/internal/golden"
	"tributary/internal/moto"
	"tributary/registry"
	"tributary/registry/glue"
)

func glueOptions(compatibility string) glue.Options {
	return glue.Options{Compatibility: compatibility}
}

// glueCall asks moto for something that the client does not.
func glueCall(t *testing.T, endpoint, target, body string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AWSGlue."+target)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/glue/aws4_request, SignedHeaders=host, Signature=x")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", target, resp.Status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGlue registers, looks up and finds schemas in moto's Glue over HTTP.
func TestGlue(t *testing.T) {
	endpoint := moto.Start(t)
	address := "glue://cdc?region=us-east-1&endpoint=" + endpoint
	ctx := t.Context()
	c := client(t, address, registry.Options{})
	if err := c.Check(ctx); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "cdc") || !strings.Contains(fault.Hint(err), "create the registry") {
		t.Errorf("without the registry: %v, hint %s", err, fault.Hint(err))
	}
	glueCall(t, endpoint, "CreateRegistry", `{"RegistryName":"cdc"}`, nil)
	if err := c.Check(ctx); err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	ids := make([]registry.ID, 8)
	for i := range ids { // at once, by clients of their own
		other := client(t, address, registry.Options{Glue: glueOptions("FULL_ALL")})
		wg.Go(func() {
			var err error
			if ids[i], err = other.RegisterTopic(ctx, "tickit.sale", false, sale); err != nil {
				t.Error(err)
			}
		})
		if i == 0 {
			wg.Wait() // moto itself lets two create a schema at once
		}
	}
	wg.Wait()
	id, err := c.RegisterTopic(ctx, "tickit.sale", false, sale)
	if err != nil || id.UUID == (registry.UUID{}) || id.Content != 0 || id.Global != 0 {
		t.Fatalf("registered as %s, %v", id, err)
	}
	for _, other := range ids {
		if other != id {
			t.Errorf("one text has the ids %s and %s", id, other)
		}
	}
	var made struct{ Compatibility, SchemaName, DataFormat string }
	glueCall(t, endpoint, "GetSchema", `{"SchemaId":{"SchemaName":"tickit.sale-value","RegistryName":"cdc"}}`, &made)
	if made.Compatibility != "FULL_ALL" || made.DataFormat != "AVRO" {
		t.Errorf("made %+v", made)
	}

	wider := strings.Replace(sale, `"int"`, `"long"`, 1)
	second, err := c.RegisterTopic(ctx, "tickit.sale", false, wider)
	if err != nil || second == id {
		t.Fatalf("second version %s, %v", second, err)
	}
	key, err := c.RegisterTopic(ctx, "tickit.sale", true, sale)
	if err != nil || key == id {
		t.Errorf("the key's schema %s is the value's, %v", key, err)
	}

	reader := client(t, address, registry.Options{})
	for id, want := range map[registry.ID]string{id: sale, second: wider} {
		if text, err := reader.Schema(ctx, id); err != nil || text != want {
			t.Errorf("schema %s: %s, %v", id, text, err)
		}
	}
	unknown := registry.ID{UUID: registry.UUID{1, 2, 3}}
	if _, err := reader.Schema(ctx, unknown); !errors.Is(err, registry.ErrUnknownID) || !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "01020300-0000") {
		t.Errorf("unknown id: %v", err)
	}
	if _, err := reader.Schema(ctx, registry.ID{Content: 3}); !fault.NeedsHuman(err) {
		t.Errorf("another registry's id: %v", err)
	}

	find := client(t, address, registry.Options{Mode: registry.FindOnly})
	if got, err := find.RegisterTopic(ctx, "tickit.sale", false, sale); err != nil || got != id {
		t.Errorf("found %s, %v", got, err)
	}
	if _, err := find.RegisterTopic(ctx, "tickit.event", false, sale); !errors.Is(err, registry.ErrNotRegistered) || !strings.Contains(fault.Hint(err), "schemaAutoRegistrationEnabled") {
		t.Errorf("not registered: %v, hint %s", err, fault.Hint(err))
	}
	latest := client(t, address, registry.Options{Mode: registry.FindLatest})
	if got, err := latest.RegisterTopic(ctx, "tickit.sale", false, wider); err != nil || got != second {
		t.Errorf("latest %s, %v", got, err)
	}
	if _, err := latest.RegisterTopic(ctx, "tickit.sale", false, sale); !fault.NeedsHuman(err) || !strings.Contains(err.Error(), "id changed its type") {
		t.Errorf("latest that does not fit: %v", err)
	}
}

// TestGlueOptions takes AWS's own names of options.
func TestGlueOptions(t *testing.T) {
	endpoint := moto.Start(t)
	glueCall(t, endpoint, "CreateRegistry", `{"RegistryName":"mine"}`, nil)
	type settings struct {
		registry.Settings
		Writer registry.WriterSettings
	}
	open := func(more string) (*registry.Client, registry.Format) {
		t.Helper()
		var s settings
		text := "schema.registry.url: 'glue://any'\nvalue.converter.region: us-east-1\nvalue.converter.registry.name: mine\nvalue.converter.endpoint: " + endpoint +
			"\nvalue.subject.name.strategy: com.amazonaws.services.schemaregistry.serializers.avro.AWSSchemaNamingStrategyDefaultImpl\n" + more
		if err := config.Parse("x.yaml", []byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if p := append(s.Check(), s.Writer.Check(s.RegistryURL, "glue")...); len(p) > 0 {
			t.Fatal(p)
		}
		c, err := s.Writer.Writer(&s.Settings, time.Second, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Writer.Format(&s.Settings, "glue")
		if err != nil {
			t.Fatal(err)
		}
		return c, f
	}
	c, f := open("value.converter.schemaAutoRegistrationEnabled: false\n")
	if _, err := c.RegisterTopic(t.Context(), "t", false, sale); !errors.Is(err, registry.ErrNotRegistered) || f != registry.Glue {
		t.Errorf("format %s, error %v", f, err)
	}
	c, f = open("value.converter.compatibility: FORWARD\nvalue.converter.description: by a test\nvalue.converter.compression: ZLIB\n")
	if _, err := c.RegisterTopic(t.Context(), "t", false, sale); err != nil || f != registry.GlueZlib {
		t.Errorf("format %s, error %v", f, err)
	}
	var made struct{ Compatibility, Description string }
	glueCall(t, endpoint, "GetSchema", `{"SchemaId":{"SchemaName":"t","RegistryName":"mine"}}`, &made)
	if made.Compatibility != "FORWARD" || made.Description != "by a test" {
		t.Errorf("made %+v", made)
	}
	var w registry.WriterSettings
	if p := w.Check("glue://x", "confluent"); len(p) != 1 || p[0].Key != "wire.format" {
		t.Errorf("Glue with another wire format: %v", p)
	}
	if p := w.Check("http://x", "glue"); len(p) != 1 || p[0].Key != "wire.format" {
		t.Errorf("Glue's wire format with another registry: %v", p)
	}
	for _, bad := range []string{"glue://", "glue://x?regoin=us-east-1", "glue://x?endpoint=y", "glue://x?compatibility=SOME"} {
		if _, err := registry.New(bad, registry.Options{}); !fault.NeedsHuman(err) || fault.Hint(err) == "" {
			t.Errorf("New(%q) = %v", bad, err)
		}
	}
}

// awsGlue answers as AWS documents it where moto does otherwise: a version that
// the compatibility mode refuses becomes FAILURE after having been PENDING.
type awsGlue struct {
	mu    sync.Mutex
	calls []string
	polls int
	final string
}

const glueUUID = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63"

func (g *awsGlue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	g.calls = append(g.calls, call)
	body, _ := io.ReadAll(r.Body)
	refuse := func(kind string) {
		w.Header().Set("X-Amzn-Errortype", kind)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"Message":"no"}`, kind)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch call {
	case "GetSchemaByDefinition":
		refuse("EntityNotFoundException")
	case "CreateSchema":
		refuse("AlreadyExistsException")
	case "RegisterSchemaVersion":
		fmt.Fprintf(w, `{"SchemaVersionId":%q,"Status":"PENDING","VersionNumber":2}`, glueUUID)
	case "GetSchema":
		fmt.Fprint(w, `{"Compatibility":"BACKWARD"}`)
	case "PutSchemaVersionMetadata":
		refuse("ResourceNumberLimitExceededException") // no reason to fail
	case "GetSchemaVersion":
		if bytes.Contains(body, []byte("LatestVersion")) {
			text, _ := json.Marshal(fmt.Sprintf(envelope, `{"name":"id","type":"int"}`))
			fmt.Fprintf(w, `{"SchemaVersionId":%q,"Status":"AVAILABLE","DataFormat":"AVRO","SchemaDefinition":%s}`, glueUUID, text)
			return
		}
		status := "PENDING"
		if g.polls++; g.polls > 2 {
			status = g.final
		}
		fmt.Fprintf(w, `{"SchemaVersionId":%q,"Status":%q}`, glueUUID, status)
	default:
		refuse("AccessDeniedException")
	}
}

func TestGlueJudgesLater(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
	text := fmt.Sprintf(envelope, `{"name":"id","type":"int"},{"name":"price","type":"double"}`)
	for _, final := range []string{"AVAILABLE", "FAILURE"} {
		g := &awsGlue{final: final}
		srv := httptest.NewServer(g)
		c := client(t, "glue://cdc?region=eu-west-1&endpoint="+srv.URL, registry.Options{})
		id, err := c.RegisterTopic(t.Context(), "tickit.event", false, text)
		if final == "AVAILABLE" {
			if err != nil || id.UUID.String() != glueUUID {
				t.Errorf("registered as %s, %v", id, err)
			}
			if got := strings.Join(g.calls[:4], " "); got != "GetSchemaByDefinition CreateSchema RegisterSchemaVersion GetSchemaVersion" {
				t.Errorf("calls %s, which are not those of AWS's serializers", got)
			}
		} else if !errors.Is(err, registry.ErrIncompatible) || !strings.Contains(err.Error(), "before.price was added without a default") ||
			!strings.Contains(fault.Hint(err), "BACKWARD") || !strings.Contains(fault.Hint(err), "aws glue update-schema") || !fault.NeedsHuman(err) {
			t.Errorf("error %v, hint %s", err, fault.Hint(err))
		}
		if err := c.Check(t.Context()); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "rights") {
			t.Errorf("denied: %v, hint %s", err, fault.Hint(err))
		}
		srv.Close()
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if err := client(t, "glue://cdc", registry.Options{}).Check(context.WithoutCancel(t.Context())); !fault.NeedsHuman(err) || !strings.Contains(fault.Hint(err), "region") {
		t.Errorf("no region: %v", err)
	}
}

// TestGoldenGlueWire reads what AWS's Java serializer put on the wire, and
// writes the same.
func TestGoldenGlueWire(t *testing.T) {
	more, _ := golden.Files(t, "registry/glue/wire-*.jsonl")
	files := append([]string{"testdata/wire-glue.jsonl"}, more...)
	wire := regexp.MustCompile(`^wire=([0-9a-f]+)`)
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var c struct{ Case, Detail string }
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			m := wire.FindStringSubmatch(c.Detail)
			if m == nil {
				continue
			}
			seen++
			t.Run("registry/"+filepath.Base(filepath.Dir(file))+"/"+c.Case, func(t *testing.T) {
				data, _ := hex.DecodeString(m[1])
				id, body, err := registry.ParseHeader(data, false, nil)
				if err != nil || id.UUID.String() != fmt.Sprintf("%x-%x-%x-%x-%x", data[2:6], data[6:8], data[8:10], data[10:12], data[12:18]) {
					t.Fatalf("id %s, %v", id, err)
				}
				if c.Case == "zlib" {
					if !bytes.Equal(body, append([]byte{0x12, 0x02, 0xa0, 0x06}, strings.Repeat("abcdefgh", 50)...)) {
						t.Errorf("body %x is not the record {9, 50 times abcdefgh}", body)
					}
					// Streams may differ; what they unpack to, and the header, not.
					var p registry.Packer
					for range 2 {
						again := p.Pack([]byte("before"), append(registry.GlueZlib.AppendHeader(nil, id), body...))[len("before"):]
						if !bytes.Equal(again[:18], data[:18]) || !bytes.Equal(again[18:20], []byte{0x78, 0x9c}) {
							t.Errorf("packed %x", again)
						}
						id2, body2, err := registry.ParseHeader(again, false, nil)
						if err != nil || id2 != id || !bytes.Equal(body2, body) {
							t.Errorf("read again: %s, %x, %v", id2, body2, err)
						}
					}
					return
				}
				if again := append(registry.Glue.AppendHeader(nil, id), body...); !bytes.Equal(again, data) {
					t.Errorf("written %x, want %x", again, data)
				}
			})
		}
	}
	if seen < 5 {
		t.Errorf("%d recorded values", seen)
	}
}

func TestDamagedGlueValues(t *testing.T) {
	id := registry.ID{UUID: registry.UUID{1}}
	var p registry.Packer
	good := p.Pack(nil, append(registry.GlueZlib.AppendHeader(nil, id), strings.Repeat("x", 1000)...))
	for name, data := range map[string][]byte{
		"cut":                 good[:len(good)-6],
		"wrong sum":           append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]+1),
		"unknown compression": append([]byte{3, 4}, make([]byte, 20)...),
		"no body":             registry.GlueZlib.AppendHeader(nil, id),
		"short":               {3, 0, 1, 2, 3, 4, 5},
	} {
		if _, _, err := registry.ParseHeader(data, false, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	bomb := p.Pack(nil, append(registry.GlueZlib.AppendHeader(nil, id), make([]byte, 65<<20)...))
	if _, _, err := registry.ParseHeader(bomb, false, nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a bomb of %d bytes: %v", len(bomb), err)
	}
	if err := registry.Glue.Check(registry.ID{Content: 3}); !fault.NeedsHuman(err) {
		t.Errorf("glue without a UUID: %v", err)
	}
	if got := p.Pack(nil, nil); len(got) != 0 {
		t.Errorf("packed nothing into %x", got)
	}
	for _, bad := range []string{"", "b7b4a7f0", strings.ReplaceAll(glueUUID, "-", "x"), glueUUID + "0"} {
		if _, err := registry.ParseUUID(bad); err == nil {
			t.Errorf("%q is a UUID", bad)
		}
	}
}

func BenchmarkPack(b *testing.B) {
	value := append(registry.GlueZlib.AppendHeader(nil, registry.ID{UUID: registry.UUID{1}}), strings.Repeat("a row of a table ", 20)...)
	var p registry.Packer
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(value)))
	for b.Loop() {
		out = p.Pack(out[:0], value)
	}
}
