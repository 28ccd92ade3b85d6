//! Which event a register has its value from, in the order in which writers win.

use crate::digest::Fingerprint;
use crate::event_id::EventId;
use crate::limits::CAUSE_ID_BYTES_MAX;
use crate::time::Millis;
use std::fmt;
use uuid::Uuid;

/// The event's time, at the front.
const TIME_BYTES: usize = 8;

/// Bytes of the fingerprint behind an id: they decide between events of one id and time.
const TIE_BYTES: usize = 16;

/// What follows the time: an event without an id of its own, by its whole fingerprint.
const BY_FINGERPRINT: u8 = 0;
/// An id of the form `urn:uuid:…` in any spelling, as 16 bytes.
const BY_UUID: u8 = 1;
/// Any other id, as text.
const BY_TEXT: u8 = 2;

/// The first byte of the time of a clock that was ahead. Those of other events begin with 0x7f (before 1970)
/// or 0x80, for all years to 9999.
const AHEAD: u8 = 0;

/// How most event ids begin.
const URN: &str = "urn:uuid:";

/// The event that caused a value: event time first, then the event's id, then the first bytes of
/// its fingerprint. The order is total, is that of the bytes, and hence that of DynamoDB's
/// comparison of binary attributes.
///
/// An event of a clock that was ahead comes before all others, whatever its time: what it says stands
/// until any other event speaks of the same, and can therefore be corrected at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(Vec<u8>);

impl Cause {
    /// Of an event that happened at `at`. One without an id, or with one over
    /// [`CAUSE_ID_BYTES_MAX`], goes by its fingerprint.
    #[must_use]
    pub fn new(at: Millis, id: Option<&str>, fingerprint: &Fingerprint) -> Self {
        // With the sign bit turned over, times before 1970 come before the others.
        Self::of_time((at.0 as u64) ^ (1 << 63), id, fingerprint)
    }

    /// Of an event that says that it happened at `at`, more than five minutes after it was received.
    /// An event that is said to have happened before 1970 cannot be one of these.
    #[must_use]
    pub fn of_clock_ahead(at: Millis, id: Option<&str>, fingerprint: &Fingerprint) -> Self {
        Self::of_time(at.0 as u64, id, fingerprint)
    }

    fn of_time(time: u64, id: Option<&str>, fingerprint: &Fingerprint) -> Self {
        let mut bytes = Vec::with_capacity(TIME_BYTES + 1 + 2 * TIE_BYTES);
        bytes.extend_from_slice(&time.to_be_bytes());
        match id.filter(|id| id.len() <= CAUSE_ID_BYTES_MAX) {
            None => {
                bytes.push(BY_FINGERPRINT);
                bytes.extend_from_slice(&fingerprint.0);
            }
            Some(id) => {
                match uuid_of(id) {
                    Some(uuid) => {
                        bytes.push(BY_UUID);
                        bytes.extend_from_slice(uuid.as_bytes());
                    }
                    None => {
                        bytes.push(BY_TEXT);
                        bytes.extend_from_slice(id.as_bytes());
                    }
                }
                bytes.extend_from_slice(&fingerprint.0[..TIE_BYTES]);
            }
        }
        Self(bytes)
    }

    /// As it is stored: at most 8 + 1 + 256 + 16 bytes, 41 for a UUID.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From stored bytes; none when they are no cause.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.get(TIME_BYTES..)?.split_first()?;
        let sound = match *tag {
            BY_FINGERPRINT => rest.len() == 32,
            BY_UUID => rest.len() == 16 + TIE_BYTES,
            BY_TEXT => {
                let id = rest.len().checked_sub(TIE_BYTES)?;
                id <= CAUSE_ID_BYTES_MAX && std::str::from_utf8(&rest[..id]).is_ok()
            }
            _ => false,
        };
        sound.then(|| Self(bytes.to_vec()))
    }

    /// When the event happened, as it says.
    #[must_use]
    pub fn event_time(&self) -> Millis {
        let mut time = [0; TIME_BYTES];
        time.copy_from_slice(&self.0[..TIME_BYTES]);
        let sign = if self.is_of_clock_ahead() { 0 } else { 1 << 63 };
        Millis((u64::from_be_bytes(time) ^ sign) as i64)
    }

    /// Whether the event's clock was ahead when it was received.
    #[must_use]
    pub fn is_of_clock_ahead(&self) -> bool {
        self.0[0] == AHEAD
    }

    /// The event's id, a UUID in small letters; none for one that goes by its fingerprint.
    #[must_use]
    pub fn event_id(&self) -> Option<String> {
        let name = &self.0[TIME_BYTES + 1..];
        let id = name.get(..name.len().checked_sub(TIE_BYTES)?)?;
        match self.0[TIME_BYTES] {
            BY_UUID => Uuid::from_slice(id).ok().map(|u| format!("{URN}{u}")),
            BY_TEXT => String::from_utf8(id.to_vec()).ok(),
            _ => None,
        }
    }

    /// The event's fingerprint, where it goes by it.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let name = &self.0[TIME_BYTES + 1..];
        (self.0[TIME_BYTES] == BY_FINGERPRINT)
            .then(|| name.try_into().ok().map(Fingerprint))
            .flatten()
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.event_time())?;
        match self.event_id() {
            Some(id) => f.write_str(&id),
            None => fmt::Debug::fmt(&self.fingerprint(), f),
        }
    }
}

