//! Caliper rules: envelope in, verdicts and query columns out.
//!
//! [`read_envelope`] reads one HTTP request body in one pass and gives back every item of its
//! `data` exactly as sent, each with its [`Verdict`] and its query [`Columns`]. A bad event never
//! refuses its envelope; only what makes the whole body unreadable does ([`Refusal`]).
//!
//! The crate is pure: no clock, no environment, no I/O. It builds no tree of owned values; an
//! accepted event costs no allocation, but for the columns of one that says a result and for the
//! first events of each shape in a body, by which later ones are judged more quickly.
#![deny(missing_docs)]

mod check;
mod clock;
mod columns;
mod compact;
mod context;
mod course;
mod document;
mod domain;
mod duplicates;
mod duration;
mod endpoint;
mod envelope;
mod envelope_property;
mod item;
#[cfg(test)]
mod leniency_test;
mod lenient;
pub mod limits;
mod marks;
#[cfg(test)]
mod mutation;
mod names;
mod policy;
mod problem;
mod refusal;
mod report;
mod result;
mod rule_list;
mod rules;
mod scan;
mod scan_error;
mod score;
mod shapes;
#[cfg(test)]
mod shapes_test;
mod suggest;
mod table_reader;
mod text;
mod time;
mod values;

pub use clock::{TIME_UNREADABLE, is_ahead, unreadable_time};
pub use columns::{Columns, Kind, Score};
pub use compact::compact;
pub use document::{Document, Shape, read_document};
pub use domain::{ColumnPointers, DomainSchema, DomainSchemas, SchemaRefusal};
pub use endpoint::SUPPORTED_VERSIONS;
pub use envelope::{Envelope, Item, read_envelope};
pub use policy::{Mode, Policy, Profile, UnknownName};
pub use problem::{Problem, Verdict};
pub use refusal::{Refusal, RefusalKind};
pub use result::ResultColumns;
pub use rule_list::{RuleText, rule_list};
pub use time::{print_instant, read_instant};
