//! What a tenant is created with and what of it can be changed.

use super::super::FINDINGS;
use super::{Shown, TableArgs, existing, now, on_table, show};
use crate::command::Format;
use anyhow::{anyhow, bail};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::str::FromStr;
use vernier_aws::Table;
use vernier_ledger::access::Tenant;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::LANES_MAX;
use vernier_ledger::ports::{Administration as _, PortError, TenantSettings as _};
use vernier_ledger::rates::{RATE_MAX, RateCounters as _, Rates};
use vernier_validation::{Mode, Profile};

/// Tries to change settings that somebody else changes at the same time.
const TRIES_MAX: usize = 3;

/// A rate as it is typed: a number, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RateSetting {
    Unlimited,
    PerSecond(NonZeroU32),
}

impl RateSetting {
    const fn rate(self) -> Option<NonZeroU32> {
        match self {
            Self::Unlimited => None,
            Self::PerSecond(rate) => Some(rate),
        }
    }
}

impl FromStr for RateSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Unlimited);
        }
        text.parse()
            .ok()
            .filter(|rate: &NonZeroU32| rate.get() <= RATE_MAX)
            .map(Self::PerSecond)
            .ok_or_else(|| format!("expected a whole number from 1 to {RATE_MAX}, or none"))
    }
}

/// The options for a tenant's rates.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct RateArgs {
    /// Envelopes that all its sensors together may post in a second; none: as many as they like
    #[arg(long, value_name = "NUMBER|none")]
    requests_per_second: Option<RateSetting>,
    /// Events that all its sensors together may send in a second; none: as many as they like
    #[arg(long, value_name = "NUMBER|none")]
    events_per_second: Option<RateSetting>,
    /// Bytes of bodies, decompressed, that all its sensors together may send in a second
    #[arg(long, value_name = "NUMBER|none")]
    bytes_per_second: Option<RateSetting>,
}

impl RateArgs {
    fn applied_to(self, rates: Rates) -> Rates {
        let new = |setting: Option<RateSetting>, old| setting.map_or(old, RateSetting::rate);
        Rates {
            requests_per_second: new(self.requests_per_second, rates.requests_per_second),
            events_per_second: new(self.events_per_second, rates.events_per_second),
            bytes_per_second: new(self.bytes_per_second, rates.bytes_per_second),
        }
    }
}

fn new_name(text: &str) -> Result<TenantId, String> {
    let id: TenantId = text.parse().map_err(|e| format!("{e}"))?;
    id.check_new().map_err(|e| e.to_string())?;
    Ok(id)
}

/// The options of `vernier tenant create`.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Its name: 1 to 63 of a-z, 0-9 and '-', first a letter or digit, and nothing that reads as a number or a date
    #[arg(value_name = "TENANT", value_parser = new_name)]
    id: TenantId,
    /// strict: the Caliper specification decides; lenient: known deviations pass and are recorded
    #[arg(long, value_name = "MODE", default_value_t = Mode::Strict)]
    mode: Mode,
    /// Whose deviations lenient mode knows: generic, moodle-1.0, canvas, blackboard, openedx
    #[arg(long, value_name = "PROFILE", default_value_t = Profile::Generic)]
    profile: Profile,
    /// Lanes with which it begins, 1 for each 500 envelopes a second; a tenant that is throttled gets more by itself
    #[arg(long, value_name = "LANES", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(LANES_MAX)))]
    lanes: u16,
    #[command(flatten)]
    rates: RateArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// Creates a tenant unless one of its name is there.
///
/// # Errors
/// The table cannot be reached, or has a tenant of this name.
pub(super) fn create(args: Create, format: Format) -> anyhow::Result<ExitCode> {
    let tenant = Tenant {
        mode: args.mode,
        profile: args.profile,
        lanes: args.lanes,
        rates: args.rates.applied_to(Rates::default()),
        ..Tenant::new(args.id, now())
    };
    let created = on_table(&args.table, async |table| {
        Ok(table.create_tenant(&tenant).await?)
    })?;
    if !created {
        bail!(
            "there is a tenant {} already (or there was one, and its name is not given again); nothing was changed: \
             'vernier tenant set' changes one",
            tenant.id
        );
    }
    show(&[Shown::new(tenant)], format)?;
    Ok(ExitCode::SUCCESS)
}

