//! What every `Spreads` does.

use super::tenant_id;
use vernier_ledger::spread::{GrownSpread, Spread, Spreads};
use vernier_ledger::time::Millis;

/// An instant in milliseconds, of 2026 as real ones are.
const NOW: i64 = 1_780_000_000_000;

const fn grown(lanes: u16, stream_keys: u32, seconds: i64) -> GrownSpread {
    GrownSpread {
        spread: Spread { lanes, stream_keys },
        grown_at: Millis(NOW + seconds * 1_000),
    }
}

pub async fn a_spread_grows_from_what_was_seen(table: &impl Spreads) {
    let (tenant, other) = (tenant_id(), tenant_id());
    assert_eq!(table.grown_spread(&tenant).await, Ok(None));
    let (first, second) = (grown(2, 1, 0), grown(2, 1 << 20, 60));
    let absent = table.grow_spread(&tenant, Some(&first), &second).await;
    assert_eq!(absent, Ok(false), "nothing is there to grow from");
    assert_eq!(table.grow_spread(&tenant, None, &first).await, Ok(true));
    assert_eq!(table.grow_spread(&tenant, None, &second).await, Ok(false));
    assert_eq!(table.grown_spread(&tenant).await, Ok(Some(first)));
    for stale in [grown(1, 1, 0), grown(2, 2, 0), grown(2, 1, 1)] {
        let answer = table.grow_spread(&tenant, Some(&stale), &second).await;
        assert_eq!(answer, Ok(false), "{stale:?}");
    }
    let answer = table.grow_spread(&tenant, Some(&first), &second).await;
    assert_eq!(answer, Ok(true));
    assert_eq!(table.grown_spread(&tenant).await, Ok(Some(second)));
    assert_eq!(table.grown_spread(&other).await, Ok(None));
}

pub async fn of_concurrent_growths_one_counts(table: &impl Spreads) {
    let tenant = tenant_id();
    let nexts: Vec<GrownSpread> = (0..8).map(|n| grown(2, 2, n)).collect();
    let all = nexts
        .iter()
        .map(|next| table.grow_spread(&tenant, None, next));
    let answers = futures::future::join_all(all).await;
    let done: Vec<usize> = (0..8).filter(|n| answers[*n] == Ok(true)).collect();
    let [done] = done[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(table.grown_spread(&tenant).await, Ok(Some(nexts[done])));
}
