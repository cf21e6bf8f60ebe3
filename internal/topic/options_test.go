package topic

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The client library's keyed partitioner is the Java client's; so must be ours.
func TestByKeyIsTheJavaPartitioner(t *testing.T) {
	theirs, ours := kgo.StickyKeyPartitioner(nil).ForTopic("t"), choosePartition("t")
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		key := make([]byte, n%40)
		for i := range key {
			key[i] = byte(rnd.Uint32())
		}
		r := &kgo.Record{Key: key, Partition: ByKey}
		for _, parts := range []int{1, 3, 12} {
			if a, b := theirs.Partition(r, parts), ours(r, parts); a != b {
				t.Fatalf("key %x of %d partitions: %d, want %d", key, parts, b, a)
			}
		}
	}
	if got := ours(&kgo.Record{Partition: ByKey}, 7); got != 0 {
		t.Errorf("record without key goes to %d", got)
	}
	if got := ours(&kgo.Record{Partition: 5, Key: []byte("k")}, 7); got != 5 {
		t.Errorf("fixed partition 5 goes to %d", got)
	}
}

func TestLogin(t *testing.T) {
	for _, c := range []struct {
		o              Options
		user, password string
	}{
		{Options{SASLUser: "u", SASLPassword: "p"}, "u", "p"},
		{Options{SASLJaas: `org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="a\"b\\c";`}, "alice", `a"b\c`},
		{Options{SASLJaas: `x required password = "p" username = "u" ;`}, "u", "p"},
	} {
		user, password, err := c.o.login()
		if err != nil || user != c.user || password != c.password {
			t.Errorf("login of %v = %q, %q, %v", c.o, user, password, err)
		}
	}
	bad := Options{Brokers: []string{"nohost"}, Protocol: "SASL_SSL", SASLJaas: "nothing"}
	got := fmt.Sprint(bad.Check())
	if want := `[{bootstrap.servers "nohost" is not host:port} {security.protocol SASL_SSL needs a login: sasl.jaas.config has no username="…"} {max.request.size 0 is below 1024}]`; got != want {
		t.Errorf("Check = %s", got)
	}
}
