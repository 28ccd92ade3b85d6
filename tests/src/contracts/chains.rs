//! `Chains`.

use super::{tally, tenant_id};
use futures::future::join_all;
use vernier_ledger::chain::{
    ChainHead, ChainStep, HeldWindows, SealEntry, SealKind, Sequences, day_of,
};
use vernier_ledger::holds::{HeldWindow, Holds, OpenTimes};
use vernier_ledger::limits::HELD_WINDOWS_MAX;
use vernier_ledger::ports::{ChainOutcome, Chains};
use vernier_ledger::time::{Millis, Window};

const START: Millis = Millis(1_700_000_040_000);

fn window(n: i64) -> Window {
    Window {
        start: START.plus_seconds(60 * n),
        end: START.plus_seconds(60 * (n + 1)),
    }
}

fn seal(sequence: u64, n: i64) -> SealEntry {
    SealEntry {
        sequence,
        version: 1,
        kind: SealKind::Window,
        window: window(n),
        windows: 1,
        hash: format!("{sequence:064x}"),
        tally: tally(sequence),
        sealed_at: START,
        missing: 0,
        covers: Sequences::default(),
        erasures: Sequences::default(),
    }
}

pub async fn a_chain_begins_and_moves_with_its_seals(table: &impl Chains) {
    let (tenant, other) = (tenant_id(), tenant_id());
    assert_eq!(table.chain(&tenant).await, Ok(None));
    let mut head = ChainHead::beginning(START);
    for n in 0..3 {
        let seal = seal(n, i64::try_from(n).expect("small"));
        let step = head.over(&seal).expect("the next");
        let moved = table.move_chain(&tenant, &step).await;
        assert_eq!(moved, Ok(ChainOutcome::Moved));
        head = step.head;
        assert_eq!(table.chain(&tenant).await, Ok(Some(head.clone())));
    }
    let past = head.past(window(3));
    let moved = table.move_chain(&tenant, &past).await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
    assert_eq!(table.chain(&tenant).await, Ok(Some(past.head)));
    assert_eq!(table.chain(&other).await, Ok(None));
}

pub async fn a_chain_that_was_moved_by_another_stays(table: &impl Chains) {
    let tenant = tenant_id();
    let beginning = ChainHead::beginning(START);
    let steps: Vec<ChainStep> = (0..4)
        .map(|n| {
            let mut seal = seal(0, 0);
            seal.hash = format!("{n:064x}");
            beginning.over(&seal).expect("the next")
        })
        .collect();
    let moves = steps.iter().map(|step| table.move_chain(&tenant, step));
    let moved: Vec<ChainOutcome> = join_all(moves)
        .await
        .into_iter()
        // A transaction that met another one may have to be tried again: it lost as well.
        .map(|m| m.unwrap_or(ChainOutcome::Stale))
        .collect();
    let winner = moved.iter().position(|m| *m == ChainOutcome::Moved);
    let winner = steps[winner.expect("one of them")].clone();
    let count = moved.iter().filter(|m| **m == ChainOutcome::Moved).count();
    assert_eq!(count, 1);
    assert_eq!(table.chain(&tenant).await, Ok(Some(winner.head)));
    let listed = table.seals(&tenant, START, window(1).start).await;
    assert_eq!(listed, Ok(winner.seal.into_iter().collect()));
}

pub async fn seals_are_listed_by_window(table: &impl Chains) {
    let tenant = tenant_id();
    let mut head = ChainHead::beginning(window(0).start);
    let order = [(0, false), (2, false), (1, false), (0, true)];
    head.held = HeldWindows::Listed {
        passed_over: vec![window(1)],
    };
    head.through = window(0).start;
    let mut seals = Vec::new();
    for (sequence, (n, backfill)) in (0..).zip(order) {
        let mut seal = seal(sequence, n);
        if backfill {
            seal.kind = SealKind::Backfill;
        }
        if n == 2 {
            head.through = window(2).start;
        }
        let step = head.over(&seal).expect("the next");
        let moved = table.move_chain(&tenant, &step).await;
        assert_eq!(moved, Ok(ChainOutcome::Moved));
        head = step.head;
        seals.push(seal);
    }
    let sequences = |from: i64, to: i64| {
        let tenant = &tenant;
        async move {
            let found = table.seals(tenant, window(from).start, window(to).start);
            let found = found.await.expect("read");
            found.iter().map(|s| s.sequence).collect::<Vec<_>>()
        }
    };
    assert_eq!(sequences(0, 3).await, [0, 3, 2, 1]);
    assert_eq!(sequences(0, 1).await, [0, 3], "not what begins at its end");
    assert_eq!(sequences(1, 2).await, [2]);
    assert_eq!(sequences(2, 2).await, Vec::<u64>::new());
    assert_eq!(sequences(3, 9).await, Vec::<u64>::new());
}

