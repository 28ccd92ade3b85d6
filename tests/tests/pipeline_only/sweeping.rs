//! What is removed, and what never is: over the fakes, with faults and crashes.

use super::compaction::EVENING;
use super::ends_within;
use super::sealing::School;
use serde_json::{Value, json};
use std::pin::pin;
use vernier_archive::account::{BesideRow as _, Evidence};
use vernier_archive::seal::{Beside, SealKind, beside_key};
use vernier_archive::window::Plan;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::digest::{Digest, Fingerprint};
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::ports::{Objects, PutOutcome};
use vernier_ledger::time::{Millis, Window};
use vernier_reconcile::sweeping::{SweepSummary, Sweeping, sweep_segments};
use vernier_tests::envelopes::{event, events};

pub(super) const SWEEPING: Sweeping = Sweeping {
    segment_seconds: 3 * 3_600,
    trigger_seconds: 2 * 3_600,
    failure_seconds: 24 * 3_600,
};
pub(super) const GARBAGE_SECONDS: i64 =
    SWEEPING.segment_seconds + SWEEPING.trigger_seconds + 3 * 3_600;

impl School {
    /// Sweeps until a run has nothing to do.
    pub(super) async fn sweep(&self) -> SweepSummary {
        let clock = || self.clock.get();
        let mut all = SweepSummary::default();
        loop {
            let run = sweep_segments(&self.stores, SWEEPING, clock, Millis(i64::MAX));
            let run = run.await.expect("no faults");
            all.add(&run);
            all.left = run.left;
            if run.hours == 0 {
                return all;
            }
        }
    }

    /// Files without a seal that a turn sweeps, where it is due.
    async fn sweep_unnamed(&self) -> u64 {
        self.turn().await.swept.unnamed
    }

    pub(super) async fn put(&self, key: &str) {
        let put = self
            .bucket
            .put_new(key, b"left behind".to_vec(), None)
            .await;
        assert_eq!(put, Ok(PutOutcome::Created));
    }

    pub(super) fn count(&self, prefix: &str) -> usize {
        self.bucket.keys(prefix).len()
    }
}

#[tokio::test]
async fn sealed_segments_go_when_they_are_old_and_unsealed_ones_stay() {
    let school = School::new().await;
    school.post(&events(3)).await;
    school.deliver().await;
    school.pass(60);
    school.post(&events(2)).await;
    school.deliver().await;
    school.post(&events(2)).await;
    // The last envelope never comes: its window does not add up, though half of it is stored.
    school.pass(120);
    school.seal().await;
    assert_eq!(school.seals().len(), 1);
    assert_eq!(school.count("segments/"), 2);
    assert_eq!(school.sweep().await.segments, 0, "nothing is old");
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let swept = school.sweep().await;
    assert_eq!((swept.segments, swept.left), (1, 1), "{swept:?}");
    assert_eq!(school.count("segments/"), 1);
    let notices = school.topic.notices();
    let told = notices.iter().filter(|n| n.0.contains("past its time"));
    assert_eq!(told.count(), 1, "{notices:?}");
    // It comes after all: sealed, and swept.
    school.deliver().await;
    school.seal().await;
    school.assert_sealed([7, 0, 0, 0]);
    let swept = school.sweep().await;
    assert_eq!((swept.segments, swept.left), (1, 0), "{swept:?}");
    school.pass(GARBAGE_SECONDS);
    school.sweep().await;
    assert_eq!(school.count("segments/"), 0);
}

