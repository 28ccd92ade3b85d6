//! The parameters of GET /events, checked and bounded (invariant 8).

use crate::zone::ClockHour;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vernier_archive::row::disposition_word;
use vernier_archive::seal::PartClass;
use vernier_archive::search::{Column, Search};
use vernier_ledger::disposition::Disposition;
use vernier_ledger::event_id::EventId;
use vernier_ledger::limits::PAGE_EVENTS_MAX;
use vernier_ledger::line::{LineHead, names_rule};
use vernier_ledger::segment::Place;
use vernier_ledger::time::{Millis, TimeRange};
use vernier_web::{ProblemDocument, ProblemType, Request};

/// Page size when none is given.
const DEFAULT_LIMIT: usize = 100;

/// Longest filter value, bytes: ids are IRIs.
pub(crate) const FILTER_BYTES_MAX: usize = 2_048;

/// Parameters that the route knows.
pub const PARAMETERS: [&str; 19] = [
    "from",
    "to",
    "event_from",
    "event_to",
    "weekday",
    "hour",
    "zone",
    "sort",
    "type",
    "action",
    "actor",
    "group",
    "sensor",
    "id",
    "disposition",
    "deviation",
    "order",
    "limit",
    "cursor",
];

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The latest first.
    #[default]
    Newest,
    /// The earliest first.
    Oldest,
}

/// Which time orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// When they were received.
    #[default]
    ReceivedAt,
    /// When they happened; received-at for an event that does not say.
    EventTime,
}

/// What a page's events are ordered by: a time, and among equals the place.
pub type Key = (Millis, Place);

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQuery {
    /// First instant of received-at.
    pub from: Millis,
    /// First instant after it.
    pub to: Millis,
    /// First instant of event time, and the first after it.
    #[serde(default)]
    pub event_time: Option<(Millis, Millis)>,
    /// When on a clock they happened, or were received where they do not say.
    #[serde(default)]
    pub clock_hour: Option<ClockHour>,
    /// Equality filters by column, each given once.
    pub filters: Vec<(String, String)>,
    /// Only events that ended so; all when none.
    pub disposition: Option<Disposition>,
    /// Which time orders them.
    #[serde(default)]
    pub sort: Sort,
    /// Which end comes first.
    pub order: Order,
}

/// The range of received-at when none is given, and at most, seconds: an hour, 31 days.
const EVENTS_SECONDS: (i64, i64) = (3_600, 31 * 24 * 3_600);

/// Before an event that is asked for by its event time this much is received, seconds: clocks of
/// sensors go wrong by minutes.
const EARLY_SECONDS: i64 = 3_600;

/// Parameters of GET /quarantine.
pub const QUARANTINE_PARAMETERS: [&str; 8] = [
    "from", "to", "sensor", "rule", "type", "order", "limit", "cursor",
];

/// Columns that can be filtered by equality.
const FILTERS: [&str; 6] = ["type", "action", "actor", "group", "sensor", "id"];

impl EventQuery {
    /// Asks for all stored events that were received in a range.
    #[must_use]
    pub fn between(range: TimeRange) -> Self {
        Self {
            from: range.from,
            to: range.to,
            event_time: None,
            clock_hour: None,
            filters: Vec::new(),
            disposition: Some(Disposition::Stored),
            sort: Sort::ReceivedAt,
            order: Order::Newest,
        }
    }

    /// Gives the range of received-at.
    pub(crate) const fn range(&self) -> TimeRange {
        TimeRange {
            from: self.from,
            to: self.to,
        }
    }

