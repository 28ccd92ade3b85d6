//! Removing what is not needed any more: segments and oversize events once they are sealed and old
//! enough, and objects that nothing names.
//!
//! [`sweep_segments`] goes through the segments as they lie in the bucket, hour by hour, and asks each shard's records
//! which commits name one. A segment goes when every window that these hold events of is sealed with as much as is
//! stored of it; else it stays, is remembered, announced, and looked at again. So nothing unsealed ever goes. What a
//! crashed try left, no commit names; it goes too when none can name it any more.
//!
//! [`sweep_hour`] goes through the windows of an hour of one tenant. A part whose window is sealed, or whose
//! backfill's sequence is taken, and that no seal names, can never be named any more; evidence cannot when all of its
//! receipts are in evidence, a list when another seal has its sequence. [`sweep_day`] does the same for compacted days.
//! Files of erasures and of projections are not written yet.

mod beside;
mod days;
mod judge;
mod leftovers;
mod named;
mod oversize;
mod parts;
mod segments;

pub use beside::HourSwept;
pub(crate) use beside::MISSING_SECONDS;
pub use days::sweep_day;
pub use parts::sweep_hour;
pub(crate) use parts::{SWEEP_AFTER_SECONDS, hour_start};
pub use segments::sweep_segments;

use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Directory, Inventory, PortError, Removal};
use vernier_ledger::removal::remove_each;
use vernier_ledger::time::Millis;

/// When what may go.
#[derive(Debug, Clone, Copy)]
pub struct Sweeping {
    /// How long segments and oversize events are kept after their commit, seconds; then they go when
    /// they are sealed.
    pub segment_seconds: i64,
    /// How long a batch can be tried, seconds: so late a commit can name an object after it was
    /// written.
    pub trigger_seconds: i64,
    /// How long a batch that the trigger gave up is kept and can be brought back, seconds.
    pub failure_seconds: i64,
}

impl Sweeping {
    /// How long after an oversize event was written a commit can name it for the first time, seconds.
    const fn named_seconds(&self) -> i64 {
        self.trigger_seconds + self.failure_seconds
    }
}

/// What a run removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepSummary {
    /// Hours of commits that were gone through.
    pub hours: u32,
    /// Segments that were sealed.
    pub segments: u64,
    /// Oversize events that were sealed.
    pub oversize: u64,
    /// Objects that nothing named.
    pub unnamed: u64,
    /// Segments and oversize events that are past their time and not wholly sealed, as far as the last looks found.
    pub left: u64,
    /// Segments that were met and stay since the restored table does not know them.
    pub unknown: u64,
    /// Whether the time was over before all hours were swept that are old enough.
    pub is_behind: bool,
}

impl SweepSummary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.hours += other.hours;
        self.segments += other.segments;
        self.oversize += other.oversize;
        self.unnamed += other.unnamed;
        self.left += other.left;
        self.unknown += other.unknown;
        self.is_behind |= other.is_behind;
    }
}

/// Whether an erasure of files of these seals may be under way: what it writes has no seal yet.
fn is_being_erased(seals: &[SealEntry], next_sequence: u64) -> bool {
    let mut erasures = seals.iter().flat_map(|entry| entry.erasures.iter());
    erasures.any(|sequence| sequence >= next_sequence)
}

/// Removes the objects under a prefix that a rule lets go; answers how many.
async fn remove_where<O: Inventory + Removal>(
    objects: &O,
    prefix: &str,
    goes: impl Fn(&str, Millis) -> bool,
) -> Result<u64, PortError> {
    let (mut removed, mut after) = (0, None);
    loop {
        let page = objects.listed(prefix, after.as_deref()).await?;
        let Some(last) = page.last() else {
            return Ok(removed);
        };
        after = Some(last.key.clone());
        let goes = page.iter().filter(|o| goes(&o.key, o.written_at));
        let keys: Vec<String> = goes.map(|object| object.key.clone()).collect();
        removed += remove(objects, &keys).await?;
    }
}

/// Removes objects; answers how many.
async fn remove<O: Removal>(objects: &O, keys: &[String]) -> Result<u64, PortError> {
    remove_each(objects, keys).await?;
    Ok(keys.len() as u64)
}

/// Whether a tenant's block items may be gone though commits name them: they went with its data.
///
/// # Errors
/// Whatever error reading the table gives.
pub(crate) async fn has_lost_its_items<T: Directory>(
    table: &T,
    tenant: &TenantId,
) -> Result<bool, PortError> {
    let tenant = table.tenant(tenant).await?;
    Ok(tenant.is_none_or(|tenant| tenant.removed_at.is_some()))
}
