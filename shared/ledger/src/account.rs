//! A window's account: received against stored, and what is missing by receipt (invariant 3).

use crate::block_item::BlockItem;
use crate::disposition::DispositionCounts;
use crate::earlier::EarlierRecord;
use crate::frame::Tally;
use crate::given_up::GivenUp;
use crate::ids::{ReceiptId, Sequence, Shard};
use crate::limits;
use crate::receipt::Receipt;
use crate::segment::{SegmentRecord, stored_in};
use crate::time::{Millis, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowState {
    /// It is not over: envelopes may still be received.
    Open,
    /// It is over, within the grace in which the stream function may still be at work, and does
    /// not add up yet.
    Settling,
    /// It is over and adds up.
    Complete,
    /// It is over, the grace too, and it does not add up.
    Incomplete,
    /// It is sealed, and its seal says what is missing.
    Short,
}

/// Why a slice of an envelope is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingCause {
    /// No stream function has met its frame.
    Unclaimed,
    /// It was claimed by a batch that is not committed.
    Uncommitted,
    /// It was committed, and what lies in the segment is gone or cannot be read.
    Damaged,
    /// Its frame could not be taken and is kept raw in quarantine.
    Quarantined,
}

impl MissingCause {
    /// Every cause there is.
    pub const ALL: [Self; 4] = [
        Self::Unclaimed,
        Self::Uncommitted,
        Self::Damaged,
        Self::Quarantined,
    ];

    /// The cause as files and answers spell it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unclaimed => "unclaimed",
            Self::Uncommitted => "uncommitted",
            Self::Damaged => "damaged",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A receipt whose events are not all stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReceipt {
    /// Which.
    pub receipt: ReceiptId,
    /// The slices that are missing.
    pub slices: Vec<u32>,
    /// Why the first of them is.
    pub cause: MissingCause,
    /// The sensor that sent the envelope; none in accounts of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<String>,
    /// How many events of a sealed window's envelope are missing; none before the window is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// The receipt under which the same body came again, where somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_again: Option<ReceiptId>,
}

/// The received side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceivedSide {
    /// Envelopes, acknowledged or not.
    pub envelopes: u64,
    /// Envelopes that reached the stream though their sender got no answer.
    pub unacknowledged: u64,
    /// Bytes of the bodies of those that were acknowledged, after decompression; none of receipts from before bytes
    /// were counted.
    #[serde(default)]
    pub bytes: u64,
    /// Their events.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Both sides of one window of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowAccount {
    /// First instant.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
    /// How it stands.
    pub state: WindowState,
    /// From the receipts.
    pub received: ReceivedSide,
    /// From the tenant's block items.
    pub stored_side: Tally,
    /// How the stored side's events ended; none until somebody counted.
    pub dispositions: Option<DispositionCounts>,
    /// Receipts that are not wholly stored.
    pub missing_count: u64,
    /// Those of them that are named, in the order of receipts.
    pub missing: Vec<MissingReceipt>,
    /// When the clock of the window's hold started before the chain came to the window; none where it did not, and where
    /// the hold is an item of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Millis>,
    /// When this was computed.
    pub computed_at: Millis,
}

impl WindowAccount {
    /// Whether both sides agree by count and digest.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.received.tally == self.stored_side
            && self
                .dispositions
                .is_none_or(|d| d.accounts_for(&self.stored_side))
    }

    /// How much was counted, envelopes and events: of a window it only grows.
    #[must_use]
    pub const fn counted(&self) -> u64 {
        let stored = self.stored_side.events + self.stored_side.rejected;
        self.received.envelopes + stored
    }

    /// Whether another account of the same window may take this one's place. That account was computed later, or in the
    /// same millisecond and with no smaller count.
    #[must_use]
    pub const fn is_from_before(&self, next: &Self) -> bool {
        let (at, next_at) = (self.computed_at.0, next.computed_at.0);
        at < next_at || at == next_at && self.counted() <= next.counted()
    }

    /// The account as it is kept or handed on: of what is missing it names the first
    /// [`limits::MISSING_NAMED_MAX`] behind a receipt, or of all where there is none.
    #[must_use]
    pub fn named_after(mut self, after: Option<ReceiptId>) -> Self {
        self.missing
            .retain(|missing| after.is_none_or(|after| missing.receipt > after));
        self.missing.truncate(limits::MISSING_NAMED_MAX);
        self
    }

    /// Its window.
    #[must_use]
    pub const fn window(&self) -> Window {
        Window {
            start: self.start,
            end: self.end,
        }
    }
}

