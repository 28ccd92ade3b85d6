//! What went in comes out: receipts with each event's disposition, and events.
//!
//! Events are read from sealed windows, and from the live store what is not sealed ([`events`]); its
//! dispositions are provisional: a late envelope with an earlier receipt can still turn a stored event
//! into a duplicate. Receipts are read from the live store, seals and proofs from sealed windows. Reports say
//! where learners stand, from the results, and what they did, from the events.

pub mod context;
pub mod cursor;
pub mod deviations;
pub mod events;
mod extent;
pub mod filter_memory;
pub mod handler;
pub mod insights;
mod live;
mod metered;
pub mod openapi;
mod page;
pub mod proofs;
pub mod query;
pub mod receipts;
pub mod reports;
mod scan;
mod sealed;
pub mod seals;
mod zone;
