//! What a part's key says of the seal that names it: parts are written before their seal, so that
//! some lie there that no seal names yet, and some that none can name any more.

use crate::merkle::Hash;
use crate::seal::{Beside, PartClass, SealKind, SharePlace, beside_key, part_key, share_key};
use crate::window::Plan;
use vernier_ledger::ids::TenantId;
use vernier_ledger::time::{Millis, Window};

/// A part's key, taken apart: what [`part_key`] puts together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartName {
    /// Whose part it is.
    pub tenant: TenantId,
    /// The seal that it is of.
    pub of: PartOf,
}

/// The seal that a part is of, as far as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartOf {
    /// The window that begins here.
    Window(Millis),
    /// The backfill that is the chain's seal of this sequence, of a window that begins here.
    Backfill {
        /// The window's first instant.
        start: Millis,
        /// The seal's place in the chain.
        sequence: u64,
    },
    /// The day that begins here, as far as one seal covers it.
    Day {
        /// The day's first instant, UTC.
        start: Millis,
        /// Sequence of the first seal that it covers.
        first: u64,
    },
}

impl PartOf {
    /// The day of a date, covered from a sequence on, both as keys spell them.
    fn day(date: &str, first: &str) -> Option<Self> {
        Some(Self::Day {
            start: Millis::parse_rfc3339(&format!("{date}T00:00:00.000Z")).ok()?,
            first: first.parse().ok()?,
        })
    }

    /// What the keys of such a seal's files are made of: they do not say where its time ends.
    fn plan(self, tenant: TenantId) -> Plan {
        let (start, kind, sequence) = match self {
            Self::Window(start) => (start, SealKind::Window, 0),
            Self::Backfill { start, sequence } => (start, SealKind::Backfill, sequence),
            Self::Day { start, first } => (start, SealKind::Day, first),
        };
        Plan {
            tenant,
            window: Window { start, end: start },
            kind,
            sequence,
        }
    }
}

/// The hash that a key names the first half of.
fn content_of(word: &str) -> Option<Hash> {
    let mut sha256 = [0; 32];
    hex::decode_to_slice(word, &mut sha256[..16]).ok()?;
    Some(sha256)
}

impl PartName {
    /// Takes a key apart; none for what is no part's key, down to the spelling of its numbers.
    #[must_use]
    pub fn read(key: &str) -> Option<Self> {
        let (day, rest) = match key.strip_prefix("days/") {
            Some(rest) => (true, rest),
            None => (false, key),
        };
        let mut steps = rest.split('/');
        let class = match steps.next()? {
            "archive" => PartClass::Archive,
            "exceptions" => PartClass::Exceptions,
            _ => return None,
        };
        let tenant: TenantId = steps.next()?.strip_prefix("tenant=")?.parse().ok()?;
        let date = steps.next()?.strip_prefix("dt=")?;
        if !day {
            steps.next()?;
        }
        let mut words = steps.next()?.strip_suffix(".parquet")?.split('-');
        let first = words.next()?;
        let (of, part) = match (day, words.next()?) {
            (true, part) => (PartOf::day(date, first)?, part),
            (false, word) => {
                let start = Millis(first.parse().ok()?);
                match word.strip_prefix('b') {
                    Some(sequence) => {
                        let sequence = sequence.parse().ok()?;
                        (PartOf::Backfill { start, sequence }, words.next()?)
                    }
                    None => (PartOf::Window(start), word),
                }
            }
        };
        let sha256 = content_of(words.next()?)?;
        let plan = of.plan(tenant);
        let same = match (of, part.split_at_checked(4)) {
            // Of version 4: the share's number, then the part's.
            (PartOf::Window(_) | PartOf::Backfill { .. }, Some((share, number)))
                if part.len() == 8 =>
            {
                let (share, number) = (share.parse().ok()?, number.parse().ok()?);
                share_key(&plan, class, SharePlace { share, number }, &sha256) == key
            }
            _ => part_key(&plan, class, part.parse().ok()?, &sha256) == key,
        };
        let tenant = plan.tenant;
        same.then_some(Self { tenant, of })
    }
}

/// The key of a file of evidence, taken apart: what [`beside_key`] puts together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BesideName {
    /// Whose evidence it is.
    pub tenant: TenantId,
    /// The window or the day that it is of. Which of a window's seals names it, its key does not say.
    pub of: PartOf,
}

