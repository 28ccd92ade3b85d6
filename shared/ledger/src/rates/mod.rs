//! Rates: how much a tenant may send in a second, whoever of its sensors sends it and whichever process takes it.
//!
//! A rate is kept as one instant for each unit, in an item of the table: until when the rate is spent. Whoever wants to
//! take some moves the instant on by what that costs in time, if it does not lie in the future. An instant that fell
//! behind is first brought to [`BURST_MICROS`] before now, so that rest saves up no more than that. A process takes
//! more than it needs when it is busy, and spends it without asking ([`keeper`]); docs/decisions/002-rates.md has the
//! reasons.

pub mod keeper;

pub use keeper::{OverRate, RateKeeper, TakeTimes, Taken};

use crate::ids::TenantId;
use crate::ports::PortError;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;

/// The highest rate that can be set, in any unit. At this rate a byte costs a thousandth of the microsecond that is the
/// least charge, which a process's thousand charges a second never add up to more than a thousandth of the rate.
pub const RATE_MAX: u32 = 1_000_000_000;

/// How much of a rate can be saved up by rest, microseconds: what a second allows.
pub const BURST_MICROS: i64 = 1_000_000;

/// How far into the future a process that was refused again and again may charge, microseconds.
pub const PATIENCE_MICROS_MAX: i64 = 1_000_000;

/// Seconds for which the table keeps a tenant's instants beyond the last of them.
const KEPT_SECONDS: i64 = 86_400;

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RateUnit {
    /// Envelopes posted, whether they can be read or not.
    Requests,
    /// Events of envelopes that can be read.
    Events,
    /// Bytes of bodies after decompression.
    Bytes,
}

impl RateUnit {
    /// All units, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Events, Self::Bytes];

    /// Its name in items, options and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Events => "events",
            Self::Bytes => "bytes",
        }
    }
}

impl fmt::Display for RateUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The most that a tenant may send in a second; a unit without a number is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// The most envelopes in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<NonZeroU32>,
    /// The most events of envelopes in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<NonZeroU32>,
    /// Bytes of their bodies after decompression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU32>,
}

impl Rates {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The rate of a unit.
    #[must_use]
    pub const fn of(&self, unit: RateUnit) -> Option<NonZeroU32> {
        match unit {
            RateUnit::Requests => self.requests_per_second,
            RateUnit::Events => self.events_per_second,
            RateUnit::Bytes => self.bytes_per_second,
        }
    }

    /// The units that are limited, with their rates.
    fn limited(self) -> impl Iterator<Item = (RateUnit, NonZeroU32)> {
        let of = move |unit| Some((unit, self.of(unit)?));
        RateUnit::ALL.into_iter().filter_map(of)
    }
}

/// What one envelope takes of each unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Envelopes that it counts as.
    pub requests: u64,
    /// Events that the envelope has.
    pub events: u64,
    /// Bytes of their bodies after decompression.
    pub bytes: u64,
}

impl Demand {
    /// What it takes of a unit.
    #[must_use]
    pub const fn of(&self, unit: RateUnit) -> u64 {
        match unit {
            RateUnit::Requests => self.requests,
            RateUnit::Events => self.events,
            RateUnit::Bytes => self.bytes,
        }
    }
}

/// The time that an amount takes at a rate, microseconds; at least one for anything.
fn cost_micros(amount: u64, rate: NonZeroU32) -> i64 {
    let micros = u128::from(amount) * 1_000_000;
    i64::try_from(micros.div_ceil(u128::from(rate.get()))).unwrap_or(i64::MAX / 4)
}

/// How an instant moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// To this instant, microseconds since the epoch, where there is none or it lies before the floor.
    To(i64),
    /// By so many microseconds, where it lies between the floor and the ceiling.
    By(i64),
}

/// A unit's instant and how it is to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Which of the tenant's rates is charged.
    pub unit: RateUnit,
    /// How its instant moves.
    pub by: Move,
}

/// Charges that are made together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spending {
    /// Microseconds since the epoch: an instant after it is spent. Now, or up to [`PATIENCE_MICROS_MAX`] later for a
    /// process that was refused for a while.
    pub ceiling_micros: i64,
    /// [`BURST_MICROS`] before now: an instant before it is behind.
    pub floor_micros: i64,
    /// One for each unit that is asked for.
    pub charges: Vec<Charge>,
    /// When the table may forget the tenant's instants.
    pub expires: Millis,
}