/// What came after its window was sealed stays until its backfill is, and a backfill can be sealed
/// when the window's own segments are gone.
#[tokio::test]
async fn a_late_event_is_sealed_although_its_windows_segments_were_swept() {
    let school = School::new().await;
    school.post(&events(3)).await;
    school.deliver().await;
    school.pass(120);
    school.seal().await;
    school.assert_sealed([3, 0, 0, 0]);
    let swept_at = SWEEPING.segment_seconds + 2 * 3_600;
    // Sealed after the other, because it was without an answer for days.
    let receipt = school.post_late(&[event()]).await;
    school.pass(swept_at);
    assert_eq!(school.sweep().await.segments, 1);
    school.deliver().await;
    assert_eq!(school.sweep().await.left, 0);
    school.seal().await;
    school.assert_sealed([4, 0, 0, 0]);
    let seals = school.seals();
    let backfill = seals.iter().find(|s| s.kind == SealKind::Backfill);
    let window = backfill.expect("a backfill").window();
    assert!(window.contains(receipt.received_at()));
    school.pass(swept_at);
    assert_eq!(school.sweep().await.segments, 1);
    assert_eq!(school.count("segments/"), 0);
}

/// The window's own segment is sealed, and the one that came in the same hour is not yet.
#[tokio::test]
async fn a_late_event_of_the_same_hour_stays() {
    let school = School::new().await;
    school.post(&events(3)).await;
    school.deliver().await;
    school.pass(120);
    school.seal().await;
    school.post_late(&[event()]).await;
    school.pass(60);
    school.deliver().await;
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    let swept = school.sweep().await;
    assert_eq!((swept.segments, swept.left), (1, 1), "{swept:?}");
    school.seal().await;
    school.assert_sealed([4, 0, 0, 0]);
    assert_eq!(school.sweep().await.left, 0);
    assert_eq!(school.count("segments/"), 0);
}

#[tokio::test]
async fn what_nothing_names_goes_when_nothing_can_name_it_any_more() {
    let school = School::new().await;
    school.three_windows().await;
    let segment = school.bucket.keys("segments/").remove(0);
    let folder = &segment[..segment.find("/hour=").expect("an hour") + 9];
    let unnamed = format!("{folder}stream/shard/1-2-00.jsonl.zst");
    school.seal().await;
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    // So late that a commit may still name it.
    school.put(&unnamed).await;
    assert_eq!(school.sweep().await.unnamed, 0);
    assert!(school.bucket.keys("segments/").contains(&unnamed));
    school.pass(SWEEPING.trigger_seconds + 3_600);
    assert_eq!(school.sweep().await.unnamed, 1);
    assert_eq!(school.count("segments/"), 0);
}

#[tokio::test]
async fn parts_that_no_seal_can_name_go_and_the_archive_is_sound() {
    let school = School::new().await;
    school.three_windows().await;
    school.seal().await;
    let part = school.bucket.keys("archive/").remove(0);
    let (folder, name) = part.rsplit_once('/').expect("a folder");
    let (start, _) = name.split_once('-').expect("a start");
    let start: i64 = start.parse().expect("an instant");
    let content = "00".repeat(16);
    let goes = [
        format!("{folder}/{start:015}-0000-{content}.parquet"),
        format!("{folder}/{start:015}-b000000000001-0000-{content}.parquet"),
    ];
    // Of a window that is not sealed, of a backfill that may be under way, and of somebody else.
    let stays = [
        format!(
            "{folder}/{:015}-0000-{content}.parquet",
            start + 40 * 60_000
        ),
        format!("{folder}/{start:015}-b000000000999-0000-{content}.parquet"),
        format!("{folder}/notes.txt"),
    ];
    for key in goes.iter().chain(&stays) {
        school.put(key).await;
    }
    assert_eq!(school.sweep_unnamed().await, 0, "its seals are new");
    school.pass(3_700);
    assert_eq!(school.sweep_unnamed().await, 2);
    let left = school.bucket.keys("archive/");
    assert!(goes.iter().all(|key| !left.contains(key)), "{left:?}");
    assert!(stays.iter().all(|key| left.contains(key)), "{left:?}");
    for key in &stays {
        school.bucket.lose(key);
    }
    assert_eq!(school.report().findings, []);
    assert_eq!(school.sweep_unnamed().await, 0);
}

