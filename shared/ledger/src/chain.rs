//! Where a tenant's chain of seals stands, and which windows its seals close.
//!
//! The seals themselves are objects (docs/seal.md); what is here says where to look, and fences: a
//! seal counts when the chain has been moved over it.

use crate::frame::Tally;
use crate::ids::TenantId;
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};

const MINUTES_OF_A_DAY: u32 = 24 * 60;

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

/// The first version of seals that say which times are open, and where the shards stood.
pub const HOLDS_SIGNED_SINCE: u32 = 4;

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
        /// From the first instant that a seal closed to the last: what is held within is signed by each seal.
        closed: Window,
        /// When the checkpoint was written that the last seal of version 4 names; no later seal names an older one.
        checkpoint_at: Millis,
    },
}

/// What of a chain's time is open before its next seal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenTimes {
    /// Windows that the chain holds.
    pub held: Vec<Window>,
    /// From the first instant that a seal closed to the last; none before the first seal.
    pub closed: Option<Window>,
}

impl OpenTimes {
    /// As it is once a seal has closed a time.
    #[must_use]
    pub fn without(&self, closing: Window) -> Self {
        let held = self.held.iter().copied();
        let closed = self.closed.map_or(closing, |closed| Window {
            start: closed.start.min(closing.start),
            end: closed.end.max(closing.end),
        });
        Self {
            held: held.filter(|window| *window != closing).collect(),
            closed: Some(closed),
        }
    }

    /// The longest ranges of time that no seal closes, between the first instant that one closed and the last, in their
    /// order.
    #[must_use]
    pub fn ranges(&self) -> Vec<Window> {
        let within = |window: &&Window| {
            let closed = self.closed;
            closed.is_some_and(|closed| closed.start <= window.start && window.end <= closed.end)
        };
        let mut held: Vec<Window> = self.held.iter().filter(within).copied().collect();
        held.sort_unstable();
        let mut ranges: Vec<Window> = Vec::new();
        for window in held {
            match ranges.last_mut() {
                Some(last) if last.end == window.start => last.end = window.end,
                _ => ranges.push(window),
            }
        }
        ranges
    }
}

/// How a chain moves: all of it is written, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainStep {
    /// The chain afterwards.
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

    /// Whether the chain has a seal of version 4: then all later ones are of it.
    #[must_use]
    pub const fn has_items(&self) -> bool {
        matches!(self.held, HeldWindows::Items { .. })
    }

    /// No seal names a checkpoint that was written before this one; none before the first seal of version 4.
    #[must_use]
    pub const fn checkpoint_at(&self) -> Option<Millis> {
        match self.held {
            HeldWindows::Listed { .. } => None,
            HeldWindows::Items { checkpoint_at, .. } => Some(checkpoint_at),
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
            closed: after.closed?,
            checkpoint_at,
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
#[serde(from = "ListedSeal", into = "ListedSeal")]
pub struct SealEntry {
    /// Place in the chain.
    pub sequence: u64,
    /// Version of the seal; of one that was listed before lists said so, the one that was written last then.
    pub version: u32,
    /// What it closes its time as.
    pub kind: SealKind,
    /// What it closes.
    pub window: Window,
    /// How many windows of equal length this is: of an idle run, else 1.
    pub windows: u64,
    /// SHA-256 of the seal, hexadecimal.
    pub hash: String,
    /// What it holds, whatever became of it.
    pub tally: Tally,
    /// When it was sealed.
    pub sealed_at: Millis,
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

    #[test]
    fn what_is_held_before_the_first_closed_instant_or_behind_the_last_is_no_hold() {
        let held = vec![window(9), window(1), window(2), window(5), window(4)];
        let open = OpenTimes { held, closed: None };
        assert_eq!(open.ranges(), []);
        let open = open
            .without(window(3))
            .without(window(6))
            .without(window(4));
        assert_eq!(open.ranges(), [window(5)]);
        assert_eq!(open.without(window(10)).ranges(), [window(5), window(9)]);
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
