//! What a release finds that is deployed over another one: a dump of table, bucket and stream that the release before
//! wrote, in every state that a ledger can be in, is taken up and brought to its end.
//!
//! `tests/golden/stores-1` was written by the last release that sealed in versions 1 and 3 of the seal. The dump of
//! another release is made, before its formats change, by that release's own code:
//!
//! ```sh
//! VERNIER_WRITE_STORES=stores-2 cargo nextest run --workspace --test pipeline -E 'test(/every_state_is_dumped/)'
//! ```

mod deployment;
mod dump;
mod history;

use deployment::{Deployment, SCHOOL};
use dump::Dump;
use history::{at, event_of};
use std::collections::BTreeSet;
use vernier_archive::seal::{Seal, SealKind};
use vernier_ledger::holds::Holds;
use vernier_ledger::ports::{Chains, Playbacks};
use vernier_ledger::work::{Cause, Owner, WorkLists};

/// Dumps of earlier releases, each in a folder of `tests/golden`.
const DUMPS: [&str; 1] = ["stores-1"];

fn seals(deployment: &Deployment, tenant: &str) -> Vec<Seal> {
    let keys = deployment.bucket.keys(&format!("seals/tenant={tenant}/"));
    let read = |key: &String| Seal::read(&deployment.bucket.raw(key).expect("listed"));
    keys.iter().map(|key| read(key).expect("a seal")).collect()
}

/// Every state that a dump is to hold, so that it is noticed when one is missing.
async fn assert_states(deployment: &Deployment) {
    let seals = seals(deployment, SCHOOL);
    let of = |kind| seals.iter().filter(move |seal| seal.kind == kind).count();
    let kinds = [SealKind::Window, SealKind::Backfill, SealKind::Day].map(of);
    assert!(kinds[0] > 5 && kinds[1] == 1 && kinds[2] == 2, "{kinds:?}");
    let tenant = deployment.tenant(SCHOOL);
    let table = deployment.table();
    let head = table.chain(&tenant.id).await.expect("reads").expect("one");
    assert_eq!(head.compacted, Some(at(2, 0, 0)));
    assert_eq!(head.removed, Some(at(1, 0, 0)));
    let held = table.held_windows(&tenant.id, &head).await;
    assert_eq!(held.expect("reads").len(), 1, "one window is passed over");
    let open = table.open_playbacks().await.expect("reads");
    assert_eq!(open.len(), 1);
    let job = table.playback(&tenant.id, open[0].1).await.expect("reads");
    let progress = job.expect("it is there").progress;
    assert!(
        0 < progress.events_played && progress.events_played < progress.events,
        "{progress:?}"
    );
    assert_eq!(deployment.bucket.keys("quarantine/frames/").len(), 1);
    assert_eq!(deployment.bucket.keys("aws/lambda/").len(), 1);
}

/// This release makes a dump of every state, from which its stores come back as they were. Its inputs are the same each time: receipts, ids and times are counted, the signing key is fixed; only a playback's id and
/// salt keys are drawn.
#[tokio::test]
async fn every_state_is_dumped_and_comes_back() {
    let deployment = Deployment::new(Vec::new(), history::OPENING).await;
    history::play(&deployment).await;
    assert_states(&deployment).await;
    let dump = Dump::of(&deployment).await;
    if let Some(name) = std::env::var_os("VERNIER_WRITE_STORES") {
        dump.write(&dump::golden().join(name));
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    dump.write(folder.path());
    let again = Dump::read(folder.path()).load().await;
    assert_states(&again).await;
    assert_eq!(Dump::of(&again).await, dump);
}

/// Nothing is left to do for any tenant but to wait until files of compacted days go and receipts are about to expire, and
/// no playback is under way.
async fn assert_settled(deployment: &Deployment) {
    let table = deployment.table();
    for tenant in deployment.tenants() {
        let owner = Owner::Tenant(tenant.id.clone());
        let mut left = table.work(&owner).await.expect("reads");
        left.retain(|entry| !matches!(entry.key.cause, Cause::Compact | Cause::Recount));
        assert_eq!(left, [], "{}", tenant.id);
        let head = table.chain(&tenant.id).await.expect("reads").expect("one");
        assert_eq!(head.held_count(), 0, "{}", tenant.id);
        assert_eq!(head.compacted, Some(at(4, 0, 0)), "{}", tenant.id);
    }
    assert_eq!(table.open_playbacks().await, Ok(Vec::new()));
}

/// Each event that was acknowledged is one row, in its window's files or its day's or both, and no row is anything else.
fn assert_accounted_for(deployment: &Deployment) {
    let rows = deployment.rows();
    let mut wanted = BTreeSet::new();
    for sent in deployment.sent.borrow().iter() {
        wanted.extend((0..sent.events).map(|index| (sent.receipt, index)));
    }
    let repeated = rows.values().filter(|[own, day]| *own > 1 || *day > 1);
    assert_eq!(repeated.count(), 0, "{rows:?}");
    assert_eq!(rows.into_keys().collect::<BTreeSet<_>>(), wanted);
}

#[tokio::test]
async fn what_an_earlier_release_left_is_taken_up_and_settled() {
    for name in DUMPS {
        let dump = Dump::read(&dump::golden().join(name));
        let deployment = dump.load().await;
        let before = seals(&deployment, SCHOOL);
        let last = before.last().expect("sealed before").window();
        assert_states(&deployment).await;
        deployment.go_on().await;

        // What this release receives: what is new, what is known from before in the same bytes and in others.
        let now = deployment.clock.get();
        let mut other = event_of(71);
        other["eventTime"] = "2026-11-20T10:15:02.000Z".into();
        let events = [event_of(501), event_of(70), other];
        deployment.post(SCHOOL, now, &events).await;
        // Late ones, for windows that the release before sealed: of a day that is removed, and of one that is not.
        for (late, id) in [(at(0, 9, 10), 502), (at(2, 9, 10), 503)] {
            deployment.post(SCHOOL, late, &[event_of(id)]).await;
        }
        deployment.pass(3 * 3_600, 3_600).await;
        // Until the day of the upgrade is compacted.
        deployment.pass(86_400, 6 * 3_600).await;
        // And what nothing names was looked for.
        deployment.pass(2 * 3_600, 2 * 3_600).await;

        assert_settled(&deployment).await;
        assert_accounted_for(&deployment);
        let report = deployment.report();
        assert_eq!(report.findings, []);
        let after = seals(&deployment, SCHOOL);
        assert_eq!(after[..before.len()], before, "seals stay as they were");
        let covers_both = |day: &&Seal| {
            let covers = |at: u64| day.covers.iter().any(|seal| seal.sequence == at);
            let (old, new) = (before.len() as u64 - 1, before.len() as u64);
            day.kind == SealKind::Day && (0..=old).any(covers) && (new..).take(100).any(covers)
        };
        assert!(after[before.len()..].iter().any(|seal| covers_both(&seal)));
        assert!(after.iter().any(|seal| seal.start > last.end));
        let versions = after[before.len()..].iter().map(|seal| seal.vernier_seal);
        assert!(versions.clone().all(|version| version == 4));
        assert!(before.iter().all(|seal| seal.vernier_seal < 4));
    }
}
