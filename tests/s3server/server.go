// Package s3server starts a real S3 server, versitygw, for tests. The server is
// a nested module's tool, built into the build folder when first needed, so
// that its dependencies stay out of the product's.
package s3server

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tributary/internal/proc"
	"tributary/lake/blob/s3"
)

// Server is a running server. Its data are plain files.
type Server struct {
	URL string
	Dir string // one folder a bucket
}

// The credentials and the region that the server takes.
const (
	AccessKey = "tributary"
	SecretKey = "tributary-secret"
	Region    = "us-east-1"
)

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	bin := build(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	addr := freeAddr(t)
	p, err := proc.Start(proc.Spec{
		Path: bin, Args: []string{"--port", addr, "--region", Region, "--quiet", "posix", data},
		Env: append(os.Environ(), "ROOT_ACCESS_KEY_ID="+AccessKey, "ROOT_SECRET_ACCESS_KEY="+SecretKey),
		Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	end := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !answers(t, addr) {
		if p.Exited() || time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the S3 server does not answer at %s\n%s", addr, text)
		}
		<-tick.C
	}
	return &Server{URL: "http://" + addr, Dir: data}
}

func answers(t testing.TB, addr string) bool {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
	return err == nil && conn.Close() == nil
}

// Bucket makes a bucket and returns the options that open it.
func (s *Server) Bucket(t testing.TB, name string) s3.Options {
	t.Helper()
	mkdir(t, s.Dir, name)
	return s3.Options{
		Bucket: name, Endpoint: s.URL, Region: Region, PathStyle: true,
		AccessKey: AccessKey, SecretKey: SecretKey,
	}
}

func mkdir(t testing.TB, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// build returns the server's program. Tests of several packages may ask for it
// at once: a lock lets one of them build.
func build(t testing.TB) string {
	t.Helper()
	root := moduleRoot(t)
	out := filepath.Join(root, "build", "versitygw")
	mkdir(t, root, "build")
	lock, err := os.OpenFile(out+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(out); err == nil {
		return out
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out+".new", "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = filepath.Join(root, "tests", "s3gw")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the S3 server: %v\n%s", err, text)
	}
	if err := os.Rename(out+".new", out); err != nil {
		t.Fatal(err)
	}
	return out
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tests", "s3gw", "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("this test must run inside the repository")
	return ""
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}
