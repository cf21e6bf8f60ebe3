// Package moto runs moto, an imitation of AWS's services that others wrote, for
// tests that want to speak to AWS over real HTTP. It is installed by
// tests/test.sh into build/venv.
package moto

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/proc"
)

// startPatience is how long moto may take to start.
const startPatience = 60 * time.Second

// Start runs moto until the test ends, and returns its URL. It sets credentials
// and a region in the test's environment. Each start knows nothing yet.
func Start(t *testing.T) (endpoint string) {
	t.Helper()
	bin := find(t)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_SESSION_TOKEN": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().(*net.TCPAddr)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(proc.Spec{Path: bin, Args: []string{"-H", "127.0.0.1", "-p", fmt.Sprint(addr.Port)}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		log.Close()
	})
	endpoint = "http://" + addr.String()
	for end := time.Now().Add(startPatience); ; wait(t.Context()) {
		resp, err := http.Get(endpoint + "/moto-api/data.json") //nolint:noctx // bounded by startPatience
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return endpoint
		}
		if p.Exited() || time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("moto does not start: %v\n%s", err, text)
		}
	}
}

// StartGlue is Start with an empty registry of AWS Glue, and returns its address for
// a client of registries.
func StartGlue(t *testing.T, name string) (address string) {
	t.Helper()
	endpoint := Start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(`{"RegistryName":"`+name+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AWSGlue.CreateRegistry")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/glue/aws4_request, SignedHeaders=host, Signature=x")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	return "glue://" + name + "?region=us-east-1&endpoint=" + endpoint
}

func wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

// find looks for moto in the build folder of the repository, which is above.
func find(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		bin := filepath.Join(dir, "build/venv/bin/moto_server")
		if _, err := os.Stat(bin); err == nil {
			return bin
		}
		break
	}
	t.Fatal("moto is missing; install it with: python3 -m venv build/venv && build/venv/bin/pip install 'moto[server,glue]==5.2.5'")
	return ""
}