/// The options of `vernier tenant set`.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The name of the tenant whose settings change
    #[arg(value_name = "TENANT")]
    id: TenantId,
    /// strict or lenient, for envelopes from now on: what was judged before stays as it was judged
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Whose deviations lenient mode knows: generic, moodle-1.0, canvas, blackboard, openedx
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Profile>,
    /// Lanes at least, as many as before or more: receipts in lanes that it has no more would not be found
    #[arg(long, value_name = "LANES",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(LANES_MAX)))]
    lanes: Option<u16>,
    #[command(flatten)]
    rates: RateArgs,
    #[command(flatten)]
    table: TableArgs,
}

impl Set {
    fn applied_to(&self, tenant: &Tenant) -> anyhow::Result<Tenant> {
        let lanes = self.lanes.unwrap_or(tenant.lanes);
        if lanes < tenant.lanes {
            bail!(
                "--lanes {lanes}: tenant {} has {} and cannot have fewer, because the receipts in the others would not be found",
                tenant.id,
                tenant.lanes
            );
        }
        Ok(Tenant {
            mode: self.mode.unwrap_or(tenant.mode),
            profile: self.profile.unwrap_or(tenant.profile),
            lanes,
            rates: self.rates.applied_to(tenant.rates),
            ..tenant.clone()
        })
    }
}

/// Changes a tenant's settings and shows them. What it spent of other rates is forgotten.
///
/// # Errors
/// The table cannot be reached, there is no such tenant, or a setting cannot be changed so.
pub(super) fn set(args: &Set, format: Format) -> anyhow::Result<ExitCode> {
    let (before, shown) = on_table(&args.table, async |table| {
        let (before, tenant) = change(&table, &args.id, |tenant| args.applied_to(tenant)).await?;
        if before.rates != tenant.rates {
            table.forget_spent(&tenant.id).await?;
        }
        Ok((before, Shown::read(&table, tenant).await?))
    })?;
    show(std::slice::from_ref(&shown), format)?;
    if before == shown.tenant {
        eprintln!("vernier: nothing was changed");
        return Ok(ExitCode::from(FINDINGS));
    }
    eprintln!(
        "Functions that know the tenant go by its settings of before for TokenCacheSeconds at most (60 unless deployed otherwise)."
    );
    Ok(ExitCode::SUCCESS)
}

/// Changes a tenant that is there, from what it is at that moment; gives back what it was and what it is.
///
/// # Errors
/// The change's, the table's, or that others keep changing the same tenant.
pub(super) async fn change(
    table: &Table,
    id: &TenantId,
    task: impl Fn(&Tenant) -> anyhow::Result<Tenant>,
) -> anyhow::Result<(Tenant, Tenant)> {
    for _ in 0..TRIES_MAX {
        let before = existing(table, id).await?;
        let after = task(&before)?;
        if before == after || table.change_tenant(&before, &after).await? {
            return Ok((before, after));
        }
    }
    let error = PortError::Retryable(format!("change tenant {id}: somebody else does, each time"));
    Err(anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::time::Millis;

    fn rate(number: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(number)
    }

    #[test]
    fn a_rate_is_a_number_or_none() {
        let read = |text: &str| text.parse::<RateSetting>().map(RateSetting::rate);
        assert_eq!(read("none"), Ok(None));
        assert_eq!(read("500"), Ok(rate(500)));
        for bad in ["0", "-1", "1.5", "", "1e3", "1000000001", "None"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_named_changes_and_lanes_never_shrink() {
        let tenant = Tenant {
            lanes: 4,
            rates: Rates {
                requests_per_second: rate(10),
                events_per_second: rate(100),
                bytes_per_second: None,
            },
            ..Tenant::new("school".parse().expect("a tenant's name"), Millis(1))
        };
        let read = |options: &[&str]| {
            use clap::{Args as _, FromArgMatches as _};
            let command = Set::augment_args(clap::Command::new("set"));
            let words = ["set", "school"].iter().chain(options);
            let matches = command.try_get_matches_from(words).expect("options");
            Set::from_arg_matches(&matches).expect("options")
        };
        let changed = read(&["--events-per-second", "none", "--mode", "lenient"]);
        let changed = changed.applied_to(&tenant).expect("a change");
        let expected = Tenant {
            mode: Mode::Lenient,
            rates: Rates {
                requests_per_second: rate(10),
                ..Rates::default()
            },
            ..tenant.clone()
        };
        assert_eq!(changed, expected);
        assert_eq!(read(&[]).applied_to(&tenant).expect("none"), tenant);
        assert!(read(&["--lanes", "3"]).applied_to(&tenant).is_err());
        let grown = read(&["--lanes", "5"]).applied_to(&tenant);
        assert_eq!(grown.expect("more lanes").lanes, 5);
    }
}