/// Which sequence numbers lie in batches that stored something, by shard.
#[derive(Debug, Default)]
pub struct Coverage {
    shards: BTreeMap<Shard, Vec<(Sequence, Sequence)>>,
}

impl Coverage {
    /// The coverage of records of an earlier version. One without blocks holds no frame, so that what it took is
    /// stored nowhere: a batch of copies, or the fence around one that the trigger gave up.
    pub fn of_earlier<'r>(records: impl IntoIterator<Item = &'r EarlierRecord>) -> Self {
        let mut coverage = Self::default();
        for record in records.into_iter().filter(|r| !r.blocks.is_empty()) {
            coverage.add(&record.shard, &record.first, &record.last);
        }
        coverage.sorted()
    }

    /// The coverage of these records, of which one without items holds no frame.
    pub fn of<'r>(records: impl IntoIterator<Item = &'r SegmentRecord>) -> Self {
        let mut coverage = Self::default();
        for record in records.into_iter().filter(|r| !r.items.is_empty()) {
            coverage.add(&record.shard, &record.first, &record.last);
        }
        coverage.sorted()
    }

    /// Adds what another coverage has.
    pub fn merge(&mut self, other: Self) {
        for (shard, ranges) in other.shards {
            let own = self.shards.entry(shard).or_default();
            own.extend(ranges);
            own.sort();
        }
    }

    /// The coverage of a tenant's items: of the frames of their minutes.
    pub fn of_items<'i>(items: impl IntoIterator<Item = &'i BlockItem>) -> Self {
        let mut coverage = Self::default();
        for item in items {
            coverage.add(&item.shard, &item.first, &item.last);
        }
        coverage.sorted()
    }

    fn add(&mut self, shard: &Shard, first: &Sequence, last: &Sequence) {
        let ranges = self.shards.entry(shard.clone()).or_default();
        ranges.push((first.clone(), last.clone()));
    }

    fn sorted(mut self) -> Self {
        for ranges in self.shards.values_mut() {
            ranges.sort();
        }
        self
    }

    /// Whether a committed batch took the record that has a claim.
    #[must_use]
    pub fn contains(&self, shard: &Shard, sequence: &Sequence) -> bool {
        let Some(ranges) = self.shards.get(shard) else {
            return false;
        };
        let after = ranges.partition_point(|(first, _)| first <= sequence);
        after > 0 && ranges[after - 1].1 >= *sequence
    }
}

/// Draws up the account of one window of a tenant. `receipts` are those of the window; `items` all
/// that may hold its events, and `coverage` theirs; `clock` is the time, and for how many seconds after the window's
/// end the stream may take. All that is missing is named.
#[must_use]
pub fn draw_up(
    window: Window,
    receipts: &[Receipt],
    items: &[BlockItem],
    coverage: &Coverage,
    clock: (Millis, i64),
) -> WindowAccount {
    let (now, grace_seconds) = clock;
    let mut received = ReceivedSide::default();
    for receipt in receipts {
        received.envelopes += 1;
        received.unacknowledged += u64::from(receipt.acknowledged.is_none());
        received.bytes += receipt.body_bytes.unwrap_or(0);
        received.tally.merge(&receipt.received());
    }
    let stored_side = stored_in(window, items.iter().map(|item| &item.block));
    let mut missing: Vec<MissingReceipt> = if received.tally == stored_side {
        Vec::new()
    } else {
        receipts
            .iter()
            .filter_map(|r| missing_of(r, coverage))
            .collect()
    };
    missing.sort_unstable_by_key(|missing| missing.receipt);
    let state = if now < window.end {
        WindowState::Open
    } else if received.tally == stored_side {
        WindowState::Complete
    } else if now < window.end.plus_seconds(grace_seconds) {
        WindowState::Settling
    } else {
        WindowState::Incomplete
    };
    WindowAccount {
        start: window.start,
        end: window.end,
        state,
        received,
        stored_side,
        dispositions: None,
        missing_count: missing.len() as u64,
        missing,
        held_since: None,
        computed_at: now,
    }
}