/// The UUID that an id names as `urn:uuid:…`: events of one UUID have one cause, however it is spelled.
fn uuid_of(id: &str) -> Option<Uuid> {
    let (urn, uuid) = id.split_at_checked(URN.len())?;
    let is_urn = urn.eq_ignore_ascii_case(URN) && EventId(id).is_uuid();
    is_urn.then(|| Uuid::try_parse(uuid).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_id() -> impl Strategy<Value = Option<String>> {
        prop_oneof![
            Just(None),
            any::<u128>().prop_map(|n| Some(format!("urn:uuid:{}", Uuid::from_u128(n)))),
            any::<u128>().prop_map(|n| Some(format!("urn:uuid:{:X}", Uuid::from_u128(n)))),
            "\\PC{1,300}".prop_map(Some),
            "[ab]{1,3}".prop_map(Some),
        ]
    }

    /// Years 0 to 9999 with any offset, milliseconds.
    const TIMES: std::ops::Range<i64> = -62_167_305_600_000..253_402_387_200_000;

    fn any_cause() -> impl Strategy<Value = (i64, Option<String>, [u8; 32])> {
        let time = prop_oneof![-2i64..2, TIMES];
        let content = prop_oneof![Just([0; 32]), any::<[u8; 32]>()];
        (time, any_id(), content)
    }

    proptest! {
        #[test]
        fn a_cause_says_what_it_was_made_of((at, id, content) in any_cause()) {
            let cause = Cause::new(Millis(at), id.as_deref(), &Fingerprint(content));
            let again = Cause::from_bytes(cause.as_bytes()).expect("a cause");
            prop_assert_eq!(&again, &cause);
            prop_assert_eq!(cause.event_time(), Millis(at));
            let kept = id.filter(|id| id.len() <= CAUSE_ID_BYTES_MAX);
            let by_fingerprint = kept.is_none().then_some(Fingerprint(content));
            let named = cause.event_id();
            prop_assert_eq!(named.as_deref().map(EventId), kept.as_deref().map(EventId));
            prop_assert_eq!(cause.fingerprint(), by_fingerprint);
        }

        #[test]
        fn a_clock_that_is_ahead_yields_to_every_other(a in any_cause(), b in any_cause()) {
            let at = Millis(a.0.max(0));
            let ahead = Cause::of_clock_ahead(at, a.1.as_deref(), &Fingerprint(a.2));
            let other = Cause::new(Millis(b.0), b.1.as_deref(), &Fingerprint(b.2));
            prop_assert!(ahead < other);
            prop_assert!(ahead.is_of_clock_ahead() && !other.is_of_clock_ahead());
            prop_assert_eq!(ahead.event_time(), at);
            prop_assert_eq!(Cause::from_bytes(ahead.as_bytes()), Some(ahead));
        }

        #[test]
        fn times_come_first_and_different_events_differ(a in any_cause(), b in any_cause()) {
            let cause = |(at, id, content): &(i64, Option<String>, [u8; 32])| {
                Cause::new(Millis(*at), id.as_deref(), &Fingerprint(*content))
            };
            // Events with the same content have the same id: one that is too long says no more.
            let named = |id: &Option<String>| id.clone().filter(|id| id.len() <= CAUSE_ID_BYTES_MAX);
            let (first, second) = (cause(&a), cause(&b));
            if a.0 != b.0 {
                prop_assert_eq!(first < second, a.0 < b.0);
            } else if (named(&a.1), a.2) != (named(&b.1), b.2) {
                prop_assert_ne!(first, second);
            }
        }

        #[test]
        fn no_bytes_make_a_cause_panic(bytes: Vec<u8>) {
            if let Some(cause) = Cause::from_bytes(&bytes) {
                let _ = format!("{cause:?}");
            }
        }
    }

    #[test]
    fn a_uuid_is_one_cause_in_every_spelling() {
        let cause = |id: &str| Cause::new(Millis(0), Some(id), &Fingerprint([9; 32]));
        let small = "urn:uuid:0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b";
        assert_eq!(cause(&small.to_uppercase()), cause(small));
        assert_ne!(cause(&small["urn:uuid:".len()..]), cause(small));
    }

    #[test]
    fn between_uuids_the_order_is_the_texts() {
        let cause = |id: &str| Cause::new(Millis(0), Some(id), &Fingerprint([9; 32]));
        let (low, high) = (
            cause("urn:uuid:0fffffff-ffff-4fff-8fff-ffffffffffff"),
            cause("urn:uuid:10000000-0000-4000-8000-000000000000"),
        );
        assert!(low < high);
        assert_eq!(low.as_bytes().len(), 41);
    }
}
