//! Commits of an earlier version, which wrote no block items: before they are listed, while they are, and beside
//! commits that wrote theirs.

use super::sealing::{BEGINNING, School, THREE_WINDOWS, WORK};
use vernier_ledger::block_item::{Listing, ListingMark};
use vernier_ledger::ports::Blocks;
use vernier_ledger::time::Millis;
use vernier_reconcile::listing::{ListingSummary, list_commits};
use vernier_tests::envelopes::events;

impl School {
    /// Everything committed so far is an earlier version's.
    fn unlist(&self) {
        self.table.unlist_commits(0);
    }

    async fn list_until(&self, deadline: Millis) -> ListingSummary {
        let listed = list_commits(
            &self.table,
            &WORK,
            &self.process,
            || self.clock.get(),
            deadline,
        )
        .await;
        listed.expect("the table answers")
    }

    async fn list(&self) -> ListingSummary {
        self.list_until(Millis(i64::MAX)).await
    }
}

#[tokio::test]
async fn before_commits_are_listed_they_are_read_from_their_records() {
    let school = School::new().await;
    school.three_windows().await;
    school.unlist();
    assert_eq!(school.table.are_blocks_listed().await, Ok(false));
    assert_eq!(school.seal().await.sealed, 3);
    school.assert_sealed(THREE_WINDOWS);
}

#[tokio::test]
async fn commits_that_were_listed_afterwards_are_sealed_as_all_others() {
    let school = School::new().await;
    school.three_windows().await;
    school.unlist();
    let listed = school.list().await;
    assert!(listed.complete && listed.commits > 0, "{listed:?}");
    assert_eq!(school.table.are_blocks_listed().await, Ok(true));
    let again = school.list().await;
    assert_eq!(
        again.commits, listed.commits,
        "those of the last minutes, to no harm"
    );
    assert_eq!(school.seal().await.sealed, 3);
    school.assert_sealed(THREE_WINDOWS);
}

/// While a stack is being updated, functions of both versions commit.
#[tokio::test]
async fn a_commit_of_an_earlier_version_beside_others_is_sealed_after_the_next_turn() {
    let school = School::new().await;
    assert!(school.list().await.complete, "nothing was committed yet");
    school.post(&events(2)).await;
    school.deliver().await;
    let count = school.table.all_records().len();
    school.post(&events(3)).await;
    school.deliver().await;
    school.table.unlist_commits(count);
    school.pass(95);
    let held = school.seal().await;
    assert_eq!(
        (held.sealed, held.held),
        (0, 1),
        "three events are in no item"
    );
    assert_eq!(school.list().await.commits, 1);
    school.pass(60);
    assert_eq!(school.seal().await.sealed, 1);
    school.assert_sealed([5, 0, 0, 0]);
}

/// Hours that there is no time for are the next turn's.
#[tokio::test]
async fn a_listing_goes_on_where_the_last_turn_ended() {
    let school = School::new().await;
    for _ in 0..5 {
        school.post(&events(1)).await;
        school.deliver().await;
        school.pass(3_600);
    }
    school.unlist();
    let now = school.clock.get();
    assert!(!school.list_until(now).await.complete, "there is no time");
    let mut runs = 0;
    loop {
        runs += 1;
        assert!(runs < 20, "it comes to its end");
        // Time for one hour.
        let looks = std::cell::Cell::new(0);
        let clock = || {
            looks.set(looks.get() + 1);
            Millis(now.0 + i64::from(looks.get() > 2))
        };
        let listed = list_commits(
            &school.table,
            &WORK,
            &school.process,
            clock,
            Millis(now.0 + 1),
        )
        .await;
        if listed.expect("the table answers").complete {
            break;
        }
    }
    assert!((4..=8).contains(&runs), "{runs}");
    let mark = school
        .table
        .listing_mark()
        .await
        .expect("read")
        .expect("one");
    assert!(mark.back_to < BEGINNING);
    while school.seal().await.sealed > 0 {}
    school.assert_sealed([5, 0, 0, 0]);
}

/// After a rest of years a turn looks at no more than anybody can ask for.
#[tokio::test]
async fn a_mark_of_long_ago_does_not_make_a_long_turn() {
    let school = School::new().await;
    let mark = ListingMark {
        complete: true,
        ..ListingMark::beginning(Millis(0))
    };
    school.table.save_listing_mark(&mark).await.expect("saved");
    school.three_windows().await;
    school.unlist();
    school.pass(80 * 3_600);
    assert_eq!(school.list().await.commits, 0, "eighty hours ago");
    let mark = school
        .table
        .listing_mark()
        .await
        .expect("read")
        .expect("one");
    assert_eq!((mark.through, mark.complete), (school.clock.get(), true));
}
