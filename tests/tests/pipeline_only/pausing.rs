//! While sealing is paused, windows are closed as ever: what they miss is known, and the clocks of their holds run.

use super::sealing::{HOLD_SECONDS, School, WORK};
use super::shortfalls::{assert_short, last, lost_for_good, statement};
use vernier_archive::seal::ShortfallCause;
use vernier_ledger::time::Millis;
use vernier_reconcile::process::WorkSettings;
use vernier_reconcile::worker::Turn;
use vernier_tests::envelopes::events;
use vernier_tests::orchestra::turn_of;

/// A turn of the tenant's while sealing is paused.
async fn paused_turn(school: &School) -> Turn {
    let settings = WorkSettings {
        paused: true,
        ..WORK
    };
    let (stores, process, owner) = (&school.stores, &school.process, school.owner());
    let (clock, forever) = (|| school.clock.get(), Millis(i64::MAX));
    let turn = turn_of(stores, process, &settings, &owner, &clock, forever).await;
    let turn = turn.expect("its list is read");
    assert_eq!((turn.sealed.sealed, turn.failed), (0, 0), "{turn:?}");
    turn
}

/// The first window's last seal says that something is missing since an instant.
fn assert_short_since(school: &School, since: Millis) {
    let seal = last(school);
    let shortfall = statement(&seal).shortfall.as_ref().expect("it says so");
    assert_eq!(
        (shortfall.cause, shortfall.since),
        (ShortfallCause::Time, Some(since))
    );
    assert_short(school, 1);
}

/// The chain has not come to the window when sealing is paused.
#[tokio::test]
async fn a_clock_starts_while_sealing_is_paused() {
    let school = School::new().await;
    lost_for_good(&school).await;
    assert_eq!(paused_turn(&school).await.sealed.incomplete, 1);
    let since = school.clock.get();
    for _ in 0..2 {
        school.pass(HOLD_SECONDS / 2);
        paused_turn(&school).await;
    }
    assert!(school.table.raw_held(&school.tenant.id).is_empty());
    school.pass(300);
    assert_eq!(school.work().await.sealed.held, 1);
    let held = school.table.raw_held(&school.tenant.id);
    assert_eq!(held.first().and_then(|held| held.since), Some(since));
    school.pass(60);
    assert_eq!(school.work().await.sealed.short, 1);
    assert_short_since(&school, since);
}

/// The chain has passed the window, and the trigger comes to what is missing while sealing is paused.
#[tokio::test]
async fn a_clock_that_stood_starts_while_sealing_is_paused() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.pass(120);
    assert_eq!(school.seal().await.held, 1);
    let clock = || school.table.raw_held(&school.tenant.id)[0].since;
    school.pass(3_600);
    paused_turn(&school).await;
    assert_eq!(clock(), None, "the stream has it");
    school.post(&events(1)).await;
    school.deliver_but(&[0]).await;
    school.pass(300);
    paused_turn(&school).await;
    let since = school.clock.get();
    assert_eq!(clock(), Some(since));
    school.pass(600);
    paused_turn(&school).await;
    assert_eq!(clock(), Some(since), "it is never reset");
    school.pass(HOLD_SECONDS);
    school.work().await;
    assert_short_since(&school, since);
}

/// What is missing comes before sealing goes on: nothing is said to be.
#[tokio::test]
async fn a_window_that_adds_up_again_while_sealing_is_paused_is_sealed_whole() {
    let school = School::new().await;
    school.post(&events(2)).await;
    school.post(&events(3)).await;
    school.deliver_but(&[0]).await;
    school.pass(120);
    paused_turn(&school).await;
    school.pass(2 * HOLD_SECONDS);
    paused_turn(&school).await;
    school.recover().await;
    school.deliver().await;
    school.pass(600);
    school.work().await;
    school.assert_sealed([5, 0, 0, 0]);
    assert_short(&school, 0);
}