/// Slices of a receipt that no commit of the coverage took, in their order.
#[must_use]
pub fn missing_slices(receipt: &Receipt, coverage: &Coverage) -> Vec<u32> {
    let stored = |slice: &u32| {
        receipt
            .claims
            .get(slice)
            .is_some_and(|c| coverage.contains(&c.origin.shard, &c.origin.sequence))
    };
    receipt.expected_slices().filter(|s| !stored(s)).collect()
}

/// Of each shard, by id, the last place at which a missing slice of these receipts was first put; slices that were given
/// up are missing for good. An envelope without an acknowledgement says no more than where its slices were claimed, and of a
/// slice that was sent again not where it was before: it was met once, so that its first record comes no more.
#[must_use]
pub fn first_places(
    receipts: &[Receipt],
    coverage: &Coverage,
    given_up: &GivenUp,
) -> BTreeMap<String, Sequence> {
    let mut last: BTreeMap<String, Sequence> = BTreeMap::new();
    for receipt in receipts {
        let missing = missing_slices(receipt, coverage).into_iter();
        for slice in missing.filter(|slice| !given_up.has(receipt.id, *slice)) {
            let at = usize::try_from(slice).unwrap_or(usize::MAX);
            let claim = receipt.claims.get(&slice).filter(|c| c.attempt == 0);
            let claimed = claim.map(|c| (c.origin.shard.id.clone(), c.origin.sequence.clone()));
            if let Some((shard, sequence)) = receipt.placed.get(at).cloned().or(claimed) {
                let place = last.entry(shard).or_insert_with(|| sequence.clone());
                if *place < sequence {
                    *place = sequence;
                }
            }
        }
    }
    last
}