impl Spending {
    fn new(now: Millis, patience_micros: i64, charges: Vec<Charge>) -> Self {
        let now_micros = now.0.saturating_mul(1_000);
        let longest = charges.iter().map(|charge| match charge.by {
            Move::To(micros) => micros.saturating_sub(now_micros),
            Move::By(micros) => micros,
        });
        let longest_seconds = longest.max().unwrap_or(0) / 1_000_000;
        Self {
            ceiling_micros: now_micros.saturating_add(patience_micros),
            floor_micros: now_micros.saturating_sub(BURST_MICROS),
            charges,
            expires: now.plus_seconds(longest_seconds.saturating_add(KEPT_SECONDS)),
        }
    }
}

/// Until when a tenant's rates are spent, microseconds since the epoch; none where a unit was never charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpentUntil([Option<i64>; 3]);

impl SpentUntil {
    /// The instant of a unit.
    #[must_use]
    pub const fn of(&self, unit: RateUnit) -> Option<i64> {
        self.0[unit as usize]
    }

    /// Sets the instant of a unit.
    pub const fn set(&mut self, unit: RateUnit, micros: i64) {
        self.0[unit as usize] = Some(micros);
    }

    /// Whether every condition of a spending holds.
    #[must_use]
    pub fn allows(&self, spending: &Spending) -> bool {
        let Spending {
            ceiling_micros,
            floor_micros,
            ..
        } = spending;
        spending.charges.iter().all(|charge| {
            let until = self.of(charge.unit);
            match charge.by {
                Move::To(_) => until.is_none_or(|until| until < *floor_micros),
                Move::By(_) => {
                    until.is_some_and(|u| (*floor_micros..=*ceiling_micros).contains(&u))
                }
            }
        })
    }

    /// Moves the instants as a spending says.
    pub fn charge(&mut self, spending: &Spending) {
        for Charge { unit, by } in &spending.charges {
            let until = match by {
                Move::To(micros) => *micros,
                Move::By(micros) => self.of(*unit).unwrap_or(0).saturating_add(*micros),
            };
            self.set(*unit, until);
        }
    }
}

/// What became of a spending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpendOutcome {
    /// Every instant moved as it was asked.
    Spent,
    /// A condition did not hold and nothing moved; this is what is stored.
    Kept(SpentUntil),
}

/// The instants of all tenants, shared by all processes.
#[allow(async_fn_in_trait)] // callers are generic and single-threaded; no Send bound is wanted
pub trait RateCounters {
    /// Moves a tenant's instants as asked, all or none. A retryable error may have moved them.
    async fn spend(
        &self,
        tenant: &TenantId,
        spending: &Spending,
    ) -> Result<SpendOutcome, PortError>;

    /// Forgets what a tenant has spent, as is right when its rates change.
    async fn forget_spent(&self, tenant: &TenantId) -> Result<(), PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not nought")
    }

    #[test]
    fn an_amount_costs_the_time_that_its_rate_takes_for_it() {
        assert_eq!(cost_micros(50, rate(100)), 500_000);
        assert_eq!(cost_micros(1, rate(3)), 333_334);
        assert_eq!(cost_micros(1, rate(RATE_MAX)), 1);
        assert_eq!(cost_micros(10_000, rate(1)), 10_000_000_000);
        assert!(cost_micros(u64::MAX, rate(1)) > 0);
    }

    #[test]
    fn tenants_from_before_rates_have_none() {
        let none: Rates = serde_json::from_str("{}").expect("no rates");
        assert!(none.is_unlimited());
        let rates = Rates {
            events_per_second: Some(rate(7)),
            ..Rates::default()
        };
        let text = serde_json::to_string(&rates).expect("plain data");
        assert_eq!(text, r#"{"events_per_second":7}"#);
        assert!(serde_json::from_str::<Rates>(r#"{"events_per_second":0}"#).is_err());
    }

    #[test]
    fn an_instant_in_the_future_is_spent_and_one_far_behind_begins_anew() {
        let now = Millis(10_000);
        let charges = |by| {
            Spending::new(
                now,
                0,
                vec![Charge {
                    unit: RateUnit::Events,
                    by,
                }],
            )
        };
        let (to, by) = (charges(Move::To(9_100_000)), charges(Move::By(100_000)));
        for (stored, taken) in [
            (None, [true, false]),
            (Some(8_999_999), [true, false]),
            (Some(9_000_000), [false, true]),
            (Some(10_000_000), [false, true]),
            (Some(10_000_001), [false, false]),
        ] {
            let mut until = SpentUntil::default();
            if let Some(stored) = stored {
                until.set(RateUnit::Events, stored);
            }
            assert_eq!([until.allows(&to), until.allows(&by)], taken, "{stored:?}");
        }
        let mut until = SpentUntil::default();
        until.charge(&to);
        until.charge(&by);
        assert_eq!(until.of(RateUnit::Events), Some(9_200_000));
        assert!(to.expires > now.plus_seconds(KEPT_SECONDS - 1));
    }
}
