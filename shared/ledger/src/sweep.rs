//! How far the sweeps are that remove what is not needed any more.

use crate::ids::TenantId;
use crate::ports::PortError;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sweep<'t> {
    /// Segments and oversize events that are sealed, and objects that nothing names.
    Segments,
    /// A tenant's parts that no seal names.
    Parts(&'t TenantId),
}

/// A segment that was to go and is not wholly sealed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftSegment {
    /// When its commit landed, by the commit's record; of one of several commits the first.
    pub committed_at: Millis,
    /// Its key.
    pub object: String,
}

/// A tenant's oversize events of a day (UTC) that were to go and may not be wholly sealed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftDay {
    /// The day's beginning.
    pub start: Millis,
    /// Whose.
    pub tenant: TenantId,
}

/// How far a sweep is, and what it had to leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepMark {
    /// Swept before this instant.
    pub through: Millis,
    /// Segments that are looked at again.
    #[serde(default)]
    pub left: BTreeSet<LeftSegment>,
    /// Days of oversize events that are looked at again.
    #[serde(default)]
    pub left_days: BTreeSet<LeftDay>,
}

impl SweepMark {
    /// How much was left behind.
    #[must_use]
    pub fn left_count(&self) -> usize {
        self.left.len() + self.left_days.len()
    }
}

/// How far sweeps are.
#[allow(async_fn_in_trait)]
pub trait Sweeps {
    /// A sweep's mark; none before it was first saved.
    async fn sweep_mark(&self, sweep: Sweep<'_>) -> Result<Option<SweepMark>, PortError>;

    /// Saves a mark over the one before.
    async fn save_sweep_mark(&self, sweep: Sweep<'_>, mark: &SweepMark) -> Result<(), PortError>;
}
