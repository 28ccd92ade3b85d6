//! Where a tenant's chain of seals stands, and which windows its seals close.
//!
//! The seals themselves are objects (docs/seal.md); what is here says where to look, and fences: a
//! seal counts when the chain has been moved over it.

use crate::frame::Tally;
use crate::ids::TenantId;
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};

const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// The end of a tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// How often it was written: whoever writes it next says which one was seen.
    pub revision: u64,
    /// Sequence of the next seal.
    pub sequence: u64,
    /// SHA-256 of the last seal, hexadecimal; none before the first.
    pub last_hash: Option<String>,
    /// Windows before this instant are sealed or passed over.
    pub through: Millis,
    /// Windows that did not add up for so long that later ones were sealed before them.
    pub passed_over: Vec<Window>,
    /// Days before this instant have been compacted, or had nothing worth it; none before the first.
    #[serde(default)]
    pub compacted: Option<Millis>,
    /// Days before this instant have no file of a window left that a day's seal covers.
    #[serde(default)]
    pub removed: Option<Millis>,
}

impl ChainHead {
    /// Before the first seal of a tenant whose first window begins here.
    #[must_use]
    pub const fn beginning(at: Millis) -> Self {
        Self {
            revision: 0,
            sequence: 0,
            last_hash: None,
            through: at,
            passed_over: Vec::new(),
            compacted: None,
            removed: None,
        }
    }

    /// The chain with one more seal; none when the seal is not the next, or closes a window for the
    /// first time that is not due.
    #[must_use]
    pub fn with(&self, seal: &SealEntry) -> Option<Self> {
        let mut next = self.clone();
        next.revision += 1;
        next.sequence += 1;
        next.last_hash = Some(seal.hash.clone());
        if seal.sequence != self.sequence {
            return None;
        }
        if seal.backfill || seal.is_day() {
            return Some(next);
        }
        let passed = self.passed_over.iter().position(|w| *w == seal.window);
        match passed {
            Some(at) => {
                next.passed_over.remove(at);
            }
            None if seal.window.start == self.through => next.through = seal.window.end,
            None => return None,
        }
        Some(next)
    }

    /// The chain when nothing of the days before an instant is left to compact.
    #[must_use]
    pub fn compacted_to(&self, instant: Millis) -> Self {
        Self {
            revision: self.revision + 1,
            compacted: Some(instant),
            ..self.clone()
        }
    }

    /// The chain when nothing of the days before an instant is left to remove.
    #[must_use]
    pub fn removed_to(&self, instant: Millis) -> Self {
        Self {
            revision: self.revision + 1,
            removed: Some(instant),
            ..self.clone()
        }
    }

    /// The chain with the next window left for later.
    #[must_use]
    pub fn past(&self, window: Window) -> Self {
        let mut next = self.clone();
        next.revision += 1;
        next.through = window.end;
        next.passed_over.push(window);
        next
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

/// A seal in the list of its tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealEntry {
    /// Place in the chain.
    pub sequence: u64,
    /// Whether it closes what came to light after its window was sealed.
    pub backfill: bool,
    /// What it closes.
    #[serde(flatten)]
    pub window: Window,
    /// SHA-256 of the seal, hexadecimal.
    pub hash: String,
    /// What it holds, whatever became of it.
    #[serde(flatten)]
    pub tally: Tally,
    /// When it was sealed.
    pub sealed_at: Millis,
    /// Of a day's seal: those whose files' rows its own files have. Others have none.
    #[serde(default, skip_serializing_if = "Sequences::is_empty")]
    pub covers: Sequences,
    /// Erasures that replace files of the seal, in order. Whoever erases names the erasure here before it is sealed, and
    /// removes the old files only afterwards; a sequence at which no such erasure was sealed says nothing.
    #[serde(default, skip_serializing_if = "Sequences::is_empty")]
    pub erasures: Sequences,
}

impl SealEntry {
    /// Whether it closes a day's compacted files and no events of its own.
    #[must_use]
    pub fn is_day(&self) -> bool {
        !self.covers.is_empty()
    }
}

/// The day (UTC) that an instant lies in.
#[must_use]
pub fn day_of(at: Millis) -> Window {
    Window::containing(at, MINUTES_OF_A_DAY)
}

/// What a set of a window's seals hold together.
#[must_use]
pub fn sealed_in<'s>(window: Window, seals: impl IntoIterator<Item = &'s SealEntry>) -> Tally {
    let mut sealed = Tally::default();
    for seal in seals.into_iter().filter(|s| s.window == window) {
        sealed.merge(&seal.tally);
    }
    sealed
}

