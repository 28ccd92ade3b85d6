//! What seals say is missing of windows, for whoever asks for accounts.

use crate::sealing::missing_of;
use std::collections::BTreeMap;
use vernier_archive::account::Missing;
use vernier_archive::seal::Shortfall;
use vernier_archive::stored::read_seal;
use vernier_ledger::account::{WindowAccount, WindowState};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::WINDOW_SECONDS_MAX;
use vernier_ledger::ports::{Chains, PortError};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::Millis;

/// Puts what the last seals of windows say is missing into their accounts, and answers what they say of that, by the
/// windows' beginnings. Seals are read of those windows alone that are short.
///
/// # Errors
/// The stores'; fatal when a list of what is missing is gone or changed.
pub async fn add_shortfalls<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    accounts: &mut [WindowAccount],
) -> Result<BTreeMap<Millis, Shortfall>, PortError> {
    let (Some(first), Some(last)) = (accounts.first(), accounts.last()) else {
        return Ok(BTreeMap::new());
    };
    let since = first.start.plus_seconds(-WINDOW_SECONDS_MAX);
    let seals = stores.table().seals(tenant, since, last.end).await?;
    let mut shortfalls = BTreeMap::new();
    for account in accounts {
        let window = account.window();
        let of = |seal: &&SealEntry| seal.kind.has_rows_of_window() && seal.window == window;
        let entry = seals.iter().filter(of).max_by_key(|seal| seal.sequence);
        let Some(entry) = entry.filter(|entry| entry.missing > 0) else {
            continue;
        };
        let seal = read_seal(stores.objects(), tenant, entry).await?;
        let statement = seal.statement.as_ref().and_then(|s| s.window());
        let Some(statement) = statement else { continue };
        let missing = missing_of(stores.objects(), &statement.missing).await?;
        account.state = WindowState::Short;
        account.missing_count = missing.len() as u64;
        account.missing = missing.values().map(Missing::receipt).collect();
        if let Some(shortfall) = &statement.shortfall {
            shortfalls.insert(window.start, shortfall.clone());
        }
    }
    Ok(shortfalls)
}
