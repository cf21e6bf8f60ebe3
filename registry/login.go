package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"tributary/internal/fault"
)

// login makes requests show who sends them.
type login interface {
	sign(ctx context.Context, r *http.Request) error
	// renew gives up a token that was refused, and reports whether it is worth
	// while to ask again with a new one.
	renew() bool
}

func newLogin(o Options, client *http.Client) (login, error) {
	switch {
	case o.OAuth != nil:
		u, err := url.Parse(o.OAuth.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fault.Humanf("give it as https://host/path", "%q is no URL of a token endpoint", o.OAuth.Endpoint)
		}
		if o.OAuth.ClientID == "" {
			return nil, fault.Humanf("set the client's id", "the token endpoint %s needs a client's id", o.OAuth.Endpoint)
		}
		return &oauthLogin{oauth: *o.OAuth, client: client, log: o.Log, now: time.Now}, nil
	case o.Token != "":
		return bearerLogin(o.Token), nil
	case o.User != "":
		return basicLogin{o.User, o.Password}, nil
	}
	return noLogin{}, nil
}

type noLogin struct{}

func (noLogin) sign(context.Context, *http.Request) error { return nil }
func (noLogin) renew() bool                               { return false }

type basicLogin struct{ user, password string }

func (l basicLogin) sign(_ context.Context, r *http.Request) error {
	r.SetBasicAuth(l.user, l.password)
	return nil
}
func (basicLogin) renew() bool { return false }

type bearerLogin string

func (l bearerLogin) sign(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+string(l))
	return nil
}
func (bearerLogin) renew() bool { return false }

// OAuth gets bearer tokens by OAuth 2's client credentials (RFC 6749, section
// 4.4).
type OAuth struct {
	Endpoint         string // URL of the token endpoint
	ClientID, Secret string
	Scope            string // what to ask for; "" leaves it to the server
}

// oauthLogin keeps a token until four fifths of its life are over.
type oauthLogin struct {
	oauth  OAuth
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex // held while a token is asked for, so that it is once
	token   string
	renewAt time.Time
	ends    time.Time
	inBody  bool // whether the endpoint wants id and secret in the body
}

// Bounds of a token and of the time for which one that tells no end is kept.
const (
	maxToken     = 1 << 20 // bytes
	defaultLife  = 5 * time.Minute
	renewalPause = 5 * time.Second // between attempts while the old token lasts
)

func (l *oauthLogin) sign(ctx context.Context, r *http.Request) error {
	token, err := l.current(ctx)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

func (l *oauthLogin) renew() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := l.token != ""
	l.token = ""
	return had
}

func (l *oauthLogin) current(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.token != "" && now.Before(l.renewAt) {
		return l.token, nil
	}
	token, life, err := l.ask(ctx)
	if err != nil {
		if l.token != "" && now.Before(l.ends) {
			l.log.Warn("token of the registry not renewed; the old one still lasts", "until", l.ends, "error", err)
			l.renewAt = now.Add(renewalPause)
			return l.token, nil
		}
		l.token = ""
		return "", fmt.Errorf("get a token for the registry: %w", err)
	}
	l.token, l.renewAt, l.ends = token, now.Add(life*4/5), now.Add(life)
	return token, nil
}

// ask gets a token. Servers must take id and secret by basic authentication,
// and some take them in the body alone.
func (l *oauthLogin) ask(ctx context.Context) (token string, life time.Duration, err error) {
	token, life, err = l.post(ctx, l.inBody)
	if r, ok := err.(*refusal); ok && (r.status == http.StatusUnauthorized || r.status == http.StatusBadRequest) { //nolint:errorlint // post returns it bare
		if t, d, other := l.post(ctx, !l.inBody); other == nil {
			l.inBody = !l.inBody
			return t, d, nil
		}
	}
	return token, life, err
}

func (l *oauthLogin) post(ctx context.Context, inBody bool) (token string, life time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if l.oauth.Scope != "" {
		form.Set("scope", l.oauth.Scope)
	}
	if inBody {
		form.Set("client_id", l.oauth.ClientID)
		form.Set("client_secret", l.oauth.Secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.oauth.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if !inBody {
		req.SetBasicAuth(url.QueryEscape(l.oauth.ClientID), url.QueryEscape(l.oauth.Secret))
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", 0, fmt.Errorf("read the token: %w", err)
	}
	var answer struct {
		Token       string  `json:"access_token"`
		Type        string  `json:"token_type"`
		Life        float64 `json:"expires_in"` // seconds
		Error       string  `json:"error"`
		Description string  `json:"error_description"`
	}
	broken := json.Unmarshal(body, &answer) != nil
	who := "token endpoint " + l.oauth.Endpoint
	if resp.StatusCode != http.StatusOK {
		return "", 0, &refusal{status: resp.StatusCode, from: who, message: strings.TrimSpace(answer.Error + " " + answer.Description)}
	}
	if broken || answer.Token == "" || answer.Type != "" && !strings.EqualFold(answer.Type, "bearer") {
		return "", 0, fault.Humanf("check the URL of the token endpoint", "%s did not answer with a bearer token", who)
	}
	if life = time.Duration(answer.Life * float64(time.Second)); life <= 0 {
		life = defaultLife
	}
	return answer.Token, life, nil
}
