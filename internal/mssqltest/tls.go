package mssqltest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"tributary/internal/mssqltest/tds"
)

// tlsKeys are the server's certificate, which it has signed itself.
type tlsKeys struct {
	config *tls.Config
	pem    []byte
}

func newTLSKeys() (*tlsKeys, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tlsKeys{
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		// TLS 1.3 needs TDS 8: its server speaks after the handshake, when the client
		// no longer expects packets around TLS.
		config: &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}, nil
}

// Certificate is the server's certificate in PEM; nil without Options.Encrypt.
func (s *Server) Certificate() []byte {
	if s.tls == nil {
		return nil
	}
	return s.tls.pem
}

// secure answers the prelogin, and starts TLS where both sides have it: for all
// that follows, or for the login alone.
func (c *conn) secure(r io.Reader, want byte) (io.Reader, error) {
	reply := byte(tds.EncryptNotSup)
	if c.srv.tls != nil && want != tds.EncryptNotSup {
		if reply = tds.EncryptOn; want == tds.EncryptOff {
			reply = tds.EncryptOff
		}
	}
	if _, err := c.w.Write(tds.PreloginReply(reply)); err != nil {
		return nil, err
	}
	if err := c.w.End(); err != nil {
		return nil, err
	}
	if reply == tds.EncryptNotSup {
		return r, nil
	}
	wrapped := &handshakeConn{Conn: c.nc, r: r, w: c.w, handshake: true}
	t := tls.Server(wrapped, c.srv.tls.config)
	c.w.SetKind(tds.PacketPrelogin)
	if err := t.HandshakeContext(c.session.ctx); err != nil {
		return nil, fmt.Errorf("start TLS: %w", err)
	}
	wrapped.handshake = false
	c.encrypted = true
	plain := c.w
	plain.SetKind(tds.PacketResponse)
	c.w = tds.NewWriter(t, 4096, uint16(c.session.id))
	if reply == tds.EncryptOff {
		c.afterLogin = func() io.Reader {
			c.w = plain
			return r
		}
	}
	return bufio.NewReader(t), nil
}

// handshakeConn carries TLS within prelogin packets while the handshake lasts.
type handshakeConn struct {
	net.Conn
	r         io.Reader
	w         *tds.Writer
	handshake bool
	rest      bytes.Buffer // of the packet that is being read
}

func (h *handshakeConn) Read(p []byte) (int, error) {
	if h.rest.Len() > 0 {
		return h.rest.Read(p)
	}
	if !h.handshake {
		return h.r.Read(p)
	}
	kind, _, data, err := tds.ReadPacket(h.r)
	if err != nil {
		return 0, err
	}
	if kind != tds.PacketPrelogin {
		return 0, fmt.Errorf("a packet of type %#x within the handshake of TLS", kind)
	}
	h.rest.Write(data)
	return h.rest.Read(p)
}

func (h *handshakeConn) Write(p []byte) (int, error) {
	if !h.handshake {
		return h.Conn.Write(p)
	}
	n, err := h.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, h.w.End()
}
