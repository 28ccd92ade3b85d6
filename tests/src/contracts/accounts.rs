//! `Accounts`.

use super::{tally, tenant_id};
use vernier_ledger::account::{
    MissingCause, MissingReceipt, ReceivedSide, WindowAccount, WindowState,
};
use vernier_ledger::disposition::DispositionCounts;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::MISSING_NAMED_MAX;
use vernier_ledger::ports::Accounts;
use vernier_ledger::time::{Millis, Window};

const START: Millis = Millis(1_700_000_040_000);

fn account(window: Window, events: u64) -> WindowAccount {
    WindowAccount {
        start: window.start,
        end: window.end,
        state: WindowState::Incomplete,
        received: ReceivedSide {
            envelopes: 3,
            unacknowledged: 1,
            bytes: events * 1_000,
            tally: tally(events),
        },
        stored_side: tally(events),
        dispositions: Some(DispositionCounts::default()),
        missing_count: 0,
        missing: Vec::new(),
        held_since: Some(START),
        computed_at: START,
    }
}

fn window(minutes: i64) -> Window {
    Window {
        start: START,
        end: START.plus_seconds(60 * minutes),
    }
}

pub async fn an_account_is_kept_under_its_window(table: &impl Accounts) {
    let (tenant, other) = (tenant_id(), tenant_id());
    assert_eq!(table.account(&tenant, window(1)).await, Ok(None));
    let account = account(window(1), 9);
    table.save_account(&tenant, &account).await.expect("saved");
    assert_eq!(table.account(&tenant, window(1)).await, Ok(Some(account)));
    assert_eq!(
        table.account(&tenant, window(15)).await,
        Ok(None),
        "another length"
    );
    assert_eq!(
        table.account(&other, window(1)).await,
        Ok(None),
        "another tenant"
    );
}

pub async fn accounts_are_listed_by_their_beginning(table: &impl Accounts) {
    let tenant = tenant_id();
    let minute = |from: i64| Window {
        start: START.plus_seconds(60 * from),
        end: START.plus_seconds(60 * (from + 1)),
    };
    let all: Vec<WindowAccount> = (0..5)
        .map(|m| account(minute(m), m.unsigned_abs()))
        .collect();
    for account in all.iter().rev() {
        assert_eq!(table.save_account(&tenant, account).await, Ok(()));
    }
    let listed = async |from: i64, to: i64| {
        let (from, to) = (minute(from).start, minute(to).start);
        table.accounts(&tenant, from, to).await.expect("accounts")
    };
    assert_eq!(listed(0, 5).await, all);
    assert_eq!(listed(1, 3).await, all[1..3]);
    assert_eq!(listed(2, 2).await, []);
    assert_eq!(listed(-9, 1).await, all[..1]);
    let other = table.accounts(&tenant_id(), START, minute(5).start).await;
    assert_eq!(other, Ok(vec![]));
}

pub async fn the_last_account_counts(table: &impl Accounts) {
    let tenant = tenant_id();
    for events in [5, 6, 7] {
        let account = account(window(1), events);
        table.save_account(&tenant, &account).await.expect("saved");
        assert_eq!(table.account(&tenant, window(1)).await, Ok(Some(account)));
    }
}

pub async fn an_account_computed_earlier_takes_no_ones_place(table: &impl Accounts) {
    let tenant = tenant_id();
    let (mut earlier, later) = (account(window(1), 7), account(window(1), 6));
    earlier.computed_at = Millis(later.computed_at.0 - 1);
    let less = account(window(1), 5);
    for account in [&later, &earlier, &less] {
        assert_eq!(table.save_account(&tenant, account).await, Ok(()));
        let kept = table.account(&tenant, window(1)).await;
        assert_eq!(kept, Ok(Some(later.clone())));
    }
}

pub async fn an_account_names_as_many_receipts_as_it_may(table: &impl Accounts) {
    let tenant = tenant_id();
    let mut account = account(window(1), 1 << 40);
    account.missing = (0..MISSING_NAMED_MAX)
        .map(|n| MissingReceipt {
            receipt: ReceiptId::generate(START, 0),
            slices: (0..330).collect(),
            cause: [MissingCause::Unclaimed, MissingCause::Uncommitted][n % 2],
            sensor: (n % 2 == 0).then(|| "sensor".to_owned()),
            events: None,
            sent_again: None,
        })
        .collect();
    account.missing_count = u64::MAX;
    table.save_account(&tenant, &account).await.expect("saved");
    assert_eq!(table.account(&tenant, window(1)).await, Ok(Some(account)));
}
