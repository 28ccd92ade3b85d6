//! `RefusedEnvelopes`.

use super::{ANY_SCRIPT, tenant_id};
use vernier_ledger::ports::RefusedEnvelopes;
use vernier_ledger::refused::RefusedCount;
use vernier_ledger::time::Millis;

const HOUR: i64 = 3_600_000;

fn count(hour: i64, sensor: &str, envelopes: u64) -> RefusedCount {
    RefusedCount {
        hour,
        rule: "envelope.send-time".to_owned(),
        sensor: sensor.to_owned(),
        envelopes,
    }
}

/// Far in the future, so that no store has forgotten it.
const FIRST: i64 = 700_000;

pub async fn counts_of_refused_envelopes_add_up(table: &impl RefusedEnvelopes) {
    let tenant = tenant_id();
    for envelopes in [1, 41] {
        let more = count(FIRST, ANY_SCRIPT, envelopes);
        assert_eq!(table.add_refused(&tenant, &more).await, Ok(()));
    }
    let other = count(FIRST, "lms#2", 3);
    assert_eq!(table.add_refused(&tenant, &other).await, Ok(()));
    let (from, to) = (Millis(FIRST * HOUR), Millis((FIRST + 1) * HOUR));
    let mut read = table.refused(&tenant, from, to).await.expect("counts");
    read.sort();
    let mut wanted = vec![count(FIRST, ANY_SCRIPT, 42), other];
    wanted.sort();
    assert_eq!(read, wanted);
    assert_eq!(table.refused(&tenant_id(), from, to).await, Ok(Vec::new()));
}

pub async fn counts_of_refused_envelopes_are_read_by_whole_hours(table: &impl RefusedEnvelopes) {
    let tenant = tenant_id();
    // The year 422: nothing was received then, and to ask is no error.
    let (long_ago, a_day_later) = (Millis(-48_840_000_000_000), Millis(-48_839_913_600_000));
    let read = table.refused(&tenant, long_ago, a_day_later).await;
    assert_eq!(read, Ok(Vec::new()));
    for hour in FIRST..FIRST + 3 {
        let one = count(hour, "lms", 1);
        assert_eq!(table.add_refused(&tenant, &one).await, Ok(()));
    }
    for (from, to, hours) in [
        (HOUR - 1, HOUR, vec![0]),
        (HOUR - 1, HOUR + 1, vec![0, 1]),
        (HOUR, 3 * HOUR, vec![1, 2]),
        (HOUR, HOUR, vec![]),
        (3 * HOUR, 4 * HOUR, vec![]),
    ] {
        let at = |offset: i64| Millis(FIRST * HOUR + offset);
        let read = table
            .refused(&tenant, at(from), at(to))
            .await
            .expect("counts");
        let found: Vec<i64> = read.iter().map(|c| c.hour - FIRST).collect();
        assert_eq!(found, hours, "{from} to {to}");
    }
}
