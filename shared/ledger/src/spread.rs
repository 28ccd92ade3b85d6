//! How far a tenant's envelopes are spread, and how that grows by itself.
//!
//! An envelope meets other envelopes of its tenant in two places that take so much a second and no more: in a shard of
//! the stream, by its records' partition key, and in a partition of the table, by its receipt's lane. Whoever sends and
//! is throttled in one of them doubles the tenant's keys or lanes, at most once in [`GROW_SECONDS`] and up to a bound.
//! Neither number ever falls: receipts in lanes that a tenant had no more would not be found.

use crate::access::Tenant;
use crate::ids::{Lane, ReceiptId, TenantId};
use crate::limits::{LANES_MAX, STREAM_KEYS_MAX};
use crate::ports::PortError;
use crate::time::Millis;

/// Seconds between two doublings of a tenant: what one of them brings shows in the seconds after it.
pub const GROW_SECONDS: i64 = 60;

/// Over how many partitions a tenant's envelopes are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Partitions of its receipts, 1 to [`LANES_MAX`].
    pub lanes: u16,
    /// Partition keys on the stream, 1 to [`STREAM_KEYS_MAX`].
    pub stream_keys: u32,
}

/// Where an envelope was throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttling {
    /// A shard did not take its records.
    pub stream: bool,
    /// The partition of its receipt did not take the receipt.
    pub receipts: bool,
}

impl Throttling {
    /// Whether it was throttled anywhere.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.stream || self.receipts
    }
}

impl Spread {
    /// The spread of a tenant that grew to `grown`, or never did: its settings say where it begins.
    #[must_use]
    pub fn of(tenant: &Tenant, grown: Option<&GrownSpread>) -> Self {
        let lanes = tenant.lanes.clamp(1, LANES_MAX);
        let begun = Self {
            lanes,
            stream_keys: u32::from(lanes),
        };
        grown.map_or(begun, |grown| begun.max(grown.spread))
    }

    /// The larger of each number.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            lanes: self.lanes.max(other.lanes).min(LANES_MAX),
            stream_keys: self.stream_keys.max(other.stream_keys).min(STREAM_KEYS_MAX),
        }
    }

    /// Twice as many of what was throttled; none where that is at its bound.
    #[must_use]
    pub fn doubled(self, throttling: Throttling) -> Option<Self> {
        let twice = Self {
            lanes: self
                .lanes
                .saturating_mul(if throttling.receipts { 2 } else { 1 }),
            stream_keys: self
                .stream_keys
                .saturating_mul(if throttling.stream { 2 } else { 1 }),
        };
        let next = self.max(twice);
        (next != self).then_some(next)
    }

    /// A new envelope's receipt, in any of the lanes: frames carry no order that matters downstream.
    #[must_use]
    pub fn new_receipt(self, now: Millis) -> ReceiptId {
        let lane = Lane::try_from(rand::random::<u16>() % self.lanes.max(1)).unwrap_or(0);
        ReceiptId::generate(now, lane)
    }

    /// The partition key of an envelope's records, drawn by the receipt's random bytes: an envelope's slices go into one
    /// shard, and two envelopes into any two.
    #[must_use]
    pub fn partition_key(self, tenant: &TenantId, receipt: ReceiptId) -> String {
        let [.., a, b, c, d] = *receipt.as_bytes();
        let drawn = u32::from_be_bytes([a, b, c, d]);
        format!("{tenant}/{}", drawn % self.stream_keys.max(1))
    }
}

/// How far a tenant's spread has grown by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrownSpread {
    /// What it grew to.
    pub spread: Spread,
    /// When it last did.
    pub grown_at: Millis,
}

impl GrownSpread {
    /// What a tenant grows to that was throttled with the spread that it has; none where it grew less than
    /// [`GROW_SECONDS`] ago, or has all that it can have.
    #[must_use]
    pub fn next(
        tenant: &Tenant,
        grown: Option<&Self>,
        throttling: Throttling,
        now: Millis,
    ) -> Option<Self> {
        let rests = grown.is_some_and(|grown| now < grown.grown_at.plus_seconds(GROW_SECONDS));
        let spread = Spread::of(tenant, grown).doubled(throttling)?;
        (!rests).then_some(Self {
            spread,
            grown_at: now,
        })
    }
}

