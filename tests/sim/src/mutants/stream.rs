//! The stream and the topic with a place for a bug.

use super::{Bug, Stream, Topic};
use std::sync::PoisonError;
use vernier_ledger::ids::{Sequence, Shard};
use vernier_ledger::ports::{FrameRecords, FrameStream, NewRecord, Notices, PortError};
use vernier_ledger::receipt::Origin;

impl Stream {
    /// A place where nothing lies.
    fn elsewhere(&self) -> Option<Origin> {
        let shard = self.inner.shards().into_iter().next()?.shard;
        let sequence = "1".parse().ok()?;
        Some(Origin { shard, sequence })
    }
}

impl FrameStream for Stream {
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>> {
        if self.bug == Some(Bug::MovePlaybackFirst)
            && let Some(origin) = self.elsewhere()
        {
            let late = self.late_records.lock();
            let mut late = late.unwrap_or_else(PoisonError::into_inner);
            late.extend_from_slice(records);
            return records.iter().map(|_| Ok(origin.clone())).collect();
        }
        let mut answers = self.inner.append(records).await;
        if self.bug == Some(Bug::IgnoreFailedEntry)
            && let Some(origin) = self.elsewhere()
        {
            for answer in answers.iter_mut().filter(|a| a.is_err()) {
                *answer = Ok(origin.clone());
            }
        }
        answers
    }
}

impl FrameRecords for Stream {
    fn shard(&self, id: &str) -> Result<Shard, PortError> {
        self.inner.shard(id)
    }

    async fn kept_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<(Sequence, NewRecord)>, PortError> {
        let records = self.inner.kept_from(shard, from, count_max).await?;
        let is_gone = records.first().is_some_and(|(first, _)| first != from);
        Ok(match self.bug {
            Some(Bug::StopAtGone) if is_gone => Vec::new(),
            _ => records,
        })
    }

    async fn listed_shards(&self) -> Result<Vec<Shard>, PortError> {
        self.inner.listed_shards().await
    }
}

impl Notices for Topic {
    async fn publish(&self, subject: &str, body: &str) -> Result<(), PortError> {
        if self.bug == Some(Bug::KeepSilent) {
            return Ok(());
        }
        self.inner.publish(subject, body).await
    }
}
