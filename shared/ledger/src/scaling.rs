//! The stream's capacity: what is known of its load, and what was done about it.

use crate::time::{Millis, Minute};
use serde::{Deserialize, Serialize};

/// What the stream took in a minute, by its own metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamLoad {
    /// The minute, or the first of several.
    pub minute: Minute,
    /// Minutes that the sums are of.
    pub minutes: u32,
    /// Bytes that were written.
    pub bytes: f64,
    /// Records that were written.
    pub records: f64,
    /// Records that were refused because a shard was full.
    pub refused: f64,
}

/// A stream's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamShards {
    /// Shards that take records.
    pub open: u32,
    /// Whether their number can be changed now: no change is under way.
    pub is_steady: bool,
}

/// A change of the number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resharding {
    /// When.
    pub at: Millis,
    /// How many there were.
    pub from: u32,
    /// How many there are since.
    pub to: u32,
}

/// The changes of a stream's shards that count: those of the running month and of the last day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScalingLog {
    /// Oldest first.
    pub changes: Vec<Resharding>,
}
