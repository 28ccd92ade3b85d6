//! The fakes, each with a place for a planted bug: what the product's code relies on, taken away,
//! so that the simulation can show that it would notice. Without a bug they only pass on.

use std::sync::{Arc, Mutex, PoisonError};
use vernier_fakes::{MemoryBucket, MemoryStream, MemoryTable};
use vernier_ledger::access::{Tenant, TokenInfo};
use vernier_ledger::account::WindowAccount;
use vernier_ledger::ids::{Lane, ReceiptId, Shard, TenantId};
use vernier_ledger::ports::{
    Accounts, CommitOutcome, Commits, Cursor, Directory, FrameStream, NewRecord, Objects,
    PortError, PutOutcome, Receipts, Results,
};
use vernier_ledger::receipt::{
    Acknowledgement, Claim, ClaimOutcome, ClaimRequest, Origin, Receipt,
};
use vernier_ledger::results::{Registers, ResultKey, ResultList};
use vernier_ledger::segment::SegmentRecord;
use vernier_ledger::time::{Millis, Minute, Window};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Every claim is granted.
    SkipClaim,
    /// A claim is granted to any record of the same attempt.
    DropOriginCheck,
    /// A record's claim from a crashed try is not known for its own.
    ForgetOwnClaim,
    /// A claim is refused to whatever carries a higher attempt.
    StaleClaimSwallowsPlayback,
    /// The cursor moves first, and the segment object is written behind it.
    CursorBeforeSegment,
    /// A commit does not look where the cursor is, so that a crashed try counts twice.
    CommitUnconditionally,
    /// A record that the stream did not take is reported as placed.
    IgnoreFailedEntry,
    /// The cursor stays where it is when a batch that was given up is brought back.
    SkipFence,
    /// The acknowledgement is answered, and not written.
    LoseAcknowledgement,
    /// Of two values of a result the one that comes last wins, whatever happened first.
    LastArrivalWins,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SkipClaim,
        Self::DropOriginCheck,
        Self::ForgetOwnClaim,
        Self::StaleClaimSwallowsPlayback,
        Self::CursorBeforeSegment,
        Self::CommitUnconditionally,
        Self::IgnoreFailedEntry,
        Self::SkipFence,
        Self::LoseAcknowledgement,
        Self::LastArrivalWins,
    ];
}

/// Objects whose writing waits for the commit.
type Late = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// The table, perhaps with a bug.
#[derive(Debug, Clone)]
pub struct Table {
    /// The fake itself.
    pub inner: MemoryTable,
    bucket: MemoryBucket,
    late: Late,
    bug: Option<Bug>,
}

/// The bucket, perhaps with a bug.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The fake itself.
    pub inner: MemoryBucket,
    late: Late,
    bug: Option<Bug>,
}

/// The stream, perhaps with a bug.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The fake itself.
    pub inner: MemoryStream,
    bug: Option<Bug>,
}

/// The three stores with at most one bug among them.
#[must_use]
pub fn plant(
    stream: MemoryStream,
    table: MemoryTable,
    bucket: MemoryBucket,
    bug: Option<Bug>,
) -> (Stream, Table, Bucket) {
    let late = Late::default();
    let table = Table {
        inner: table,
        bucket: bucket.clone(),
        late: Arc::clone(&late),
        bug,
    };
    let bucket = Bucket {
        inner: bucket,
        late,
        bug,
    };
    (Stream { inner: stream, bug }, table, bucket)
}

impl Table {
    fn claim_before(&self, request: &ClaimRequest<'_>) -> Option<Claim> {
        let header = request.header;
        let receipt = self.inner.raw_receipt(&header.tenant, header.receipt)?;
        receipt.claims.get(&header.slice).cloned()
    }

    /// Writes the object that waits for this record.
    async fn write_late(&self, record: &SegmentRecord) -> Result<(), PortError> {
        let found = {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            let at = late
                .iter()
                .position(|(key, _)| record.object.as_ref() == Some(key));
            at.map(|at| late.swap_remove(at))
        };
        if let Some((key, bytes)) = found {
            self.bucket.put_new(&key, bytes, None).await?;
        }
        Ok(())
    }
}

impl Receipts for Table {
    async fn acknowledge(&self, acknowledgement: &Acknowledgement) -> Result<(), PortError> {
        if self.bug == Some(Bug::LoseAcknowledgement) && acknowledgement.receipt.lane() == 1 {
            return Ok(());
        }
        self.inner.acknowledge(acknowledgement).await
    }

