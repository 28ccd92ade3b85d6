//! What is to be done, and when: work lists, the due index, and the nudges that go through the queue.
//!
//! An [`Owner`]'s list is the truth. The index says when an owner has something due; it and the queue may lose, repeat
//! and delay. An entry and its index item belong together by the entry's [`Nonce`]: whoever puts an entry writes the
//! index item first, whoever removes one removes the entry first, on condition of the nonce that was seen before the
//! work began. So a crash in between leaves an index item without an entry, which workers mark and later remove, and never
//! an entry that nobody is nudged for.

mod due;
mod nudging;
mod owner;

pub use due::{DueItem, LONE_ITEM_SECONDS, NUDGE_ITEMS_MAX, Nudge, settle_lone};
pub use nudging::{NudgedEntries, nudge_all};
pub use owner::{Owner, ShardList};

use crate::chain::ChainHead;
use crate::ids::TenantId;
use crate::limits::CLOSE_SPREAD_SECONDS_MAX;
use crate::ports::{Chains, PortError};
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The subject of the audit that puts entries for what versions without work lists left to do.
pub const AUDIT_SEED: &str = "seed";

/// The subject of the audit of every day.
pub const AUDIT_DAILY: &str = "daily";

/// Why there is something to do, in the order in which a worker takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Something was committed of a window that was over for a minute.
    Late,
    /// A window may have received something and is to be sealed.
    Close,
    /// A day's files are to be merged into few, and the windows' own to be removed later.
    Compact,
    /// The windows of a day are to be counted once more, before their receipts expire.
    Recount,
    /// A playback is to go on.
    Playback,
    /// Parts that no seal names are to be removed.
    Sweep,
    /// Of the ledger: commits of earlier versions are to be listed by tenant.
    List,
    /// Of a shard: what the trigger gave up or went past is to be brought back, of a tenant's window or from a failure
    /// destination. Of the ledger: batches that it gave up are to be found for their shards.
    Recover,
    /// Of the ledger: segments and oversize events that are sealed are to be removed.
    SweepSegments,
    /// Of the ledger: every shard's records are to be compared with the checkpoints.
    CheckShards,
    /// Of the ledger: every tenant's list is to be compared with what the tenant has.
    Audit,
    /// Of a tenant's filters: those of five minutes' blocks are to be rolled up.
    RollUp,
}

impl Cause {
    /// Every cause, in the order in which a worker takes them.
    pub const ALL: [Self; 12] = [
        Self::Late,
        Self::Close,
        Self::Compact,
        Self::Recount,
        Self::Playback,
        Self::Sweep,
        Self::List,
        Self::Recover,
        Self::SweepSegments,
        Self::CheckShards,
        Self::Audit,
        Self::RollUp,
    ];

    /// The cause's name in keys and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Close => "close",
            Self::Compact => "compact",
            Self::Recount => "recount",
            Self::Playback => "playback",
            Self::Sweep => "sweep",
            Self::List => "list",
            Self::Recover => "recover",
            Self::SweepSegments => "sweep-segments",
            Self::CheckShards => "check-shards",
            Self::Audit => "audit",
            Self::RollUp => "roll-up",
        }
    }
}

/// What an entry is about. An owner has at most one entry for each key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkKey {
    /// Why there is something to do.
    pub cause: Cause,
    /// With what: the beginning of a window, five minutes, an hour or a day in milliseconds (15 digits, so that text order is time
    /// order), a playback's id, or nothing where the cause says it all.
    pub subject: String,
}

impl WorkKey {
    /// Makes the key of work that an instant names: the beginning of a window, an hour or a day.
    #[must_use]
    pub fn at(cause: Cause, start: Millis) -> Self {
        Self {
            cause,
            subject: format!("{:015}", start.0.max(0)),
        }
    }

    /// Makes the key of work that a name stands for.
    #[must_use]
    pub fn of(cause: Cause, name: impl Into<String>) -> Self {
        Self {
            cause,
            subject: name.into(),
        }
    }

    /// The beginning of the window, hour or day that the work is about; none where it is about something else.
    #[must_use]
    pub fn start(&self) -> Option<Millis> {
        match self.subject.len() {
            15 => self.subject.parse().ok().map(Millis),
            _ => None,
        }
    }
}

impl fmt::Display for WorkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.cause.as_str(), self.subject)
    }
}

