//! DynamoDB attribute values, to and from plain ones.

use crate::error::misshapen;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use std::collections::HashMap;
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;

/// An item as the SDK gives it.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn b(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// TTL attributes are in seconds.
pub(super) fn ttl(at: Millis) -> AttributeValue {
    n(at.0.div_euclid(1_000))
}

/// Reads attributes of one item, naming the item in errors.
pub(super) struct Reader<'i> {
    pub(super) what: &'static str,
    pub(super) item: &'i Item,
}

impl Reader<'_> {
    pub(super) fn text(&self, name: &str) -> Result<&str, PortError> {
        match self.item.get(name) {
            Some(AttributeValue::S(text)) => Ok(text),
            _ => Err(misshapen(self.what, name)),
        }
    }

    pub(super) fn text_if_any(&self, name: &str) -> Option<&str> {
        match self.item.get(name) {
            Some(AttributeValue::S(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, PortError> {
        match self.item.get(name) {
            Some(AttributeValue::N(text)) => text.parse().map_err(|_| misshapen(self.what, name)),
            _ => Err(misshapen(self.what, name)),
        }
    }

    pub(super) fn bytes32(&self, name: &str) -> Result<[u8; 32], PortError> {
        match self.item.get(name) {
            Some(AttributeValue::B(blob)) => blob
                .as_ref()
                .try_into()
                .map_err(|_| misshapen(self.what, name)),
            _ => Err(misshapen(self.what, name)),
        }
    }

    /// JSON text; none when the attribute is not there.
    pub(super) fn json_if_any<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, PortError> {
        let there = self.item.contains_key(name);
        there.then(|| self.json(name)).transpose()
    }

    /// Bytes; none when the attribute is not there.
    pub(super) fn bytes_if_any(&self, name: &str) -> Option<&[u8]> {
        match self.item.get(name) {
            Some(AttributeValue::B(blob)) => Some(blob.as_ref()),
            _ => None,
        }
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, PortError> {
        serde_json::from_str(self.text(name)?).map_err(|_| misshapen(self.what, name))
    }
}

/// Serialises a plain value.
///
/// # Panics
/// Never for the plain structs with string keys that are stored here.
pub(super) fn json<T: serde::Serialize>(value: &T) -> AttributeValue {
    s(serde_json::to_string(value).expect("plain data with string keys serialises"))
}
