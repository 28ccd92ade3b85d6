//! A tenant's list of seals.

use crate::frame::Tally;
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};

/// What a seal closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// A window, for the first time.
    Window,
    /// What came to light after its window was sealed.
    Backfill,
    /// The files of a day's windows and backfills, merged: no event is sealed by it.
    Day,
    /// A run of windows in which nothing was received.
    Idle,
    /// Files whose rows are partly erased, in the place of those that seals named.
    Erasure,
}

impl SealKind {
    /// Whether such a seal has rows that were received in its time.
    #[must_use]
    pub const fn has_rows_of_window(self) -> bool {
        matches!(self, Self::Window | Self::Backfill)
    }

    /// Whether such a seal closes its time for the first time.
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self, Self::Window | Self::Idle)
    }
}

/// Sequences in order, as runs of neighbours: the first and the last of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequences(Vec<(u64, u64)>);

impl Sequences {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let mut runs = self.0.iter();
        runs.any(|(first, last)| (*first..=*last).contains(&sequence))
    }
}

impl FromIterator<u64> for Sequences {
    /// From sequences in order.
    fn from_iter<I: IntoIterator<Item = u64>>(sequences: I) -> Self {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for sequence in sequences {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == sequence => *last = sequence,
                _ => runs.push((sequence, sequence)),
            }
        }
        Self(runs)
    }
}

/// The first version of seals that say which times are open, and where the shards stood.
pub const HOLDS_SIGNED_SINCE: u32 = 4;

/// A seal in the list of its tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ListedSeal", into = "ListedSeal")]
pub struct SealEntry {
    /// Place in the chain.
    pub sequence: u64,
    /// Version of the seal; of one that was listed before lists said so, the one that was written last then.
    pub version: u32,
    /// What it closes its time as.
    pub kind: SealKind,
    /// The time that the seal closes, from its first instant.
    pub window: Window,
    /// How many windows of equal length this is: of an idle run, else 1.
    pub windows: u64,
    /// SHA-256 of the seal, hexadecimal.
    pub hash: String,
    /// What it holds, whatever became of it.
    pub tally: Tally,
    /// When it was sealed.
    pub sealed_at: Millis,
    /// Of a window or backfill: envelopes of which something is missing after it.
    pub missing: u64,
    /// Of a day's seal: those whose files' rows its own files have. Others have none.
    pub covers: Sequences,
    /// Erasures that replace files of the seal, in order. Whoever erases names the erasure here before it is sealed, and
    /// removes the old files only afterwards; a sequence at which no such erasure was sealed says nothing.
    pub erasures: Sequences,
}

/// A listed seal as it is stored. Before lists said version and kind, they said whether it is a backfill.
#[derive(Debug, Serialize, Deserialize)]
struct ListedSeal {
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<SealKind>,
    #[serde(default, skip_serializing)]
    backfill: bool,
    #[serde(flatten)]
    window: Window,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    windows: u64,
    hash: String,
    #[serde(flatten)]
    tally: Tally,
    sealed_at: Millis,
    #[serde(default, skip_serializing_if = "is_none_missing")]
    missing: u64,
    #[serde(default, skip_serializing_if = "Sequences::is_empty")]
    covers: Sequences,
    #[serde(default, skip_serializing_if = "Sequences::is_empty")]
    erasures: Sequences,
}

const fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde hands it over
const fn is_one(number: &u64) -> bool {
    *number == 1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde hands it over
const fn is_none_missing(number: &u64) -> bool {
    *number == 0
}

impl From<ListedSeal> for SealEntry {
    fn from(listed: ListedSeal) -> Self {
        let before = match (listed.covers.is_empty(), listed.backfill) {
            (false, _) => (SealKind::Day, 3),
            (true, true) => (SealKind::Backfill, 1),
            (true, false) => (SealKind::Window, 1),
        };
        Self {
            sequence: listed.sequence,
            version: listed.version.unwrap_or(before.1),
            kind: listed.kind.unwrap_or(before.0),
            window: listed.window,
            windows: listed.windows.max(1),
            hash: listed.hash,
            tally: listed.tally,
            sealed_at: listed.sealed_at,
            missing: listed.missing,
            covers: listed.covers,
            erasures: listed.erasures,
        }
    }
}

impl From<SealEntry> for ListedSeal {
    fn from(entry: SealEntry) -> Self {
        Self {
            sequence: entry.sequence,
            version: Some(entry.version),
            kind: Some(entry.kind),
            backfill: false,
            window: entry.window,
            windows: entry.windows,
            hash: entry.hash,
            tally: entry.tally,
            sealed_at: entry.sealed_at,
            missing: entry.missing,
            covers: entry.covers,
            erasures: entry.erasures,
        }
    }
}

impl SealEntry {
    /// Whether it closes a day's compacted files and no events of its own.
    #[must_use]
    pub fn is_day(&self) -> bool {
        self.kind == SealKind::Day
    }

    /// Whether it closes what came to light after its window was sealed.
    #[must_use]
    pub fn is_backfill(&self) -> bool {
        self.kind == SealKind::Backfill
    }

    /// The windows that it closes: of an idle run all of them, else one.
    pub fn closed_windows(&self) -> impl Iterator<Item = Window> + use<> {
        let (start, count) = (self.window.start.0, self.window_count());
        let each = (self.window.end.0 - start) / count;
        (0..count).map(move |n| Window {
            start: Millis(start + n * each),
            end: Millis(start + (n + 1) * each),
        })
    }

    /// The window of an instant that it closes; none where it closes another time.
    #[must_use]
    pub fn window_of(&self, at: Millis) -> Option<Window> {
        if !self.window.contains(at) {
            return None;
        }
        let each = (self.window.end.0 - self.window.start.0) / self.window_count();
        let start = at.0 - (at.0 - self.window.start.0) % each.max(1);
        Some(Window {
            start: Millis(start),
            end: Millis(start + each),
        })
    }

    fn window_count(&self) -> i64 {
        i64::try_from(self.windows).unwrap_or(i64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_kept_as_runs() {
        let some: Sequences = [0, 1, 2, 5, 7, 8].into_iter().collect();
        let text = serde_json::to_string(&some).expect("JSON");
        assert_eq!(text, "[[0,2],[5,5],[7,8]]");
        let held = (0..10).filter(|n| some.contains(*n));
        assert_eq!(held.collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
    }

    /// What an earlier release wrote.
    #[test]
    fn a_seal_that_was_listed_without_version_and_kind_is_read() {
        let text = |more: &str| {
            let digest = Tally::default().digest;
            let digest = serde_json::to_string(&digest).expect("JSON");
            format!(
                r#"{{"sequence":7,"backfill":{more},"start":60000,"end":120000,"hash":"00","events":3,"rejected":1,"digest":{digest},"sealed_at":5}}"#
            )
        };
        let read = |more| serde_json::from_str::<SealEntry>(&text(more)).expect("reads");
        let window = read("false");
        assert_eq!(
            (window.kind, window.version, window.windows),
            (SealKind::Window, 1, 1)
        );
        assert_eq!(read("true").kind, SealKind::Backfill);
        let day = read(r#"false,"covers":[[0,3]]"#);
        assert_eq!((day.kind, day.version), (SealKind::Day, 3));
    }
}
