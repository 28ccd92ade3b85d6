//! What every `TenantItems` does.

use super::{tenant_id, unique};
use vernier_ledger::access::{NewToken, Scope, Tenant, TokenInfo};
use vernier_ledger::ids::TenantId;
use vernier_ledger::offboarding::{ItemCounts, TenantItems};
use vernier_ledger::ports::{Administration, Directory, RefusedEnvelopes};
use vernier_ledger::rates::{Charge, Move, RateCounters, RateUnit, SpendOutcome, Spending};
use vernier_ledger::refused::RefusedCount;
use vernier_ledger::roll_up::{RollUp, RollUps};
use vernier_ledger::time::{Millis, Minute};
use vernier_ledger::work::{Cause, Nonce, Owner, WorkEntry, WorkKey, WorkLists};

async fn furnish<T>(table: &T, id: &TenantId) -> [u8; 32]
where
    T: Administration + RefusedEnvelopes + RateCounters + RollUps + WorkLists,
{
    let tenant = Tenant::new(id.clone(), vernier_ledger::clock::now());
    assert_eq!(table.create_tenant(&tenant).await, Ok(true));
    let new = NewToken::generate();
    let info = TokenInfo {
        token_id: new.token_id.clone(),
        tenant: id.clone(),
        sensor: "lms".to_owned(),
        scopes: vec![Scope::EventsRead],
        learner: None,
        label: Some("\"tenant\":\"another\"".to_owned()),
        created_at: Millis(1),
        revoked_at: None,
    };
    table.put_token(&new.sha256, &info).await.expect("stored");
    let refused = RefusedCount {
        hour: 700_000,
        rule: "limit.rate".to_owned(),
        sensor: "lms".to_owned(),
        envelopes: 1,
    };
    assert_eq!(table.add_refused(id, &refused).await, Ok(()));
    let spending = Spending {
        ceiling_micros: 2,
        floor_micros: 1,
        charges: vec![Charge {
            unit: RateUnit::Events,
            by: Move::To(2),
        }],
        expires: Millis(4_000_000_000_000),
    };
    assert_eq!(table.spend(id, &spending).await, Ok(SpendOutcome::Spent));
    // In the year 3000: nobody does it before it is removed.
    let due = Millis(32_503_680_000_000);
    let entry = WorkEntry::new(WorkKey::of(Cause::Sweep, ""), due, Nonce::random());
    for owner in [Owner::Tenant(id.clone()), Owner::of_filters(id)] {
        assert_eq!(table.put_work(&owner, &entry).await, Ok(()));
    }
    let roll_up = RollUp {
        first_minute: Minute(29_919_465),
        objects: Vec::new(),
        made: Vec::new(),
        rolled_at: Millis(4_000_000_000_000),
    };
    assert_eq!(table.keep_roll_up(id, &roll_up).await, Ok(()));
    new.sha256
}

/// Invariant 7: of two tenants of like names each keeps its own.
pub async fn a_tenants_items_are_counted_and_removed<T>(table: &T)
where
    T: Administration
        + Directory
        + RefusedEnvelopes
        + RateCounters
        + RollUps
        + WorkLists
        + TenantItems,
{
    let id = tenant_id();
    let like: TenantId = format!("{id}-2").parse().expect("a tenant's name");
    let token = furnish(table, &id).await;
    let others = furnish(table, &like).await;
    // The tenant and its filters have a list each.
    let families = [
        ("due", 2),
        ("filters", 1),
        ("rates", 1),
        ("refused", 1),
        ("tenant", 1),
        ("tenants", 1),
        ("token", 1),
        ("work", 2),
    ];
    let counts: ItemCounts = families.map(|(f, count)| (f.to_owned(), count)).into();
    assert_eq!(table.count_items(&id).await, Ok(counts.clone()));
    assert_eq!(table.remove_items(&id).await, Ok(counts.clone()));
    assert_eq!(table.remove_items(&id).await, Ok(ItemCounts::new()));
    assert_eq!(table.token(&token).await, Ok(None));
    assert_eq!(table.list_tokens(&id).await, Ok(vec![]));
    let settings = table.tenant(&id).await.expect("read");
    assert!(settings.is_some(), "its settings stay");
    let listed = table.tenants().await.expect("read");
    assert!(!listed.contains(&id) && listed.contains(&like));
    assert!(
        table
            .token(&others)
            .await
            .is_ok_and(|token| token.is_some())
    );
    assert_eq!(table.count_items(&like).await, Ok(counts));
    let nobody: TenantId = unique("nobody").parse().expect("a tenant's name");
    assert_eq!(table.count_items(&nobody).await, Ok(ItemCounts::new()));
}
