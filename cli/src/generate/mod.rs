//! A deterministic semester of Caliper 1.2 events: courses, learners, sittings, pages, films,
//! assessments with attempts and items, grades.
//!
//! The same parameters give the same bytes on every machine. The mix is 70 % session, navigation,
//! view and media events, 20 % assessment items, 5 % assessments and 5 % grades; events come in
//! order of time, and every cause before its effect: a login before what is viewed, an attempt
//! started before it is submitted before it is graded.
//!
//! ```
//! use vernier_cli::generate::{Params, Semester};
//!
//! let semester = Semester::new(Params::new(7, 250))?;
//! let envelopes: Vec<_> = semester.envelopes().collect();
//! assert_eq!(envelopes.len(), 3); // 100, 100 and 50 events
//! # Ok::<(), vernier_cli::generate::ParamsError>(())
//! ```

mod activity;
mod catalog;
#[cfg(test)]
mod conformance_tests;
mod defect;
mod entities;
mod node;
mod plan;
mod random;
mod render;
#[cfg(test)]
mod tests;
mod timeline;

pub use defect::Defect;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::fmt;
pub use timeline::{Envelopes, Events};

/// The Caliper context of every event, also the envelope's data version.
pub const CONTEXT: &str = "http://purl.imsglobal.org/ctx/caliper/v1p2";

/// The sensor that every envelope names.
pub const SENSOR: &str = "https://lms.example.edu/sensors/1";

/// Part of every key: raise it when the same parameters give other bytes, so that the new events
/// get new ids and do not stand in conflict with the old ones.
const VERSION: u8 = 1;

/// Events of one semester. Held in memory are the week's list (16 bytes a cycle of 50 events) and
/// the activities under way (about 8 KB each, up to one for every cycle of the week): at 100
/// million events, 143,000 cycles a week, 2 MB and 1.1 GB.
const EVENTS_MAX: u64 = 100_000_000;

/// Events of one envelope: ten times what the service takes, so that its refusal can be seen.
const ENVELOPE_EVENTS_MAX: usize = 100_000;

/// What a semester is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Where all choices and all ids come from.
    pub seed: u64,
    /// Events in all.
    pub events: u64,
    /// Events of one envelope; the last may have fewer.
    pub envelope_events: usize,
    /// First day of the first week. A semester has 14 weeks.
    pub start: Date,
    /// Events made invalid, each with one [`Defect`], evenly spread.
    pub invalid: u64,
}

impl Params {
    /// A semester from Monday 2026-01-12 in envelopes of 100 events, all of them valid.
    #[must_use]
    pub const fn new(seed: u64, events: u64) -> Self {
        Self {
            seed,
            events,
            envelope_events: 100,
            start: jiff::civil::date(2026, 1, 12),
            invalid: 0,
        }
    }
}

/// Why there is no such semester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamsError {
    /// `events` is 0 or above 100,000,000.
    Events,
    /// `envelope_events` is 0 or above 100,000.
    EnvelopeEvents,
    /// More invalid events than events.
    Invalid,
    /// The term does not lie between the years 1970 and 9998.
    Start,
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "a semester has from 1 to 100,000,000 events",
            Self::EnvelopeEvents => "an envelope has from 1 to 100,000 events",
            Self::Invalid => "there cannot be more invalid events than events",
            Self::Start => "the first day lies between the years 1970 and 9998",
        })
    }
}

impl std::error::Error for ParamsError {}

/// The time of a semester.
#[derive(Debug, Clone)]
struct Term {
    /// First instant, milliseconds since the epoch.
    start: i64,
    /// As printed, e.g. `Spring 2026`.
    name: String,
    /// As part of an IRI, e.g. `2026-spring`.
    slug: String,
}

impl Term {
    fn new(start: Date) -> Option<Self> {
        let midnight = start
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_millisecond();
        let (year, part) = (
            start.year(),
            match start.month() {
                1..=5 => "Spring",
                6..=7 => "Summer",
                _ => "Fall",
            },
        );
        (1970..9999).contains(&year).then(|| Self {
            start: midnight,
            name: format!("{part} {year}"),
            slug: format!("{year}-{}", part.to_lowercase()),
        })
    }
}

/// A deterministic semester.
#[derive(Debug, Clone)]
pub struct Semester {
    params: Params,
    term: Term,
    plan: plan::Plan,
    key: [u8; 32],
}

impl Semester {
    /// Plans a semester; nothing is generated yet.
    ///
    /// # Errors
    /// A parameter is out of its bounds.
    pub fn new(params: Params) -> Result<Self, ParamsError> {
        if !(1..=EVENTS_MAX).contains(&params.events) {
            return Err(ParamsError::Events);
        }
        if !(1..=ENVELOPE_EVENTS_MAX).contains(&params.envelope_events) {
            return Err(ParamsError::EnvelopeEvents);
        }
        if params.invalid > params.events {
            return Err(ParamsError::Invalid);
        }
        let term = Term::new(params.start).ok_or(ParamsError::Start)?;
        // The number of events is in the key since it shapes the plan: a semester of another size
        // is another semester. Envelope size and defects are not: they change no other event.
        let mut hash = Sha256::new();
        hash.update(b"vernier semester");
        hash.update([VERSION]);
        hash.update(params.seed.to_be_bytes());
        hash.update(params.events.to_be_bytes());
        hash.update(term.start.to_be_bytes());
        Ok(Self {
            plan: plan::Plan::for_events(params.events),
            term,
            key: hash.finalize().into(),
            params,
        })
    }

    /// The events one by one, in order of time.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events::new(self)
    }

    /// The events in envelopes, as a sensor posts them.
    #[must_use]
    pub fn envelopes(&self) -> Envelopes<'_> {
        Envelopes::new(self)
    }

    /// The defect of the event at this place, if it has one: the middle of each of `invalid`
    /// equal parts.
    fn defect_at(&self, index: u64) -> Option<Defect> {
        let (events, invalid) = (
            u128::from(self.params.events),
            u128::from(self.params.invalid),
        );
        let index = u128::from(index);
        // Part k is broken at floor((2k + 1) * events / (2 * invalid)): here is the first part whose
        // place is not before the index.
        let part = (2 * invalid * index).div_ceil(events) / 2;
        let here = part < invalid && (2 * part + 1) * events < 2 * invalid * (index + 1);
        here.then(|| Defect::ALL[(part % Defect::ALL.len() as u128) as usize])
    }
}

/// One generated event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, a `urn:uuid:` IRI. Where the id itself is the defect, the one it would have had.
    pub id: String,
    /// Its Caliper type.
    pub kind: &'static str,
    /// When it happened, milliseconds since the epoch.
    pub time_ms: i64,
    /// The event as compact JSON.
    pub json: String,
    /// What is wrong with it, on purpose.
    pub defect: Option<Defect>,
}

/// One generated envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The request body: compact JSON.
    pub body: String,
    /// Events in it.
    pub events: usize,
    /// Events in it that were made invalid.
    pub invalid: usize,
}

/// RFC 3339 in UTC with milliseconds.
fn rfc3339(milliseconds: i64) -> String {
    // Times lie within a year of a start that was checked; the epoch stands in for the impossible.
    format!(
        "{:.3}",
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    )
}
