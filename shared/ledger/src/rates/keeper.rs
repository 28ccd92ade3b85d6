//! What one process has taken of tenants' rates and not spent yet, and what it knows of those that are spent.

use super::{
    BURST_MICROS, Charge, Demand, Move, PATIENCE_MICROS_MAX, RateCounters, RateUnit, Rates,
    SpendOutcome, Spending, SpentUntil, cost_micros,
};
use crate::access::Tenant;
use crate::ids::TenantId;
use crate::ports::PortError;
use crate::time::Millis;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long what a process took can be spent, milliseconds. What is left then is lost.
pub const LEASE_MILLIS: u64 = 1_000;

/// A process that asks again within so many milliseconds takes twice as much as before. So one that sends little takes
/// no more than it sends, however many there are of its kind, and a busy one soon asks seldom.
const GROWTH_MILLIS: u64 = 250;

/// A process that asks again within so many milliseconds, and spent most of what it took, takes as much as before.
const REPEAT_MILLIS: u64 = 2_000;

/// How much further into the future a process may charge for each time that it was refused since it last got something,
/// microseconds: whoever always comes last gets its turn.
const PATIENCE_MICROS: i64 = 100_000;

/// The part of a second's rate that a process takes at most beyond its need: with fifty busy processes each gets its
/// turn in every second.
const SHARES: u32 = 50;

/// Tries of one envelope to charge instants that others move at the same time.
const TRIES_MAX: usize = 4;

/// Tenants with rates that a process remembers; about 300 bytes each.
const TENANTS_MAX: usize = 10_000;

/// A rate is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant's {unit} of this second are used up: its rate is {rate} a second")]
pub struct OverRate {
    /// The unit that is spent for the longest time.
    pub unit: RateUnit,
    /// Its rate, in a second.
    pub rate: NonZeroU32,
    /// When trying again makes sense, seconds from now, rounded up.
    pub retry_after_seconds: u32,
}

/// How an envelope came to be within its tenant's rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is limited, or what it takes was there.
    Within,
    /// The counters did not answer, and it passes unchecked.
    Unchecked(PortError),
    /// They did not answer to an envelope before it in this second, and it passes unchecked.
    StillUnchecked,
}

/// What was taken of one unit and not spent.
#[derive(Debug, Clone, Copy, Default)]
struct Lease {
    left: u64,
    /// How much was taken the last time.
    size: u64,
    taken_at: Millis,
}

impl Lease {
    const fn age_millis(&self, now: Millis) -> u64 {
        now.0.abs_diff(self.taken_at.0)
    }

    const fn left(&self, now: Millis) -> u64 {
        if self.age_millis(now) < LEASE_MILLIS {
            self.left
        } else {
            0
        }
    }

    /// How much is taken next by whom so much is lacking.
    fn next_size(&self, lacking: u64, rate: NonZeroU32, now: Millis) -> u64 {
        let age_millis = self.age_millis(now);
        let grown = if age_millis <= GROWTH_MILLIS {
            self.size.saturating_mul(2)
        } else if age_millis <= REPEAT_MILLIS && self.left < self.size.div_ceil(2) {
            self.size
        } else {
            0
        };
        lacking.max(grown.min(u64::from(rate.get() / SHARES)))
    }
}

/// A rate that is known to be spent, so that nobody has to be asked.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    until: Millis,
    unit: RateUnit,
    rate: NonZeroU32,
}

impl Refusal {
    fn at(&self, now: Millis) -> Option<OverRate> {
        let left = u64::try_from(self.until.0.saturating_sub(now.0)).unwrap_or(0);
        (left > 0).then(|| OverRate {
            unit: self.unit,
            rate: self.rate,
            retry_after_seconds: u32::try_from(left.div_ceil(1_000)).unwrap_or(u32::MAX),
        })
    }
}

/// What the process holds of one tenant.
#[derive(Debug, Default)]
struct Held {
    rates: Rates,
    leases: [Lease; 3],
    /// The stored instants as they were last seen, with what this process charged since.
    known: SpentUntil,
    refusal: Option<Refusal>,
    /// How often the counters refused since they last granted something.
    refused: u32,
    unchecked_until: Millis,
}

/// What an envelope still needs.
struct Asked {
    spending: Spending,
    sizes: Vec<(RateUnit, u64)>,
}

impl Held {
    fn lease(&mut self, unit: RateUnit) -> &mut Lease {
        &mut self.leases[unit as usize]
    }

    fn is_idle(&self, now: Millis) -> bool {
        self.refusal.is_none_or(|refusal| refusal.at(now).is_none())
            && self.leases.iter().all(|lease| lease.left(now) == 0)
    }

    /// Spends what is there; else what has to be asked for.
    fn spend(&mut self, demand: Demand, now: Millis) -> Option<Asked> {
        let mut sizes = Vec::new();
        let mut charges = Vec::new();
        let floor = now.0.saturating_mul(1_000).saturating_sub(BURST_MICROS);
        for (unit, rate) in self.rates.limited() {
            let known = self.known.of(unit);
            let lease = self.lease(unit);
            let lacking = demand.of(unit).saturating_sub(lease.left(now));
            if lacking > 0 {
                let size = lease.next_size(lacking, rate, now);
                let cost = cost_micros(size, rate);
                let by = match known {
                    Some(known) if known >= floor => Move::By(cost),
                    _ => Move::To(floor.saturating_add(cost)),
                };
                sizes.push((unit, size));
                charges.push(Charge { unit, by });
            }
        }
        if charges.is_empty() {
            self.subtract(demand, now);
            return None;
        }
        let patience = PATIENCE_MICROS.saturating_mul(i64::from(self.refused));
        let spending = Spending::new(now, patience.min(PATIENCE_MICROS_MAX), charges);
        Some(Asked { spending, sizes })
    }

