package mysql

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// TestIdleConnectionsAreProbed: with connect.keep.alive the system probes a
// connection on which nothing has come for so long, so that one whose other end is
// gone without a word fails instead of being waited for; without it, it does not.
func TestIdleConnectionsAreProbed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		on    bool
		every time.Duration
	}{{true, time.Minute}, {true, 7 * time.Second}, {false, time.Minute}} {
		s := &settings{Options: &Options{KeepAlive: c.on, KeepAliveInterval: c.every, ConnectTimeout: time.Second}}
		conn, err := s.dialer().DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var on, idle int
		if err := raw.Control(func(fd uintptr) {
			on, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
			idle, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		}); err != nil {
			t.Fatal(err)
		}
		if (on != 0) != c.on || c.on && idle != int(c.every/time.Second) {
			t.Errorf("%+v: probes %v after %d s", c, on != 0, idle)
		}
		_ = conn.Close()
	}
}
