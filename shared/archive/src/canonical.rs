//! Canonical JSON: one spelling for each document, so that its bytes can be hashed and signed.
//!
//! As in RFC 8785, kept to what seals need: keys sorted, no white space, the shortest escapes, and
//! of numbers only integers, as they are. Keys here are ASCII, for which the RFC's order (UTF-16)
//! is that of the bytes.

use crate::Fault;
use serde::Serialize;
use serde_json::Value;

/// A document's canonical bytes.
///
/// # Errors
/// When it holds a number that is no integer, or is no JSON.
pub fn to_bytes<T: Serialize>(document: &T) -> Result<Vec<u8>, Fault> {
    let value = serde_json::to_value(document).map_err(bad)?;
    let mut out = Vec::with_capacity(1_024);
    write(&value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    match value {
        Value::Object(object) => {
            // Sorted here: whether the map is, another crate's features decide.
            let mut keys: Vec<_> = object.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, value)) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key).map_err(bad)?;
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Number(number) if number.is_f64() => {
            return Err(Fault::Damaged(format!("{number} is no integer")));
        }
        plain => serde_json::to_writer(&mut *out, plain).map_err(bad)?,
    }
    Ok(())
}

fn bad(error: serde_json::Error) -> Fault {
    Fault::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_nothing_is_added() {
        let document = json!({"b": [1, -2, {"z": null, "a": true}], "a": "é\n\u{1}\"\\/", "": 9_007_199_254_740_993_u64});
        assert_eq!(
            String::from_utf8(to_bytes(&document).expect("integers")).expect("UTF-8"),
            r#"{"":9007199254740993,"a":"é\n\u0001\"\\/","b":[1,-2,{"a":true,"z":null}]}"#
        );
    }

    #[test]
    fn what_has_several_spellings_is_refused() {
        assert!(to_bytes(&json!({"a": 1.5})).is_err());
    }
}