impl BesideName {
    /// Takes a key apart; none for what is no such key, down to the spelling of its numbers.
    #[must_use]
    pub fn read(key: &str) -> Option<Self> {
        let (beside, rest) = match key.strip_prefix("days/evidence/") {
            Some(rest) => (Beside::DayEvidence, rest),
            None => (Beside::Evidence, key.strip_prefix("evidence/")?),
        };
        let mut steps = rest.split('/');
        let tenant: TenantId = steps.next()?.strip_prefix("tenant=")?.parse().ok()?;
        let date = steps.next()?.strip_prefix("dt=")?;
        if beside == Beside::Evidence {
            steps.next()?;
        }
        let mut words = steps.next()?.strip_suffix(".parquet")?.split('-');
        let (first, number) = (words.next()?, words.next()?.parse().ok()?);
        let of = match beside {
            Beside::Evidence => PartOf::Window(Millis(first.parse().ok()?)),
            _ => PartOf::day(date, first)?,
        };
        let sha256 = content_of(words.next()?)?;
        let plan = of.plan(tenant);
        let is_same = beside_key(&plan, beside, number, &sha256) == key;
        let tenant = plan.tenant;
        is_same.then_some(Self { tenant, of })
    }
}

/// The share that the key of a part of version 4 names; none for other keys.
pub(crate) fn share_in(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
    let word = name.rsplit('-').nth(1).filter(|word| word.len() == 8)?;
    word.split_at_checked(4)?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan() -> impl Strategy<Value = Plan> {
        let kind = prop_oneof![
            Just(SealKind::Window),
            Just(SealKind::Backfill),
            Just(SealKind::Day)
        ];
        let start = 0..4_102_444_800_000_i64;
        ("[a-z][a-z0-9-]{0,20}[a-z0-9]", start, kind, 0..1_u64 << 40).prop_map(
            |(tenant, start, kind, sequence)| {
                let start = match kind {
                    SealKind::Day => Millis(start - start % 86_400_000),
                    _ => Millis(start - start % 60_000),
                };
                Plan {
                    tenant: tenant.parse().expect("a tenant's name"),
                    window: Window { start, end: start },
                    kind,
                    sequence,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn every_parts_key_says_whose_it_is(
            plan in plan(),
            part in 0..20_000_usize,
            sha256: [u8; 32],
            exceptions: bool,
        ) {
            let class = if exceptions { PartClass::Exceptions } else { PartClass::Archive };
            let key = part_key(&plan, class, part, &sha256);
            let (start, sequence) = (plan.window.start, plan.sequence);
            let of = match plan.kind {
                SealKind::Window => PartOf::Window(start),
                SealKind::Backfill => PartOf::Backfill { start, sequence },
                _ => PartOf::Day { start, first: sequence },
            };
            if plan.kind != SealKind::Day {
                let place = SharePlace { share: part as u64 % 4_096, number: part as u64 % 10_000 };
                let key = share_key(&plan, class, place, &sha256);
                prop_assert_eq!(PartName::read(&key), Some(PartName { tenant: plan.tenant.clone(), of }));
            }
            if plan.kind != SealKind::Backfill {
                let beside = match plan.kind {
                    SealKind::Day => Beside::DayEvidence,
                    _ => Beside::Evidence,
                };
                let key = beside_key(&plan, beside, part, &sha256);
                let name = BesideName { tenant: plan.tenant.clone(), of };
                prop_assert_eq!(BesideName::read(&key), Some(name));
                prop_assert_eq!(BesideName::read(&format!("{key}x")), None);
            }
            prop_assert_eq!(BesideName::read(&key), None);
            let tenant = plan.tenant;
            prop_assert_eq!(PartName::read(&key), Some(PartName { tenant, of }));
            prop_assert_eq!(PartName::read(&format!("x{key}")), None);
            prop_assert_eq!(PartName::read(&key.replace("dt=", "dt=1")), None);
        }

        #[test]
        fn no_text_makes_it_fail(key in ".*") {
            prop_assert_eq!(PartName::read(&key), None);
            prop_assert_eq!(BesideName::read(&format!("evidence/{key}")), None);
        }
    }
}
