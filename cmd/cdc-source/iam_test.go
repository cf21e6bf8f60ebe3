package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tributary/internal/testdb"
)

// The credentials of the test: those of AWS's documentation, which open nothing.
const (
	accessKey = "AKIAIOSFODNN7EXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// TestIAMLogin captures from a PostgreSQL that lets a user in by a token of AWS
// alone, over TLS, as RDS does: the server gives the password to a directory (in
// RDS a PAM module), which checks the token's signature, its user, its server and
// its age. So it is the real client, the real server and real tokens; only who
// checks them is not Amazon's.
func TestIAMLogin(t *testing.T) {
	db := testdb.OwnPostgreSQL(t, testdb.Options{})
	d := newDirectory(t, fmt.Sprintf("%s:%d", "127.0.0.1", db.Port))
	root := iamServer(t, db.Server, d.addr)
	s := newStack(t)
	file := func(more string) string {
		path := s.file(t, db, "database.authentication: aws-iam\ndatabase.aws.region: eu-west-1\ndatabase.sslmode: verify-full\ndatabase.sslrootcert: "+root+"\nerrors.retry.timeout: 0\n"+more)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		edited := strings.NewReplacer("user: "+db.User, "user: cdc", "password: "+db.Password, "password: ignored", "hostname: "+db.Host, "hostname: 127.0.0.1").Replace(string(text))
		if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	stop := start(t, file(""))
	s.read(t, "test.public.item", 1)
	db.MustExec(t, "INSERT INTO item VALUES (2)")
	s.read(t, "test.public.item", 2)
	stop()
	if n := d.taken.Load(); n < 2 { // a connection of its own for the log, at least
		t.Errorf("%d connections logged in by a token", n)
	}

	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	err := run(t.Context(), []string{"-c", file("")}, slog.New(slog.DiscardHandler))
	wantError(t, err, "authentication failed", true)
	if d.refused.Load() == 0 {
		t.Error("a token with another signature was not even looked at")
	}
}

// iamServer has the server take the user cdc over TLS alone, with passwords that
// the directory checks. It returns the file of the certificate to trust.
func iamServer(t *testing.T, server *testdb.Server, directory string) string {
	t.Helper()
	query := func(s string) string {
		rows, err := server.Query(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return ""
		}
		return rows[0][0]
	}
	hba := query("SHOW hba_file")
	data := filepath.Dir(hba)
	var owner syscall.Stat_t
	if err := syscall.Stat(data, &owner); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root.crt")
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	rules, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(directory, ":")
	rule := fmt.Sprintf("hostssl %%s cdc all ldap ldapserver=%s ldapport=%s ldapprefix=\"cn=\" ldapsuffix=\"\"\n", host, port)
	rule = fmt.Sprintf(rule, "all") + fmt.Sprintf(rule, "replication") + "host all cdc all reject\nhost replication cdc all reject\n"
	for path, content := range map[string][]byte{
		root: public, filepath.Join(data, "server.crt"): public, filepath.Join(data, "server.key"): pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		hba: append([]byte(rule), rules...),
	} {
		if err := errors.Join(os.WriteFile(path, content, 0o600), os.Chown(path, int(owner.Uid), int(owner.Gid))); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"CREATE ROLE cdc LOGIN REPLICATION SUPERUSER", "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1)", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		query(s)
	}
	for deadline := time.Now().Add(10 * time.Second); query("SHOW ssl") != "on"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not encrypt")
		}
	}
	return root
}

// directory is an LDAP server that knows simple binds: the password must be a token
// for its database server.
type directory struct {
	addr, database string
	taken, refused atomic.Int32
}

func newDirectory(t *testing.T, database string) *directory {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &directory{addr: l.Addr().String(), database: database}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				context.AfterFunc(ctx, func() { _ = c.Close() })
				defer c.Close()
				for d.answer(t, c) == nil {
				}
			}()
		}
	}()
	return d
}

// answer takes one request.
func (d *directory) answer(t *testing.T, c net.Conn) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	size := int(head[1])
	if size >= 0x80 {
		long := make([]byte, size&0x7f)
		if _, err := io.ReadFull(c, long); err != nil {
			return err
		}
		size = int(new(big.Int).SetBytes(long).Int64())
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return err
	}
	var id int
	rest, err := asn1.Unmarshal(body, &id)
	if err != nil {
		return err
	}
	var op asn1.RawValue
	if _, err := asn1.Unmarshal(rest, &op); err != nil || op.Tag != 0 { // 0 = bind; 2 = unbind
		return io.EOF
	}
	var version int
	var name, password asn1.RawValue
	if rest, err = asn1.Unmarshal(op.Bytes, &version); err == nil {
		if rest, err = asn1.Unmarshal(rest, &name); err == nil {
			_, err = asn1.Unmarshal(rest, &password)
		}
	}
	if err != nil {
		return err
	}
	code := byte(0)
	if err := d.check(strings.TrimPrefix(string(name.Bytes), "cn="), string(password.Bytes)); err != nil {
		t.Logf("token refused: %v", err)
		d.refused.Add(1)
		code = 49 // invalid credentials
	} else {
		d.taken.Add(1)
	}
	_, err = c.Write([]byte{0x30, 12, 2, 1, byte(id), 0x61, 7, 10, 1, code, 4, 0, 4, 0})
	return err
}

// check proves a token: what it is for, how old it is, and who signed it (AWS
// Signature Version 4 of a GET that is never sent).
func (d *directory) check(user, token string) error {
	u, err := url.Parse("https://" + token)
	if err != nil {
		return errors.New("it is no URL")
	}
	q := u.Query()
	at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	if err != nil {
		return errors.New("it has no time")
	}
	day := at.Format("20060102")
	scope := day + "/eu-west-1/rds-db/aws4_request"
	switch {
	case u.Host != d.database:
		return fmt.Errorf("it is for the server %s", u.Host)
	case q.Get("Action") != "connect" || q.Get("DBUser") != user:
		return fmt.Errorf("it is for the user %s", q.Get("DBUser"))
	case q.Get("X-Amz-Credential") != accessKey+"/"+scope:
		return fmt.Errorf("it is of %s", q.Get("X-Amz-Credential"))
	case q.Get("X-Amz-Expires") != "900" || time.Since(at).Abs() > 15*time.Minute:
		return fmt.Errorf("it is of %s", at)
	}
	signature := q.Get("X-Amz-Signature")
	q.Del("X-Amz-Signature")
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	canonical := strings.Join([]string{"GET", "/", strings.ReplaceAll(q.Encode(), "+", "%20"), "host:" + u.Host, "", "host", hash("")}, "\n")
	key := []byte("AWS4" + secretKey)
	for _, part := range []string{day, "eu-west-1", "rds-db", "aws4_request", "AWS4-HMAC-SHA256\n" + q.Get("X-Amz-Date") + "\n" + scope + "\n" + hash(canonical)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if hex.EncodeToString(key) != signature {
		return errors.New("its signature is another")
	}
	return nil
}