pub async fn days_are_listed_by_themselves(table: &impl Chains) {
    let tenant = tenant_id();
    let mut head = ChainHead::beginning(window(0).start);
    let mut seals = Vec::new();
    for n in 0..4 {
        let mut seal = seal(n, i64::try_from(n).expect("small"));
        if n > 1 {
            // Two of one day: it was too large for one.
            (seal.window, seal.kind) = (day_of(START), SealKind::Day);
            seal.covers = [n - 2].into_iter().collect();
        }
        let step = head.over(&seal).expect("the next");
        let moved = table.move_chain(&tenant, &step).await;
        assert_eq!(moved, Ok(ChainOutcome::Moved));
        head = step.head;
        seals.push(seal);
    }
    let day = day_of(START);
    let found = table.days(&tenant, day.start, day.end).await;
    assert_eq!(found.as_deref(), Ok(&seals[2..]));
    let found = table.seals(&tenant, day.start, day.end).await;
    assert_eq!(found.as_deref(), Ok(&seals[..2]));
    for (from, to) in [
        (day.end, Millis(i64::MAX)),
        (Millis(0), day.start),
        (day.start, day.start),
    ] {
        assert_eq!(table.days(&tenant, from, to).await, Ok(Vec::new()));
    }
    let marked = head.compacted_to(day.end).removed_to(day.start);
    let marked = ChainHead {
        revision: head.revision + 1,
        ..marked
    };
    let moved = table
        .move_chain(&tenant, &ChainStep::to(marked.clone()))
        .await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
    assert_eq!(table.chain(&tenant).await, Ok(Some(marked)));
}

fn holds(windows: &[Window]) -> Vec<HeldWindow> {
    windows.iter().copied().map(HeldWindow::of).collect()
}

/// A hold is changed from what was seen, also by a call that is repeated, and goes with its window's seal.
pub async fn a_hold_is_changed_by_whoever_saw_it(table: &(impl Chains + Holds)) {
    let tenant = tenant_id();
    let (seen, other) = (HeldWindow::of(window(1)), HeldWindow::of(window(2)));
    let started = seen.started(START);
    assert_eq!(table.change_held(&tenant, &seen, &started).await, Ok(false));
    let mut head = ChainHead::beginning(window(1).start);
    for step in [window(1), window(2)] {
        head = head.past(step).head;
        let moved = table
            .move_chain(&tenant, &ChainStep::to(head.clone()))
            .await;
        assert_eq!(moved, Ok(ChainOutcome::Moved));
    }
    let step = head.itemized().expect("it has a list");
    assert_eq!(
        table.move_chain(&tenant, &step).await,
        Ok(ChainOutcome::Moved)
    );
    for _ in 0..2 {
        assert_eq!(table.change_held(&tenant, &seen, &started).await, Ok(true));
        let held = vec![started.clone(), other.clone()];
        assert_eq!(table.held_items(&tenant).await, Ok(held));
    }
    let ended = seen.ended("the sensor's disk is gone".to_owned());
    assert_eq!(table.change_held(&tenant, &seen, &ended).await, Ok(false));
    let ended = started.ended("the sensor's disk is gone".to_owned());
    assert_eq!(table.change_held(&tenant, &started, &ended).await, Ok(true));
    let held = table.held_windows(&tenant, &step.head).await;
    assert_eq!(held, Ok(vec![ended.clone(), other]));
    let open = OpenTimes {
        held: vec![window(1), window(2)],
        closed: None,
    };
    let sealed = step.head.over_signed_holds(&seal(0, 1), &open, START);
    let moved = table.move_chain(&tenant, &sealed.expect("held")).await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
    assert_eq!(
        table.change_held(&tenant, &ended, &started).await,
        Ok(false)
    );
}

/// All that a chain may hold becomes items with its first seal of version 4; a seal takes its window's away.
pub async fn held_windows_become_items_with_the_step(table: &(impl Chains + Holds)) {
    let tenant = tenant_id();
    let count = i64::try_from(HELD_WINDOWS_MAX).expect("small");
    let held: Vec<Window> = (1..=count).map(window).collect();
    let first = ChainHead::beginning(START).over(&seal(0, 0)).expect("next");
    let mut head = first.head.clone();
    let moved = table.move_chain(&tenant, &first).await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
    (head.held, head.through) = (
        HeldWindows::Listed {
            passed_over: held.clone(),
        },
        window(count + 1).start,
    );
    assert_eq!(table.held_windows(&tenant, &head).await, Ok(holds(&held)));
    let open = OpenTimes {
        held: held.clone(),
        closed: Some(window(0)),
    };
    let step = head.over_signed_holds(&seal(1, count + 1), &open, START);
    let step = step.expect("the next");
    let moved = table.move_chain(&tenant, &step).await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
    assert_eq!(table.chain(&tenant).await, Ok(Some(step.head.clone())));
    assert_eq!(
        table.held_windows(&tenant, &step.head).await,
        Ok(holds(&held))
    );
    let open = open.without(window(count + 1));
    let step = step.head.over_signed_holds(&seal(2, 2), &open, START);
    let step = step.expect("held");
    let stale = ChainStep {
        head: first.head,
        ..step.clone()
    };
    let moved = table.move_chain(&tenant, &stale).await;
    assert_eq!(moved, Ok(ChainOutcome::Stale));
    assert_eq!(table.held_items(&tenant).await, Ok(holds(&held)));
    let moved = table.move_chain(&tenant, &step).await;
    assert_eq!(moved, Ok(ChainOutcome::Moved));
    let mut left = held;
    left.remove(1);
    assert_eq!(
        table.held_windows(&tenant, &step.head).await,
        Ok(holds(&left))
    );
    assert_eq!(table.held_items(&tenant_id()).await, Ok(Vec::new()));
}
