//! Where a tenant's chain of seals stands, and which windows its seals close.
//!
//! The seals themselves are objects (docs/seal.md); what is here says where to look, and fences: a
//! seal counts when the chain has been moved over it.

mod seal_entry;

pub use seal_entry::{HOLDS_SIGNED_SINCE, SealEntry, SealKind, Sequences};

use crate::frame::Tally;
use crate::holds::OpenTimes;
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
    /// Windows before this instant are sealed or held.
    pub through: Millis,
    /// Windows that did not add up for so long that later ones were sealed before them.
    #[serde(flatten)]
    pub held: HeldWindows,
    /// Days before this instant have been compacted, or had nothing worth it; none before the first.
    #[serde(default)]
    pub compacted: Option<Millis>,
    /// Days before this instant have no file of a window left that a day's seal covers.
    #[serde(default)]
    pub removed: Option<Millis>,
}

/// Where a chain has the windows that it holds. A process of a release that writes no seals of version 4 knows the first
/// form alone: it fails on a chain that has gone on in version 4, instead of going on with it in version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeldWindows {
    /// The chain has no seal of version 4, and its head has the windows itself.
    Listed {
        /// The windows, in the order in which the chain passed them.
        passed_over: Vec<Window>,
    },
    /// The windows are items of their own, beside the head.
    Items {
        /// How many these are.
        held: u64,
        /// From the first instant that a seal closed to the last: what is held within is signed by each seal. None where
        /// the windows became items before the chain had a seal of version 4.
        closed: Option<Window>,
        /// When the checkpoint was written that the last seal of version 4 names; no later seal names an older one. None
        /// before the first such seal.
        checkpoint_at: Option<Millis>,
    },
}

/// How a chain moves: all of it is written, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainStep {
    /// Where the chain stands afterwards.
    pub head: ChainHead,
    /// The seal that it moves over, if it is one.
    pub seal: Option<SealEntry>,
    /// Windows that get items of their own, because the chain holds them.
    pub held: Vec<Window>,
    /// The window that has such an item no longer, because the seal closes it.
    pub released: Option<Window>,
}

