//! [`Notices`] on SNS.

use crate::error::port_error;
use aws_config::SdkConfig;
use vernier_ledger::ports::{Notices, PortError};

/// The audit topic.
#[derive(Debug, Clone)]
pub struct Topic {
    client: aws_sdk_sns::Client,
    arn: String,
}

impl Topic {
    /// The topic with this ARN.
    #[must_use]
    pub fn new(config: &SdkConfig, arn: impl Into<String>) -> Self {
        Self {
            client: aws_sdk_sns::Client::new(config),
            arn: arn.into(),
        }
    }
}

impl Notices for Topic {
    async fn publish(&self, subject: &str, body: &str) -> Result<(), PortError> {
        self.client
            .publish()
            .topic_arn(&self.arn)
            .subject(subject)
            .message(body)
            .send()
            .await
            .map_err(|e| port_error("publish notice", e))?;
        Ok(())
    }
}
