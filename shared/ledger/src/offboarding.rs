//! A tenant's end: it is closed, read for as long as anybody wants, and then removed.
//!
//! Closing takes its tokens away and lets nothing be written any more; sealing, compaction and reading by a new token go
//! on. Removal waits until no segment holds its events: segments hold those of several tenants and go by sweeping alone,
//! which needs the tenant's seals. Then its own objects and items go, one by one and the settings last, so that a removal
//! that was cut off is finished by the next one. The settings stay and say when it was: a name is not given again.

use crate::access::Tenant;
use crate::ids::TenantId;
use crate::ports::{
    Administration, Directory, Inventory, Leftovers, PortError, Removal, Sweeps, TenantSettings,
};
use crate::removal::remove_each;
use crate::sweep::{Leftover, LeftoverKind, Sweep, all_leftovers};
use crate::tenant_prefix::prefixes_of;
use crate::time::Millis;
use crate::work::Owner;
use std::collections::BTreeMap;

/// How long after the closing a segment with the tenant's events may still be committed, seconds: input trusts a token
/// for 15 minutes at most, and the trigger gives a frame up after a week at most.
pub const LAST_COMMIT_SECONDS: i64 = 8 * 86_400;

/// Tries to change settings that somebody else changes at the same time.
const TRIES_MAX: usize = 3;

/// Why a tenant cannot be closed or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOffboarded {
    /// There is no tenant of this name.
    #[error("there is no tenant {0}")]
    Unknown(TenantId),
    /// It takes events still.
    #[error("tenant {0} is not closed: close it first")]
    Open(TenantId),
    /// Segments that hold its events, with those of others, are not all swept.
    #[error(
        "segments with events of tenant {tenant} lie beside those of others and are swept first: \
         they are swept through {swept_through}, and have to be through {needed}{left}"
    )]
    NotSwept {
        /// The tenant that it is about.
        tenant: TenantId,
        /// Commits before this are swept.
        swept_through: Millis,
        /// Commits before this have to be.
        needed: Millis,
        /// What the sweep left of the tenant's, in words; empty where nothing.
        left: String,
    },
    /// A store failed, for this reason.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// What closing a tenant did to it and its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The tenant as it is now.
    pub tenant: Tenant,
    /// Public ids of the tokens that were revoked by it.
    pub revoked: Vec<String>,
}

/// Closes a tenant: first its settings say so, then its tokens are revoked. Closing it again revokes what was issued
/// since.
///
/// # Errors
/// When there is no such tenant, and the table's.
pub async fn close<T>(table: &T, id: &TenantId, now: Millis) -> Result<Closed, NotOffboarded>
where
    T: Directory + Administration + TenantSettings,
{
    let tenant = mark(table, id, |tenant| Tenant {
        closed_at: tenant.closed_at.or(Some(now)),
        ..tenant.clone()
    })
    .await?;
    let mut revoked = Vec::new();
    for token in table.list_tokens(id).await? {
        if token.revoked_at.is_none() {
            table.revoke_token(id, &token.token_id, now).await?;
            revoked.push(token.token_id);
        }
    }
    Ok(Closed { tenant, revoked })
}

async fn mark<T: Directory + TenantSettings>(
    table: &T,
    id: &TenantId,
    change: impl Fn(&Tenant) -> Tenant,
) -> Result<Tenant, NotOffboarded> {
    for _ in 0..TRIES_MAX {
        let before = table.tenant(id).await?;
        let before = before.ok_or_else(|| NotOffboarded::Unknown(id.clone()))?;
        let after = change(&before);
        if before == after || table.change_tenant(&before, &after).await? {
            return Ok(after);
        }
    }
    let error = PortError::Retryable(format!("change tenant {id}: somebody else does, each time"));
    Err(error.into())
}

/// A tenant's items by what their keys begin with.
pub type ItemCounts = BTreeMap<String, u64>;

/// A tenant's items, wherever in the table they lie.
#[allow(async_fn_in_trait)] // callers are generic and single-threaded; no Send bound is wanted
pub trait TenantItems {
    /// Counts a tenant's items, its settings left out. Reads the whole table.
    async fn count_items(&self, tenant: &TenantId) -> Result<ItemCounts, PortError>;

    /// Removes a tenant's items but for its settings; how many there were. Reads the whole table. One that fails has
    /// removed some.
    async fn remove_items(&self, tenant: &TenantId) -> Result<ItemCounts, PortError>;
}