fn missing_of(receipt: &Receipt, coverage: &Coverage) -> Option<MissingReceipt> {
    let slices = missing_slices(receipt, coverage);
    let first = slices.first()?;
    let cause = if receipt.claims.contains_key(first) {
        MissingCause::Uncommitted
    } else {
        MissingCause::Unclaimed
    };
    Some(MissingReceipt {
        receipt: receipt.id,
        slices,
        cause,
        sensor: Some(receipt.sensor.clone()),
        events: None,
        sent_again: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_item::items_of;
    use crate::given_up::GivenUpSlice;
    use crate::ids::TenantId;
    use crate::receipt::{Claim, Origin};
    use crate::segment::Block;
    use std::collections::BTreeMap;

    fn shard() -> Shard {
        Shard::new("frames", "shardId-000000000000").expect("a shard")
    }

    fn sequence(n: u64) -> Sequence {
        n.to_string().parse().expect("digits")
    }

    fn tally(events: u64) -> Tally {
        Tally {
            events,
            ..Tally::default()
        }
    }

    fn receipt(acknowledged: Option<(Tally, u32)>, claims: &[(u32, u64)]) -> Receipt {
        let claim = |n: u64| Claim {
            origin: Origin {
                shard: shard(),
                sequence: sequence(n),
            },
            attempt: 0,
            tally: tally(5),
        };
        Receipt {
            id: ReceiptId::from_parts(Millis(60_001), 0, [1; 8]),
            sensor: "s".into(),
            acknowledged,
            body_sha256: None,
            body_bytes: acknowledged.map(|_| 1_000),
            placed: Vec::new(),
            claims: claims
                .iter()
                .map(|(slice, n)| (*slice, claim(*n)))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    fn record(first: u64, last: u64) -> EarlierRecord {
        EarlierRecord {
            vernier_segment: 1,
            shard: shard(),
            first: sequence(first),
            last: sequence(last),
            committed_at: Millis(0),
            position: 0,
            previous: None,
            object: Some("segments/1".into()),
            blocks: vec![Block {
                tenant: "other".parse().expect("a tenant"),
                offset: 0,
                bytes: 0,
                lines_bytes: 0,
                sha256: String::new(),
                received_through: Millis(0),
                minutes: Vec::new(),
                times: None,
                index: None,
            }],
            copies: 0,
            quarantined: 0,
            listed: false,
        }
    }

    #[test]
    fn an_unacknowledged_envelope_counts_what_arrived() {
        assert_eq!(receipt(None, &[(0, 1), (2, 3)]).received().events, 10);
        assert_eq!(
            receipt(Some((tally(15), 3)), &[(0, 1)]).received().events,
            15
        );
    }

    #[test]
    fn missing_slices_are_named_with_their_cause() {
        let window = Window {
            start: Millis(60_000),
            end: Millis(120_000),
        };
        let tenant: TenantId = "t".parse().expect("a tenant");
        let records = [record(1, 10), record(11, 12)];
        let items = items_of(&tenant, &records);
        let coverage = Coverage::of_earlier(&records);
        let receipts = [
            receipt(Some((tally(10), 2)), &[(0, 5)]),
            receipt(Some((tally(5), 1)), &[(0, 99)]),
            receipt(None, &[(1, 12)]),
        ];
        let account = draw_up(window, &receipts, &items, &coverage, (Millis(400_000), 60));
        assert_eq!(account.state, WindowState::Incomplete);
        assert_eq!(account.missing_count, 2);
        assert_eq!(
            (
                account.missing[0].slices.as_slice(),
                account.missing[0].cause
            ),
            (&[1][..], MissingCause::Unclaimed)
        );
        assert_eq!(account.missing[1].cause, MissingCause::Uncommitted);
        let early = draw_up(window, &receipts, &items, &coverage, (Millis(121_000), 60));
        assert_eq!(early.state, WindowState::Settling);
    }

    /// What recovery sends again lies behind, and comes by recovery's help alone.
    #[test]
    fn what_was_sent_again_or_given_up_has_no_first_place() {
        let places = |receipt: &Receipt, given_up: &[GivenUpSlice]| {
            let (none, given_up) = (Coverage::default(), GivenUp::of(given_up));
            let places = first_places(std::slice::from_ref(receipt), &none, &given_up);
            places.into_values().collect::<Vec<Sequence>>()
        };
        let mut receipt = receipt(None, &[(0, 7)]);
        assert_eq!(places(&receipt, &[]), [sequence(7)]);
        let claim = receipt.claims.get_mut(&0).expect("a claim");
        (claim.attempt, claim.origin.sequence) = (1, sequence(90));
        assert_eq!(places(&receipt, &[]), []);
        receipt.acknowledged = Some((tally(5), 1));
        receipt.placed = vec![(shard().id, sequence(7))];
        assert_eq!(places(&receipt, &[]), [sequence(7)]);
        let given_up = GivenUpSlice {
            receipt: receipt.id,
            slice: 0,
            slices: 1,
            tally: tally(5),
            at: Millis(0),
            object: String::new(),
        };
        assert_eq!(places(&receipt, &[given_up]), []);
    }

    #[test]
    fn a_record_that_holds_nothing_covers_nothing() {
        let mut fence = record(1, 5);
        fence.blocks.clear();
        assert!(!Coverage::of_earlier(&[fence]).contains(&shard(), &sequence(3)));
    }

    #[test]
    fn coverage_knows_gaps() {
        let coverage = Coverage::of_earlier(&[record(11, 20), record(1, 5)]);
        for (n, expected) in [
            (0, false),
            (1, true),
            (5, true),
            (6, false),
            (11, true),
            (20, true),
            (21, false),
        ] {
            assert_eq!(coverage.contains(&shard(), &sequence(n)), expected, "{n}");
        }
        let other = Shard::new("frames", "shardId-000000000001").expect("a shard");
        assert!(!coverage.contains(&other, &sequence(1)));
    }
}
