//! What a run used, and what that costs. No AWS, no clock, no environment: prices and measured
//! figures are dated files beside the code.
//!
//! [`Usage`] is what a run counted.

mod usage;

pub use usage::{
    ApiUse, DynamodbUse, FunctionUse, IoWaits, KinesisUse, KmsUse, LambdaUse, LogsUse, S3Use,
    SnsUse, Usage,
};
