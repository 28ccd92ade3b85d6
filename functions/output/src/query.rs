//! The parameters of GET /events, checked and bounded (invariant 8).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vernier_archive::row::Row;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::limits::PAGE_EVENTS_MAX;
use vernier_ledger::line::{LineHead, rules_of};
use vernier_ledger::time::Millis;
use vernier_web::{ProblemDocument, Request};

/// Page size when none is given.
const DEFAULT_LIMIT: usize = 100;

/// Longest filter value, bytes: ids are IRIs.
const FILTER_BYTES_MAX: usize = 2_048;

/// Parameters that the route knows.
pub const PARAMETERS: [&str; 12] = [
    "from",
    "to",
    "type",
    "action",
    "actor",
    "group",
    "sensor",
    "id",
    "disposition",
    "order",
    "limit",
    "cursor",
];

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Latest received first.
    #[default]
    Newest,
    /// Earliest received first.
    Oldest,
}

/// Which events are asked for. Times are of received-at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQuery {
    /// First instant.
    pub from: Millis,
    /// First instant after it.
    pub to: Millis,
    /// Equality filters by column, each given once.
    pub filters: Vec<(String, String)>,
    /// Only events that ended so; all when none.
    pub disposition: Option<Disposition>,
    /// Which end comes first.
    pub order: Order,
}

/// Parameters of GET /quarantine.
pub const QUARANTINE_PARAMETERS: [&str; 8] = [
    "from", "to", "sensor", "rule", "type", "order", "limit", "cursor",
];

/// Columns that can be filtered by equality.
const FILTERS: [&str; 6] = ["type", "action", "actor", "group", "sensor", "id"];

impl EventQuery {
    /// All stored events of a range.
    #[must_use]
    pub fn between(from: Millis, to: Millis) -> Self {
        Self {
            from,
            to,
            filters: Vec::new(),
            disposition: Some(Disposition::Stored),
            order: Order::Newest,
        }
    }

    /// Reads the request's parameters.
    ///
    /// # Errors
    /// Names the parameter and what it should be.
    pub fn read(request: Request<'_>, now: Millis) -> Result<Self, ProblemDocument> {
        let (from, to) = request.live_range(now)?;
        let mut query = Self::between(from, to);
        query.read_filters(request, &FILTERS)?;
        query.disposition = match request.query("disposition")? {
            None | Some("stored") => Some(Disposition::Stored),
            Some("duplicate") => Some(Disposition::Duplicate),
            Some("conflict") => Some(Disposition::Conflict),
            Some("rejected") => Some(Disposition::Rejected),
            Some("all") => None,
            Some(_) => {
                let why = "expected stored, duplicate, conflict, rejected or all";
                return Err(ProblemDocument::parameter("disposition", why));
            }
        };
        query.order = Self::read_order(request)?;
        Ok(query)
    }

    /// Reads the parameters of a list of rejected events of a range.
    ///
    /// # Errors
    /// Names the parameter and what it should be.
    pub fn read_quarantine(
        request: Request<'_>,
        (from, to): (Millis, Millis),
    ) -> Result<Self, ProblemDocument> {
        let mut query = Self::between(from, to);
        query.disposition = Some(Disposition::Rejected);
        query.read_filters(request, &["sensor", "rule", "type"])?;
        query.order = Self::read_order(request)?;
        Ok(query)
    }

    fn read_filters(
        &mut self,
        request: Request<'_>,
        names: &[&str],
    ) -> Result<(), ProblemDocument> {
        for name in names {
            if let Some(value) = request.query(name)? {
                if value.is_empty() || value.len() > FILTER_BYTES_MAX {
                    return Err(ProblemDocument::parameter(name, "expected 1 to 2048 bytes"));
                }
                self.filters.push(((*name).to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    fn read_order(request: Request<'_>) -> Result<Order, ProblemDocument> {
        Ok(match request.query("order")? {
            None | Some("newest") => Order::Newest,
            Some("oldest") => Order::Oldest,
            Some(_) => {
                return Err(ProblemDocument::parameter(
                    "order",
                    "expected newest or oldest",
                ));
            }
        })
    }

    /// Whether an event of the range passes the filters.
    #[must_use]
    pub fn matches(&self, head: &LineHead<'_>) -> bool {
        let problems = head.problems.as_deref().map(RawValue::get);
        self.passes(head.receipt, problems, |name| match name {
            "type" => head.type_name.as_deref(),
            "action" => head.action.as_deref(),
            "actor" => head.actor.as_deref(),
            "group" => head.group.as_deref(),
            "id" => head.id.as_deref(),
            _ => Some(head.sensor.as_ref()),
        })
    }

    /// Whether a sealed event of the range passes the filters.
    #[must_use]
    pub fn matches_row(&self, row: &Row<'_>) -> bool {
        self.passes(row.receipt, row.problems, |name| match name {
            "type" => row.type_name,
            "action" => row.action,
            "actor" => row.actor,
            "group" => row.group,
            "id" => row.id,
            _ => Some(row.sensor),
        })
    }

    fn passes<'e>(
        &self,
        receipt: ReceiptId,
        problems: Option<&str>,
        column: impl Fn(&str) -> Option<&'e str>,
    ) -> bool {
        let at = receipt.received_at();
        let passes = |(name, value): &(String, String)| match name.as_str() {
            "rule" => rules_of(problems.unwrap_or_default())
                .iter()
                .any(|rule| rule == value),
            name => column(name) == Some(value.as_str()),
        };
        self.from <= at && at < self.to && self.filters.iter().all(passes)
    }
}

/// Reads the page size.
///
/// # Errors
/// When it is not a number within the bound.
pub fn read_limit(request: Request<'_>) -> Result<usize, ProblemDocument> {
    let Some(text) = request.query("limit")? else {
        return Ok(DEFAULT_LIMIT);
    };
    match text.parse() {
        Ok(limit) if (1..=PAGE_EVENTS_MAX).contains(&limit) => Ok(limit),
        _ => Err(ProblemDocument::parameter(
            "limit",
            &format!("expected 1 to {PAGE_EVENTS_MAX}"),
        )),
    }
}
