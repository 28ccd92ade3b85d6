//! The archive: windows sealed into open Parquet files with a proof that anybody can check.
//!
//! [`window`] takes a window's lines in any order, decides dispositions, sorts in bounded memory and
//! writes the files, [`day`] merges those of many windows; [`seal`] is the proof over them, [`keys`] what signs and checks it;
//! [`verify`](mod@verify) re-derives everything from files and a public key (invariant 6);
//! [`reader`] reads parts back, [`search`] finds events in them by statistics, bloom filters and page index.
//!
//! Nothing here knows AWS, the clock or the environment: times, directories and threads are arguments,
//! storage is behind [`files::Source`] and [`files::Sink`]. [`stored`] alone waits, for the ledger's
//! port of objects.

pub mod account;
pub mod blocks;
pub mod canonical;
mod column_order;
pub mod columns;
pub mod day;
pub mod day4;
pub mod erase;
pub mod files;
mod filling;
mod firsts;
pub mod holds;
mod id_table;
mod judge;
pub mod keys;
mod layout;
pub mod leaf;
pub mod limits;
pub mod merkle;
pub mod part;
pub mod part_name;
pub mod pieces;
pub mod previous;
pub mod proof;
pub mod proof4;
pub mod reader;
pub mod row;
pub mod scratch;
pub mod seal;
pub mod search;
pub mod share;
mod sort;
pub mod stored;
pub mod verify;
pub mod window;
mod write;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Storage failed: the same call may succeed later.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// What was read is not what it should be.
    #[error("{0}")]
    Damaged(String),
    /// Parquet cannot be written or read.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A line is none.
    #[error(transparent)]
    Line(#[from] vernier_ledger::line::BadLine),
    /// A line of another window.
    #[error("receipt {0} was not received in the window")]
    OtherWindow(vernier_ledger::ids::ReceiptId),
    /// The same place twice: the segments do not add up, and nothing may be sealed.
    #[error("event {1} of receipt {0} came twice")]
    Repeated(vernier_ledger::ids::ReceiptId, u32),
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Signing(String),
}

impl Fault {
    /// The storage's error, also where Parquet's writer has wrapped it.
    #[must_use]
    pub fn io(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io(error) => Some(error),
            Self::Parquet(parquet::errors::ParquetError::External(error)) => error.downcast_ref(),
            _ => None,
        }
    }
}