/// Objects under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The prefix that their keys begin with.
    pub prefix: String,
    /// How many there are.
    pub objects: u64,
    /// The bytes that they have together.
    pub bytes: u64,
}

/// What a removal removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estate {
    /// The tenant with its settings.
    pub tenant: Tenant,
    /// The tenant's objects by prefix.
    pub objects: Vec<Holding>,
    /// The tenant's items by family of keys.
    pub items: ItemCounts,
}

impl Estate {
    /// How many objects there are in all, and their bytes.
    #[must_use]
    pub fn sum(&self) -> Holding {
        let all = self.objects.iter();
        Holding {
            prefix: String::new(),
            objects: all.clone().map(|of| of.objects).sum(),
            bytes: all.map(|of| of.bytes).sum(),
        }
    }
}

/// Lists what removing a closed tenant removes, and removes nothing.
///
/// # Errors
/// Why it cannot be removed now, and the stores'.
pub async fn survey<T, O>(table: &T, objects: &O, id: &TenantId) -> Result<Estate, NotOffboarded>
where
    T: Directory + Sweeps + Leftovers + TenantItems,
    O: Inventory,
{
    let tenant = removable(table, id).await?;
    let mut holdings = Vec::new();
    for prefix in prefixes_of(id) {
        let listed = objects.all_listed(&prefix).await?;
        holdings.push(Holding {
            prefix,
            objects: listed.len() as u64,
            bytes: listed.iter().map(|object| object.bytes).sum(),
        });
    }
    Ok(Estate {
        tenant,
        objects: holdings,
        items: table.count_items(id).await?,
    })
}

/// The tenant, if it is closed and no segment holds its events.
async fn removable<T>(table: &T, id: &TenantId) -> Result<Tenant, NotOffboarded>
where
    T: Directory + Sweeps + Leftovers,
{
    let tenant = table.tenant(id).await?;
    let tenant = tenant.ok_or_else(|| NotOffboarded::Unknown(id.clone()))?;
    let Some(closed_at) = tenant.closed_at else {
        return Err(NotOffboarded::Open(id.clone()));
    };
    let mark = table.sweep_mark(Sweep::Segments).await?.unwrap_or_default();
    let needed = closed_at.plus_seconds(LAST_COMMIT_SECONDS);
    let mut left = Vec::new();
    for Leftover {
        key,
        objects,
        first,
    } in all_leftovers(table).await?
    {
        if key.tenant.as_ref() == Some(id) {
            let start = key.start;
            left.push(match key.kind {
                LeftoverKind::Segments | LeftoverKind::Unknown => {
                    format!("{objects} segments of the hour of {start}, first {first}")
                }
                LeftoverKind::Oversize => format!("oversize events of {start}"),
                // They go with the tenant.
                LeftoverKind::Unclaimed => continue,
            });
        }
    }
    if !mark.left.is_empty() || !mark.left_days.is_empty() {
        left.push("what an earlier version left, until the next sweep has looked at it".to_owned());
    }
    if mark.through < needed || !left.is_empty() {
        let left = match left.is_empty() {
            true => String::new(),
            false => format!(
                "; not wholly sealed, and left by the sweep: {}",
                left.join(", ")
            ),
        };
        return Err(NotOffboarded::NotSwept {
            tenant: id.clone(),
            swept_through: mark.through,
            needed,
            left,
        });
    }
    Ok(tenant)
}

/// Removes a closed tenant's objects and items; what was there. One that was cut off is finished by the next, and so is
/// what a worker that was under way wrote meanwhile: removing a removed tenant again finds nothing, or that.
///
/// # Errors
/// Why it cannot be removed now, and the stores'.
pub async fn remove<T, O>(
    table: &T,
    objects: &O,
    id: &TenantId,
    now: Millis,
) -> Result<Estate, NotOffboarded>
where
    T: Directory + Sweeps + Leftovers + TenantItems + TenantSettings,
    O: Inventory + Removal,
{
    removable(table, id).await?;
    let mut holdings = Vec::new();
    for prefix in prefixes_of(id) {
        let mut holding = Holding {
            prefix,
            objects: 0,
            bytes: 0,
        };
        loop {
            let page = objects.listed(&holding.prefix, None).await?;
            if page.is_empty() {
                break;
            }
            let keys: Vec<String> = page.iter().map(|object| object.key.clone()).collect();
            remove_each(objects, &keys).await?;
            holding.objects += page.len() as u64;
            holding.bytes += page.iter().map(|object| object.bytes).sum::<u64>();
        }
        holdings.push(holding);
    }
    let items = table.remove_items(id).await?;
    // Last: until then the tenant is there and can be removed again.
    let tenant = mark(table, id, |tenant| Tenant {
        removed_at: tenant.removed_at.or(Some(now)),
        ..tenant.clone()
    })
    .await?;
    Ok(Estate {
        tenant,
        objects: holdings,
        items,
    })
}

