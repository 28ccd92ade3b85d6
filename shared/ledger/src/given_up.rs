//! Slices that recovery gave up: the stream function could not store them though they were brought back as often as
//! [`BROUGHT_BACK_MAX`] says. Each is kept raw in quarantine, and its window counts it missing.

use crate::frame::Tally;
use crate::ids::{ReceiptId, TenantId};
use crate::ports::PortError;
use crate::time::{Millis, TimeRange};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// How often a slice is put on the stream again. One that fails each time would keep its window open for ever.
pub const BROUGHT_BACK_MAX: u32 = 3;

/// A slice that is brought back no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpSlice {
    /// The envelope's receipt; its received-at says which window misses the slice.
    pub receipt: ReceiptId,
    /// Which slice of the envelope.
    pub slice: u32,
    /// How many slices the envelope has.
    pub slices: u32,
    /// The count and digest of the slice's events.
    pub tally: Tally,
    /// When it was given up.
    pub at: Millis,
    /// The key of the object that has its frame as the stream had it last.
    pub object: String,
}

impl GivenUpSlice {
    /// Where the frame of a tenant's slice is kept.
    #[must_use]
    pub fn object_of(tenant: &TenantId, receipt: ReceiptId, slice: u32) -> String {
        format!("{SLICES_PREFIX}tenant={tenant}/{receipt}-{slice:05}")
    }
}

/// The slices of some time that were given up, to be asked slice by slice.
#[derive(Debug, Clone, Default)]
pub struct GivenUp(HashSet<(ReceiptId, u32)>);

impl GivenUp {
    /// Takes every slice by its receipt and number.
    #[must_use]
    pub fn of(slices: &[GivenUpSlice]) -> Self {
        Self(slices.iter().map(|g| (g.receipt, g.slice)).collect())
    }

    /// Whether a receipt's slice is among them.
    #[must_use]
    pub fn has(&self, receipt: ReceiptId, slice: u32) -> bool {
        self.0.contains(&(receipt, slice))
    }
}

/// Under which prefix of the bucket slices that were given up lie, each tenant's by itself.
pub const SLICES_PREFIX: &str = "quarantine/slices/";

/// Which slices were given up.
#[allow(async_fn_in_trait)]
pub trait GivenUpSlices {
    /// Keeps that a tenant's slice was given up. Durable on return; keeping it again puts the newer one in its place.
    async fn keep_given_up(&self, tenant: &TenantId, slice: &GivenUpSlice)
    -> Result<(), PortError>;

    /// A tenant's slices that were given up, of envelopes received in the range, by receipt and slice, read
    /// consistently. One may be stored all the same, by a record that was read late or after an upgrade: whoever counts
    /// them missing looks at what is committed first.
    async fn given_up_slices(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Vec<GivenUpSlice>, PortError>;
}
