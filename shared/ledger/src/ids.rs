//! Names of things, each with the rule that keeps it safe inside a key.

use crate::time::{Millis, Minute};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct BadId {
    what: &'static str,
    why: Cow<'static, str>,
}

impl BadId {
    fn new(what: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            what,
            why: why.into(),
        }
    }
}

/// A tenant's name: 1 to 63 of `a-z 0-9 -`, first a letter or digit. The characters cannot form
/// a key separator or a path step (invariant 7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TenantId {
    /// Whether a new tenant may have this name. It is a partition of the archive in Hive style, and readers of such
    /// partitions guess types from names: one that reads as a number, a date or nothing would not stay a text. Tenants
    /// that have such a name already keep it.
    ///
    /// # Errors
    /// When the name reads as something else than a text.
    pub fn check_new(&self) -> Result<(), BadId> {
        match reads_as_text(&self.0) {
            true => Ok(()),
            false => Err(BadId::new(
                "tenant",
                format!(
                    "{0:?} reads as a number, a date or a constant where folders name the tenant: choose a name like \"school-{0}\"",
                    self.0
                ),
            )),
        }
    }
}

/// Names that readers take for true, false, nothing, a number or a date.
const CONSTANTS: [&str; 14] = [
    "true",
    "false",
    "null",
    "none",
    "nil",
    "na",
    "nan",
    "inf",
    "infinity",
    "epoch",
    "now",
    "today",
    "tomorrow",
    "yesterday",
];

/// Whether readers of partitions leave a name of `a-z 0-9 -` a text.
fn reads_as_text(name: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let has_only = |text: &str, allowed: fn(char) -> bool| {
        text.contains(is_digit) && text.chars().all(|c| is_digit(c) || allowed(c))
    };
    // 2026, 2026-01-01, 2026-01.
    let is_digits = name.chars().all(|c| is_digit(c) || c == '-');
    // 20260101t120000z.
    let is_instant = name.starts_with(is_digit) && has_only(name, |c| matches!(c, '-' | 't' | 'z'));
    // 1e5, 1e-5, 1e5f: digits, an exponent, and the suffixes of Java's numbers.
    let number = name.trim_end_matches(['d', 'f', 'l']);
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let exponent = exponent.strip_prefix('-').unwrap_or(exponent);
    let are_digits = |text: &str| !text.is_empty() && text.chars().all(is_digit);
    let is_number = are_digits(mantissa) && are_digits(exponent);
    // 0x1f, 0x1p-3, 0b101, 0o17.
    let is_prefixed = [("0x", 16), ("0b", 2), ("0o", 8)]
        .iter()
        .any(|(prefix, radix)| {
            let rest = name.strip_prefix(prefix).unwrap_or_default();
            let allowed = |c: char| c.is_digit(*radix) || (*radix == 16 && matches!(c, 'p' | '-'));
            rest.contains(|c: char| c.is_digit(*radix)) && rest.chars().all(allowed)
        });
    let is_other = is_digits || is_instant || is_number || is_prefixed || CONSTANTS.contains(&name);
    !is_other
}

impl FromStr for TenantId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 63 || text.starts_with('-') || !text.bytes().all(allowed)
        {
            return Err(BadId::new(
                "tenant",
                "expected 1 to 63 of a-z, 0-9 and '-', first a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of a tenant's lanes: partitions of its receipts.
pub type Lane = u8;

/// A receipt's id: a UUIDv7 (RFC 9562, 5.7) that carries its minute in the time and its lane in
/// the low byte of `rand_a`, so that the id alone finds the item.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct ReceiptId(Uuid);

impl ReceiptId {
    /// From its time, lane and random bytes.
    #[must_use]
    pub fn from_parts(at: Millis, lane: Lane, random: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = random;
        // The builder takes rand_a from the first two bytes (its high nibble becomes the version)
        // and rand_b from the rest.
        let bits = [a, lane, b, c, d, e, f, g, h, a ^ h];
        let millis = u64::try_from(at.0).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid())
    }

    /// A new one.
    #[must_use]
    pub fn generate(at: Millis, lane: Lane) -> Self {
        Self::from_parts(at, lane, rand::random())
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the envelope was received.
    #[must_use]
    pub fn received_at(&self) -> Millis {
        let bytes = self.0.as_bytes();
        let millis = bytes[..6]
            .iter()
            .fold(0_i64, |sum, b| sum << 8 | i64::from(*b));
        Millis(millis)
    }

    /// The minute it was received in.
    #[must_use]
    pub fn minute(&self) -> Minute {
        self.received_at().minute()
    }

    /// Its lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.0.as_bytes()[7]
    }
}

impl TryFrom<Uuid> for ReceiptId {
    type Error = BadId;

    fn try_from(uuid: Uuid) -> Result<Self, BadId> {
        if uuid.get_version_num() != 7 {
            return Err(BadId::new("receipt id", "expected a UUID of version 7"));
        }
        Ok(Self(uuid))
    }
}

impl From<ReceiptId> for Uuid {
    fn from(id: ReceiptId) -> Self {
        id.0
    }
}

impl FromStr for ReceiptId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let uuid = Uuid::try_parse(text).map_err(|e| BadId::new("receipt id", e.to_string()))?;
        if text.len() != 36 {
            return Err(BadId::new("receipt id", "expected the form with hyphens"));
        }
        uuid.try_into()
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A Kinesis sequence number: a decimal number of up to 128 digits, ordered as a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sequence(String);

impl Sequence {
    /// Digits padded for text order, as used in keys. AWS's have 56 digits.
    const PADDED_DIGITS: usize = 64;

    /// The number that no other one is before.
    #[must_use]
    pub fn smallest() -> Self {
        Self("0".to_owned())
    }

    /// The digits as Kinesis gave them, without leading zeros.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With leading zeros, so that text order is number order.
    #[must_use]
    pub fn padded(&self) -> String {
        format!("{:0>width$}", self.0, width = Self::PADDED_DIGITS)
    }
}

impl FromStr for Sequence {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadId::new(
                "sequence number",
                "expected 1 to 128 decimal digits",
            ));
        }
        let digits = text.trim_start_matches('0');
        Ok(Self(
            if digits.is_empty() { "0" } else { digits }.to_owned(),
        ))
    }
}

