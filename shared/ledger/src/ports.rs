//! What the functions need of the world, in the ledger's own words.
//!
//! Each port has one adapter on AWS (the crate `vernier-aws`) and one in memory (`vernier-fakes`); the
//! same contract tests run on both. No method retries beyond what its client does: whoever knows
//! the deadline retries.

use crate::access::{Tenant, TokenInfo};
use crate::account::WindowAccount;
use crate::block_item::BlockItem;
use crate::chain::{ChainHead, ChainStep, SealEntry};
pub use crate::frame_stream::{FrameRecords, FrameStream, NewRecord};
use crate::ids::{Lane, ReceiptId, Sequence, Shard, TenantId};
use crate::playback_job::{PlaybackId, PlaybackJob};
use crate::receipt::{Acknowledgement, ClaimOutcome, ClaimRequest, Receipt};
use crate::refused::RefusedCount;
pub use crate::removal::{NotRemoved, REMOVALS_MAX, Removal};
use crate::results::{Registers, ResultKey, ResultList};
use crate::scaling::{ScalingLog, StreamLoad, StreamShards};
use crate::schema::StoredSchema;
use crate::segment::SegmentRecord;
pub use crate::sweep::{Leftovers, Sweeps};
use crate::time::{Millis, Minute, TimeRange, Window};

/// A storage call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Throttled, timed out, unavailable: the same call may succeed later. It may also have
    /// happened: every caller must bear that.
    #[error("{0} (may be tried again)")]
    Retryable(String),
    /// A partition or a shard took as much as it takes in a second, and not this. The same call may succeed later, and
    /// one that goes into another partition at once.
    #[error("{0} (throttled, may be tried again)")]
    Throttled(String),
    /// Denied, malformed, missing: the same call will fail again.
    #[error("{0}")]
    Fatal(String),
}

impl PortError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable(_) | Self::Throttled(_))
    }
}

/// Receipts with their claims.
#[allow(async_fn_in_trait)]
pub trait Receipts {
    /// Writes the acknowledgement's half. Durable on return. Writing it again changes nothing.
    async fn acknowledge(&self, acknowledgement: &Acknowledgement) -> Result<(), PortError>;

    /// Claims a frame for its record unless another record has it with the same or a higher
    /// attempt. Durable on return; claiming again for the same record answers the same.
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<ClaimOutcome, PortError>;

    /// One receipt, both halves, read consistently.
    async fn receipt(&self, tenant: &TenantId, id: ReceiptId)
    -> Result<Option<Receipt>, PortError>;

    /// All receipts of a minute in a lane, oldest first, read consistently.
    async fn receipts_in(
        &self,
        tenant: &TenantId,
        minute: Minute,
        lane: Lane,
    ) -> Result<Vec<Receipt>, PortError>;
}

/// A shard's place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Last sequence number taken; none before the first batch.
    pub sequence: Option<Sequence>,
    /// Place of the next record in the shard's chain.
    pub next_position: u64,
    /// Hash of the last segment record.
    pub last_hash: Option<String>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Cursor and segment record are both durable.
    Committed,
    /// The cursor was not where the caller saw it; nothing was written.
    Stale,
}

/// Cursors and segment records.
#[allow(async_fn_in_trait)]
pub trait Commits {
    /// The shard's cursor, read consistently.
    async fn cursor(&self, shard: &Shard) -> Result<Cursor, PortError>;

    /// Moves the cursor from `seen` to the record's last sequence number and writes the record with the items of
    /// its blocks (at most [`crate::limits::COMMIT_BLOCKS_MAX`]), all or nothing. A retryable error may have
    /// committed: read the cursor to know.
    async fn commit(
        &self,
        seen: &Cursor,
        record: &SegmentRecord,
        items: &[BlockItem],
    ) -> Result<CommitOutcome, PortError>;

    /// A shard's first records, at most `count_max`, whose last sequence numbers are not before `from`, in their
    /// order, read consistently. Those of earlier versions are [`crate::block_item::Listing::earlier_records`].
    async fn records_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<SegmentRecord>, PortError>;
}

/// What is committed of a tenant, by five minutes of received-at.
#[allow(async_fn_in_trait)]
pub trait Blocks {
    /// A tenant's items that hold something received in the range, to the minute, any order, read consistently; none
    /// when it ends before it begins. Without [`crate::block_item::ListingMark::complete`] those of earlier versions' commits may lack.
    async fn block_items(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<BlockItem>, PortError>;

    /// The items that a record names, in its order, read consistently; none in the place of one that is not there.
    async fn record_items(
        &self,
        record: &SegmentRecord,
    ) -> Result<Vec<Option<BlockItem>>, PortError>;

    /// Whether every commit has its items: [`crate::block_item::ListingMark::complete`]. Once it is so, it stays so.
    async fn are_blocks_listed(&self) -> Result<bool, PortError>;
}

/// Results: where learners stand.
#[allow(async_fn_in_trait)]
pub trait Results {
    /// Merges registers into a result: each that is newer than the stored one takes its place,
    /// the others change nothing. Durable on return; merging again changes nothing. A retryable
    /// error may have merged some of them.
    async fn merge(
        &self,
        tenant: &TenantId,
        key: &ResultKey,
        registers: &Registers,
    ) -> Result<(), PortError>;

