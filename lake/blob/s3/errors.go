package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"tributary/internal/fault"
	"tributary/lake/blob"
)

// code returns the error code of the store's answer, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// status returns the HTTP status of the store's answer, or 0.
func status(err error) int {
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) {
		return resp.HTTPStatusCode()
	}
	return 0
}

func isPrecondition(err error) bool {
	return code(err) == "PreconditionFailed" || status(err) == http.StatusPreconditionFailed
}

func isNotFound(err error) bool {
	switch code(err) {
	case "NoSuchKey", "NotFound":
		return true
	case "":
		return status(err) == http.StatusNotFound
	}
	return false
}

// hint says what to do about the answers that no retry changes.
func hint(code string) string {
	switch code {
	case "NoSuchBucket":
		return "create the bucket, or correct its name"
	case "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem":
		return "grant this user or role s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the bucket's objects and s3:ListBucket on the bucket"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure", "XAdminUserNotFound":
		return "correct the access key and its secret"
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return "renew the temporary credentials"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return "set the region that the bucket is in"
	case "NotImplemented":
		return "use a store that supports conditional writes"
	}
	return ""
}

// explain says what was being done where, tells the errors of blob apart, and
// marks what needs a human.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case isNotFound(err):
		return fmt.Errorf("%s in %s: %w", doing, s.where, blob.ErrNotExist)
	case isPrecondition(err):
		return fmt.Errorf("%s in %s: %w", doing, s.where, blob.ErrConflict)
	}
	wrapped := fmt.Errorf("%s in %s: %w", doing, s.where, err)
	if h := hint(code(err)); h != "" {
		return fault.Human(wrapped, h)
	}
	if status(err) == http.StatusForbidden {
		return fault.Human(wrapped, hint("AccessDenied"))
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fault.Human(wrapped, "no such host: correct the store's URL, the bucket's name or the region")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		// The client's own text around it names the request and each attempt.
		return fault.Hinted(fmt.Errorf("%s in %s: %w", doing, s.where, op), "see that the store answers there, and that store.url is right")
	}
	return wrapped
}
