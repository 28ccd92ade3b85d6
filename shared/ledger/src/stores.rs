//! The stores of a function as one parameter, instead of a type parameter for each of its ports.
//!
//! [`Stores`] is what every function has, [`IntakeStores`] adds the stream, [`ReconcileStores`] the rest. A
//! function takes `&S` of the trait that it needs; whoever builds the stores, on AWS or in memory, puts them into
//! a [`StoreSet`].

use crate::block_item::Listing;
use crate::checkpoint::{Checkpoints, ShardMarks};
use crate::given_up::GivenUpSlices;
use crate::holds::Holds;
use crate::ports::{
    Accounts, Blocks, Chains, Commits, Directory, FrameRecords, FrameStream, Inventory, Leftovers,
    Notices, Objects, Playbacks, Receipts, RefusedEnvelopes, Removal, Results, Schemas, SealKey,
    Sweeps,
};
use crate::rates::RateCounters;
use crate::roll_up::RollUps;
use crate::spread::Spreads;
use crate::work::{NudgeQueue, WorkLists};

/// Every port of the ledger's one table.
pub trait LedgerTable:
    Receipts
    + Commits
    + Blocks
    + Listing
    + Results
    + Directory
    + Schemas
    + Accounts
    + Chains
    + Holds
    + GivenUpSlices
    + Playbacks
    + Sweeps
    + Leftovers
    + Checkpoints
    + ShardMarks
    + RefusedEnvelopes
    + RateCounters
    + RollUps
    + Spreads
    + WorkLists
{
}

impl<T> LedgerTable for T where
    T: Receipts
        + Commits
        + Blocks
        + Listing
        + Results
        + Directory
        + Schemas
        + Accounts
        + Chains
        + Holds
        + GivenUpSlices
        + Playbacks
        + Sweeps
        + Leftovers
        + Checkpoints
        + ShardMarks
        + RefusedEnvelopes
        + RateCounters
        + RollUps
        + Spreads
        + WorkLists
{
}

/// The table and the bucket, which every function has.
pub trait Stores {
    /// The type of the ledger's table.
    type Table: LedgerTable;
    /// The bucket of segments, parts, seals and quarantine.
    type Objects: Objects;

    /// Lends the ledger's table to the caller.
    fn table(&self) -> &Self::Table;

    /// Lends the ledger's bucket to the caller.
    fn objects(&self) -> &Self::Objects;
}

/// The stores of a function that puts envelopes on the stream.
pub trait IntakeStores: Stores {
    /// The stream of frames.
    type Stream: FrameStream;

    /// Lends the stream of frames to the caller.
    fn stream(&self) -> &Self::Stream;
}

/// The stores of the function that accounts, recovers, seals, plays back and sweeps.
pub trait ReconcileStores:
    IntakeStores<Stream: FrameRecords> + Stores<Objects: Inventory + Removal>
{
    /// The topic that notices of the audit go to.
    type Notices: Notices;
    /// The key that signs seals.
    type Key: SealKey;
    /// The queue of nudges from the planner to the workers.
    type Queue: NudgeQueue;

    /// Gives the audit topic.
    fn notices(&self) -> &Self::Notices;

    /// Gives the key that signs seals.
    fn key(&self) -> &Self::Key;

    /// Lends the queue of nudges to the caller.
    fn queue(&self) -> &Self::Queue;
}

/// Stores side by side; `()` stands for one that a function does not have.
#[derive(Debug, Clone)]
pub struct StoreSet<T, O, S = (), N = (), K = (), Q = ()> {
    /// The table that has every item of the ledger.
    pub table: T,
    /// The bucket that has every object of the ledger.
    pub objects: O,
    /// The stream of frames.
    pub stream: S,
    /// The topic that notices of the audit go to.
    pub notices: N,
    /// The key that signs seals.
    pub key: K,
    /// The queue of nudges from the planner to the workers.
    pub queue: Q,
}

impl<T, O> StoreSet<T, O> {
    /// Puts a table and a bucket together, without a stream, a topic, a key or a queue.
    pub const fn new(table: T, objects: O) -> Self {
        Self {
            table,
            objects,
            stream: (),
            notices: (),
            key: (),
            queue: (),
        }
    }

    /// Puts a stream beside the table and the bucket.
    pub fn with_stream<S>(self, stream: S) -> StoreSet<T, O, S> {
        StoreSet {
            table: self.table,
            objects: self.objects,
            stream,
            notices: (),
            key: (),
            queue: (),
        }
    }
}

impl<T: LedgerTable, O: Objects, S, N, K, Q> Stores for StoreSet<T, O, S, N, K, Q> {
    type Table = T;
    type Objects = O;

    fn table(&self) -> &T {
        &self.table
    }

    fn objects(&self) -> &O {
        &self.objects
    }
}

impl<T, O, S, N, K, Q> IntakeStores for StoreSet<T, O, S, N, K, Q>
where
    T: LedgerTable,
    O: Objects,
    S: FrameStream,
{
    type Stream = S;

    fn stream(&self) -> &S {
        &self.stream
    }
}

impl<T, O, S, N, K, Q> ReconcileStores for StoreSet<T, O, S, N, K, Q>
where
    T: LedgerTable,
    O: Objects + Inventory + Removal,
    S: FrameStream + FrameRecords,
    N: Notices,
    K: SealKey,
    Q: NudgeQueue,
{
    type Notices = N;
    type Key = K;
    type Queue = Q;

    fn notices(&self) -> &N {
        &self.notices
    }

    fn key(&self) -> &K {
        &self.key
    }

    fn queue(&self) -> &Q {
        &self.queue
    }
}
