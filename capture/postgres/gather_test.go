package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// What comes in pieces of any size is read whole and in order, into buffers of
// any size.
func TestGatheredReadsEverything(t *testing.T) {
	server, client := net.Pipe()
	conn, err := gather(func(context.Context, string, string) (net.Conn, error) { return client, nil })(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	sent := make([]byte, 3*gatherSize)
	for i := range sent {
		sent[i] = byte(rnd.Uint32())
	}
	failed := make(chan error, 1)
	go func() {
		rest := sent
		for len(rest) > 0 {
			n := min(len(rest), 1+rnd.IntN(2*gatherPiece))
			if _, err := server.Write(rest[:n]); err != nil {
				failed <- err
				return
			}
			rest = rest[n:]
		}
		failed <- server.Close()
	}()
	var got []byte
	for size := 1; ; size = size*3%9973 + 1 {
		p := make([]byte, size)
		n, err := conn.Read(p)
		got = append(got, p[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-failed; err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes of %d arrive, or others: %v", len(got), len(sent), err)
	}
}
