//! [`FrameStream`] on Kinesis: one `PutRecords` per call of at most 500 records and 5 MiB.

use super::error::{is_retryable_code, port_error};
use crate::ids::Shard;
use crate::limits;
use crate::ports::{FrameStream, NewRecord, PortError};
use crate::receipt::Origin;
use aws_config::SdkConfig;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use aws_smithy_types::Blob;

/// A Kinesis data stream.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: aws_sdk_kinesis::Client,
    name: String,
}

impl KinesisStream {
    /// The stream of this name.
    #[must_use]
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        Self {
            client: aws_sdk_kinesis::Client::new(config),
            name: name.into(),
        }
    }

    async fn put(
        &self,
        records: &[NewRecord],
    ) -> Result<Vec<Result<Origin, PortError>>, PortError> {
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            let entry = PutRecordsRequestEntry::builder()
                .partition_key(&record.partition_key)
                .data(Blob::new(record.data.clone()))
                .build()
                .map_err(|e| PortError::Fatal(format!("put records: {e}")))?;
            entries.push(entry);
        }
        let answer = self
            .client
            .put_records()
            .stream_name(&self.name)
            .set_records(Some(entries))
            .send()
            .await
            .map_err(|e| port_error("put records", e))?;
        let results = answer.records();
        if results.len() != records.len() {
            // Nothing can be said of any of them; the retry's copies are claimed once.
            return Err(PortError::Retryable(
                "put records: answered another number of records".into(),
            ));
        }
        Ok(results.iter().map(|r| self.origin_of(r)).collect())
    }

    fn origin_of(&self, result: &PutRecordsResultEntry) -> Result<Origin, PortError> {
        if let Some(code) = result.error_code() {
            let text = format!("put records: {code}");
            let later = is_retryable_code(code);
            return Err(if later {
                PortError::Retryable(text)
            } else {
                PortError::Fatal(text)
            });
        }
        let bad = |e: crate::ids::BadId| PortError::Retryable(format!("put records: {e}"));
        let shard = Shard::new(&self.name, result.shard_id().unwrap_or_default()).map_err(bad)?;
        let sequence = result
            .sequence_number()
            .unwrap_or_default()
            .parse()
            .map_err(bad)?;
        Ok(Origin { shard, sequence })
    }
}

impl FrameStream for KinesisStream {
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>> {
        let mut answers = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(call_length(rest));
            match self.put(now).await {
                Ok(each) => answers.extend(each),
                Err(error) => answers.extend(now.iter().map(|_| Err(error.clone()))),
            }
            rest = later;
        }
        answers
    }
}

/// How many of the records one call may carry.
fn call_length(records: &[NewRecord]) -> usize {
    let mut bytes = 0;
    let fit = records
        .iter()
        .take(limits::PUT_RECORDS_COUNT_MAX)
        .take_while(|r| {
            bytes += r.data.len() + r.partition_key.len();
            bytes <= limits::PUT_RECORDS_BYTES_MAX
        })
        .count();
    fit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stay_within_both_limits() {
        let record = |bytes| NewRecord {
            partition_key: "k".into(),
            data: vec![0; bytes],
        };
        assert_eq!(call_length(&vec![record(10); 1_200]), 500);
        assert_eq!(call_length(&vec![record(1_000_000); 9]), 5);
        assert_eq!(
            call_length(&[record(9_000_000)]),
            1,
            "refused by the service, not looped over"
        );
    }
}