    fn subtract(&mut self, demand: Demand, now: Millis) {
        for (unit, _) in self.rates.limited() {
            let lease = self.lease(unit);
            lease.left = lease.left(now).saturating_sub(demand.of(unit));
        }
    }

    fn grant(&mut self, asked: &Asked, demand: Demand, now: Millis) {
        for (unit, size) in &asked.sizes {
            let lease = self.lease(*unit);
            *lease = Lease {
                left: lease.left(now).saturating_add(*size),
                size: *size,
                taken_at: now,
            };
        }
        self.refused = 0;
        self.known.charge(&asked.spending);
        self.subtract(demand, now);
    }

    /// Takes over what is stored; the refusal where a unit that was asked for is spent.
    fn learn(&mut self, stored: SpentUntil, asked: &Asked, now: Millis) -> Option<OverRate> {
        self.known = stored;
        let units = asked.spending.charges.iter().map(|charge| charge.unit);
        let spent = units.filter_map(|unit| Some((stored.of(unit)?, unit)));
        let (until_micros, unit) = spent
            .filter(|(until, _)| *until > asked.spending.ceiling_micros)
            .max()?;
        let until = Millis(until_micros.saturating_add(999) / 1_000);
        let refusal = Refusal {
            // All come back with the next second, when all of it is there, and not with each part of it.
            until: until.max(next_second(now)),
            unit,
            rate: self.rates.of(unit)?,
        };
        self.refusal = Some(refusal);
        self.refused = self.refused.saturating_add(1);
        refusal.at(now)
    }
}

const fn next_second(now: Millis) -> Millis {
    Millis((now.0.div_euclid(1_000) + 1) * 1_000)
}

/// The rates of the tenants whose envelopes one process takes.
#[derive(Debug, Default)]
pub struct RateKeeper {
    held: Mutex<HashMap<TenantId, Held>>,
}

impl RateKeeper {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with what is held of a tenant, by its rates of now: of other rates nothing is held.
    fn with<R>(&self, tenant: &Tenant, now: Millis, task: impl FnOnce(&mut Held) -> R) -> R {
        let mut all = self.lock();
        if !all.contains_key(&tenant.id) && all.len() >= TENANTS_MAX {
            all.retain(|_, held| !held.is_idle(now));
            if all.len() >= TENANTS_MAX {
                all.clear();
            }
        }
        let held = all.entry(tenant.id.clone()).or_default();
        if held.rates != tenant.rates {
            *held = Held {
                rates: tenant.rates,
                ..Held::default()
            };
        }
        task(held)
    }

    /// The refusal that is known without asking, before an envelope is read.
    ///
    /// # Errors
    /// A rate of the tenant is spent.
    pub fn check(&self, tenant: &Tenant, now: Millis) -> Result<(), OverRate> {
        if tenant.rates.is_unlimited() {
            return Ok(());
        }
        let known = self.with(tenant, now, |held| held.refusal.and_then(|r| r.at(now)));
        known.map_or(Ok(()), Err)
    }

    /// Takes what an envelope needs of its tenant's rates: of what is held, else from the counters, which are waited
    /// for `wait` at most. Where they do not answer, this envelope passes and so do all until the next second.
    ///
    /// # Errors
    /// A rate of the tenant is spent; nothing was taken.
    pub async fn take<C: RateCounters>(
        &self,
        counters: &C,
        tenant: &Tenant,
        demand: Demand,
        times: TakeTimes,
    ) -> Result<Taken, OverRate> {
        let TakeTimes { now, wait } = times;
        if tenant.rates.is_unlimited() {
            return Ok(Taken::Within);
        }
        self.check(tenant, now)?;
        for _ in 0..TRIES_MAX {
            let asked = self.with(tenant, now, |held| match now < held.unchecked_until {
                true => Err(Taken::StillUnchecked),
                false => held.spend(demand, now).ok_or(Taken::Within),
            });
            let asked = match asked {
                Ok(asked) => asked,
                Err(taken) => return Ok(taken),
            };
            let spent = tokio::time::timeout(wait, counters.spend(&tenant.id, &asked.spending));
            match spent.await {
                Ok(Ok(SpendOutcome::Spent)) => {
                    self.with(tenant, now, |held| held.grant(&asked, demand, now));
                    return Ok(Taken::Within);
                }
                Ok(Ok(SpendOutcome::Kept(stored))) => {
                    let over = self.with(tenant, now, |held| held.learn(stored, &asked, now));
                    if let Some(over) = over {
                        return Err(over);
                    }
                }
                Ok(Err(error)) => return Ok(self.pass(tenant, now, error)),
                Err(elapsed) => {
                    let error = PortError::Retryable(format!("charge rates: {elapsed}"));
                    return Ok(self.pass(tenant, now, error));
                }
            }
        }
        let error = PortError::Retryable("charge rates: others did, each time".into());
        Ok(self.pass(tenant, now, error))
    }

    fn pass(&self, tenant: &Tenant, now: Millis, error: PortError) -> Taken {
        self.with(tenant, now, |held| held.unchecked_until = next_second(now));
        Taken::Unchecked(error)
    }
}

/// When an envelope asks, and how long it may wait for the counters.
#[derive(Debug, Clone, Copy)]
pub struct TakeTimes {
    /// The instant at which the envelope asks.
    pub now: Millis,
    /// The longest wait for one call.
    pub wait: Duration,
}
