"""Where files are kept: a folder of this machine, or a bucket that speaks the S3 protocol."""
