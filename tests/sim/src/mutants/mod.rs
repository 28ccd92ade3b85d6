//! The fakes, each with a place for a planted bug: what the product's code relies on, taken away,
//! so that the simulation can show that it would notice. Without a bug they only pass on.

mod archive;
mod bucket;
mod live;
mod stream;
mod table;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use vernier_fakes::{
    MemoryBucket, MemoryKey, MemoryQueue, MemoryStores, MemoryStream, MemoryTable, MemoryTopic,
};
use vernier_ledger::ports::NewRecord;
use vernier_ledger::stores::StoreSet;
use vernier_ledger::work::{Nonce, Owner, WorkEntry};

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
    /// Sealing does not count envelopes that nothing is stored of.
    SealUncompared,
    /// A window is sealed when it is over, before its grace.
    SealBeforeGrace,
    /// Sealing does not look back at earlier windows.
    ForgetEarlierWindows,
    /// The chain moves first, and the seal is written behind it.
    ChainBeforeSeal,
    /// A seal that is there is written over instead of taken over.
    OverwriteSeal,
    /// The chain moves from wherever it is.
    MoveChainUnconditionally,
    /// A backfill forgets what some of the backfills before it hold.
    ForgetBackfills,
    /// A worker brings back without moving the cursor behind what it brings back.
    HealWithoutFence,
    /// A segment is swept whatever is sealed of it.
    SweepUnsealed,
    /// An oversize event that no commit names yet is swept though one may name it later.
    SweepNamedLate,
    /// A playback moves its place before what it sends is on the stream.
    MovePlaybackFirst,
    /// Nothing is announced.
    KeepSilent,
    /// Input takes a window's entry for granted, also when the window is over.
    RememberEntriesTooLong,
    /// Input puts a window's entry when the envelope is on the stream already.
    EntryAfterAppend,
    /// A worker removes an entry that was put again while it worked.
    RemoveWhateverIsThere,
    /// The planner nudges once for an entry, as if the queue kept every nudge for good.
    NudgeOnce,
    /// A worker takes an index item for done with when it finds no entry to it, though the entry may be about to be put.
    RemoveLoneAtOnce,
    /// Workers read a tenant's block items from the window's first minute on, and not from the five minutes' first.
    BeginLate,
    /// A late block's entry is due before its commit has landed.
    LateEntryDueAtOnce,
    /// A window whose entry was tried in vain is taken for one without entry and without anything.
    IdleOverBackedOff,
    /// Envelopes of which everything is stored are in no evidence.
    LeaveOutOfEvidence,
    /// Sealing does not know which windows are held.
    ForgetHolds,
    /// Recovery reads nothing of a shard behind a record that the stream does not keep any more.
    StopAtGone,
    /// What recovery brings back starts the clocks of its tenant's holds anew.
    ResetClocks,
    /// What was written down of a window is forgotten, so that a receipt that expired never was.
    ForgetWrittenDown,
    /// Of an envelope no more counts as acknowledged than what the stream function met.
    ForgetLostSlices,
    /// Some segments that are there are taken for gone.
    OverlookSegments,
    /// The table is told of a backfill that nothing of its window is missing any more.
    ForgetRemaining,
    /// What is older than receipts are kept is brought back by what receipts say of it, and no seal is asked.
    AskReceiptsAlone,
    /// Every block's filter says of every identity that it is not there.
    DenyIdentities,
    /// No block's index has an actor.
    LeaveActorsOut,
    /// A block's events are taken for older than they are, so that a page is full before it is read.
    EndPagesEarly,
    /// Objects of rolled-up filters have, in the place of each, one that says of every identity that it is not there.
    RollUpDenials,
}

