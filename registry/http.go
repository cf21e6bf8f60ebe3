package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"tributary/internal/fault"
)

// What is read of an answer at most, in bytes: of one that is no archive, and
// of an archive.
const (
	maxAnswer  = 16 << 20
	maxArchive = 1 << 30
)

// ErrUnknownID marks the error for an id that the registry does not know.
var ErrUnknownID = errors.New("the registry does not know this id")

// remote sends requests to one registry.
type remote struct {
	base   string
	opts   Options
	client *http.Client
	login  login
	down   atomic.Bool
}

// request is one call of the registry's API.
type request struct {
	method string
	path   string // escaped, below the base URL
	header map[string]string
	body   []byte
	large  bool // the body, or the answer, is an archive
}

// refusal is an answer outside 2xx.
type refusal struct {
	status  int
	code    int    // Confluent's and Apicurio v2's error_code
	name    string // Apicurio's exception
	message string
	causes  []string
	from    string // who answered, where it is not the registry
}

func (r *refusal) Error() string {
	text := r.message
	if text == "" {
		text = http.StatusText(r.status)
	}
	if len(r.causes) > 0 {
		text += " (" + strings.Join(r.causes, "; ") + ")"
	}
	who := r.from
	if who == "" {
		who = "registry"
	}
	return fmt.Sprintf("%s answered %d: %s", who, r.status, text)
}

// Is makes what registries answer known by the errors that stand for it.
func (r *refusal) Is(target error) bool {
	switch target {
	case errAbsent:
		return r.from == "" && r.status == http.StatusNotFound && r.named()
	case ErrIncompatible:
		return r.incompatible()
	}
	return false
}

// named reports whether the answer came from a registry's API and not from
// something else that has no such path.
func (r *refusal) named() bool { return r.code != 0 || r.name != "" }

// send makes the call, again and again within the patience while a retry may
// heal what is wrong, and returns the body of a 2xx answer.
func (r *remote) send(ctx context.Context, q request) ([]byte, error) {
	began := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		body, err := r.try(ctx, q)
		if denied(err) && r.login.renew() {
			body, err = r.try(ctx, q) // with a new token
		}
		if err == nil {
			if r.down.CompareAndSwap(true, false) {
				r.opts.Log.Info("registry reachable again", "url", r.base)
			}
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !transient(err) {
			return nil, explain(err, r.base)
		}
		if time.Since(began)+pause > r.opts.Patience {
			err = fmt.Errorf("registry %s, tried for %s: %w", r.base, time.Since(began).Round(time.Second), err)
			return nil, fault.Hinted(err, "see that the registry runs there and that schema.registry.url is right")
		}
		if r.down.CompareAndSwap(false, true) {
			r.opts.Log.Warn("registry unreachable, trying again", "url", r.base, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

func (r *remote) try(ctx context.Context, q request) ([]byte, error) {
	client, limit := r.client, int64(maxAnswer)
	if q.large {
		slow := *r.client
		slow.Timeout = archivePatience
		client, limit = &slow, maxArchive
	}
	req, err := http.NewRequestWithContext(ctx, q.method, r.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	for k, v := range r.opts.Header {
		req.Header[k] = v
	}
	if err := r.login.sign(ctx, req); err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the registry's answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("registry's answer exceeds %d bytes", limit)
	}
	if resp.StatusCode/100 != 2 {
		return nil, refused(resp.StatusCode, body)
	}
	return body, nil
}

// refused reads the error body of any of the three APIs.
func refused(status int, body []byte) *refusal {
	var e struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
		Title   string `json:"title"`
		Name    string `json:"name"`
		Causes  []struct {
			Description string `json:"description"`
			Context     string `json:"context"`
		} `json:"causes"`
	}
	r := &refusal{status: status}
	if json.Unmarshal(body, &e) != nil {
		return r
	}
	r.code, r.name, r.message = e.Code, e.Name, e.Message
	if r.message == "" {
		r.message = e.Title
	}
	for _, c := range e.Causes {
		r.causes = append(r.causes, strings.TrimSpace(c.Context+" "+c.Description))
	}
	return r
}

// denied reports whether the registry does not know who is asking.
func denied(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.from == "" && r.status == http.StatusUnauthorized
}

func transient(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		// Nothing answered, or not in time.
		var u *url.Error
		return errors.As(err, &u) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	return r.status >= 500 || r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout
}

// confluentIDTaken is the code of a refusal to overwrite what has the id, among
// other things that its mode does not permit.
const confluentIDTaken = 42205

// explain marks what a human must heal.
func explain(err error, base string) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	err = fmt.Errorf("registry %s: %w", base, err)
	switch {
	case r.from != "":
		return fault.Human(err, "check the token endpoint, the client's id and secret, and its rights to the scope")
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden:
		return fault.Human(err, "check the registry's user and password or token, and this user's rights")
	case r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed:
		return fault.Human(err, "check the registry's URL: it must end in /apis/registry/v2, /apis/registry/v3, or be the root of a Confluent API")
	}
	if r.name == "IdConflictException" || r.code == confluentIDTaken && strings.Contains(r.message, "id") {
		return fault.Human(err, "that id stands for another schema there, so that records of one of both registries could not be read: import into an empty registry, or delete what has the id for good if no records need it")
	}
	return fault.Human(err, "the registry will not take this request; its message says why")
}

// incompatible reports whether a rule refused the schema. Apicurio 3.x says so
// with status 400, everything else with 409.
func (r *refusal) incompatible() bool {
	return r.from == "" && (r.name == "RuleViolationException" || r.name == "" && r.status == http.StatusConflict)
}

// unknown turns a 404 for an id into ErrUnknownID.
func unknown(err error) error {
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusNotFound {
		return fault.Human(fmt.Errorf("%w: %w", ErrUnknownID, r),
			"the records were written with another registry, or it lost its data: point this one at the registry that was used, or import its schemas")
	}
	return err
}

// decode reads a JSON answer.
func decode(body []byte, err error, into any) error {
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fault.Human(fmt.Errorf("read the registry's answer: %w", err), "check the registry's URL: what answers there is not a registry")
	}
	return nil
}

var jsonHeader = map[string]string{"Content-Type": "application/json"}
