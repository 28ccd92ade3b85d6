//! What each sensor's events have against the rules: how many were rejected and why, what lenient
//! mode let pass, and how many the specification itself would refuse.

use crate::extent::Extent;
use crate::filter_memory::FilterMemory;
use crate::live::Sink;
use crate::metered::Metered;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use vernier_archive::reader::{Part, Reading};
use vernier_archive::seal::{PartClass, Seal};
use vernier_archive::stored::{covering_gone, find_file, for_each_covered, read_seal};
use vernier_ledger::chain::SealEntry;
use vernier_ledger::chunks::Counts;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::TenantId;
use vernier_ledger::limits::LIVE_READ_BYTES_MAX;
use vernier_ledger::line::{LineHead, Verdict, rules_of};
use vernier_ledger::live::ReadError;
use vernier_ledger::ports::{PortError, RefusedEnvelopes};
use vernier_ledger::stores::Stores;
use vernier_ledger::time::{Millis, TimeRange};

/// Sealed events whose columns one report reads: at 10 to 20 bytes each 100 MB at most, and 10 s.
pub const REPORT_EVENTS_MAX: u64 = 5_000_000;

/// Seals that are read at a time.
const SEALS_IN_FLIGHT_MAX: usize = 8;

/// How often a rule was broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Broken {
    /// Events that were rejected for it.
    problems: u64,
    /// Events that lenient mode let pass in spite of it.
    deviations: u64,
}

/// One sensor's figures.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfSensor {
    events: u64,
    rejected: u64,
    deviating: u64,
    strict_rejected: u64,
    rules: BTreeMap<String, Broken>,
}

/// Figures by sensor.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures(BTreeMap<String, OfSensor>);

/// One event's, from a line or a row.
struct Verdicts<'a> {
    sensor: &'a str,
    rejected: bool,
    strict_rejected: bool,
    problems: Option<&'a str>,
    deviations: Option<&'a str>,
}

impl Figures {
    fn add(&mut self, event: &Verdicts<'_>) {
        if !self.0.contains_key(event.sensor) {
            self.0.insert(event.sensor.to_owned(), OfSensor::default());
        }
        let Some(of) = self.0.get_mut(event.sensor) else {
            return;
        };
        of.events += 1;
        of.rejected += u64::from(event.rejected);
        of.strict_rejected += u64::from(event.strict_rejected);
        of.deviating += u64::from(event.deviations.is_some());
        // An event breaks a rule once, however often.
        let mut once = |findings: Option<&str>, count: fn(&mut Broken)| {
            let mut rules = findings.map(rules_of).unwrap_or_default();
            rules.sort_unstable();
            rules.dedup();
            for rule in rules {
                count(of.rules.entry(rule.into_owned()).or_default());
            }
        };
        once(event.problems, |broken| broken.problems += 1);
        once(event.deviations, |broken| broken.deviations += 1);
    }

    fn merge(mut self, other: Self) -> Self {
        for (sensor, more) in other.0 {
            let of = self.0.entry(sensor).or_default();
            of.events += more.events;
            of.rejected += more.rejected;
            of.deviating += more.deviating;
            of.strict_rejected += more.strict_rejected;
            for (rule, broken) in more.rules {
                let sum = of.rules.entry(rule).or_default();
                sum.problems += broken.problems;
                sum.deviations += broken.deviations;
            }
        }
        self
    }
}

/// A rule in the report.
#[derive(Debug, Serialize)]
struct RuleView {
    rule: String,
    /// Events that were rejected for it.
    problems: u64,
    /// Events that lenient mode let pass in spite of it.
    deviations: u64,
}

/// A sensor in the report.
#[derive(Debug, Serialize)]
struct SensorView {
    sensor: String,
    events: u64,
    rejected: u64,
    deviating: u64,
    strict_rejected: u64,
    /// The most frequent first.
    rules: Vec<RuleView>,
}

/// Envelopes of a sensor that were refused as a whole.
#[derive(Debug, Serialize)]
struct RefusedView {
    sensor: String,
    rule: String,
    /// At least so many, of the whole hours that the range touches.
    envelopes: u64,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    from: String,
    to: String,
    complete_through: Option<String>,
    live_through: Option<String>,
    sensors: Vec<SensorView>,
    refused: Vec<RefusedView>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// The range holds too much.
    #[error("{0} events are sealed in the range; a report reads at most {REPORT_EVENTS_MAX}")]
    TooMuch(u64),
    /// Too much of it is not sealed, or a store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<PortError> for NoReport {
    fn from(error: PortError) -> Self {
        Self::Read(error.into())
    }
}

impl Sink for Figures {
    fn add(&mut self, head: &LineHead<'_>, _: &[u8], _: Disposition) {
        let deviations = head.findings();
        Self::add(
            self,
            &Verdicts {
                sensor: &head.sensor,
                rejected: head.verdict == Verdict::Rejected,
                strict_rejected: head.strict == Verdict::Rejected,
                problems: head.problems.as_deref().map(RawValue::get),
                deviations: deviations.as_deref(),
            },
        );
    }