/// A file of evidence of the school's window that begins then, with one receipt.
fn evidence_of(school: &School, start: Millis, receipt: ReceiptId) -> (String, Vec<u8>) {
    let rows = [Evidence {
        receipt,
        sensor: "another worker".to_owned(),
        slices: 1,
        events: 1,
        rejected: 0,
        bytes: 100,
        digest: Digest::EMPTY,
    }];
    let bytes = Evidence::to_bytes(&rows).expect("encodes");
    let plan = Plan {
        tenant: school.tenant.id.clone(),
        window: Window { start, end: start },
        kind: SealKind::Window,
        sequence: 0,
    };
    let sha256 = Fingerprint::of(&bytes).0;
    (beside_key(&plan, Beside::Evidence, 0, &sha256), bytes)
}

#[tokio::test]
async fn evidence_and_lists_that_no_seal_can_name_go() {
    let school = School::new().await;
    let start = school.clock.get();
    let receipt = school.post(&events(2)).await;
    school.deliver().await;
    school.pass(120);
    school.seal().await;
    let unknown = ReceiptId::from_parts(start, 0, [9; 8]);
    let goes = evidence_of(&school, start, receipt);
    // A backfill that is under way may have written the first; the second is of a window that is not sealed.
    let stays = [
        evidence_of(&school, start, unknown),
        evidence_of(&school, start.plus_seconds(600), receipt),
    ];
    for (key, bytes) in stays.iter().chain([&goes]) {
        school.bucket.place(key, bytes.clone());
    }
    let content = "00".repeat(16);
    let list = |sequence: u64| format!("lists/tenant=school/{sequence:012}-0000-{content}.jsonl");
    for sequence in [0, 999] {
        school.put(&list(sequence)).await;
    }
    school.pass(3_700);
    assert_eq!(school.sweep_unnamed().await, 2);
    let left = [
        school.bucket.keys("evidence/"),
        school.bucket.keys("lists/"),
    ]
    .concat();
    assert!(
        !left.contains(&goes.0) && !left.contains(&list(0)),
        "{left:?}"
    );
    assert!(stays.iter().all(|(key, _)| left.contains(key)), "{left:?}");
    assert!(left.contains(&list(999)) && left.len() == 4, "{left:?}");
    assert_eq!(school.report().findings, []);
}

/// A compaction that was overtaken leaves files under the same first sequence.
#[tokio::test]
async fn files_of_days_that_no_seal_can_name_go() {
    let school = School::since(EVENING).await;
    school.three_windows().await;
    school.pass(600);
    school.turn().await;
    assert_eq!(school.turn().await.compacted.days, 1);
    let content = "00".repeat(16);
    let file = |class: &str, first: u64| {
        format!("days/{class}/tenant=school/dt=2026-09-01/{first:012}-0000-{content}.parquet")
    };
    let goes = ["archive", "exceptions", "evidence"].map(|class| file(class, 0));
    let stays = [file("archive", 999), file("evidence", 999)];
    let before = school.count("days/");
    for key in goes.iter().chain(&stays) {
        school.put(key).await;
    }
    school.pass(3_700);
    assert_eq!(school.sweep_unnamed().await, 3);
    let left = school.bucket.keys("days/");
    assert!(goes.iter().all(|key| !left.contains(key)), "{left:?}");
    assert_eq!(left.len(), before + stays.len());
    for key in &stays {
        school.bucket.lose(key);
    }
    assert_eq!(school.report().findings, []);
}

fn large() -> Value {
    let mut large = event();
    large["extensions"] = json!({ "text": "x".repeat(1_200_000) });
    large
}