    /// Reads the request's parameters.
    ///
    /// # Errors
    /// Names the parameter and what it should be.
    pub fn read(request: Request<'_>, now: Millis) -> Result<Self, ProblemDocument> {
        let event_time = request.range_of(("event_from", "event_to"))?;
        let (default_seconds, seconds_max) = EVENTS_SECONDS;
        let default_seconds = event_time.map_or(default_seconds, |(from, _)| {
            // What happened then was received since; what is still to happen, at any time.
            let since = now.0.saturating_sub(from.0).saturating_add(999) / 1_000;
            if since <= 0 {
                seconds_max
            } else {
                since.saturating_add(EARLY_SECONDS).min(seconds_max)
            }
        });
        let range = request.range(now, default_seconds, seconds_max)?;
        let mut query = Self::between(range);
        query.event_time = event_time;
        query.clock_hour = ClockHour::read(request)?;
        query.read_filters(request, &FILTERS)?;
        query.read_filters(request, &["deviation"])?;
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
        query.sort = match request.query("sort")? {
            None | Some("received_at") => Sort::ReceivedAt,
            Some("event_time") => Sort::EventTime,
            Some(_) => {
                let why = "expected received_at or event_time";
                return Err(ProblemDocument::parameter("sort", why));
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
        range: TimeRange,
    ) -> Result<Self, ProblemDocument> {
        let mut query = Self::between(range);
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

    /// Narrows the query to the events of one actor.
    ///
    /// # Errors
    /// When it asks for another's.
    pub fn only_actor(&mut self, actor: &str) -> Result<(), ProblemDocument> {
        let mut given = self.filters.iter().filter(|(name, _)| name == "actor");
        match given.next() {
            Some((_, other)) if other != actor => Err(foreign("actor")),
            Some(_) => Ok(()),
            None => {
                self.filters.push(("actor".to_owned(), actor.to_owned()));
                Ok(())
            }
        }
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

    /// What orders an event.
    #[must_use]
    pub fn key_of(&self, place: Place, event_time: Option<Millis>) -> Key {
        let received_at = place.0.received_at();
        match self.sort {
            Sort::ReceivedAt => (received_at, place),
            Sort::EventTime => (event_time.unwrap_or(received_at), place),
        }
    }

    /// What orders the event of a line, when it passes the filters; whatever became of it.
    #[must_use]
    pub fn matches(&self, head: &LineHead<'_>) -> Option<Key> {
        let at = head.receipt.received_at();
        let event_time = head.event_time();
        let column = |name: &str| match name {
            "type" => head.type_name.as_deref(),
            "action" => head.action.as_deref(),
            "actor" => head.actor.as_deref(),
            "group" => head.group.as_deref(),
            _ => Some(head.sensor.as_ref()),
        };
        let passes = |(name, value): &(String, String)| match name.as_str() {
            "rule" => {
                let problems = head.problems.as_deref().map(RawValue::get);
                problems.is_some_and(|problems| names_rule(problems, value))
            }
            "deviation" => head
                .findings()
                .is_some_and(|deviations| names_rule(&deviations, value)),
            "id" => head.id.as_deref().map(EventId) == Some(EventId(value)),
            name => column(name) == Some(value.as_str()),
        };
        let in_time = |(from, to)| event_time.is_some_and(|at| from <= at && at < to);
        let wanted = (self.from..self.to).contains(&at)
            && self.event_time.is_none_or(in_time)
            && self.is_in_clock_hour(at, event_time)
            && self.filters.iter().all(passes);
        wanted.then(|| self.key_of((head.receipt, head.index), event_time))
    }

    /// Whether an event happened, or where it does not say was received, when clocks show what is asked for.
    pub(crate) fn is_in_clock_hour(&self, received_at: Millis, event_time: Option<Millis>) -> bool {
        let wanted = self.clock_hour.as_ref();
        wanted.is_none_or(|wanted| wanted.contains(event_time.unwrap_or(received_at)))
    }

    /// The same of sealed rows, but for the hour on a clock, which no file is sorted by.
    #[must_use]
    pub fn search(&self) -> Search {
        let mut search = Search {
            equal: Vec::new(),
            ruled: Vec::new(),
            received: (self.from, self.to),
            event_time: self.event_time,
            sealed_by: None,
        };
        for (name, value) in &self.filters {
            let column = match name.as_str() {
                "type" => Column::Type,
                "action" => Column::Action,
                "actor" => Column::Actor,
                "group" => Column::Group,
                "id" => Column::Id,
                "rule" => {
                    search.ruled.push((Column::Problems, value.clone()));
                    continue;
                }
                "deviation" => {
                    search.ruled.push((Column::Deviations, value.clone()));
                    continue;
                }
                _ => Column::Sensor,
            };
            search.equal.push((column, value.clone()));
        }
        if let Some(disposition) = self.disposition.filter(|d| *d != Disposition::Stored) {
            let word = disposition_word(disposition).to_owned();
            search.equal.push((Column::Disposition, word));
        }
        search
    }

    /// Files that may hold what is asked for.
    #[must_use]
    pub const fn classes(&self) -> &'static [PartClass] {
        match self.disposition {
            Some(Disposition::Stored) => &[PartClass::Archive],
            Some(_) => &[PartClass::Exceptions],
            None => &[PartClass::Archive, PartClass::Exceptions],
        }
    }
}

/// The refusal of a parameter that names another learner than the token's own.
#[must_use]
pub fn foreign(name: &str) -> ProblemDocument {
    let why = format!("{name}: the token reads its own learner's data only; leave it out");
    ProblemDocument::new(ProblemType::Forbidden, why)
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
