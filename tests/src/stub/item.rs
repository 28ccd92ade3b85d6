//! Items in DynamoDB's JSON: their sizes as DynamoDB counts them, and comparing their values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Attributes by name, each `{"S": "…"}` and the like.
pub(super) type Item = Map<String, Value>;

/// What DynamoDB adds to an item for its indexes where it bills storage, bytes.
pub(super) const STORED_EXTRA_BYTES: u64 = 100;

/// The type and the inside of an attribute value.
fn parts(value: &Value) -> Option<(&str, &Value)> {
    let (kind, inside) = value.as_object()?.iter().next()?;
    Some((kind, inside))
}

fn length(text: &str) -> u64 {
    text.len() as u64
}

fn value_bytes(value: &Value) -> u64 {
    let Some((kind, inside)) = parts(value) else {
        return 0;
    };
    match (kind, inside) {
        ("S", Value::String(text)) => length(text),
        // About one byte for each two digits, and one more.
        ("N", Value::String(text)) => length(text).div_ceil(2) + 1,
        ("B", Value::String(text)) => {
            let padding = text.bytes().rev().take_while(|b| *b == b'=').count() as u64;
            (length(text) / 4 * 3).saturating_sub(padding)
        }
        ("L", Value::Array(elements)) => {
            3 + elements.iter().map(|e| 1 + value_bytes(e)).sum::<u64>()
        }
        ("M", Value::Object(members)) => {
            let member = |(name, value): (&String, &Value)| 1 + length(name) + value_bytes(value);
            3 + members.iter().map(member).sum::<u64>()
        }
        _ => 1,
    }
}

/// An item's size: names and values.
pub(super) fn item_bytes(item: &Item) -> u64 {
    item.iter()
        .map(|(name, value)| length(name) + value_bytes(value))
        .sum()
}

/// Which of two values of one type is greater; none where they are of different types.
pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    let ((kind, a), (other, b)) = (parts(a)?, parts(b)?);
    if kind != other {
        return None;
    }
    let (a, b) = (a.as_str()?, b.as_str()?);
    match kind {
        "S" => Some(a.cmp(b)),
        "N" => a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?),
        "B" => Some(STANDARD.decode(a).ok()?.cmp(&STANDARD.decode(b).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Item {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn sizes_are_counted_as_the_service_counts_them() {
        assert_eq!(item_bytes(&of(json!({"pk": {"S": "abc"}}))), 5);
        assert_eq!(item_bytes(&of(json!({"n": {"N": "12345"}}))), 1 + 4);
        assert_eq!(item_bytes(&of(json!({"b": {"B": "AAAA"}}))), 1 + 3);
        assert_eq!(item_bytes(&of(json!({"b": {"B": "AA=="}}))), 1 + 1);
        assert_eq!(item_bytes(&of(json!({"t": {"BOOL": true}}))), 2);
        let list = json!({"l": {"L": [{"S": "ab"}, {"S": "c"}]}});
        assert_eq!(item_bytes(&of(list)), 1 + 3 + 3 + 2);
        let map = json!({"m": {"M": {"name": {"S": "ab"}}}});
        assert_eq!(item_bytes(&of(map)), 1 + 3 + 1 + 4 + 2);
    }

    #[test]
    fn values_compare_by_their_type() {
        let less = Some(Ordering::Less);
        assert_eq!(compare(&json!({"N": "9"}), &json!({"N": "10"})), less);
        assert_eq!(compare(&json!({"S": "10"}), &json!({"S": "9"})), less);
        assert_eq!(compare(&json!({"B": "AA=="}), &json!({"B": "AQ=="})), less);
        assert_eq!(compare(&json!({"S": "1"}), &json!({"N": "1"})), None);
    }
}