/// A random number that makes an entry another one than all that had its key before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// Draws a nonce that nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TryFrom<String> for Nonce {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map(|()| Self(bytes))
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.to_string()
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkEntry {
    /// What it is about.
    #[serde(flatten)]
    pub key: WorkKey,
    /// Nobody does it before this instant.
    pub due: Millis,
    /// Which put of the key this is.
    pub nonce: Nonce,
    /// How often it was tried in vain.
    #[serde(default)]
    pub tries: u32,
    /// Where work that takes several turns goes on; none where it was not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl WorkEntry {
    /// Makes an entry that was not tried yet.
    #[must_use]
    pub const fn new(key: WorkKey, due: Millis, nonce: Nonce) -> Self {
        Self {
            key,
            due,
            nonce,
            tries: 0,
            place: None,
        }
    }

    /// The entry's item in the due index.
    #[must_use]
    pub fn due_item(&self, owner: &Owner) -> DueItem {
        DueItem {
            due: self.due,
            owner: owner.clone(),
            nonce: self.nonce,
            lone_since: None,
        }
    }
}

/// When a window is to be closed: its end, the time that it may take to add up, and a share of a fifteenth of its
/// length, by the tenant's name, of at most [`CLOSE_SPREAD_SECONDS_MAX`]. All windows end at once, and not all
/// tenants' workers should begin at once.
#[must_use]
pub fn close_due(tenant: &TenantId, window: Window, grace_seconds: i64) -> Millis {
    let length_seconds = (window.end.0 - window.start.0) / 1_000;
    let spread_seconds = (length_seconds / 15).clamp(1, CLOSE_SPREAD_SECONDS_MAX);
    // The remainder of a division by at most 60,000 milliseconds.
    let hash = Owner::Tenant(tenant.clone()).hash() >> 8;
    let share = hash % u64::try_from(spread_seconds * 1_000).unwrap_or(1);
    let end = window.end.plus_seconds(grace_seconds);
    Millis(end.0 + i64::try_from(share).unwrap_or(0))
}

/// An envelope's window has its entry so long after the envelope was received, seconds: no function that takes
/// envelopes runs for longer.
const ENTRY_SECONDS_MAX: i64 = 15 * 60;

/// Through which instant all that was received of a tenant is sealed: where its chain stands, or beyond that what has
/// no entry in its list, since a window without an entry received nothing. None where neither says anything. `head` is to
/// be read before `entries`, and `entries` before whatever seals are read. Windows that the chain holds are not looked at.
fn sealed_through(
    head: Option<&ChainHead>,
    entries: &[WorkEntry],
    is_seeded: bool,
    now: Millis,
) -> Option<Millis> {
    let chain = head.map(|head| head.through);
    if !is_seeded {
        return chain;
    }
    let windows = entries
        .iter()
        .filter(|entry| entry.key.cause <= Cause::Close);
    let starts = windows.filter_map(|entry| entry.key.start());
    let idle = starts.fold(now.plus_seconds(-ENTRY_SECONDS_MAX), Millis::min);
    chain.max(Some(idle))
}

/// Puts an entry unless its key has one: read first, which costs a tenth of a put. That somebody else puts one in
/// between is as good.
///
/// # Errors
/// Whatever error the table gives.
pub async fn put_if_absent<T: WorkLists>(
    table: &T,
    owner: &Owner,
    entry: &WorkEntry,
) -> Result<(), PortError> {
    if table.work_entry(owner, &entry.key).await?.is_none() {
        table.add_work(owner, entry).await?;
    }
    Ok(())
}

/// How far a tenant's events are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// The end of the tenant's chain; none before its first seal.
    pub head: Option<ChainHead>,
    /// Before this instant all that was received is sealed, but for windows that the chain passed over; none where
    /// that is not known of any.
    pub through: Option<Millis>,
}

/// Reads how far a tenant's events are sealed; seals that are read after it are at least as far.
///
/// # Errors
/// Whatever error the store gives.
pub async fn completeness<T: Chains + WorkLists>(
    table: &T,
    tenant: &TenantId,
    now: Millis,
) -> Result<Completeness, PortError> {
    // The head first: a window that is sealed between the two reads has lost its entry to a seal.
    let head = table.chain(tenant).await?;
    let is_seeded = table.is_seeded().await?;
    let entries = match is_seeded {
        true => table.work(&Owner::Tenant(tenant.clone())).await?,
        false => Vec::new(),
    };
    let through = sealed_through(head.as_ref(), &entries, is_seeded, now);
    Ok(Completeness { head, through })
}