impl ChainStep {
    /// A step to a head, over no seal and with no other window held.
    #[must_use]
    pub const fn to(head: ChainHead) -> Self {
        Self {
            head,
            seal: None,
            held: Vec::new(),
            released: None,
        }
    }
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
            held: HeldWindows::Listed {
                passed_over: Vec::new(),
            },
            compacted: None,
            removed: None,
        }
    }

    /// How many windows the chain holds.
    #[must_use]
    pub fn held_count(&self) -> u64 {
        match &self.held {
            HeldWindows::Listed { passed_over } => passed_over.len() as u64,
            HeldWindows::Items { held, .. } => *held,
        }
    }

    /// Whether held windows are items of their own: then no seal before version 4 may follow.
    #[must_use]
    pub const fn has_items(&self) -> bool {
        matches!(self.held, HeldWindows::Items { .. })
    }

    /// No seal names a checkpoint that was written before this one; none before the first seal of version 4.
    #[must_use]
    pub const fn checkpoint_at(&self) -> Option<Millis> {
        match self.held {
            HeldWindows::Listed { .. } => None,
            HeldWindows::Items { checkpoint_at, .. } => checkpoint_at,
        }
    }

    /// The step over a seal of a version before 4; none when the seal is not the next, closes a window for the first
    /// time that is not due, or the chain has gone on in version 4.
    #[must_use]
    pub fn over(&self, seal: &SealEntry) -> Option<ChainStep> {
        let HeldWindows::Listed { passed_over } = &self.held else {
            return None;
        };
        let mut head = self.behind(seal, passed_over)?;
        let left = passed_over.iter().filter(|window| **window != seal.window);
        if seal.kind.closes() {
            let passed_over = left.copied().collect();
            head.held = HeldWindows::Listed { passed_over };
        }
        let seal = Some(seal.clone());
        Some(ChainStep {
            seal,
            ..ChainStep::to(head)
        })
    }

    /// The step over a seal of version 4, which names a checkpoint of an instant; `open` is what is open before it. From
    /// the first such seal on held windows are items. None as for [`Self::over`].
    #[must_use]
    pub fn over_signed_holds(
        &self,
        seal: &SealEntry,
        open: &OpenTimes,
        checkpoint_at: Millis,
    ) -> Option<ChainStep> {
        let mut head = self.behind(seal, &open.held)?;
        let after = match seal.kind.closes() {
            true => open.without(seal.window),
            false => open.clone(),
        };
        head.held = HeldWindows::Items {
            held: after.held.len() as u64,
            closed: Some(after.closed?),
            checkpoint_at: Some(checkpoint_at),
        };
        let is_released = self.has_items() && after.held.len() < open.held.len();
        Some(ChainStep {
            head,
            seal: Some(seal.clone()),
            held: match self.has_items() {
                true => Vec::new(),
                false => after.held,
            },
            released: is_released.then_some(seal.window),
        })
    }

    /// The chain behind a seal, whatever becomes of what it holds.
    fn behind(&self, seal: &SealEntry, held: &[Window]) -> Option<Self> {
        let mut next = self.clone();
        next.revision += 1;
        next.sequence += 1;
        next.last_hash = Some(seal.hash.clone());
        if seal.sequence != self.sequence {
            return None;
        }
        if seal.kind.closes() && !held.contains(&seal.window) {
            if seal.window.start != self.through {
                return None;
            }
            next.through = seal.window.end;
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

    /// The step that makes items of the windows that the head lists itself, so that each has a hold of its own. A head
    /// that lists none has no such step.
    #[must_use]
    pub fn itemized(&self) -> Option<ChainStep> {
        let HeldWindows::Listed { passed_over } = &self.held else {
            return None;
        };
        let mut head = self.clone();
        head.revision += 1;
        head.held = HeldWindows::Items {
            held: passed_over.len() as u64,
            closed: None,
            checkpoint_at: None,
        };
        Some(ChainStep {
            held: passed_over.clone(),
            ..ChainStep::to(head)
        })
    }

    /// The step with which the next window is left for later.
    #[must_use]
    pub fn past(&self, window: Window) -> ChainStep {
        let mut head = self.clone();
        head.revision += 1;
        head.through = window.end;
        let mut items = Vec::new();
        match &mut head.held {
            HeldWindows::Listed { passed_over } => passed_over.push(window),
            HeldWindows::Items { held, .. } => {
                *held += 1;
                items.push(window);
            }
        }
        ChainStep {
            held: items,
            ..ChainStep::to(head)
        }
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
pub(crate) mod tests {
    use super::*;

    pub(crate) fn window(n: i64) -> Window {
        Window {
            start: Millis(n * 60_000),
            end: Millis((n + 1) * 60_000),
        }
    }

    fn seal(sequence: u64, n: i64, kind: SealKind) -> SealEntry {
        SealEntry {
            sequence,
            version: 1,
            kind,
            window: window(n),
            windows: 1,
            hash: format!("{sequence:064}"),
            tally: Tally::default(),
            sealed_at: Millis(0),
            missing: 0,
            covers: Sequences::default(),
            erasures: Sequences::default(),
        }
    }

    fn listed(head: &ChainHead) -> &[Window] {
        match &head.held {
            HeldWindows::Listed { passed_over } => passed_over,
            HeldWindows::Items { .. } => panic!("held windows are items"),
        }
    }

    #[test]
    fn a_chain_takes_its_next_window_those_it_passed_over_and_backfills() {
        use SealKind::{Backfill, Window};
        let head = ChainHead::beginning(window(5).start);
        assert_eq!(head.over(&seal(0, 6, Window)), None, "a gap");
        assert_eq!(head.over(&seal(1, 5, Window)), None, "another sequence");
        let head = head.over(&seal(0, 5, Window)).expect("the next").head;
        let head = head.past(window(6)).head;
        let head = head.over(&seal(1, 7, Window)).expect("the next").head;
        assert_eq!(
            (head.through, listed(&head)),
            (window(8).start, &[window(6)][..])
        );
        let head = head.over(&seal(2, 6, Window)).expect("passed over").head;
        let head = head.over(&seal(3, 5, Backfill)).expect("a backfill").head;
        assert!(listed(&head).is_empty());
        assert_eq!((head.through, head.sequence), (window(8).start, 4));
        assert_eq!(head.revision, 5);
    }

    /// The step over the first seal of version 4 makes items of what the head had, and the head one that a release
    /// before that cannot read.
    #[test]
    fn the_first_seal_of_version_4_makes_items_of_what_is_held() {
        let mut head = ChainHead::beginning(window(5).start);
        head = head.over(&seal(0, 5, SealKind::Window)).expect("next").head;
        for n in 6..8 {
            head = head.past(window(n)).head;
        }
        let open = OpenTimes {
            held: listed(&head).to_vec(),
            closed: Some(window(5)),
        };
        let step = head.over_signed_holds(&seal(1, 8, SealKind::Window), &open, Millis(9));
        let step = step.expect("the next");
        assert_eq!(
            (step.held, step.released),
            (vec![window(6), window(7)], None)
        );
        assert_eq!(
            (step.head.held_count(), step.head.checkpoint_at()),
            (2, Some(Millis(9)))
        );
        let text = serde_json::to_string(&step.head).expect("JSON");
        assert!(!text.contains("passed_over"), "{text}");
        assert_eq!(
            serde_json::from_str::<ChainHead>(&text).ok(),
            Some(step.head.clone())
        );
        assert_eq!(
            step.head.over(&seal(2, 9, SealKind::Window)),
            None,
            "version 1"
        );
        let open = open.without(window(8));
        let holds = Window {
            start: window(6).start,
            end: window(7).end,
        };
        assert_eq!(open.ranges(), [holds]);
        let step = step
            .head
            .over_signed_holds(&seal(2, 6, SealKind::Window), &open, Millis(9));
        let step = step.expect("held");
        assert_eq!((step.held, step.released), (Vec::new(), Some(window(6))));
        assert_eq!(
            (step.head.held_count(), step.head.through),
            (1, window(9).start)
        );
        let step = step.head.past(window(9));
        assert_eq!((step.head.held_count(), step.held), (2, vec![window(9)]));
    }

    /// A hold needs an item, and a chain may have none but held windows.
    #[test]
    fn held_windows_become_items_before_the_first_seal_too() {
        let head = ChainHead::beginning(window(5).start).past(window(5)).head;
        let step = head.itemized().expect("it has a list");
        assert_eq!((step.held, step.released), (vec![window(5)], None));
        let head = step.head;
        assert_eq!((head.held_count(), head.checkpoint_at()), (1, None));
        assert_eq!((head.revision, head.itemized()), (2, None));
        let text = serde_json::to_string(&head).expect("JSON");
        assert_eq!(
            serde_json::from_str::<ChainHead>(&text).ok(),
            Some(head.clone())
        );
        let open = OpenTimes {
            held: vec![window(5)],
            closed: None,
        };
        let step = head.over_signed_holds(&seal(0, 5, SealKind::Window), &open, Millis(9));
        let step = step.expect("held");
        assert_eq!((step.held, step.released), (Vec::new(), Some(window(5))));
        assert_eq!(step.head.checkpoint_at(), Some(Millis(9)));
    }

    #[test]
    fn an_idle_run_closes_each_of_its_windows() {
        let head = ChainHead::beginning(window(5).start);
        let mut run = seal(0, 5, SealKind::Idle);
        (run.window.end, run.windows) = (window(7).end, 3);
        let step = head.over_signed_holds(&run, &OpenTimes::default(), Millis(1));
        assert_eq!(step.expect("the next").head.through, window(8).start);
        let windows: Vec<Window> = run.closed_windows().collect();
        assert_eq!(windows, [window(5), window(6), window(7)]);
        assert_eq!(
            run.window_of(Millis(window(7).start.0 - 1)),
            Some(window(6))
        );
        assert_eq!(run.window_of(window(8).start), None);
        let text = serde_json::to_string(&run).expect("JSON");
        assert_eq!(serde_json::from_str::<SealEntry>(&text).ok(), Some(run));
    }

    #[test]
    fn a_day_moves_the_chain_and_no_window() {
        let head = ChainHead::beginning(window(5).start);
        let head = head
            .over(&seal(0, 5, SealKind::Window))
            .expect("the next")
            .head;
        let mut day = seal(1, 0, SealKind::Day);
        day.window = day_of(window(5).start);
        day.covers = [0].into_iter().collect();
        let after = head.over(&day).expect("any time").head;
        assert_eq!((after.through, after.sequence), (head.through, 2));
        let after = after.compacted_to(day.window.end).removed_to(Millis(0));
        assert_eq!(after.compacted, Some(Millis(86_400_000)));
        assert_eq!((after.removed, after.revision), (Some(Millis(0)), 4));
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
        assert!(listed(&head).is_empty());
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
