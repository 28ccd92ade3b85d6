//! Bringing back what the trigger lost, shard by shard: batches that ran out of retries lie under Lambda's own prefix, with
//! the records in them; any other record that the trigger went past the stream still has for as long as it is retained.
//!
//! A shard's work list has an entry for each window that misses something of the shard, and one for each place where the
//! trigger leaves failed batches of it. A course is one such entry on its way: each step of it takes a few
//! hundred records, and how far it is stands in the entry when the turn is over.

mod batches;
mod memory;
mod missing;
mod pace;
mod quarantined;

pub(crate) use batches::{failed_batches, find_batches, read_batch};
pub use memory::SealedMemory;
pub(crate) use missing::want_window;
pub(crate) use pace::Pace;
pub(crate) use quarantined::{QUARANTINE, QUARANTINE_SECONDS, Reread, reread};

use batches::BatchCourse;
use missing::WindowCourse;
use serde::{Deserialize, Serialize};
use vernier_ledger::ids::{Sequence, Shard, TenantId};
use vernier_ledger::ports::{NewRecord, PortError};
use vernier_ledger::recovery::{BroughtBack, Recovery};
use vernier_ledger::stores::ReconcileStores;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Cause, Nonce, WorkEntry};

/// Records that one step brings back, and as many of the stream as are read at once.
pub(crate) const STEP_RECORDS_MAX: usize = 500;

/// Bytes of records after which a step takes no more: a frame has a megabyte at most.
pub(crate) const STEP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What was brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoverySummary {
    /// Failed batches that were found and are not settled, for the workers of their shards.
    pub found: u32,
    /// Failed batches that were settled: each frame is stored, on the stream again, or in quarantine.
    pub settled: u32,
    /// Batches with frames that another record may still bring; they are looked at again.
    pub unsettled: u32,
    /// Objects that are no failed batch; they stay where they are.
    pub unreadable: u32,
    /// Frames that were put on the stream again.
    pub sent_again: u64,
    /// Slices of windows that the trigger may still bring.
    pub awaited: u64,
    /// Slices of windows that neither a segment nor the stream has: only their sender can send them again.
    pub gone: u64,
    /// Slices that were brought back in vain as often as they may be.
    pub given_up: u64,
}

impl RecoverySummary {
    /// Adds what another step brought back.
    pub fn add(&mut self, other: &Self) {
        self.found += other.found;
        self.settled += other.settled;
        self.unsettled += other.unsettled;
        self.unreadable += other.unreadable;
        self.sent_again += other.sent_again;
        self.awaited += other.awaited;
        self.gone += other.gone;
        self.given_up += other.given_up;
    }

    fn count(&mut self, brought: &BroughtBack) {
        self.sent_again += brought.played_back;
        self.given_up += brought.given_up;
    }
}

/// Brings back records of a shard, as [`Recovery::bring_back`] says; of frames that are older than receipts
/// the seals are asked.
///
/// # Errors
/// Whatever error the stores give.
pub async fn bring_back<S: ReconcileStores>(
    stores: &S,
    shard: &Shard,
    batch: &[(Sequence, NewRecord)],
    receipt_days: u32,
    new_nonce: fn() -> Nonce,
    clock: impl Fn() -> Millis,
) -> Result<BroughtBack, PortError> {
    let recovery = Recovery {
        stores,
        memory: SealedMemory::new(stores),
        receipt_days,
        clock,
        new_nonce,
    };
    recovery.bring_back(shard, batch).await
}

/// What a course needs of its turn.
pub(crate) struct Site<'a, S, C> {
    pub(crate) shard: &'a Shard,
    pub(crate) recovery: Recovery<'a, S, SealedMemory<'a, S>, &'a C>,
    /// When nothing more is begun.
    pub(crate) until: Millis,
    pub(crate) pace: &'a Pace,
}

impl<S: ReconcileStores, C: Fn() -> Millis> Site<'_, S, C> {
    const fn stores(&self) -> &S {
        self.recovery.stores
    }

    async fn bring_back(&self, batch: &[(Sequence, NewRecord)]) -> Result<BroughtBack, PortError> {
        self.pace.until_append().await;
        let brought = self.recovery.bring_back(self.shard, batch).await?;
        if brought.played_back > 0 {
            self.pace.note_append(batch);
        }
        Ok(brought)
    }
}

/// How far a course is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Mark {
    /// The last failed batch that is through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// The last record that is through: of the shard, or of the failed batch behind that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Sequence>,
    /// Whether another record may still bring something of the failed batch that it is in.
    #[serde(default)]
    waits: bool,
    /// Whether something of what is through is to be looked at again.
    #[serde(default)]
    again: bool,
}

impl Mark {
    /// What a course that is through came to.
    const fn ended(&self) -> Stepped {
        match self.again {
            true => Stepped::Again,
            false => Stepped::Ended,
        }
    }
}

/// What one step of a course came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// The course has more to bring back.
    On,
    /// Nothing more can be brought back.
    Ended,
    /// It is through, and something of it is to be looked at again.
    Again,
}

enum Subject {
    Window(WindowCourse),
    Batches(BatchCourse),
}

/// An entry of a shard's list on its way.
pub(crate) struct Course {
    pub(crate) entry: WorkEntry,
    /// Whether it was begun in this turn.
    pub(crate) is_begun: bool,
    mark: Mark,
    subject: Subject,
}

impl Course {
    /// The course of an entry of a shard's list, from the place on that the entry keeps.
    ///
    /// # Errors
    /// Fatal when the entry is not about a shard's recovery.
    pub(crate) fn of(entry: &WorkEntry) -> Result<Self, PortError> {
        let bad = || PortError::Fatal(format!("work {}: no recovery of a shard", entry.key));
        let name = Some(entry.key.subject.as_str()).filter(|_| entry.key.cause == Cause::Recover);
        let name = name.ok_or_else(bad)?;
        let subject = match BatchCourse::of(name) {
            Some(course) => Subject::Batches(course),
            None => Subject::Window(WindowCourse::of(name).ok_or_else(bad)?),
        };
        let mark = entry.place.as_deref().map(serde_json::from_str);
        Ok(Self {
            entry: entry.clone(),
            is_begun: false,
            mark: mark.transpose().map_err(|_| bad())?.unwrap_or_default(),
            subject,
        })
    }

    /// Whose windows it is about; none where what it brings back is several tenants'.
    pub(crate) const fn tenant(&self) -> Option<&TenantId> {
        match &self.subject {
            Subject::Window(course) => Some(&course.tenant),
            Subject::Batches(_) => None,
        }
    }

    /// Takes the next step, and notes in the entry how far it is.
    ///
    /// # Errors
    /// The stores'; what was not brought back is taken again by the next step.
    pub(crate) async fn step<S: ReconcileStores, C: Fn() -> Millis>(
        &mut self,
        site: &Site<'_, S, C>,
        summary: &mut RecoverySummary,
    ) -> Result<Stepped, PortError> {
        self.is_begun = true;
        let mark = &mut self.mark;
        let stepped = match &mut self.subject {
            Subject::Window(course) => course.step(site, mark, summary).await,
            Subject::Batches(course) => course.step(site, mark, summary).await,
        };
        let place = serde_json::to_string(&self.mark);
        let place = place.map_err(|e| PortError::Fatal(format!("place: {e}")))?;
        self.entry.place = Some(place).filter(|_| !matches!(stepped, Ok(Stepped::Again)));
        stepped
    }
}
