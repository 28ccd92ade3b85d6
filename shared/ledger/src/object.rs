//! JSON objects that are nothing else.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Reads a structure from a JSON object only: derived readers also take an array of its members'
/// values in their order, which nobody means and no description of an API allows.
///
/// # Errors
/// When it is no object, or the structure's own.
pub fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    struct Members<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(members))
        }
    }
    from.deserialize_map(Members(PhantomData))
}

/// Reads a whole JSON document that is an object.
///
/// # Errors
/// When it is none, more follows, or the structure's own.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        a: u8,
        #[serde(default, deserialize_with = "read")]
        b: Inner,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    struct Inner {
        c: u8,
    }

    #[test]
    fn an_array_is_no_object() {
        let good = from_slice::<Pair>(br#" {"a": 1, "b": {"c": 2}} "#);
        let expected = Pair {
            a: 1,
            b: Inner { c: 2 },
        };
        assert_eq!(good.ok(), Some(expected));
        for bad in [
            r#"[1, {"c": 2}]"#,
            r#"{"a": 1, "b": [2]}"#,
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "x": 1}"#,
            r#"{"a": 1} 2"#,
            "7",
            "",
        ] {
            assert!(from_slice::<Pair>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
