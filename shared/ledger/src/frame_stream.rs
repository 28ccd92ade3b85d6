//! The stream of frames: records that are appended, and read again.

use crate::ids::{Sequence, Shard};
use crate::ports::PortError;
use crate::receipt::Origin;

/// One record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The key by whose hash the stream chooses the shard.
    pub partition_key: String,
    /// The frame as it travels (docs/frame.md).
    pub data: Vec<u8>,
}

/// The stream of frames.
#[allow(async_fn_in_trait)] // callers are generic and single-threaded; no Send bound is wanted
pub trait FrameStream {
    /// Appends records, one answer each and in order: where it lies, or why not. A record is
    /// durable when its answer is an origin; one with an error may have been written all the
    /// same (a time-out says nothing).
    async fn append(&self, records: &[NewRecord]) -> Vec<Result<Origin, PortError>>;
}

/// The stream's records, read again.
#[allow(async_fn_in_trait)]
pub trait FrameRecords {
    /// The stream's shard of this id, whether the stream still lists it or not; an error where it is no shard's id.
    fn shard(&self, id: &str) -> Result<Shard, PortError>;

    /// The first records of a shard, at most `count_max`, from a sequence number on, in their order, that the stream
    /// still keeps; none when it keeps none from there on. One read of the stream, and a few where those answer nothing.
    async fn kept_from(
        &self,
        shard: &Shard,
        from: &Sequence,
        count_max: u32,
    ) -> Result<Vec<(Sequence, NewRecord)>, PortError>;

    /// Every shard that the stream still lists, by id: open ones, and closed ones until
    /// their records' retention is over.
    async fn listed_shards(&self) -> Result<Vec<Shard>, PortError>;
}