    /// A learner's results in a section (none: where events named no section), read consistently.
    async fn of_learner(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
        learner: &str,
    ) -> Result<ResultList, PortError>;

    /// All results of a section, read consistently, though not at one moment.
    async fn of_section(
        &self,
        tenant: &TenantId,
        section: Option<&str>,
    ) -> Result<ResultList, PortError>;
}

/// What became of writing an object that must not be there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// Written; durable on return.
    Created,
    /// The key was taken; nothing was written.
    Exists,
}

/// Write-once objects.
#[allow(async_fn_in_trait)]
pub trait Objects {
    /// Writes an object unless the key is taken. `note` is kept beside it as metadata; any text is
    /// taken, what is not printable ASCII is kept as `?`.
    async fn put_new(
        &self,
        key: &str,
        bytes: Vec<u8>,
        note: Option<&str>,
    ) -> Result<PutOutcome, PortError>;

    /// Reads a whole object, or `range` of it as (offset, length), cut at the object's end, so that a range that begins
    /// there or behind it has no bytes; none when there is no such object.
    async fn get(&self, key: &str, range: Option<(u64, u64)>)
    -> Result<Option<Vec<u8>>, PortError>;
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock, to the second.
    pub written_at: Millis,
}

/// Which objects there are.
#[allow(async_fn_in_trait)]
pub trait Inventory {
    /// Objects whose keys begin with `prefix` and come after `after`, in their order; a page of at
    /// most 1,000, none when there are no more.
    async fn listed(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, PortError>;

    /// All objects whose keys begin with `prefix`, in their order.
    async fn all_listed(&self, prefix: &str) -> Result<Vec<ListedObject>, PortError> {
        let mut all: Vec<ListedObject> = Vec::new();
        loop {
            let page = self.listed(prefix, all.last().map(|last| last.key.as_str()));
            let page = page.await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}

/// What the stream's metrics say of its load. They come late and may have gaps.
#[allow(async_fn_in_trait)]
pub trait StreamMetrics {
    /// The sums of each `step_minutes` in `[from, to)`, oldest first; where nothing came there may be no
    /// entry.
    async fn loads(
        &self,
        from: Minute,
        to: Minute,
        step_minutes: u32,
    ) -> Result<Vec<StreamLoad>, PortError>;
}

/// The stream's shards, as many as one wants.
#[allow(async_fn_in_trait)]
pub trait Shards {
    /// How many there are.
    async fn shards(&self) -> Result<StreamShards, PortError>;

    /// Begins to make their number another: at most double, at least half. Whether it takes a minute or
    /// several, [`Self::shards`] says when it is done. Asking again for the same number does no harm.
    async fn reshard(&self, to: u32) -> Result<(), PortError>;
}

/// What was done to streams' shards.
#[allow(async_fn_in_trait)]
pub trait ScalingLogs {
    /// A stream's log; empty before it was first saved.
    async fn scaling_log(&self, stream: &str) -> Result<ScalingLog, PortError>;

    /// Saves a log over the one before.
    async fn save_scaling_log(&self, stream: &str, log: &ScalingLog) -> Result<(), PortError>;
}

/// Tenants and tokens as the functions see them.
#[allow(async_fn_in_trait)]
pub trait Directory {
    /// The token with this hash, revoked or not.
    async fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenInfo>, PortError>;

    /// A tenant's settings.
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, PortError>;

    /// All tenants' names, in order.
    async fn tenants(&self) -> Result<Vec<TenantId>, PortError>;
}

/// Tenants and tokens as the operator changes them.
#[allow(async_fn_in_trait)]
pub trait Administration {
    /// Creates a tenant; false when the name is taken (nothing is changed).
    async fn create_tenant(&self, tenant: &Tenant) -> Result<bool, PortError>;

    /// Stores a new token under its hash and in its tenant's list.
    async fn put_token(&self, sha256: &[u8; 32], info: &TokenInfo) -> Result<(), PortError>;

    /// All tokens of a tenant, revoked ones too.
    async fn list_tokens(&self, tenant: &TenantId) -> Result<Vec<TokenInfo>, PortError>;

    /// Revokes a token; none when the tenant has no such token, else when it was revoked (the
    /// first time counts).
    async fn revoke_token(
        &self,
        tenant: &TenantId,
        token_id: &str,
        at: Millis,
    ) -> Result<Option<Millis>, PortError>;
}

/// Tenants' settings as the operator changes them.
#[allow(async_fn_in_trait)]
pub trait TenantSettings {
    /// Puts a tenant's settings in the place of those that the caller saw; false when they are not those any more
    /// (nothing is changed).
    async fn change_tenant(&self, seen: &Tenant, next: &Tenant) -> Result<bool, PortError>;
}

/// Tenants' own event types.
#[allow(async_fn_in_trait)]
pub trait Schemas {
    /// The current version of each of a tenant's types, by name, read consistently.
    async fn schemas(&self, tenant: &TenantId) -> Result<Vec<StoredSchema>, PortError>;

    /// One version of a type, read consistently.
    async fn schema_version(
        &self,
        tenant: &TenantId,
        type_name: &str,
        version: u32,
    ) -> Result<Option<StoredSchema>, PortError>;

    /// Keeps a version and makes it the current one; false when the version before it is not the
    /// current one (nothing is changed). A retryable error may have kept it.
    async fn put_schema(&self, tenant: &TenantId, schema: &StoredSchema)
    -> Result<bool, PortError>;
}

/// Window accounts that workers leave behind.
#[allow(async_fn_in_trait)]
pub trait Accounts {
    /// Stores a window's account over the one before, unless that one is newer ([`WindowAccount::is_from_before`]): of two
    /// workers the slower one may have read less than the other.
    async fn save_account(
        &self,
        tenant: &TenantId,
        account: &WindowAccount,
    ) -> Result<(), PortError>;

    /// The last stored accounts of windows that begin in `[from, to)`, by their beginning, read consistently.
    async fn accounts(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowAccount>, PortError>;

    /// The last stored account.
    async fn account(
        &self,
        tenant: &TenantId,
        window: Window,
    ) -> Result<Option<WindowAccount>, PortError>;
}

/// What became of moving a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainOutcome {
    /// The chain and the seal's entry are both durable.
    Moved,
    /// The chain was not where the caller saw it; nothing was written.
    Stale,
}

/// Tenants' chains of seals.
#[allow(async_fn_in_trait)]
pub trait Chains {
    /// A tenant's chain, read consistently; none before it was first moved.
    async fn chain(&self, tenant: &TenantId) -> Result<Option<ChainHead>, PortError>;

    /// Moves a chain to its next revision with all that the step has (at most
    /// [`crate::limits::HELD_WINDOWS_MAX`] windows that are held), unless somebody else moved it before: all or nothing. A
    /// retryable error may have moved it: read the chain to know.
    async fn move_chain(
        &self,
        tenant: &TenantId,
        step: &ChainStep,
    ) -> Result<ChainOutcome, PortError>;

    /// Seals of windows and backfills that begin in `[from, to)`, by window and then in their order, read
    /// consistently.
    async fn seals(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError>;

    /// Seals of days that begin in `[from, to)`, by day and then in their order, read consistently:
    /// [`Self::seals`] has none of them.
    async fn days(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<SealEntry>, PortError>;
}

/// Counts of envelopes that were refused as a whole.
#[allow(async_fn_in_trait)]
pub trait RefusedEnvelopes {
    /// Adds to the count of a tenant's hour, rule and sensor. A retryable error may have added it.
    async fn add_refused(&self, tenant: &TenantId, count: &RefusedCount) -> Result<(), PortError>;

    /// A tenant's counts of the hours that touch `[from, to)`, by hour, rule and sensor, read
    /// consistently.
    async fn refused(
        &self,
        tenant: &TenantId,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<RefusedCount>, PortError>;
}

/// What became of moving a playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaybackOutcome {
    /// The job is durable as it was handed in.
    Moved,
    /// The job was not where the caller saw it; nothing was written.
    Stale,
}

/// Playbacks that somebody asked for.
#[allow(async_fn_in_trait)]
pub trait Playbacks {
    /// A tenant's playback, read consistently.
    async fn playback(
        &self,
        tenant: &TenantId,
        id: PlaybackId,
    ) -> Result<Option<PlaybackJob>, PortError>;

    /// A tenant's playbacks, oldest first, read consistently.
    async fn playbacks(&self, tenant: &TenantId) -> Result<Vec<PlaybackJob>, PortError>;

    /// Playbacks of all tenants that have not ended, by tenant and then oldest first, read
    /// consistently.
    async fn open_playbacks(&self) -> Result<Vec<(TenantId, PlaybackId)>, PortError>;

    /// Writes a playback unless somebody else moved it to this revision before; a first revision makes
    /// it. A retryable error may have written it: read it to know.
    async fn move_playback(
        &self,
        tenant: &TenantId,
        next: &PlaybackJob,
    ) -> Result<PlaybackOutcome, PortError>;
}

/// The key that signs seals.
#[allow(async_fn_in_trait)]
pub trait SealKey {
    /// Its public half: SubjectPublicKeyInfo, DER or PEM.
    async fn public_key(&self) -> Result<Vec<u8>, PortError>;

    /// The signature over a message.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError>;
}

/// The audit topic.
#[allow(async_fn_in_trait)]
pub trait Notices {
    /// Publishes one notice; subscribers may see it more than once.
    async fn publish(&self, subject: &str, body: &str) -> Result<(), PortError>;
}