impl TryFrom<String> for Sequence {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Sequence> for String {
    fn from(sequence: Sequence) -> Self {
        sequence.0
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A shard of a named stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// The stream's name.
    pub stream: String,
    /// Its shard id.
    pub id: String,
}

impl Shard {
    /// Checks both names for the characters that Kinesis allows.
    ///
    /// # Errors
    /// When one is empty, longer than 128, or has other characters than `A-Z a-z 0-9 _ . -`.
    pub fn new(stream: &str, id: &str) -> Result<Self, BadId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        for text in [stream, id] {
            if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
                return Err(BadId::new(
                    "shard",
                    "expected a stream name and a shard id of Kinesis",
                ));
            }
        }
        Ok(Self {
            stream: stream.to_owned(),
            id: id.to_owned(),
        })
    }

    /// Which partition of an hour's segment records this shard's go to.
    #[must_use]
    pub fn segment_slot(&self) -> u8 {
        let sum = self
            .stream
            .bytes()
            .chain(self.id.bytes())
            .fold(0x811c_9dc5_u32, |h, b| {
                // FNV-1a: stable across versions, unlike the standard library's hasher.
                (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
            });
        u8::try_from(sum % u32::from(crate::limits::SEGMENT_SLOTS)).unwrap_or(0)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_receipt_id_carries_its_time_and_lane(ms in 0i64..(1 << 48), lane: u8, random: [u8; 8]) {
            let id = ReceiptId::from_parts(Millis(ms), lane, random);
            prop_assert_eq!(id.received_at(), Millis(ms));
            prop_assert_eq!(id.lane(), lane);
            prop_assert_eq!(id.to_string().parse::<ReceiptId>(), Ok(id));
        }

        #[test]
        fn sequence_order_is_number_order(a: u128, b: u128) {
            let left: Sequence = a.to_string().parse().expect("digits");
            let right: Sequence = b.to_string().parse().expect("digits");
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.padded().cmp(&right.padded()), a.cmp(&b));
        }
    }

    #[test]
    fn names_that_read_as_something_else_are_not_given_to_new_tenants() {
        for bad in [
            "7",
            "2026",
            "007",
            "2026-01-01",
            "2026-1",
            "12-34",
            "1-",
            "1e5",
            "1e-5",
            "12e10f",
            "3d",
            "7l",
            "0x1f",
            "0x1p-3",
            "0b101",
            "0o17",
            "20260101t120000z",
            "2026-01-01t00",
            "true",
            "false",
            "null",
            "nan",
            "inf",
            "infinity",
            "epoch",
        ] {
            let id: TenantId = bad.parse().expect("the name of a tenant that is there");
            let error = id.check_new().expect_err(bad).to_string();
            assert!(error.contains("reads as a number"), "{error}");
        }
        for good in [
            "school",
            "a2026",
            "2026a",
            "1st-school",
            "7-seas",
            "e5",
            "1e",
            "1e5x",
            "0x",
            "x0",
            "deadbeef",
            "t",
            "tz",
            "nullable",
            "truex",
            "u-2026-01-01",
            "k12",
            "2026-spring",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        ] {
            let id: TenantId = good.parse().expect("a name");
            assert_eq!(id.check_new(), Ok(()), "{good}");
        }
        assert!("__HIVE_DEFAULT_PARTITION__".parse::<TenantId>().is_err());
    }

    #[test]
    fn names_that_could_break_a_key_are_refused() {
        for bad in ["", "-a", "A", "a#b", "a/b", "..", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("school-7".parse::<TenantId>().is_ok());
        assert!("12a".parse::<Sequence>().is_err());
        assert!(Shard::new("s", "shard#1").is_err());
        let version_4 = "\"2f1acc5e-7a3a-4b8e-8f0e-0d5c0c1b2a39\"";
        assert!(serde_json::from_str::<ReceiptId>(version_4).is_err());
        assert!("not-a-uuid".parse::<ReceiptId>().is_err());
        assert!(
            "2f1acc5e-7a3a-4b8e-8f0e-0d5c0c1b2a39"
                .parse::<ReceiptId>()
                .is_err(),
            "version 4"
        );
    }
}