    /// No count says which rules an event breaks.
    fn takes_counts(&self, _: (Millis, Millis)) -> bool {
        false
    }

    fn add_counts(&mut self, _: (Millis, Millis), _: &Counts) {}
}

/// Draws up the report of what a tenant's sensors sent in `[from, to)` of received-at.
///
/// # Errors
/// When that is too much, and the stores'.
pub async fn report<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    range: TimeRange,
    now: Millis,
) -> Result<Report, NoReport> {
    let extent = Extent::of(stores.table(), tenant, range, now).await?;
    let seals: Vec<&SealEntry> = extent.windows.values().flatten().collect();
    let events = seals.iter().map(|s| s.tally.events).sum();
    if events > REPORT_EVENTS_MAX {
        return Err(NoReport::TooMuch(events));
    }
    let sealed: Figures = stream::iter(&seals)
        .map(|entry| of_seal(stores, tenant, entry, range))
        .buffer_unordered(SEALS_IN_FLIGHT_MAX)
        .try_fold(Figures::default(), async |all, one| Ok(all.merge(one)))
        .await?;
    let mut unsealed = Figures::default();
    // How events end is not asked, so that no filter is.
    let filters = FilterMemory::default();
    let mut live = extent.live(&filters);
    let metered = Metered::new(stores);
    let scanned = live
        .scan(&metered, None, LIVE_READ_BYTES_MAX, &mut unsealed)
        .await?;
    Ok(Report {
        from: range.from.rfc3339(),
        to: range.to.rfc3339(),
        complete_through: extent.complete_through.map(Millis::rfc3339),
        live_through: scanned.last(extent.newest()).map(Millis::rfc3339),
        sensors: views(sealed.merge(unsealed)),
        refused: refused(stores.table(), tenant, range).await?,
    })
}

/// Refused envelopes by sensor and rule, the most frequent first.
async fn refused<T: RefusedEnvelopes>(
    table: &T,
    tenant: &TenantId,
    range: TimeRange,
) -> Result<Vec<RefusedView>, PortError> {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for count in table.refused(tenant, range.from, range.to).await? {
        *sums.entry((count.sensor, count.rule)).or_default() += count.envelopes;
    }
    let views = sums
        .into_iter()
        .map(|((sensor, rule), envelopes)| RefusedView {
            sensor,
            rule,
            envelopes,
        });
    let mut views: Vec<RefusedView> = views.collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.envelopes));
    Ok(views)
}

async fn of_seal<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    entry: &SealEntry,
    range: TimeRange,
) -> Result<Figures, PortError> {
    let seal = read_seal(stores.objects(), tenant, entry).await?;
    let archive = of_class(stores, tenant, entry, &seal, PartClass::Archive, range).await?;
    let exceptions = of_class(stores, tenant, entry, &seal, PartClass::Exceptions, range).await?;
    Ok(archive.merge(exceptions))
}

/// Of a seal's files of one class, or of the day that covers them.
async fn of_class<S: Stores>(
    stores: &S,
    tenant: &TenantId,
    entry: &SealEntry,
    seal: &Seal,
    class: PartClass,
    range: TimeRange,
) -> Result<Figures, PortError> {
    let objects = stores.objects();
    let mut all = Figures::default();
    for file in seal.files_of(class) {
        let found = find_file(objects, file, |ranges| {
            let mut figures = Figures::default();
            Part::open(ranges)?.for_each_verdicts(|row| {
                if range.contains(row.receipt.received_at()) {
                    figures.add(&Verdicts {
                        sensor: row.sensor,
                        rejected: row.disposition == "rejected",
                        strict_rejected: row.strict == "rejected",
                        problems: row.problems,
                        deviations: row.deviations,
                    });
                }
            })?;
            Ok(figures)
        });
        if let Some(figures) = found.await? {
            all = all.merge(figures);
            continue;
        }
        let day = covering_gone(stores.table(), objects, tenant, entry, file).await?;
        let mut figures = Figures::default();
        let of = (entry.sequence, class);
        let rows = for_each_covered(objects, &day, of, Reading::WithoutEvents, |row| {
            if range.contains(row.received_at) {
                figures.add(&Verdicts {
                    sensor: row.sensor,
                    rejected: row.disposition == Disposition::Rejected,
                    strict_rejected: row.strict == "rejected",
                    problems: row.problems,
                    deviations: row.deviations,
                });
            }
            Ok(())
        });
        rows.await?;
        return Ok(figures);
    }
    Ok(all)
}

fn views(figures: Figures) -> Vec<SensorView> {
    let view = |(sensor, of): (String, OfSensor)| {
        let mut rules: Vec<RuleView> = of
            .rules
            .into_iter()
            .map(|(rule, broken)| RuleView {
                rule,
                problems: broken.problems,
                deviations: broken.deviations,
            })
            .collect();
        rules.sort_by_key(|r| std::cmp::Reverse(r.problems + r.deviations));
        SensorView {
            sensor,
            events: of.events,
            rejected: of.rejected,
            deviating: of.deviating,
            strict_rejected: of.strict_rejected,
            rules,
        }
    };
    figures.0.into_iter().map(view).collect()
}
