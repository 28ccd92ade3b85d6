//! What a tenant sent each day: its use, for its own administrator.

use super::{Asking, Cell, Reach, Rendered, Report, Sheet};
use serde::Serialize;
use vernier_ledger::access::Tenant;
use vernier_ledger::ports::{Accounts, Chains};
use vernier_ledger::time::Millis;
use vernier_ledger::traffic::{DAY_MILLIS, DayTraffic, by_day};
use vernier_ledger::work::{WorkLists, completeness};
use vernier_web::ProblemDocument;

/// The range when none is given, seconds: a week.
const DEFAULT_SECONDS: i64 = 7 * 86_400;

/// The longest range, seconds: 31 days, of which the accounts of windows of 15 minutes are 3,000 items, 2 MB.
const SECONDS_MAX: i64 = 31 * 86_400;

/// A day in the report.
#[derive(Debug, Serialize)]
struct DayView {
    /// The day that the figures are of, UTC.
    date: String,
    /// Envelopes that were taken.
    requests: u64,
    /// The events of these envelopes.
    events: u64,
    /// Those of them that failed validation.
    rejected: u64,
    /// Bytes of the bodies after decompression.
    bytes: u64,
    /// Whether these figures stay.
    r#final: bool,
}

impl DayView {
    fn of(day: &DayTraffic) -> Self {
        Self {
            date: day.start.rfc3339().chars().take(10).collect(),
            requests: day.requests,
            events: day.events,
            rejected: day.rejected,
            bytes: day.bytes,
            r#final: day.is_final,
        }
    }
}

/// The report of a tenant's use by day.
#[derive(Debug, Serialize)]
struct TrafficReport {
    /// The days, oldest first.
    days: Vec<DayView>,
}

impl Report for TrafficReport {
    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new(["date", "requests", "events", "rejected", "bytes", "final"]);
        for day in &self.days {
            sheet.row([
                Cell::Text(day.date.clone()),
                day.requests.into(),
                day.events.into(),
                day.rejected.into(),
                day.bytes.into(),
                Cell::Text(day.r#final.to_string()),
            ]);
        }
        sheet
    }
}

/// A day or an instant of it.
fn instant(name: &str, text: &str) -> Result<Millis, ProblemDocument> {
    let time = match text.len() {
        10 => Millis::parse_rfc3339(&format!("{text}T00:00:00Z")),
        _ => Millis::parse_rfc3339(text),
    };
    time.map_err(|_| {
        ProblemDocument::parameter(
            name,
            "expected a day such as 2026-11-21, or an RFC 3339 time",
        )
    })
}

fn range(asking: Asking<'_>) -> Result<(Millis, Millis), ProblemDocument> {
    let given = |name| {
        let text = asking.request.query(name)?;
        text.map(|text| instant(name, text)).transpose()
    };
    let to = given("to")?.unwrap_or(Millis(asking.now.0 + 1));
    let from = given("from")?.unwrap_or(to.plus_seconds(-DEFAULT_SECONDS));
    if from >= to {
        let why = "must be before 'to', which is the first day that is not asked for";
        return Err(ProblemDocument::parameter("from", why));
    }
    if to.0.saturating_sub(from.0) > SECONDS_MAX * 1_000 {
        let why = format!("the range is over {} days", SECONDS_MAX / 86_400);
        return Err(ProblemDocument::parameter("from", &why));
    }
    Ok((from, to))
}

/// Answers how much a tenant sent each day.
///
/// # Errors
/// What is wrong with the parameters, and the table's.
pub(crate) async fn answer<T: Accounts + Chains + WorkLists>(
    table: &T,
    tenant: &Tenant,
    asking: Asking<'_>,
) -> Result<Rendered, ProblemDocument> {
    asking.request.only_query(&["from", "to"])?;
    let (from, to) = range(asking)?;
    let first = Millis(from.0.div_euclid(DAY_MILLIS) * DAY_MILLIS);
    let last = Millis((to.0 - 1).div_euclid(DAY_MILLIS) * DAY_MILLIS + DAY_MILLIS);
    // First: what is sealed by then has its account.
    let through = completeness(table, &tenant.id, asking.now).await?.through;
    let accounts = table.accounts(&tenant.id, first, last).await?;
    let days = by_day(&accounts, (from, to), through.unwrap_or(tenant.created_at));
    let reach = Reach {
        complete_through: through,
        live_through: None,
        provisional: days.iter().any(|day| !day.is_final),
        is_as_received: false,
    };
    let report = TrafficReport {
        days: days.iter().map(DayView::of).collect(),
    };
    asking.render("traffic.csv", &report, reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_instants_are_read() {
        let read = |text| instant("from", text).ok();
        assert_eq!(read("1970-01-02"), Some(Millis(DAY_MILLIS)));
        assert_eq!(
            read("1970-01-02T00:00:01Z"),
            Some(Millis(DAY_MILLIS + 1_000))
        );
        for bad in ["", "yesterday", "2026-13-01", "2026-1-1", "9999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