    async fn claim(&self, request: ClaimRequest<'_>) -> Result<ClaimOutcome, PortError> {
        let before = self.claim_before(&request);
        let (origin, attempt) = (request.origin.clone(), request.header.attempt);
        let answer = self.inner.claim(request).await?;
        Ok(match (self.bug, before) {
            (Some(Bug::SkipClaim), _) => ClaimOutcome::Mine,
            (Some(Bug::DropOriginCheck), Some(before)) if before.attempt == attempt => {
                ClaimOutcome::Mine
            }
            (Some(Bug::ForgetOwnClaim), Some(before)) if before.origin == origin => {
                ClaimOutcome::Copy
            }
            (Some(Bug::StaleClaimSwallowsPlayback), Some(before)) if before.origin != origin => {
                ClaimOutcome::Copy
            }
            _ => answer,
        })
    }

    async fn receipt(
        &self,
        tenant: &TenantId,
        id: ReceiptId,
    ) -> Result<Option<Receipt>, PortError> {
        self.inner.receipt(tenant, id).await
    }

    async fn receipts_in(
        &self,
        tenant: &TenantId,
        minute: Minute,
        lane: Lane,
    ) -> Result<Vec<Receipt>, PortError> {
        self.inner.receipts_in(tenant, minute, lane).await
    }
}

impl Commits for Table {
    async fn cursor(&self, shard: &Shard) -> Result<Cursor, PortError> {
        self.inner.cursor(shard).await
    }

    async fn commit(
        &self,
        seen: &Cursor,
        record: &SegmentRecord,
    ) -> Result<CommitOutcome, PortError> {
        let is_fence = record.blocks.is_empty() && record.copies + record.quarantined == 0;
        match self.bug {
            Some(Bug::SkipFence) if is_fence => Ok(CommitOutcome::Committed),
            Some(Bug::CommitUnconditionally) => {
                let cursors = self.inner.cursors();
                let there = cursors.get(&record.shard).cloned().unwrap_or_default();
                self.inner.commit(&there, record).await
            }
            Some(Bug::CursorBeforeSegment) => {
                let answer = self.inner.commit(seen, record).await?;
                self.write_late(record).await?;
                Ok(answer)
            }
            _ => self.inner.commit(seen, record).await,
        }
    }

    async fn records(&self, from: Millis, to: Millis) -> Result<Vec<SegmentRecord>, PortError> {
        self.inner.records(from, to).await
    }
}

impl Results for Table {
    async fn merge(
        &self,
        tenant: &TenantId,
        key: &ResultKey,
        registers: &Registers,
    ) -> Result<(), PortError> {
        if self.bug != Some(Bug::LastArrivalWins) {
            return self.inner.merge(tenant, key, registers).await;
        }
        let results = self.inner.all_results();
        let stored = results.get(&(tenant.clone(), key.clone()));
        let (stored, new) = (stored.cloned().unwrap_or_default(), registers.clone());
        let registers = Registers {
            score: new.score.or(stored.score),
            status: new.status.or(stored.status),
            started: new.started.or(stored.started),
            submitted: new.submitted.or(stored.submitted),
            count: new.count.or(stored.count),
        };
        self.inner.overwrite_result(tenant, key, registers);
        Ok(())
    }

    async fn of_learner(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
        learner: &str,
    ) -> Result<ResultList, PortError> {
        self.inner.of_learner(tenant, section, learner).await
    }

    async fn of_section(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
    ) -> Result<ResultList, PortError> {
        self.inner.of_section(tenant, section).await
    }
}

impl Directory for Table {
    async fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenInfo>, PortError> {
        self.inner.token(sha256).await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, PortError> {
        self.inner.tenant(id).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, PortError> {
        self.inner.tenants().await
    }
}

impl Accounts for Table {
    async fn save_account(
        &self,
        tenant: &TenantId,
        account: &WindowAccount,
    ) -> Result<(), PortError> {
        self.inner.save_account(tenant, account).await
    }

    async fn account(
        &self,
        tenant: &TenantId,
        window: Window,
    ) -> Result<Option<WindowAccount>, PortError> {
        self.inner.account(tenant, window).await
    }
}

impl Objects for Bucket {
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError> {
        if self.bug == Some(Bug::CursorBeforeSegment) && key.starts_with("segments/") {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            late.push((key.to_owned(), bytes));
            return Ok(PutOutcome::Created);
        }
        self.inner.put_new(key, bytes, note).await
    }

    async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Option<Vec<u8>>, PortError> {
        self.inner.get(key, range).await
    }
}

impl FrameStream for Stream {
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>> {
        let mut answers = self.inner.append(records).await;
        if self.bug == Some(Bug::IgnoreFailedEntry) {
            let shards = self.inner.shards();
            let elsewhere = shards.first().and_then(|s| {
                let sequence = "1".parse().ok()?;
                Some(Origin {
                    shard: s.shard.clone(),
                    sequence,
                })
            });
            for answer in answers.iter_mut().filter(|a| a.is_err()) {
                if let Some(origin) = &elsewhere {
                    *answer = Ok(origin.clone());
                }
            }
        }
        answers
    }
}
