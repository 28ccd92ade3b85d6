//! What went in comes out: receipts with each event's disposition, and events.
//!
//! Everything read here is the live store: committed segments of the last hours. Dispositions
//! are provisional until a window is sealed: a late envelope with an earlier receipt can still
//! turn a stored event into a duplicate.

pub mod context;
pub mod cursor;
pub mod events;
pub mod handler;
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
