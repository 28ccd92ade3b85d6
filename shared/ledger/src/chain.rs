//! Where a tenant's chain of seals stands, and which windows its seals close.
//!
//! The seals themselves are objects (docs/seal.md); what is here says where to look, and fences: a
//! seal counts when the chain has been moved over it.

use crate::frame::Tally;
use crate::ids::TenantId;
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};

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
        if seal.backfill {
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
