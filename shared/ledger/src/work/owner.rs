//! Whose work there is.

use crate::ids::{BadId, Shard, TenantId};
use crate::limits::WORK_SLOTS;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Before a shard's id where tenants' lists have their tenant's name; no tenant's name begins with it.
const OF_SHARD: &str = ".shard.";

/// Before a tenant's name where the list of its filters has it; no tenant's name begins with it.
const OF_FILTERS: &str = ".filters.";

/// How the ledger's own list is named where tenants' lists have their tenant's name; no tenant can have it.
const LEDGER: &str = ".ledger";

/// Whose work it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// A tenant has a list of its own.
    Tenant(TenantId),
    /// The ledger's, for all tenants together: what segments and the shards' chains want.
    Ledger,
    /// A shard's, for all tenants together: what the trigger went past there.
    Shard(ShardList),
    /// A tenant's filters, which have a list of their own: they do not wait while a worker seals for minutes.
    Filters(FilterList),
}

/// The name of a shard's list, which has its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardList(String);

impl ShardList {
    /// The id of the shard whose list it is.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        &self.0[OF_SHARD.len()..]
    }
}

/// The name of the list of a tenant's filters, which has the tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterList {
    tenant: TenantId,
    name: String,
}

impl FilterList {
    /// The tenant whose filters it is about.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl Owner {
    /// The owner of the work of a tenant's filters.
    #[must_use]
    pub fn of_filters(tenant: &TenantId) -> Self {
        Self::Filters(FilterList {
            tenant: tenant.clone(),
            name: format!("{OF_FILTERS}{tenant}"),
        })
    }

    /// The tenant whose own work it is; none of work for all tenants together.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Filters(list) => Some(list.tenant()),
            Self::Ledger | Self::Shard(_) => None,
        }
    }

    /// The owner of the work of the shard with this id.
    #[must_use]
    pub fn of_shard(id: &str) -> Self {
        Self::Shard(ShardList(format!("{OF_SHARD}{id}")))
    }

    /// The slot of the due index that has the owner's items, below [`WORK_SLOTS`].
    #[must_use]
    pub fn slot(&self) -> u8 {
        let slot = self.hash() % u64::from(WORK_SLOTS);
        u8::try_from(slot).unwrap_or(0)
    }

    /// FNV-1a of the name: stable across versions, unlike the standard library's hasher.
    pub(super) fn hash(&self) -> u64 {
        let bytes = self.as_str().bytes();
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The name of the owner's list.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tenant(tenant) => tenant.as_str(),
            Self::Ledger => LEDGER,
            Self::Shard(list) => &list.0,
            Self::Filters(list) => &list.name,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Owner {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text {
            LEDGER => Ok(Self::Ledger),
            _ if text.starts_with(OF_SHARD) => {
                Shard::new(LEDGER, &text[OF_SHARD.len()..])?;
                Ok(Self::Shard(ShardList(text.to_owned())))
            }
            _ => match text.strip_prefix(OF_FILTERS) {
                Some(tenant) => Ok(Self::of_filters(&tenant.parse()?)),
                None => text.parse().map(Self::Tenant),
            },
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.as_str().to_owned()
    }
}
