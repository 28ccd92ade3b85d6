//! The ledger's ports on AWS: the only crate that names the SDK.
//!
//! [`Table`] is DynamoDB, [`Bucket`] S3, [`KinesisStream`] and [`KinesisMetrics`] the stream with its metrics,
//! [`KmsKey`] the key that signs seals, [`Topic`] the audit topic, [`Queue`] the queue of nudges. [`config()`] says how
//! they are reached, and [`environment`] reads a function's settings. Whatever decides anything stands in the ledger.

mod config;
pub mod environment;
mod error;
mod kinesis;
mod kms;
mod s3;
mod scaling;
mod sns;
mod sqs;
mod store_date;
mod table;

pub use config::{BadBundle, config, observed_config, users_config};
pub use kinesis::KinesisStream;
pub use kms::KmsKey;
pub use s3::Bucket;
pub use scaling::KinesisMetrics;
pub use sns::Topic;
pub use sqs::Queue;
pub use table::Table;
