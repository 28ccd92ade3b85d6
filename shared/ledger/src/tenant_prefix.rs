//! Under which prefixes of the bucket a tenant's objects lie. Each is followed by `tenant={tenant}/`.
//!
//! Segments and oversize events are no tenant's own: they go by sweeping alone. Checkpoints are of no tenant.

use crate::given_up::SLICES_PREFIX;
use crate::ids::TenantId;

/// Prefixes of parts, which hold rows: of windows and backfills, and of days.
pub const ROW_PREFIXES: [&str; 4] = [
    "archive/",
    "exceptions/",
    "days/archive/",
    "days/exceptions/",
];

/// Prefixes of what seals name beside their rows.
pub const BESIDE_PREFIXES: [&str; 6] = [
    "evidence/",
    "missing/",
    "lists/",
    "deltas/",
    "erasures/",
    "days/evidence/",
];

/// The prefix of what lay in a tenant's segments and could not be read.
pub const DAMAGED_PREFIX: &str = "quarantine/blocks/";

/// The prefix of a tenant's rolled-up filters, which go by themselves after a few days.
pub const FILTERS_PREFIX: &str = "filters/";

/// The prefix of the seals.
pub const SEAL_PREFIX: &str = "seals/";

/// Every prefix under which a tenant's objects lie, the seals' last: while they are there, what they name can be told
/// from what nothing names.
pub fn tenant_prefixes() -> impl Iterator<Item = &'static str> {
    let all = ROW_PREFIXES.into_iter().chain(BESIDE_PREFIXES);
    all.chain([SLICES_PREFIX, DAMAGED_PREFIX, FILTERS_PREFIX, SEAL_PREFIX])
}

/// Where one tenant's objects lie, in the order of [`tenant_prefixes`].
pub fn prefixes_of(tenant: &TenantId) -> impl Iterator<Item = String> {
    tenant_prefixes().map(move |prefix| format!("{prefix}tenant={tenant}/"))
}
