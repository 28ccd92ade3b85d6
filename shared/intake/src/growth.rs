//! What a process knows of its tenants' spreads, and how it has them grow.
//!
//! A process begins with a tenant's settings. It looks at how far the tenant has grown when it is throttled, and never
//! before: an envelope that nobody throttles costs no call.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::{ReceiptId, TenantId};
use vernier_ledger::ports::PortError;
use vernier_ledger::spread::{GROW_SECONDS, GrownSpread, Spread, Spreads, Throttling};
use vernier_ledger::time::Millis;

/// Tenants whose growth a process remembers, about 150 bytes each. Where there are more, all is forgotten, and each is
/// asked for again when it is throttled.
const TENANTS_MAX: usize = 10_000;

/// How far a tenant had grown when the process last looked.
#[derive(Debug, Clone, Copy)]
struct Seen {
    grown: Option<GrownSpread>,
    /// Until then the process does not look again.
    until: Millis,
}

/// Spreads of the tenants whose envelopes a process sends.
#[derive(Debug, Default)]
pub struct SpreadKeeper {
    seen: Mutex<HashMap<TenantId, Seen>>,
}

impl SpreadKeeper {
    /// A tenant's spread as far as this process knows.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> Spread {
        let seen = self.lock().get(&tenant.id).copied();
        Spread::of(tenant, seen.and_then(|seen| seen.grown).as_ref())
    }

    /// A new envelope's receipt, in any of the tenant's lanes.
    #[must_use]
    pub fn new_receipt(&self, tenant: &Tenant, now: Millis) -> ReceiptId {
        self.of(tenant).new_receipt(now)
    }

    /// Takes up how far others had a throttled tenant grow, or has it grow. What fails here is tried again at the next
    /// throttling: the envelope has its answer whatever becomes of this.
    pub(crate) async fn grow<T: Spreads>(
        &self,
        table: &T,
        tenant: &Tenant,
        throttling: Throttling,
        now: Millis,
    ) {
        if !self.is_due(tenant, now) {
            return;
        }
        if let Err(error) = self.look(table, tenant, throttling, now).await {
            self.lock()
                .entry(tenant.id.clone())
                .and_modify(|seen| seen.until = now);
            tracing::info!(tenant = %tenant.id, %error, "spread not grown");
        }
    }

    async fn look<T: Spreads>(
        &self,
        table: &T,
        tenant: &Tenant,
        throttling: Throttling,
        now: Millis,
    ) -> Result<(), PortError> {
        let known = self.of(tenant);
        let grown = table.grown_spread(&tenant.id).await?;
        if Spread::of(tenant, grown.as_ref()) != known {
            // Somebody had it grow while this process went by less: that may be enough.
            self.remember(tenant, grown, now);
            return Ok(());
        }
        let Some(next) = GrownSpread::next(tenant, grown.as_ref(), throttling, now) else {
            return Ok(());
        };
        if table.grow_spread(&tenant.id, grown.as_ref(), &next).await? {
            self.remember(tenant, Some(next), now);
            let Spread { lanes, stream_keys } = next.spread;
            tracing::warn!(tenant = %tenant.id, lanes, stream_keys, grown = 1, "spread grown");
        } else {
            let grown = table.grown_spread(&tenant.id).await?;
            self.remember(tenant, grown, now);
        }
        Ok(())
    }

    /// Whether the process has not looked for a while; then the next one has to wait.
    fn is_due(&self, tenant: &Tenant, now: Millis) -> bool {
        let mut all = self.lock();
        if !all.contains_key(&tenant.id) && all.len() >= TENANTS_MAX {
            all.clear();
        }
        let until = now.plus_seconds(GROW_SECONDS);
        let fresh = Seen {
            grown: None,
            until: now,
        };
        let seen = all.entry(tenant.id.clone()).or_insert(fresh);
        let due = seen.until <= now;
        if due {
            seen.until = until;
        }
        due
    }

    fn remember(&self, tenant: &Tenant, grown: Option<GrownSpread>, now: Millis) {
        let until = now.plus_seconds(GROW_SECONDS);
        self.lock().insert(tenant.id.clone(), Seen { grown, until });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Seen>> {
        // A panic leaves plain data behind, which is still whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
