//! What is told of windows of whose segments something is gone or damaged.

use super::sealing::{BEGINNING, SETTINGS, School};
use vernier_fakes::{Fault, Operation};
use vernier_ledger::account::WindowAccount;
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::TimeRange;
use vernier_reconcile::counted_accounts;
use vernier_tests::envelopes::{event, events};

/// Windows of a history; each has a segment of its own.
const WINDOWS: usize = 4;

/// Four windows, the first event of each of which repeats the first of all.
async fn four_windows() -> School {
    let school = School::new().await;
    let known = event();
    for _ in 0..WINDOWS {
        let mut envelope = vec![known.clone()];
        envelope.extend(events(2));
        school.post(&envelope).await;
        school.deliver().await;
        school.pass(60);
    }
    school
}

async fn asked(school: &School) -> Result<Vec<WindowAccount>, PortError> {
    let range = TimeRange {
        from: BEGINNING,
        to: BEGINNING.plus_seconds(60 * 4),
    };
    let now = school.clock.get();
    counted_accounts(&school.stores, SETTINGS, &school.tenant, range, now).await
}

fn counts(stored: u64, duplicate: u64) -> Option<DispositionCounts> {
    Some(DispositionCounts {
        stored,
        duplicate,
        ..DispositionCounts::default()
    })
}

/// What becomes of a segment's bytes; none where the segment is gone.
type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

/// A segment that is gone, changed, cut short or empty.
const DAMAGES: [Damage; 4] = [
    |_| None,
    |mut bytes| {
        bytes[9] ^= 1;
        Some(bytes)
    },
    |bytes| Some(bytes[..9].to_vec()),
    |_| Some(Vec::new()),
];

/// Each set of the windows' segments, damaged in each way: the dispositions of these windows are not told, and all else is.
#[tokio::test]
async fn windows_with_a_damaged_segment_are_told_without_dispositions() {
    for (way, damage) in DAMAGES.into_iter().enumerate() {
        for damaged in 0..1_u32 << WINDOWS {
            let school = four_windows().await;
            let segments = school.bucket.keys("segments/");
            assert_eq!(segments.len(), WINDOWS);
            let is_damaged = |n: usize| damaged >> n & 1 == 1;
            for (_, key) in { segments.iter().enumerate() }.filter(|(n, _)| is_damaged(*n)) {
                let bytes = school.bucket.raw(key).expect("it is there");
                school.bucket.lose(key);
                if let Some(bytes) = damage(bytes) {
                    school.bucket.place(key, bytes);
                }
            }
            let accounts = asked(&school).await.expect("answers");
            assert_eq!(accounts.len(), WINDOWS);
            // The first event that can be read is the stored one, as it is when the windows are sealed.
            let first = (0..WINDOWS).find(|n| !is_damaged(*n));
            for (n, account) in accounts.iter().enumerate() {
                let told = match is_damaged(n) {
                    true => None,
                    false if Some(n) == first => counts(3, 0),
                    false => counts(2, 1),
                };
                let what = format!("window {n} of {damaged:04b}, way {way}");
                assert_eq!(account.dispositions, told, "{what}");
                assert_eq!(account.received.tally.events, 3, "{what}");
                assert_eq!(account.stored_side, account.received.tally, "{what}");
            }
        }
    }
}

/// A bucket that refuses to be read has lost nothing.
#[tokio::test]
async fn a_bucket_that_refuses_is_no_damage() {
    let school = four_windows().await;
    school.faults.plan(|_, _| None);
    assert!(asked(&school).await.is_ok());
    let (reads, mut refused) = (school.faults.calls(Operation::Read), 0);
    assert!(reads > WINDOWS as u64);
    for nth in 0..reads {
        school.faults.plan(move |operation, n| {
            (operation == Operation::Read && n == nth).then_some(Fault::Denied)
        });
        refused += u64::from(asked(&school).await.is_err());
        school.faults.clear();
    }
    assert_eq!(refused, reads);
}