/// Whose stores they are, so that a bug can be in those of one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of input, stream and operators.
    General,
    /// Of planner and workers.
    Working,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 43] = [
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
        Self::SealUncompared,
        Self::SealBeforeGrace,
        Self::ForgetEarlierWindows,
        Self::ChainBeforeSeal,
        Self::OverwriteSeal,
        Self::MoveChainUnconditionally,
        Self::ForgetBackfills,
        Self::HealWithoutFence,
        Self::SweepUnsealed,
        Self::SweepNamedLate,
        Self::MovePlaybackFirst,
        Self::KeepSilent,
        Self::RememberEntriesTooLong,
        Self::EntryAfterAppend,
        Self::RemoveWhateverIsThere,
        Self::NudgeOnce,
        Self::RemoveLoneAtOnce,
        Self::BeginLate,
        Self::LateEntryDueAtOnce,
        Self::IdleOverBackedOff,
        Self::LeaveOutOfEvidence,
        Self::ForgetHolds,
        Self::StopAtGone,
        Self::ResetClocks,
        Self::ForgetWrittenDown,
        Self::ForgetLostSlices,
        Self::OverlookSegments,
        Self::ForgetRemaining,
        Self::AskReceiptsAlone,
        Self::DenyIdentities,
        Self::LeaveActorsOut,
        Self::EndPagesEarly,
        Self::RollUpDenials,
    ];

    /// Where it is; none: everywhere.
    const fn role(self) -> Option<Role> {
        match self {
            Self::SealUncompared
            | Self::ChainBeforeSeal
            | Self::OverwriteSeal
            | Self::MoveChainUnconditionally
            | Self::ForgetBackfills
            | Self::HealWithoutFence
            | Self::SweepUnsealed
            | Self::SweepNamedLate
            | Self::MovePlaybackFirst
            | Self::RemoveWhateverIsThere
            | Self::NudgeOnce
            | Self::RemoveLoneAtOnce
            | Self::BeginLate
            | Self::IdleOverBackedOff
            | Self::LeaveOutOfEvidence
            | Self::ForgetHolds
            | Self::StopAtGone
            | Self::ForgetWrittenDown
            | Self::ForgetLostSlices
            | Self::OverlookSegments
            | Self::ForgetRemaining => Some(Role::Working),
            Self::RememberEntriesTooLong
            | Self::EntryAfterAppend
            | Self::LateEntryDueAtOnce
            | Self::EndPagesEarly => Some(Role::General),
            _ => None,
        }
    }
}

/// Objects whose writing waits for something else.
type Late = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// The table, perhaps with a bug.
#[derive(Debug, Clone)]
pub struct Table {
    /// The fake itself.
    pub inner: MemoryTable,
    bucket: MemoryBucket,
    stream: MemoryStream,
    late: Late,
    late_records: Arc<Mutex<Vec<NewRecord>>>,
    /// Entries that wait for an acknowledgement.
    late_entries: Arc<Mutex<Vec<(Owner, WorkEntry)>>>,
    /// Nonces that the planner was told.
    nudged: Arc<Mutex<BTreeSet<Nonce>>>,
    /// Whether it has no roll-ups for whoever asks.
    hides_roll_ups: bool,
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
    late_records: Arc<Mutex<Vec<NewRecord>>>,
    bug: Option<Bug>,
}

/// The topic, perhaps with a bug.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The fake itself.
    pub inner: MemoryTopic,
    bug: Option<Bug>,
}

/// Stores with at most one bug among them.
pub type Planted = StoreSet<Table, Bucket, Stream, Topic, MemoryKey, MemoryQueue>;

/// Plants a bug into sound stores.
#[must_use]
pub fn plant(sound: MemoryStores, bug: Option<Bug>) -> Planted {
    let late = Late::default();
    let late_records = Arc::default();
    Planted {
        table: Table {
            inner: sound.table,
            bucket: sound.objects.clone(),
            stream: sound.stream.clone(),
            late: Arc::clone(&late),
            late_records: Arc::clone(&late_records),
            late_entries: Arc::default(),
            nudged: Arc::default(),
            hides_roll_ups: false,
            bug,
        },
        objects: Bucket {
            inner: sound.objects,
            late,
            bug,
        },
        stream: Stream {
            inner: sound.stream,
            late_records,
            bug,
        },
        notices: Topic {
            inner: sound.notices,
            bug,
        },
        key: sound.key,
        queue: sound.queue,
    }
}

/// The same stores without a roll-up.
#[must_use]
pub fn without_roll_ups(planted: &Planted) -> Planted {
    let mut own = planted.clone();
    own.table.hides_roll_ups = true;
    own
}

/// The same stores as one part of the run has them.
#[must_use]
pub fn of_role(planted: &Planted, role: Role) -> Planted {
    let bug = planted.table.bug;
    let bug = bug.filter(|b| b.role().is_none_or(|of| of == role));
    let mut own = planted.clone();
    own.table.bug = bug;
    own.objects.bug = bug;
    own.stream.bug = bug;
    own.notices.bug = bug;
    own
}
