//! `Playbacks`.

use super::tenant_id;
use futures::future::join_all;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::playback_job::{
    PlaybackAction, PlaybackDiff, PlaybackExample, PlaybackFilter, PlaybackJob, PlaybackProgress,
    PlaybackRequest, PlaybackSource, PlaybackState, PlaybackTarget,
};
use vernier_ledger::ports::{PlaybackOutcome, Playbacks};
use vernier_ledger::time::Millis;

const NOW: Millis = Millis(1_800_000_000_000);

fn job(seconds: i64) -> PlaybackJob {
    let receipt = ReceiptId::from_parts(NOW, 3, [7; 8]);
    let request = PlaybackRequest {
        from: None,
        to: None,
        receipts: [receipt].into(),
        source: PlaybackSource::Archive,
        filter: PlaybackFilter {
            actor: Some(super::long_text(900)),
            ..PlaybackFilter::default()
        },
        target: PlaybackTarget::Results,
        dry_run: true,
        rate: Some(7),
    };
    let progress = PlaybackProgress {
        seals: 3,
        events: 1_000,
        ..PlaybackProgress::default()
    };
    PlaybackJob::new(
        request,
        "0a1b2c3d4e5f",
        12,
        progress,
        NOW.plus_seconds(seconds),
    )
}

pub async fn a_playback_is_its_tenants_and_moves_by_revision(table: &impl Playbacks) {
    let (tenant, other) = (tenant_id(), tenant_id());
    let first = job(0);
    assert_eq!(table.playback(&tenant, first.id).await, Ok(None));
    let moved = table.move_playback(&tenant, &first).await;
    assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    assert_eq!(
        table.playback(&tenant, first.id).await,
        Ok(Some(first.clone()))
    );
    assert_eq!(table.playback(&other, first.id).await, Ok(None));
    assert_eq!(table.playbacks(&other).await, Ok(Vec::new()));

    let again = table.move_playback(&tenant, &first).await;
    assert_eq!(again, Ok(PlaybackOutcome::Stale), "it is there");
    let mut next = first.moved(PlaybackState::Done, NOW);
    next.diff = Some(PlaybackDiff {
        created: 2,
        changed: 1,
        same: 40,
        examples: vec![PlaybackExample {
            created: true,
            section: Some(super::long_text(1_000)),
            learner: super::long_text(1_000),
            assignment: None,
            attempt: Some("a".to_owned()),
            registers: vec!["score".to_owned()],
            score_before: None,
            score_after: Some(0.1),
        }],
    });
    let skipped = next.moved(PlaybackState::Done, NOW);
    let stale = table.move_playback(&tenant, &skipped).await;
    assert_eq!(stale, Ok(PlaybackOutcome::Stale), "a revision between");
    let moved = table.move_playback(&tenant, &next).await;
    assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    let later = job(60);
    let moved = table.move_playback(&tenant, &later).await;
    assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    assert_eq!(table.playbacks(&tenant).await, Ok(vec![next, later]));
}

pub async fn of_two_that_move_a_playback_one_wins(table: &impl Playbacks) {
    let (tenant, first) = (tenant_id(), job(0));
    let moved = table.move_playback(&tenant, &first).await;
    assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    let nexts: Vec<PlaybackJob> = (0..4)
        .map(|n| first.failed(&format!("reason {n}"), NOW))
        .collect();
    let moves = nexts.iter().map(|next| table.move_playback(&tenant, next));
    let moved: Vec<PlaybackOutcome> = join_all(moves)
        .await
        .into_iter()
        // A transaction that met another one may have to be tried again: it lost as well.
        .map(|m| m.unwrap_or(PlaybackOutcome::Stale))
        .collect();
    let winners = moved.iter().filter(|m| **m == PlaybackOutcome::Moved);
    assert_eq!(winners.count(), 1);
    let winner = moved.iter().position(|m| *m == PlaybackOutcome::Moved);
    let winner = nexts[winner.expect("one of them")].clone();
    assert_eq!(table.playback(&tenant, first.id).await, Ok(Some(winner)));
}

pub async fn what_has_not_ended_is_listed_for_all_tenants(table: &impl Playbacks) {
    let (tenant, other) = (tenant_id(), tenant_id());
    let mine = [job(0), job(1), job(2)];
    let theirs = job(3);
    for (whose, job) in mine.iter().map(|j| (&tenant, j)).chain([(&other, &theirs)]) {
        let moved = table.move_playback(whose, job).await;
        assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    }
    let paused = mine[0].after(PlaybackAction::Pause, NOW).expect("pauses");
    let ended = mine[1].after(PlaybackAction::Cancel, NOW).expect("ends");
    for next in [&paused, &ended] {
        let moved = table.move_playback(&tenant, next).await;
        assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    }
    let listed = table.open_playbacks().await.expect("read");
    let of = |whose| {
        let listed = listed.iter().filter(move |(t, _)| t == whose);
        listed.map(|(_, id)| *id).collect::<Vec<_>>()
    };
    assert_eq!(of(&tenant), [mine[0].id, mine[2].id]);
    assert_eq!(of(&other), [theirs.id]);
    // What this leaves open nobody else's run should find.
    for (whose, job) in [(&tenant, &paused), (&tenant, &mine[2]), (&other, &theirs)] {
        let ended = job.after(PlaybackAction::Cancel, NOW).expect("ends");
        let moved = table.move_playback(whose, &ended).await;
        assert_eq!(moved, Ok(PlaybackOutcome::Moved));
    }
}