/// What a key must have for an entry to be put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The key may have an entry or none.
    Anything,
    /// The key must have no entry.
    Nothing,
    /// The key must have the entry with this nonce.
    Seen(Nonce),
}

/// Work lists and their due index.
#[allow(async_fn_in_trait)]
pub trait WorkLists {
    /// An owner's entries in the order in which a worker takes them: by cause, then by subject. Read consistently.
    async fn work(&self, owner: &Owner) -> Result<Vec<WorkEntry>, PortError>;

    /// The entry of a key, read consistently; none where there is none.
    async fn work_entry(
        &self,
        owner: &Owner,
        key: &WorkKey,
    ) -> Result<Option<WorkEntry>, PortError>;

    /// Puts an entry, in the place of one that may be there: its index item first. Durable on return.
    async fn put_work(&self, owner: &Owner, entry: &WorkEntry) -> Result<(), PortError> {
        self.put_due(&entry.due_item(owner)).await?;
        self.put_entry(owner, entry, Expected::Anything).await?;
        Ok(())
    }

    /// Puts an entry unless its key has one; answers whether the key's entry is this one, as it is after a repeated
    /// call too. Where it is another one, the index item that was put stays alone, and nudges once for nothing.
    async fn add_work(&self, owner: &Owner, entry: &WorkEntry) -> Result<bool, PortError> {
        self.put_due(&entry.due_item(owner)).await?;
        self.put_entry(owner, entry, Expected::Nothing).await
    }

    /// Puts `next`, of the same key and another nonce, in the place of the entry that was seen: its index item
    /// first, then the entry, then the seen one's index item is removed. A call that is repeated after an error finds
    /// `next` there, and goes on. False where the entry is neither: then nothing but the index item of `next` was put,
    /// and that is removed again.
    async fn move_work(
        &self,
        owner: &Owner,
        seen: &WorkEntry,
        next: &WorkEntry,
    ) -> Result<bool, PortError> {
        self.put_due(&next.due_item(owner)).await?;
        let expected = Expected::Seen(seen.nonce);
        let moved = self.put_entry(owner, next, expected).await?;
        let lone = if moved { seen } else { next };
        self.remove_due(&lone.due_item(owner)).await?;
        Ok(moved)
    }

    /// Removes the entry that was seen, then its index item; false where the entry is not that one
    /// any more (then neither is touched).
    async fn remove_work(&self, owner: &Owner, seen: &WorkEntry) -> Result<bool, PortError> {
        let removed = self.remove_entry(owner, seen).await?;
        if removed {
            self.remove_due(&seen.due_item(owner)).await?;
        }
        Ok(removed)
    }

    /// The step of the writes above that puts an index item. Durable on return.
    async fn put_due(&self, item: &DueItem) -> Result<(), PortError>;

    /// The step of the writes above that puts an entry, where its key has what is expected. Answers whether the key's
    /// entry is this one now: this call put it, or an earlier one whose answer was lost.
    async fn put_entry(
        &self,
        owner: &Owner,
        entry: &WorkEntry,
        expected: Expected,
    ) -> Result<bool, PortError>;

    /// The step of [`WorkLists::remove_work`] that removes the entry that was seen; false where the entry is
    /// not that one any more.
    async fn remove_entry(&self, owner: &Owner, seen: &WorkEntry) -> Result<bool, PortError>;

    /// The index items of a slot (below [`WORK_SLOTS`](crate::limits::WORK_SLOTS)) that are due at an instant, by when they were due, then by
    /// owner and nonce. Read consistently.
    async fn due_work(&self, slot: u8, at: Millis) -> Result<Vec<DueItem>, PortError>;

    /// Whether every unsealed window of every tenant has its entry: [`crate::block_item::ListingMark::seeded`]. Once it
    /// is so, it stays so.
    async fn is_seeded(&self) -> Result<bool, PortError>;

    /// Notes at an index item since when it is known to have no entry. Where the item is gone, nothing is noted.
    async fn mark_lone(&self, item: &DueItem, since: Millis) -> Result<(), PortError>;

    /// Removes an index item, whose entry its owner's list does not have any more. That there is none is as good.
    async fn remove_due(&self, item: &DueItem) -> Result<(), PortError>;
}

