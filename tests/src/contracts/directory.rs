//! `Directory` and `Administration`.

use super::{long_text, tenant_id, unique};
use std::sync::LazyLock;
use vernier_ledger::access::{NewToken, Scope, Tenant, TokenInfo};
use vernier_ledger::ids::TenantId;
use vernier_ledger::ports::{Administration, Directory, PortError, TenantSettings};
use vernier_ledger::rates::Rates;
use vernier_ledger::time::Millis;
use vernier_validation::Mode;

/// Now: a deployed stack seals a tenant's windows from here on.
static CREATED_AT: LazyLock<Millis> = LazyLock::new(vernier_ledger::clock::now);

fn tenant(id: &TenantId, lanes: u16) -> Tenant {
    Tenant {
        mode: Mode::Lenient,
        lanes,
        ..Tenant::new(id.clone(), *CREATED_AT)
    }
}

fn token(tenant: &TenantId, token_id: &str) -> TokenInfo {
    TokenInfo {
        token_id: token_id.to_owned(),
        tenant: tenant.clone(),
        sensor: long_text(200),
        scopes: Scope::ALL.to_vec(),
        learner: Some(long_text(1_024)),
        label: Some(long_text(200)),
        created_at: Millis(1_700_000_000_000),
        revoked_at: None,
    }
}

async fn listed(table: &impl Administration, tenant: &TenantId) -> Vec<TokenInfo> {
    let mut tokens = table.list_tokens(tenant).await.expect("read");
    tokens.sort_by(|a, b| a.token_id.cmp(&b.token_id));
    tokens
}

pub async fn unknown_names_are_not_there<T: Directory + Administration>(table: &T) {
    let id = tenant_id();
    assert_eq!(table.tenant(&id).await, Ok(None));
    assert_eq!(table.token(&NewToken::generate().sha256).await, Ok(None));
    assert_eq!(table.list_tokens(&id).await, Ok(vec![]));
    assert_eq!(table.revoke_token(&id, "none", Millis(1)).await, Ok(None));
}

pub async fn a_tenant_is_created_once<T: Directory + Administration>(table: &T) {
    let id = tenant_id();
    assert_eq!(table.create_tenant(&tenant(&id, 7)).await, Ok(true));
    assert_eq!(table.create_tenant(&tenant(&id, 8)).await, Ok(false));
    assert_eq!(
        table.tenant(&id).await,
        Ok(Some(tenant(&id, 7))),
        "the first one's settings"
    );
    assert_eq!(
        table.list_tokens(&id).await,
        Ok(vec![]),
        "settings are no token"
    );
}

pub async fn a_tenants_settings_change_on_condition<T>(table: &T)
where
    T: Directory + Administration + TenantSettings,
{
    let id = tenant_id();
    let first = tenant(&id, 1);
    let second = Tenant {
        mode: Mode::Strict,
        rates: Rates {
            events_per_second: std::num::NonZeroU32::new(5),
            ..Rates::default()
        },
        closed_at: Some(Millis(7)),
        ..tenant(&id, 2)
    };
    assert_eq!(table.change_tenant(&first, &second).await, Ok(false));
    assert_eq!(table.tenant(&id).await, Ok(None), "nothing is created");
    assert_eq!(table.create_tenant(&first).await, Ok(true));
    assert_eq!(table.change_tenant(&first, &second).await, Ok(true));
    assert_eq!(table.change_tenant(&first, &first).await, Ok(false));
    assert_eq!(table.tenant(&id).await, Ok(Some(second)));
}

pub async fn tenants_are_listed_in_order<T: Directory + Administration>(table: &T) {
    let prefix = unique("order");
    // Few, but in another order than that of their numbers: every tenant of the deployed stack costs each
    // scheduled run its part, which other tests wait for.
    let mut names: Vec<TenantId> = (0..12)
        .map(|n| format!("{prefix}-{n}").parse().expect("a tenant's name"))
        .collect();
    for name in &names {
        assert_eq!(table.create_tenant(&tenant(name, 1)).await, Ok(true));
    }
    names.sort();
    let listed = table.tenants().await.expect("read");
    assert!(listed.is_sorted());
    let own: Vec<_> = listed
        .into_iter()
        .filter(|t| t.as_str().starts_with(&prefix))
        .collect();
    assert_eq!(own, names);
}

