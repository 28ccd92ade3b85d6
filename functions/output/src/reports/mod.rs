//! Reports: where learners stand, from the results in the table; what happened, from the events.
//!
//! A report over events is a fold: [`Asked`] takes the events one by one, in whatever order and from
//! wherever they are read, and then answers.

mod activity;
mod api;
mod asked;
mod assignments;
mod distinct;
mod grades;
mod history;
mod sections;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;
mod usage;

pub use crate::zone::{Bucket, Zone};
pub use activity::{Activity, ActivityReport};
pub(crate) use api::name_in;
pub use api::{Asking, Body, Rendered, answer};
pub use asked::{Asked, Filter};
pub use assignments::{AssignmentView, AssignmentsReport, AttemptView};
pub use grades::{Grade, GradesReport, LearnerGrades};
pub use history::{ChangeView, History, HistoryOf, HistoryReport};
pub use sections::{SectionView, Sections, SectionsReport};
pub use usage::{BucketView, Usage, UsageReport};

use serde::{Serialize, Serializer};
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::line::LineResult;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;
pub use vernier_sheet::{Cell, Sheet};

/// One event as a report sees it, sealed or live; of its columns those that the report asked for.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// `event`, `entity`, `domain` or `opaque`; empty where nobody asked.
    pub kind: &'a str,
    /// Its type.
    pub type_name: Option<&'a str>,
    /// Its action.
    pub action: Option<&'a str>,
    /// The actor's id.
    pub actor: Option<&'a str>,
    /// The course section's (group's) id.
    pub group: Option<&'a str>,
    /// Its own id.
    pub id: Option<&'a str>,
    /// When it happened, as it says.
    pub event_time: Option<Millis>,
    /// When it was received.
    pub received_at: Millis,
    /// Its receipt and its position in the envelope.
    pub place: Place,
    /// How it ended.
    pub disposition: Disposition,
    /// What it says of a result.
    pub result: Option<&'a LineResult<'a>>,
    /// SHA-256 of the compacted event.
    pub fingerprint: Option<Fingerprint>,
}

impl Seen<'_> {
    /// Whether it describes an entity: nothing happened then, nobody acted.
    fn is_describe(&self) -> bool {
        self.kind == "entity"
    }

    /// When it happened, else when it was received.
    fn at(&self) -> Millis {
        self.event_time.unwrap_or(self.received_at)
    }
}

/// How far an answer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Sealed up to here; none while nothing is sealed.
    pub complete_through: Option<Millis>,
    /// Latest received-at that is queryable; none where nothing is, or nobody looked.
    pub live_through: Option<Millis>,
    /// Whether anything in it is not sealed yet.
    pub provisional: bool,
    /// Whether of what is not sealed events that were sent again are counted again, and learners by a part of their
    /// ids' hashes, since it was too much to be read event by event.
    pub is_as_received: bool,
}

/// What is in a report that becomes an answer, as JSON or as CSV.
pub trait Report: Serialize {
    /// As a table.
    fn sheet(&self) -> Sheet;

    /// Whether there is more than it shows.
    fn more(&self) -> bool {
        false
    }
}

/// Why a fold has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It would be larger than an answer may be (invariant 8).
    #[error("the report has over {most} {what}; ask for less at a time")]
    TooMuch {
        /// The bound.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

fn rfc3339<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

fn rfc3339_if_any<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(Millis::rfc3339).serialize(serializer)
}