/// The queue between planner and workers: in order for an owner, at least once, and the
/// same nudge, by the nonce of its first item, within five minutes once.
#[allow(async_fn_in_trait)]
pub trait NudgeQueue {
    /// Sends nudges, one answer each and in order. A nudge whose answer is an error may have been sent all the same.
    async fn send(&self, nudges: &[Nudge]) -> Vec<Result<(), PortError>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WORK_SLOTS;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn owners_and_keys_are_read_as_they_are_written() {
        let school: TenantId = "school".parse().expect("a name");
        let shard = Owner::of_shard("shardId-000000000003");
        let filters = Owner::of_filters(&school);
        assert_eq!(filters.tenant(), Some(&school));
        assert_ne!(filters.slot(), Owner::Tenant(school.clone()).slot());
        for owner in [Owner::Tenant(school), Owner::Ledger, shard, filters] {
            assert_eq!(owner.to_string().parse(), Ok(owner.clone()));
        }
        assert!(".ledger".parse::<TenantId>().is_err());
        assert!(".shard.a#b".parse::<Owner>().is_err());
        assert!(".filters.a#b".parse::<Owner>().is_err());
        let entry = WorkEntry::new(
            WorkKey::at(Cause::SweepSegments, Millis(60_000)),
            Millis(7),
            Nonce([3; 16]),
        );
        let text = serde_json::to_string(&entry).expect("JSON");
        assert_eq!(serde_json::from_str::<WorkEntry>(&text).ok(), Some(entry));
    }

    #[test]
    fn keys_sort_by_cause_and_then_by_time() {
        let late = WorkKey::at(Cause::Late, Millis(900_000));
        let close = [9_i64, 10, 100].map(|n| WorkKey::at(Cause::Close, Millis(n * 60_000)));
        assert!(late < close[0] && close.is_sorted());
        assert_eq!(close[2].start(), Some(Millis(6_000_000)));
        assert_eq!(WorkKey::of(Cause::Playback, "x").start(), None);
        let names: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
        assert!(Cause::ALL.is_sorted());
    }

    #[test]
    fn what_has_no_entry_is_sealed_once_the_lists_are_seeded() {
        let minute = |n: i64| Millis(n * 60_000);
        let head = ChainHead::beginning(minute(100));
        let entry =
            |cause, n| WorkEntry::new(WorkKey::at(cause, minute(n)), minute(0), Nonce([0; 16]));
        let through = |entries: &[WorkEntry], is_seeded| {
            sealed_through(Some(&head), entries, is_seeded, minute(1_000))
        };
        let open = [entry(Cause::Close, 300), entry(Cause::Compact, 200)];
        assert_eq!(through(&open, true), Some(minute(300)));
        assert_eq!(through(&open, false), Some(minute(100)));
        assert_eq!(through(&[], true), Some(minute(985)));
        // The chain has passed what came late.
        assert_eq!(through(&[entry(Cause::Late, 50)], true), Some(minute(100)));
        assert_eq!(
            sealed_through(None, &[], true, minute(1_000)),
            Some(minute(985))
        );
        assert_eq!(sealed_through(None, &[], false, minute(1_000)), None);
    }

    proptest! {
        #[test]
        fn a_window_is_due_after_its_grace_within_a_fifteenth_of_its_length(
            name in "[a-z][a-z0-9-]{0,20}",
            minutes in 1_u32..1_440,
            grace in 0_i64..3_600,
        ) {
            let tenant: TenantId = name.parse().expect("a name");
            let window = Window::containing(Millis(1_795_167_900_000), minutes);
            let due = close_due(&tenant, window, grace);
            let wait = due.0 - window.end.plus_seconds(grace).0;
            prop_assert!(wait >= 0 && wait < (i64::from(minutes) * 4_000).min(60_000));
            prop_assert!(Owner::Tenant(tenant).slot() < WORK_SLOTS);
        }
    }

    #[test]
    fn owners_are_spread_over_the_slots_and_over_the_minute() {
        let tenants: Vec<TenantId> = (0..1_000)
            .map(|n| format!("school-{n}").parse().expect("a name"))
            .collect();
        let slots: BTreeSet<u8> = tenants
            .iter()
            .map(|tenant| Owner::Tenant(tenant.clone()).slot())
            .collect();
        assert_eq!(slots.len(), usize::from(WORK_SLOTS));
        let window = Window::containing(Millis(1_795_167_900_000), 15);
        let seconds = tenants.iter().map(|tenant| {
            let due = close_due(tenant, window, 0);
            (due.0 - window.end.0) / 1_000
        });
        assert!(seconds.collect::<BTreeSet<_>>().len() > 50);
    }
}
