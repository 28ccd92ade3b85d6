//! What went in comes out: receipts with each event's disposition, and events.
//!
//! Receipts and events are read from the live store: committed segments of the last hours.
//! Dispositions are provisional until a window is sealed: a late envelope with an earlier receipt
//! can still turn a stored event into a duplicate. Seals, proofs, the quarantine and what sensors
//! have against the rules are read from sealed windows, the last two also from what is not sealed.

pub mod context;
pub mod cursor;
pub mod deviations;
pub mod events;
pub mod handler;
mod page;
pub mod quarantine;
pub mod query;
pub mod receipts;
pub mod seals;

/// What the function needs of the world.
#[derive(Debug)]
pub struct Ports<T, O> {
    /// Receipts and segment records.
    pub table: T,
    /// Segments and oversize events.
    pub objects: O,
}
