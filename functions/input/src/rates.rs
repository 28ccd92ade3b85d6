//! A tenant's rates, kept before its envelopes cost anything more.

use crate::context::Context;
use crate::refused::Refused;
use std::time::Duration;
use vernier_ledger::access::Identity;
use vernier_ledger::rates::{Demand, OverRate, TakeTimes, Taken};
use vernier_ledger::stores::IntakeStores;
use vernier_ledger::time::Millis;
use vernier_web::{ProblemDocument, ProblemType};

/// Longest wait for the counters, which hold up the answer. Then the envelope passes.
const COUNTERS_WAIT: Duration = Duration::from_millis(500);

/// The rule under which envelopes over a rate are counted.
pub(crate) const RULE: &str = "limit.rate";

impl From<OverRate> for Refused {
    fn from(over: OverRate) -> Self {
        Self {
            rules: vec![RULE.to_owned()],
            document: ProblemDocument {
                retry_after_seconds: Some(over.retry_after_seconds),
                ..ProblemDocument::new(
                    ProblemType::RateExceeded,
                    format!("{over}; nothing of this envelope was taken"),
                )
            },
        }
    }
}

/// Refuses an envelope of a tenant whose rate is known to be spent, before it is read.
pub(crate) fn check<S: IntakeStores>(
    context: &Context<S>,
    identity: &Identity,
    now: Millis,
) -> Result<(), Refused> {
    let checked = context.rates.check(&identity.tenant, now);
    checked.map_err(|over| told(identity, over))
}

/// Takes what an envelope needs of its tenant's rates.
pub(crate) async fn take<S: IntakeStores>(
    context: &Context<S>,
    identity: &Identity,
    demand: Demand,
    now: Millis,
    budget: Duration,
) -> Result<(), Refused> {
    if identity.tenant.rates.is_unlimited() {
        return Ok(());
    }
    let times = TakeTimes {
        now,
        wait: COUNTERS_WAIT.min(budget),
    };
    let counters = context.stores.table();
    let taken = context
        .rates
        .take(counters, &identity.tenant, demand, times);
    let tenant = &identity.tenant.id;
    // Boxed: few tenants have rates, and it would make the future of every envelope as large as its own.
    match Box::pin(taken).await {
        Ok(Taken::Within) => {}
        Ok(Taken::Unchecked(error)) => {
            tracing::warn!(%tenant, %error, envelopes = 1, "rates not checked");
        }
        Ok(Taken::StillUnchecked) => {
            tracing::warn!(%tenant, envelopes = 1, "rates not checked");
        }
        Err(over) => return Err(told(identity, over)),
    }
    Ok(())
}

fn told(identity: &Identity, over: OverRate) -> Refused {
    let (tenant, sensor) = (&identity.tenant.id, identity.token.sensor.as_str());
    let unit = over.unit.as_str();
    tracing::info!(%tenant, sensor, unit, envelopes = 1, "rate exceeded");
    over.into()
}
