//! `RollUps`.

use super::tenant_id;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::roll_up::{FilterObject, MadeFilter, RollUp, RollUps};
use vernier_ledger::time::{Millis, Minute, SLICE_MINUTES, Slice, TimeRange};

/// The first minute of some five minutes.
const MINUTE: i64 = 29_919_465;

fn roll_up(nth: i64, frames: &[Vec<u8>]) -> RollUp {
    let first_minute = Minute(MINUTE + nth * SLICE_MINUTES);
    let slice = Slice::containing(first_minute);
    let (object, _) = FilterObject::of(&tenant_id(), slice, frames);
    RollUp {
        first_minute,
        objects: vec![object],
        made: vec![MadeFilter {
            block: Fingerprint([1; 32]),
            frame: Fingerprint([2; 32]),
        }],
        rolled_at: Millis(4_000_000_000_000),
    }
}

pub async fn roll_ups_are_found_by_their_five_minutes(table: &impl RollUps) {
    let (tenant, other) = (tenant_id(), tenant_id());
    let all = [0, 1, 2].map(|nth| roll_up(nth, &[vec![7; 9]]));
    for one in all.iter().rev() {
        assert_eq!(table.keep_roll_up(&tenant, one).await, Ok(()));
    }
    let minute = |n: i64| Minute(MINUTE + n).start();
    let within = |from, to| TimeRange { from, to };
    // From the last instant of the first five minutes to the first of the second.
    let edge = within(Millis(minute(5).0 - 1), Millis(minute(5).0 + 1));
    for (range, expected) in [
        (within(minute(0), minute(15)), &all[..]),
        (edge, &all[..2]),
        (within(minute(6), minute(7)), &all[1..2]),
        (within(minute(5), minute(10)), &all[1..2]),
        (within(minute(15), minute(30)), &[]),
        (within(minute(7), minute(7)), &[]),
    ] {
        let found = table.roll_ups(&tenant, range).await;
        assert_eq!(found.as_deref(), Ok(expected), "{range:?}");
        assert_eq!(table.roll_ups(&other, range).await, Ok(Vec::new()));
    }
}

pub async fn the_last_roll_up_of_five_minutes_counts(table: &impl RollUps) {
    let tenant = tenant_id();
    let frames: Vec<Vec<u8>> = (0..2_000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let (first, largest) = (roll_up(0, &frames[..1]), roll_up(0, &frames));
    for one in [&first, &largest, &largest] {
        assert_eq!(table.keep_roll_up(&tenant, one).await, Ok(()));
    }
    let range = TimeRange {
        from: Minute(MINUTE).start(),
        to: Minute(MINUTE + 1).start(),
    };
    assert_eq!(table.roll_ups(&tenant, range).await, Ok(vec![largest]));
}