/// The store of how far tenants' spreads have grown.
#[allow(async_fn_in_trait)]
pub trait Spreads {
    /// How far a tenant has grown, read consistently; none while it never did.
    async fn grown_spread(&self, tenant: &TenantId) -> Result<Option<GrownSpread>, PortError>;

    /// Puts a spread in the place of the one that the caller saw, or of none; false when it is another
    /// by now (nothing is changed).
    async fn grow_spread(
        &self,
        tenant: &TenantId,
        seen: Option<&GrownSpread>,
        next: &GrownSpread,
    ) -> Result<bool, PortError>;
}

/// All lanes in which a tenant may have receipts, as of now: whoever lists receipts asks for them before, each time, since
/// a process that sends may have grown them a moment ago.
///
/// # Errors
/// Whatever error the store gives.
pub async fn lanes_of<T: Spreads>(table: &T, tenant: &Tenant) -> Result<Vec<Lane>, PortError> {
    let grown = table.grown_spread(&tenant.id).await?;
    let lanes = Spread::of(tenant, grown.as_ref()).lanes;
    Ok((0..lanes)
        .filter_map(|lane| Lane::try_from(lane).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(lanes: u16) -> Tenant {
        Tenant {
            lanes,
            ..Tenant::new("school".parse().expect("a tenant's name"), Millis(0))
        }
    }

    const STREAM: Throttling = Throttling {
        stream: true,
        receipts: false,
    };
    const RECEIPTS: Throttling = Throttling {
        stream: false,
        receipts: true,
    };

    /// Throttled without an end, each second.
    fn grown(tenant: &Tenant, throttling: Throttling, seconds: i64) -> Option<GrownSpread> {
        let mut grown = None;
        for second in 0..seconds {
            let now = Millis(0).plus_seconds(second);
            grown = GrownSpread::next(tenant, grown.as_ref(), throttling, now).or(grown);
        }
        grown
    }

    #[test]
    fn what_is_throttled_doubles_once_a_minute_up_to_its_bound() {
        let tenant = tenant(3);
        let first = grown(&tenant, RECEIPTS, 60).expect("it grew").spread;
        assert_eq!((first.lanes, first.stream_keys), (6, 3));
        let second = grown(&tenant, RECEIPTS, 61).expect("it grew").spread;
        assert_eq!((second.lanes, second.stream_keys), (12, 3));
        let most = grown(&tenant, RECEIPTS, 3_600).expect("it grew").spread;
        assert_eq!((most.lanes, most.stream_keys), (LANES_MAX, 3));
        let most = grown(&tenant, STREAM, 3_600).expect("it grew").spread;
        assert_eq!((most.lanes, most.stream_keys), (3, STREAM_KEYS_MAX));
        assert_eq!(grown(&tenant, Throttling::default(), 3_600), None);
    }

    #[test]
    fn settings_are_where_it_begins_and_an_operator_may_go_ahead() {
        let grown = grown(&tenant(1), RECEIPTS, 61);
        let spread = |lanes| Spread::of(&tenant(lanes), grown.as_ref());
        assert_eq!((spread(1).lanes, spread(1).stream_keys), (4, 1));
        assert_eq!((spread(9).lanes, spread(9).stream_keys), (9, 9));
        assert_eq!(Spread::of(&tenant(0), None).lanes, 1);
    }

    #[test]
    fn envelopes_go_into_all_lanes_and_keys_and_no_others() {
        let spread = Spread {
            lanes: 4,
            stream_keys: 8,
        };
        let (mut lanes, mut keys) = ([0; 4], [0; 8]);
        let school = tenant(1).id;
        for _ in 0..4_000 {
            let receipt = spread.new_receipt(Millis(1));
            lanes[usize::from(receipt.lane())] += 1;
            let key = spread.partition_key(&school, receipt);
            let number = key.strip_prefix("school/").expect("the tenant's");
            keys[number.parse::<usize>().expect("a number")] += 1;
            assert_eq!(spread.partition_key(&school, receipt), key);
        }
        assert!(lanes.iter().all(|n| *n > 800), "{lanes:?}");
        assert!(keys.iter().all(|n| *n > 350), "{keys:?}");
    }
}
