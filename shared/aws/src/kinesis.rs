//! [`FrameStream`] on Kinesis: one `PutRecords` per call of at most 500 records and 5 MiB; and
//! [`FrameRecords`].

use crate::error::{error_of_code, port_error};
use aws_config::SdkConfig;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, PutRecordsResultEntry, Record, ShardIteratorType,
};
use aws_smithy_types::Blob;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::limits;
use vernier_ledger::ports::{FrameRecords, FrameStream, NewRecord, PortError};
use vernier_ledger::receipt::Origin;

/// An emulator that counts from 1 writes zeros before its numbers and compares them as text: it finds
/// one of as many digits as its own.
const EMULATED_DIGITS: usize = 30;

/// Answers without a record that are followed: the service gives some before it comes to one.
const EMPTY_ANSWERS_MAX: u32 = 5;

/// A Kinesis data stream.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    pub(super) client: aws_sdk_kinesis::Client,
    pub(super) name: String,
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
            return Err(error_of_code(code, format!("put records: {code}")));
        }
        let bad = |e: vernier_ledger::ids::BadId| PortError::Retryable(format!("put records: {e}"));
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

impl FrameRecords for KinesisStream {
    fn shard(&self, id: &str) -> Result<Shard, PortError> {
        Shard::new(&self.name, id).map_err(|e| PortError::Fatal(format!("shard: {e}")))
    }

    async fn kept_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<(Sequence, NewRecord)>, PortError> {
        let digits = from.as_str();
        let padded = format!("{digits:0>EMULATED_DIGITS$}");
        let mut starts = vec![Start::At(digits)];
        if padded != digits {
            starts.push(Start::At(&padded));
        }
        // Where a number is refused, the stream does not keep it: what it keeps begins later.
        starts.push(Start::Oldest);
        for start in starts {
            let Some(iterator) = self.iterator(&shard.id, start).await? else {
                continue;
            };
            let mut records = self.read(iterator, count_max).await?;
            records.retain(|(sequence, _)| sequence >= from);
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }

    async fn listed_shards(&self) -> Result<Vec<Shard>, PortError> {
        // The first request names the stream, those after it the place where they go on: never both.
        let (mut name, mut next) = (Some(self.name.clone()), None);
        let mut shards = Vec::new();
        while name.is_some() || next.is_some() {
            let request = self.client.list_shards().set_stream_name(name.take());
            let answer = request.set_next_token(next.take()).send().await;
            let answer = answer.map_err(|e| port_error("list shards", e))?;
            for shard in answer.shards.unwrap_or_default() {
                let shard = Shard::new(&self.name, &shard.shard_id);
                shards.push(shard.map_err(|e| PortError::Fatal(format!("list shards: {e}")))?);
            }
            next = answer.next_token;
        }
        shards.sort_unstable();
        Ok(shards)
    }
}

/// Where a read of a shard begins.
enum Start<'d> {
    /// At the record with this number.
    At(&'d str),
    /// With the oldest record that the stream keeps.
    Oldest,
}

impl KinesisStream {
    /// An iterator over a shard; none where the shard is gone, or does not know the number.
    async fn iterator(
        &self,
        shard_id: &str,
        start: Start<'_>,
    ) -> Result<Option<String>, PortError> {
        let request = self.client.get_shard_iterator();
        let request = request.stream_name(&self.name).shard_id(shard_id);
        let request = match start {
            Start::At(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number),
            Start::Oldest => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        match request.send().await {
            Ok(answer) => Ok(answer.shard_iterator),
            Err(e)
                if matches!(
                    e.code(),
                    Some("ResourceNotFoundException" | "InvalidArgumentException")
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(port_error("find record", e)),
        }
    }

    /// The first records behind an iterator.
    async fn read(
        &self,
        iterator: String,
        count_max: u32,
    ) -> Result<Vec<(Sequence, NewRecord)>, PortError> {
        let limit = i32::try_from(count_max).unwrap_or(i32::MAX);
        let mut iterator = Some(iterator);
        for _ in 0..EMPTY_ANSWERS_MAX {
            let request = self.client.get_records().set_shard_iterator(iterator);
            let answer = request.limit(limit).send().await;
            let answer = answer.map_err(|e| port_error("read records", e))?;
            if !answer.records.is_empty() {
                return answer.records.into_iter().map(record_of).collect();
            }
            iterator = answer.next_shard_iterator;
            if iterator.is_none() || answer.millis_behind_latest.unwrap_or(0) == 0 {
                break;
            }
        }
        Ok(Vec::new())
    }
}

fn record_of(record: Record) -> Result<(Sequence, NewRecord), PortError> {
    let sequence = record.sequence_number.parse();
    let sequence = sequence.map_err(|e| PortError::Fatal(format!("read records: {e}")))?;
    let record = NewRecord {
        partition_key: record.partition_key.unwrap_or_default(),
        data: record.data.into_inner(),
    };
    Ok((sequence, record))
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
