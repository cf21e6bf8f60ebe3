package mysql

import (
	"path/filepath"
	"testing"

	"tributary/internal/testdb"
)

// TestEncryption connects with the certificates that the server made for
// itself.
func TestEncryption(t *testing.T) {
	db := testdb.MySQL(t)
	db.MustExec(t, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	data := filepath.Join(db.Dir, "data")
	o := user(t, db, options(t, db), "ALL ON *.*")
	db.MustExec(t, "ALTER USER 'limited'@'%' REQUIRE X509")
	o.SSLMode, o.SSLCA = "verify_ca", filepath.Join(data, "ca.pem")
	wantHuman(t, openError(t, o, nil), "Access denied", "")
	o.SSLCert, o.SSLKey = filepath.Join(data, "client-cert.pem"), filepath.Join(data, "client-key.pem")
	for _, mode := range []string{"verify_ca", "required", "preferred"} {
		o.SSLMode = mode
		s := openSource(t, o, nil)
		var rec recording
		rec.read(t, s, 1)
		db.MustExec(t, "REPLACE INTO a VALUES (1)", "UPDATE a SET id = id + 1", "UPDATE a SET id = id - 1")
		rec.read(t, s, 3) // the log, too, is read by that connection
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	o.SSLMode = "verify_identity"
	wantHuman(t, openError(t, o, nil), "x509", "CA")
	o.SSLMode, o.SSLCA = "verify_ca", filepath.Join(data, "client-cert.pem")
	wantHuman(t, openError(t, o, nil), "x509", "CA")
	o.SSLCert = filepath.Join(data, "nothing.pem")
	wantHuman(t, openError(t, o, nil), "read our certificate", "database.ssl.cert")
}
