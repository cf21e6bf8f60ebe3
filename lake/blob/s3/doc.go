// Package s3 keeps objects in Amazon S3, or in any store that speaks its
// protocol and honours conditional writes (If-None-Match and If-Match on
// PutObject and on CompleteMultipartUpload). A store that ignores them is found
// out by Check: two writers would overwrite each other on it.
//
// It is the only importer of the AWS SDK's S3 client.
package s3
