// Package rdsauth makes the passwords with which Amazon RDS and Aurora let
// users of IAM in: tokens that AWS credentials sign and that are good for 15
// minutes. It talks to no database; whoever connects asks for one each time.
package rdsauth

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"tributary/internal/fault"
)

// Tokens makes tokens for the servers of one region. It may be used by many
// goroutines.
type Tokens struct {
	region      string
	credentials aws.CredentialsProvider
}

// New takes the credentials where the SDK looks for them: environment, files,
// the role of the machine or container. The region is the one given, else that
// in the name of the host, else that of the AWS configuration.
func New(ctx context.Context, region, host string) (*Tokens, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if region == "" {
		region = regionOf(host)
	}
	if region == "" {
		region = c.Region
	}
	if region == "" {
		return nil, fault.Human(errors.New("the region of the database is not known"), "set database.aws.region, or AWS_REGION in the environment")
	}
	return &Tokens{region: region, credentials: c.Credentials}, nil
}

var hostName = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?$`)

// regionOf is the region in the name of an RDS host, "" if there is none.
func regionOf(host string) string {
	if m := hostName.FindStringSubmatch(host); m != nil {
		return m[1]
	}
	return ""
}

// Password is a new token for a user at an address, host:port. Getting it may
// ask AWS for credentials, but not the database.
func (t *Tokens) Password(ctx context.Context, address, user string) (string, error) {
	token, err := auth.BuildAuthToken(ctx, address, t.region, user, t.credentials)
	if err != nil {
		return "", fault.Hinted(fmt.Errorf("make a token for %s: %w", user, err), "see that AWS credentials are there: in the environment, in a file, or as the role of the machine")
	}
	return token, nil
}