/// A tenant's first window.
#[must_use]
pub fn first_window(created_at: Millis, minutes: u32) -> Window {
    Window::containing(created_at, minutes)
}

/// The window after an instant at which the last one ended. Where the windows' length changed in
/// between, it ends where one of the new length does.
#[must_use]
pub fn window_after(through: Millis, minutes: u32) -> Window {
    Window {
        start: through,
        end: Window::containing(through, minutes).end,
    }
}

/// Logs and errors name a window so.
#[must_use]
pub fn named(tenant: &TenantId, window: Window) -> String {
    format!("window {} of {tenant}", window.start.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(n: i64) -> Window {
        Window {
            start: Millis(n * 60_000),
            end: Millis((n + 1) * 60_000),
        }
    }

    fn seal(sequence: u64, n: i64, backfill: bool) -> SealEntry {
        SealEntry {
            sequence,
            backfill,
            window: window(n),
            hash: format!("{sequence:064}"),
            tally: Tally::default(),
            sealed_at: Millis(0),
            covers: Sequences::default(),
            erasures: Sequences::default(),
        }
    }

    #[test]
    fn a_chain_takes_its_next_window_those_it_passed_over_and_backfills() {
        let head = ChainHead::beginning(window(5).start);
        assert_eq!(head.with(&seal(0, 6, false)), None, "a gap");
        assert_eq!(head.with(&seal(1, 5, false)), None, "another sequence");
        let head = head.with(&seal(0, 5, false)).expect("the next");
        let head = head.past(window(6));
        let head = head.with(&seal(1, 7, false)).expect("the next");
        assert_eq!((head.through, head.passed_over.len()), (window(8).start, 1));
        let head = head.with(&seal(2, 6, false)).expect("passed over");
        let head = head.with(&seal(3, 5, true)).expect("a backfill");
        assert!(head.passed_over.is_empty());
        assert_eq!((head.through, head.sequence), (window(8).start, 4));
        assert_eq!(head.revision, 5);
    }

    #[test]
    fn a_day_moves_the_chain_and_no_window() {
        let head = ChainHead::beginning(window(5).start);
        let head = head.with(&seal(0, 5, false)).expect("the next");
        let mut day = seal(1, 0, false);
        day.window = day_of(window(5).start);
        day.covers = [0].into_iter().collect();
        let after = head.with(&day).expect("any time");
        assert_eq!((after.through, after.sequence), (head.through, 2));
        let after = after.compacted_to(day.window.end).removed_to(Millis(0));
        assert_eq!(after.compacted, Some(Millis(86_400_000)));
        assert_eq!((after.removed, after.revision), (Some(Millis(0)), 4));
    }

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
    fn a_chain_from_before_there_were_days_is_read() {
        let old =
            r#"{"revision":3,"sequence":2,"last_hash":null,"through":60000,"passed_over":[]}"#;
        let head: ChainHead = serde_json::from_str(old).expect("reads");
        assert_eq!(
            (head.sequence, head.compacted, head.removed),
            (2, None, None)
        );
    }

    #[test]
    fn windows_of_another_length_follow_without_a_gap() {
        let after = window_after(Millis(7 * 60_000), 5);
        assert_eq!(
            after,
            Window {
                start: Millis(7 * 60_000),
                end: Millis(10 * 60_000),
            }
        );
    }
}