#[tokio::test]
async fn oversize_events_go_with_their_day() {
    let school = School::new().await;
    school.post(&[large(), event()]).await;
    school.deliver().await;
    school.pass(120);
    school.seal().await;
    school.post(&[large()]).await;
    assert_eq!(school.count("oversize/"), 2);
    school.pass(SWEEPING.segment_seconds + 2 * 3_600);
    assert_eq!(school.sweep().await.oversize, 0, "its day is not over");
    // Its day is over, and the window of one of them is not sealed.
    school.pass(16 * 3_600);
    let swept = school.sweep().await;
    assert_eq!((swept.oversize, swept.left), (1, 1), "{swept:?}");
    school.deliver().await;
    school.seal().await;
    let swept = school.sweep().await;
    assert_eq!((swept.oversize, swept.left), (1, 0), "{swept:?}");
    assert_eq!(school.count("oversize/"), 0);
    school.assert_sealed([3, 0, 0, 0]);
}

/// An envelope that got no answer may still be brought back from the failure destination: its event stays for as
/// long as that can be, past its window's seal and its day, and nobody is bothered.
#[tokio::test]
async fn an_oversize_event_that_no_seal_has_stays_while_a_commit_may_name_it() {
    let school = School::new().await;
    school.post(&[event()]).await;
    school.deliver().await;
    school.pass(1);
    let denied = |op: Operation, _: u64| (op == Operation::Acknowledge).then_some(Fault::Denied);
    school.faults.plan(denied);
    school.post_refused(&[large()]).await;
    school.faults.clear();
    school.pass(120);
    school.seal().await;
    school.pass(SWEEPING.segment_seconds + 18 * 3_600);
    let swept = school.sweep().await;
    assert_eq!((swept.oversize, swept.left), (0, 0), "{swept:?}");
    assert_eq!(school.count("oversize/"), 1);
    school.pass(SWEEPING.failure_seconds);
    assert_eq!(school.sweep().await.oversize, 1);
    assert_eq!(school.count("oversize/"), 0);
}

/// Wherever a sweep dies or fails, the next one ends it, and nothing that is needed goes.
#[tokio::test]
async fn a_sweep_that_dies_is_ended_by_the_next() {
    let ready = || async {
        let school = School::new().await;
        school.three_windows().await;
        school.seal().await;
        school.post(&events(2)).await;
        school.deliver().await;
        school.pass(SWEEPING.segment_seconds + 2 * 3_600);
        school
    };
    let ends = async |school: School, what: String| {
        let swept = school.sweep().await;
        assert_eq!((school.count("segments/"), swept.left), (1, 1), "{what}");
        school.seal().await;
        school.sweep().await;
        assert_eq!(school.count("segments/"), 0, "{what}");
        let sound = school.report();
        assert_eq!(sound.findings, [], "{what}");
    };
    let mut crashes = 0;
    for polls in (1..).step_by(8) {
        let school = ready().await;
        school.faults.interleave(3);
        {
            let clock = || school.clock.get();
            let run = sweep_segments(&school.stores, SWEEPING, clock, Millis(i64::MAX));
            let mut run = pin!(run);
            if ends_within(run.as_mut(), polls) {
                break;
            }
        }
        crashes += 1;
        ends(school, format!("after {polls} polls")).await;
    }
    assert!(crashes > 5, "{crashes}");
    for operation in [
        Operation::RemoveObject,
        Operation::RemoveKey,
        Operation::SaveSweep,
        Operation::Publish,
    ] {
        for fault in [Fault::Before, Fault::After] {
            let school = ready().await;
            school
                .faults
                .plan(move |op, at| (op == operation && at == 0).then_some(fault));
            let clock = || school.clock.get();
            let run = sweep_segments(&school.stores, SWEEPING, clock, Millis(i64::MAX));
            assert!(run.await.is_err(), "{operation:?}");
            school.faults.clear();
            let what = format!("{operation:?} {fault:?}");
            school.sweep().await;
            let notices = school.topic.notices();
            let told = notices.iter().filter(|n| n.0.contains("past its time"));
            assert!(told.count() > 0, "{what}: nobody is told");
            ends(school, what).await;
        }
    }
}
