//! [`NudgeQueue`] on SQS: a FIFO queue, ten nudges in a call and several calls under way.

use crate::error::{is_retryable_code, port_error};
use aws_config::SdkConfig;
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use futures::stream::{self, StreamExt};
use std::collections::HashMap;
use vernier_ledger::ports::PortError;
use vernier_ledger::work::{Nudge, NudgeQueue};

/// Messages of one `SendMessageBatch` (service limit).
const BATCH_MESSAGES_MAX: usize = 10;

/// Calls under way at once: at 15 ms each 1,000 calls a second, over three times what the service takes of a queue
/// that is not in high-throughput mode.
const SENDS_IN_FLIGHT_MAX: usize = 16;

/// The queue of nudges.
#[derive(Debug, Clone)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Queue {
    /// The queue with this URL.
    #[must_use]
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self {
            client: aws_sdk_sqs::Client::new(config),
            url: url.into(),
        }
    }

    /// Sends at most [`BATCH_MESSAGES_MAX`] nudges; one answer each and in order.
    async fn send_batch(&self, nudges: &[Nudge]) -> Vec<Result<(), PortError>> {
        match self.failures_of(nudges).await {
            Ok(mut failures) => (0..nudges.len())
                .map(|n| failures.remove(&n.to_string()).map_or(Ok(()), Err))
                .collect(),
            Err(error) => nudges.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// The nudges of a batch that the service did not take, by their place in it.
    async fn failures_of(&self, nudges: &[Nudge]) -> Result<HashMap<String, PortError>, PortError> {
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (n, nudge) in nudges.iter().enumerate() {
            request = request.entries(message(n, nudge)?);
        }
        let answer = request.send().await;
        let answer = answer.map_err(|e| port_error("send nudges", e))?;
        let failed = answer.failed.into_iter();
        Ok(failed.map(|f| (f.id.clone(), failure(&f))).collect())
    }
}

fn message(n: usize, nudge: &Nudge) -> Result<SendMessageBatchRequestEntry, PortError> {
    let fatal = |e: String| PortError::Fatal(format!("send nudges: {e}"));
    let body = serde_json::to_string(nudge).map_err(|e| fatal(e.to_string()))?;
    SendMessageBatchRequestEntry::builder()
        .id(n.to_string())
        .message_body(body)
        .message_group_id(nudge.owner().as_str())
        .message_deduplication_id(nudge.first.nonce.to_string())
        .build()
        .map_err(|e| fatal(e.to_string()))
}

fn failure(entry: &BatchResultErrorEntry) -> PortError {
    let text = format!("send nudges: {}", entry.code);
    if !entry.sender_fault || is_retryable_code(&entry.code) {
        PortError::Retryable(text)
    } else {
        PortError::Fatal(text)
    }
}

impl NudgeQueue for Queue {
    async fn send(&self, nudges: &[Nudge]) -> Vec<Result<(), PortError>> {
        let batches = stream::iter(nudges.chunks(BATCH_MESSAGES_MAX));
        let sends = batches.map(|batch| self.send_batch(batch));
        let answers: Vec<Vec<_>> = sends.buffered(SENDS_IN_FLIGHT_MAX).collect().await;
        answers.into_iter().flatten().collect()
    }
}