pub async fn a_token_is_found_by_its_hash_and_in_its_tenants_list<T>(table: &T)
where
    T: Directory + Administration,
{
    let (id, other) = (tenant_id(), tenant_id());
    assert_eq!(table.create_tenant(&tenant(&id, 1)).await, Ok(true));
    let mut expected = Vec::new();
    for _ in 0..3 {
        let new = NewToken::generate();
        let info = token(&id, &new.token_id);
        table.put_token(&new.sha256, &info).await.expect("stored");
        assert_eq!(table.token(&new.sha256).await, Ok(Some(info.clone())));
        expected.push(info);
    }
    expected.sort_by(|a, b| a.token_id.cmp(&b.token_id));
    assert_eq!(listed(table, &id).await, expected);
    assert_eq!(listed(table, &other).await, []);
}

pub async fn a_tokens_hash_and_id_are_its_own<T: Directory + Administration>(table: &T) {
    let (id, other) = (tenant_id(), tenant_id());
    let (first, second) = (NewToken::generate(), NewToken::generate());
    let info = token(&id, "same");
    table.put_token(&first.sha256, &info).await.expect("stored");
    // The same hash again, in whatever tenant; the same id of the same tenant again.
    for (sha256, refused) in [
        (&first.sha256, token(&id, "another")),
        (&first.sha256, token(&other, "another")),
        (&second.sha256, token(&id, "same")),
    ] {
        let answer = table.put_token(sha256, &refused).await;
        assert!(matches!(answer, Err(PortError::Fatal(_))), "{answer:?}");
    }
    assert_eq!(listed(table, &id).await, std::slice::from_ref(&info));
    assert_eq!(listed(table, &other).await, []);
    assert_eq!(table.token(&first.sha256).await, Ok(Some(info)));
    assert_eq!(
        table.token(&second.sha256).await,
        Ok(None),
        "both or neither"
    );
    table
        .put_token(&second.sha256, &token(&other, "same"))
        .await
        .expect("another tenant's");
}

pub async fn the_first_revocation_counts<T: Directory + Administration>(table: &T) {
    let (id, new) = (tenant_id(), NewToken::generate());
    let info = token(&id, &new.token_id);
    table.put_token(&new.sha256, &info).await.expect("stored");
    for at in [50, 60] {
        let revoked = table.revoke_token(&id, &new.token_id, Millis(at)).await;
        assert_eq!(revoked, Ok(Some(Millis(50))));
    }
    let expected = TokenInfo {
        revoked_at: Some(Millis(50)),
        ..info
    };
    assert_eq!(table.token(&new.sha256).await, Ok(Some(expected.clone())));
    assert_eq!(listed(table, &id).await, [expected]);
}

/// Invariant 7.
pub async fn a_token_is_revoked_by_its_own_tenant<T: Directory + Administration>(table: &T) {
    let (id, other, new) = (tenant_id(), tenant_id(), NewToken::generate());
    let info = token(&id, &new.token_id);
    table.put_token(&new.sha256, &info).await.expect("stored");
    assert_eq!(
        table.revoke_token(&other, &new.token_id, Millis(1)).await,
        Ok(None)
    );
    assert_eq!(table.token(&new.sha256).await, Ok(Some(info)));
}

/// A page of a query is 1 MB.
pub async fn more_tokens_than_one_page_holds<T: Directory + Administration>(table: &T) {
    let id = tenant_id();
    let mut expected = Vec::new();
    for n in 0..15 {
        let new = NewToken::generate();
        let mut info = token(&id, &format!("{n:03}"));
        info.label = Some(long_text(100_000));
        table.put_token(&new.sha256, &info).await.expect("stored");
        expected.push(info);
    }
    assert_eq!(listed(table, &id).await, expected);
}