/// Keys of the table under which a tenant's name stands second.
const FAMILIES: [&str; 13] = [
    "tenant",
    "schemas",
    "receipts",
    "rates",
    "spread",
    "refused",
    "given-up",
    "windows",
    "seals",
    "playbacks",
    "results",
    "blocks",
    "filters",
];

/// Whether a work list's owner is the tenant or the tenant's filters.
fn is_owner(tenant: &TenantId, owner: &str) -> bool {
    let owner: Option<Owner> = owner.parse().ok();
    owner.is_some_and(|owner| owner.tenant() == Some(tenant))
}

/// What an item's keys begin with, if it is one tenant's, its settings left out. The item that a token is looked up by
/// does not have the tenant in its key: whoever reads it says whose it is.
#[must_use]
pub fn family_of<'k>(tenant: &TenantId, pk: &'k str, sk: &str) -> Option<&'k str> {
    let id = tenant.as_str();
    let (family, rest) = pk.split_once('#').unwrap_or((pk, ""));
    let is_own = match family {
        "tenants" => rest.is_empty() && sk == id,
        "playbacks" if rest.is_empty() => sk.split('/').next() == Some(id),
        "sweeps" => sk.strip_prefix("parts#") == Some(id),
        "tenant" => rest == id && sk != "tenant",
        "due" => sk
            .split('#')
            .nth(1)
            .is_some_and(|owner| is_owner(tenant, owner)),
        "work" => is_owner(tenant, rest),
        _ => FAMILIES.contains(&family) && rest.split('#').next() == Some(id),
    };
    is_own.then_some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 7: a name that begins or ends like the tenant's is another's.
    #[test]
    fn a_tenants_items_are_known_by_their_keys() {
        let id: TenantId = "school".parse().expect("a tenant's name");
        for (pk, sk, family) in [
            ("tenants", "school", Some("tenants")),
            ("tenants", "school-2", None),
            ("tenant#school", "tenant", None),
            ("tenant#school", "token#0a1b", Some("tenant")),
            ("tenant#school-2", "token#0a1b", None),
            ("receipts#school#29000000#0", "x", Some("receipts")),
            ("receipts#my-school#29000000#0", "x", None),
            ("receipts#schoo#school", "x", None),
            ("schemas#school", "urn:x", Some("schemas")),
            ("schemas#school#00ff", "0000000001", Some("schemas")),
            ("results#school#00ff#3", "x", Some("results")),
            ("rates#school", "spent", Some("rates")),
            ("spread#school", "spread", Some("spread")),
            (
                "refused#school",
                "0000000001#limit.rate#lms",
                Some("refused"),
            ),
            ("given-up#school", "1#x#00000", Some("given-up")),
            ("windows#school", "1-2", Some("windows")),
            ("seals#school", "head", Some("seals")),
            ("playbacks#school", "id", Some("playbacks")),
            ("playbacks", "school/id", Some("playbacks")),
            ("playbacks", "school-2/id", None),
            ("sweeps", "parts#school", Some("sweeps")),
            ("sweeps", "segments", None),
            (
                "blocks#school#500000#3",
                "0030000000#frames#shard#000000000000007",
                Some("blocks"),
            ),
            ("blocks#school-2#500000#3", "x", None),
            ("work#school", "close#001795167900000", Some("work")),
            ("work#.ledger", "recover#", None),
            ("work#.filters.school", "roll-up#1", Some("work")),
            ("work#.filters.school-2", "roll-up#1", None),
            ("filters#school", "0029919465", Some("filters")),
            ("filters#school-2", "0029919465", None),
            ("due#7", "001795167900000#school#00ff", Some("due")),
            ("due#7", "001795167900000#school-2#00ff", None),
            ("due#7", "001795167900000#.filters.school#00ff", Some("due")),
            ("segments#500000#3", "school", None),
            ("cursor#school#shard", "cursor", None),
            ("scaling", "school", None),
        ] {
            assert_eq!(family_of(&id, pk, sk), family, "{pk} {sk}");
        }
    }
}
