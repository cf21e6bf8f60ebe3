package mssqltest_test

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"tributary/internal/mssqltest"
)

func TestEncryption(t *testing.T) {
	srv, _ := start(t, mssqltest.Options{Encrypt: true})
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, srv.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, _ := start(t, mssqltest.Options{})
	for _, c := range []struct {
		srv     *mssqltest.Server
		options url.Values
		ok      bool
	}{
		{srv, url.Values{"encrypt": {"true"}, "certificate": {cert}}, true},
		{srv, url.Values{"encrypt": {"false"}, "certificate": {cert}}, true}, // the login alone
		{srv, url.Values{"encrypt": {"disable"}}, true},
		{srv, url.Values{"encrypt": {"true"}, "TrustServerCertificate": {"true"}}, true},
		{srv, url.Values{"encrypt": {"true"}, "TrustServerCertificate": {"false"}}, false},
		{plain, url.Values{"encrypt": {"false"}}, true},
		{plain, url.Values{"encrypt": {"true"}, "TrustServerCertificate": {"true"}}, false},
	} {
		u := url.URL{Scheme: "sqlserver", User: url.UserPassword("sa", "Secret1!"), Host: c.srv.Addr(), RawQuery: c.options.Encode()}
		db, err := sql.Open("sqlserver", u.String())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		err = db.QueryRowContext(t.Context(), "SELECT count(*) FROM sys.databases").Scan(&n)
		if (err == nil && n == 5) != c.ok {
			t.Errorf("%v: %d, %v", c.options, n, err)
		}
		db.Close()
	}
}
