//! What the service that is called costs: estimates name their price and its date.

/// A write unit of an on-demand table (one write of at most 1 KB), dollars. us-east-1, as published
/// on [`PRICES_AS_OF`].
pub const WRITE_UNIT_USD: f64 = 0.625e-6;

/// A GET of an object in S3 Standard, dollars.
pub const S3_GET_USD: f64 = 0.4e-6;

/// A PUT or LIST, dollars.
pub const S3_PUT_USD: f64 = 5e-6;

/// A signature with an elliptic-curve key of KMS, dollars.
pub const SIGNATURE_USD: f64 = 15e-6;

/// A Lambda function on arm64 for a second with 1 GB, dollars.
pub const LAMBDA_GB_SECOND_USD: f64 = 13.333_4e-6;

/// A shard of a provisioned stream for an hour, dollars.
pub const SHARD_HOUR_USD: f64 = 0.015;

/// When prices were last looked up.
pub const PRICES_AS_OF: &str = "2026-11-21";
