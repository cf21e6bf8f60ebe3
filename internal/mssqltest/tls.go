package mssqltest

import (
	"io"

	"tributary/internal/mssqltest/tds"
)

type tlsKeys struct{}

func newTLSKeys() (*tlsKeys, error) { return &tlsKeys{}, nil }

// secure answers the prelogin, and starts TLS where both sides want it.
func (c *conn) secure(r io.Reader, _ byte) (io.Reader, error) {
	reply := tds.PreloginReply(tds.EncryptNotSup)
	if _, err := c.w.Write(reply); err != nil {
		return nil, err
	}
	return r, c.w.End()
}
