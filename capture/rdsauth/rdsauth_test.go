package rdsauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"tributary/internal/fault"
)

const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signature is Signature Version 4 of a presigned URL, by its description.
func signature(host string, query url.Values) string {
	var names []string
	for name := range query {
		if name != "X-Amz-Signature" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	var parts []string
	for _, name := range names {
		parts = append(parts, escape(name)+"="+escape(query.Get(name)))
	}
	empty := sha256.Sum256(nil)
	request := strings.Join([]string{"GET", "/", strings.Join(parts, "&"), "host:" + host, "", "host", hex.EncodeToString(empty[:])}, "\n")
	sum := sha256.Sum256([]byte(request))
	at := query.Get("X-Amz-Date")
	scope := strings.SplitN(query.Get("X-Amz-Credential"), "/", 2)[1]
	text := strings.Join([]string{"AWS4-HMAC-SHA256", at, scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, text))
}

// changing gives other credentials each time, as those of a role are renewed.
type changing struct{ n int }

func (c *changing) Retrieve(context.Context) (aws.Credentials, error) {
	c.n++
	if c.n > 2 {
		return aws.Credentials{}, errors.New("expired")
	}
	return aws.Credentials{AccessKeyID: []string{"AKIDONE", "AKIDTWO"}[c.n-1], SecretAccessKey: secret, SessionToken: "session/+="}, nil
}

func TestTokensAreSigned(t *testing.T) {
	tokens := &Tokens{region: "eu-west-1", credentials: &changing{}}
	const host = "db.abc.eu-west-1.rds.amazonaws.com:5432"
	for _, id := range []string{"AKIDONE", "AKIDTWO"} {
		began := time.Now().Add(-2 * time.Second)
		token, err := tokens.Password(t.Context(), host, "capture user")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse("https://" + token)
		if err != nil || u.Host != host {
			t.Fatalf("token of host %s, %v", u.Host, err)
		}
		q := u.Query()
		for name, want := range map[string]string{"Action": "connect", "DBUser": "capture user", "X-Amz-Expires": "900", "X-Amz-Security-Token": "session/+="} {
			if got := q.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
		if err != nil || at.Before(began.UTC().Truncate(time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("signed at %v, %v", at, err)
		}
		if want := id + "/" + at.Format("20060102") + "/eu-west-1/rds-db/aws4_request"; q.Get("X-Amz-Credential") != want {
			t.Errorf("credential %s, want %s", q.Get("X-Amz-Credential"), want)
		}
		if got, want := q.Get("X-Amz-Signature"), signature(host, q); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
	}
	if _, err := tokens.Password(t.Context(), host, "u"); err == nil || fault.Hint(err) == "" {
		t.Errorf("without credentials: %v", err)
	}
}

func TestRegion(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	for _, c := range []struct{ given, host, environment, want string }{
		{"us-east-1", "x.y.eu-west-1.rds.amazonaws.com", "", "us-east-1"},
		{"", "x.cluster-ro-y.eu-west-1.rds.amazonaws.com", "us-east-2", "eu-west-1"},
		{"", "x.y.cn-north-1.rds.amazonaws.com.cn", "", "cn-north-1"},
		{"", "x.y.us-gov-west-1.rds.amazonaws.com", "", "us-gov-west-1"},
		{"", "localhost", "ap-south-1", "ap-south-1"},
		{"", "localhost", "", ""},
	} {
		t.Setenv("AWS_REGION", c.environment)
		tokens, err := New(t.Context(), c.given, c.host)
		switch {
		case c.want == "" && !fault.NeedsHuman(err):
			t.Errorf("%+v: %v", c, err)
		case c.want != "" && (err != nil || tokens.region != c.want):
			t.Errorf("%+v: %+v, %v", c, tokens, err)
		}
	}
}
