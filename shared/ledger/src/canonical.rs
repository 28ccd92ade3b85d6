//! One spelling for each JSON meaning: RFC 8785, but for numbers that a double would round
//! (docs/decisions/001-canonical-form.md).

use crate::digest::Fingerprint;
use crate::event_id::EventId;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Levels of nesting of a text that has a canonical form. The ledger takes events of at most 63; the bound is for
/// texts that come from elsewhere, since each level is a call within the one before.
pub const CANONICAL_DEPTH_MAX: usize = 128;

/// Why a text has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum NoCanonicalForm {
    /// It is no JSON, or has half a surrogate pair, which is no character.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// An object has a key twice, and readers differ in what that means.
    #[error("the key {0:?} is there twice")]
    RepeatedKey(String),
    /// A number's exponent has more than 15 digits.
    #[error("the exponent of {0} is too long")]
    Exponent(String),
    /// Its arrays and objects lie in each other deeper than [`CANONICAL_DEPTH_MAX`].
    #[error("more than {CANONICAL_DEPTH_MAX} levels of nesting")]
    Depth,
}

/// The canonical form of an event as it was sent: two texts have the same where they say the same, whatever
/// their order of keys, white space, escapes and spelling of numbers. Equal numbers are those of one decimal
/// value, so that integers beyond 2⁵³ stay apart.
///
/// # Errors
/// When the text is no JSON, or means different things to different readers.
pub fn canonical_form(text: &str) -> Result<String, NoCanonicalForm> {
    Form::of(text, None)
}

/// What an event says, whatever bytes say it: its canonical form, with its own id in small letters wherever a
/// string of it is that id and the id is a UUID. Events of one id ([`EventId`]) whose
/// meanings are equal are one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning(String);

impl Meaning {
    /// The meaning of an event's text, whose own id is `id` as the text spells it.
    ///
    /// # Errors
    /// When the text has no canonical form: then only its bytes can be compared.
    pub fn of(text: &str, id: Option<&str>) -> Result<Self, NoCanonicalForm> {
        let uuid = id.filter(|id| EventId(id).is_uuid());
        Form::of(text, uuid).map(Self)
    }

    /// The text that all spellings of it have in common.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of what an event says: what is kept of a meaning where many are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MeaningHash([u8; 32]);

impl MeaningHash {
    /// As [`Meaning::of`]; none where the text has no canonical form.
    #[must_use]
    pub fn of(text: &str, id: Option<&str>) -> Option<Self> {
        let meaning = Meaning::of(text, id).ok()?;
        Some(Self(Fingerprint::of(meaning.0.as_bytes()).0))
    }
}

/// A canonical form under way.
struct Form<'i> {
    out: String,
    /// The string value that is written in small letters.
    uuid: Option<&'i str>,
    /// Arrays and objects that are open.
    depth: usize,
}

impl<'i> Form<'i> {
    fn of(text: &str, uuid: Option<&'i str>) -> Result<String, NoCanonicalForm> {
        let mut form = Self {
            out: String::with_capacity(text.len()),
            uuid,
            depth: 0,
        };
        let raw: &RawValue = serde_json::from_str(text)?;
        form.write(raw.get())?;
        Ok(form.out)
    }

    fn write(&mut self, text: &str) -> Result<(), NoCanonicalForm> {
        match text.as_bytes().first() {
            Some(b'{') => {
                self.open('{')?;
                let Members(members) = serde_json::from_str(text)?;
                self.write_members(members)?;
                self.close('}');
                Ok(())
            }
            Some(b'[') => {
                self.open('[')?;
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                for (at, item) in items.into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(',');
                    }
                    self.write(item.get())?;
                }
                self.close(']');
                Ok(())
            }
            Some(b'"') => {
                let mut string: String = serde_json::from_str(text)?;
                if self.uuid == Some(&string) {
                    string.make_ascii_lowercase();
                }
                self.out.push_str(&serde_json::to_string(&string)?);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => write_number(text, &mut self.out),
            _ => {
                self.out.push_str(text);
                Ok(())
            }
        }
    }

    fn open(&mut self, bracket: char) -> Result<(), NoCanonicalForm> {
        self.depth += 1;
        if self.depth > CANONICAL_DEPTH_MAX {
            return Err(NoCanonicalForm::Depth);
        }
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        self.out.push(bracket);
    }

    /// Writes members by their keys in the order of UTF-16 code units (RFC 8785 section 3.2.3).
    fn write_members(&mut self, members: Vec<(String, &RawValue)>) -> Result<(), NoCanonicalForm> {
        let mut sorted = BTreeMap::new();
        for (key, value) in members {
            let units: Vec<u16> = key.encode_utf16().collect();
            if sorted.insert(units, (key.clone(), value)).is_some() {
                return Err(NoCanonicalForm::RepeatedKey(key));
            }
        }
        for (at, (key, value)) in sorted.into_values().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.out.push_str(&serde_json::to_string(&key)?);
            self.out.push(':');
            self.write(value.get())?;
        }
        Ok(())
    }
}

/// An object's members as they stand there, repeated keys too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

/// A number in the layout of ECMAScript, with all of its digits.
fn write_number(text: &str, out: &mut String) -> Result<(), NoCanonicalForm> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    let dropped = all.len() - digits.len();
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        out.push('0');
        return Ok(());
    }
    let exponent =
        exponent_of(exponent).ok_or_else(|| NoCanonicalForm::Exponent(text.to_owned()))?;
    // The number is 0.digits × 10^point.
    let point = exponent + length(whole) - length(&all[..dropped]);
    if negative {
        out.push('-');
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let count = length(digits);
    match point {
        1..=21 if count <= point => {
            out.push_str(digits);
            out.push_str(&zeros(point - count));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            out.push_str(&format!("{whole}.{fraction}"));
        }
        -5..=0 => out.push_str(&format!("0.{}{digits}", zeros(-point))),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            out.push_str(&format!("{first}{dot}{rest}e{:+}", point - 1));
        }
    }
    Ok(())
}

/// An exponent without its needless zeros; none when it has more than 15 digits.
fn exponent_of(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let digits = digits.trim_start_matches('0');
    match digits.len() {
        0 => Some(0),
        1..=15 => digits.parse::<i64>().ok().map(|exponent| sign * exponent),
        _ => None,
    }
}

/// Bytes of a text as a signed number; no text here is longer than an event.
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn form(text: &str) -> String {
        canonical_form(text).expect("JSON")
    }

    #[test]
    fn order_escapes_and_space_say_nothing() {
        let one = r#"{"b":"Zo\u00eb\/","a":[1.0,{"\u20ac":null,"\r":true}]}"#;
        let other = "{ \"a\": [1, {\"\\r\": true, \"€\": null}],\n \"b\": \"Zoë/\" }";
        assert_eq!(form(one), form(other));
        assert_eq!(
            form(one),
            "{\"a\":[1,{\"\\r\":true,\"€\":null}],\"b\":\"Zoë/\"}"
        );
    }

    #[test]
    fn keys_are_in_the_order_of_utf_16() {
        // U+FB33 comes before U+1F600 by code point and behind it by code unit.
        assert_eq!(
            form("{\"\u{fb33}\":1,\"\u{1f600}\":2}"),
            "{\"\u{1f600}\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn numbers_of_one_value_have_one_spelling() {
        for (spellings, expected) in [
            (["0", "-0.0", "0e9999999999999999999999"], "0"),
            (["100", "1e2", "1.00E+02"], "100"),
            (["1e21", "1000000000000000000000", "10E20"], "1e+21"),
            (
                ["100000000000000000000", "1e20", "1e+020"],
                "100000000000000000000",
            ),
            (["0.000001", "1e-6", "0.1E-5"], "0.000001"),
            (["0.0000001", "1e-7", "0.01e-5"], "1e-7"),
            (["-1.50", "-15e-1", "-0.15e1"], "-1.5"),
            (["1.0e400", "10e399", "0.1E+401"], "1e+400"),
        ] {
            for spelling in spellings {
                assert_eq!(form(spelling), expected, "{spelling}");
            }
        }
    }

    #[test]
    fn numbers_that_a_double_rounds_stay_apart() {
        for (one, other) in [
            ("9007199254740992", "9007199254740993"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("0.1", "0.1000000000000000055511151231257827"),
            ("1e400", "1e401"),
        ] {
            assert_ne!(form(one), form(other));
        }
    }

    #[test]
    fn what_readers_differ_in_has_none() {
        let repeated = canonical_form(r#"{"a":1,"\u0061":2}"#);
        assert!(matches!(repeated, Err(NoCanonicalForm::RepeatedKey(key)) if key == "a"));
        assert!(matches!(
            canonical_form(r#""\ud800""#),
            Err(NoCanonicalForm::Syntax(_))
        ));
        let long = canonical_form("1e-9999999999999999");
        assert!(matches!(long, Err(NoCanonicalForm::Exponent(_))));
    }

    #[test]
    fn nesting_is_bounded_and_does_not_end_the_program() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let deepest = nested(CANONICAL_DEPTH_MAX);
        assert_eq!(form(&deepest), deepest);
        for levels in [CANONICAL_DEPTH_MAX + 1, 100_000] {
            let refused = canonical_form(&nested(levels));
            assert!(matches!(refused, Err(NoCanonicalForm::Depth)));
        }
    }

    const UUID: &str = "urn:uuid:0f8e1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b";

    fn meaning(text: &str, id: &str) -> Meaning {
        Meaning::of(text, Some(id)).expect("JSON")
    }

    #[test]
    fn an_events_own_uuid_means_the_same_in_capitals() {
        let capitals = UUID.to_uppercase();
        let one = format!(r#"{{"id":"{UUID}","about":["{UUID}"]}}"#);
        let other = format!(r#"{{"about":["{capitals}"],"\u0069d":"{capitals}"}}"#);
        assert_eq!(meaning(&one, UUID), meaning(&other, &capitals));
        // A string that is not the id as it is spelled is the sensor's own matter, and so is a key.
        for different in [
            format!(
                r#"{{"id":"{capitals}","about":["{UUID}"],"x":"{}"}}"#,
                &capitals[9..]
            ),
            format!(r#"{{"id":"{capitals}","about":["{capitals} "]}}"#),
            format!(r#"{{"id":"{capitals}","about":["{capitals}"],"{capitals}":1}}"#),
        ] {
            assert_ne!(meaning(&one, UUID), meaning(&different, &capitals));
        }
    }

    #[test]
    fn an_id_that_is_no_uuid_keeps_its_letters() {
        let (one, other) = (r#"{"id":"urn:x:a"}"#, r#"{"id":"URN:X:A"}"#);
        assert_ne!(meaning(one, "urn:x:a"), meaning(other, "URN:X:A"));
        assert!(Meaning::of("{", None).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}|[\"\\\\/\u{1}\n]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("\\PC{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// A document written with its keys turned around, space between, and letters escaped.
    fn rewritten(value: &Value) -> String {
        let text = |text: &str| {
            let escaped = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            format!("\"{}\"", escaped.collect::<String>())
        };
        match value {
            Value::Object(members) => {
                let members = members.iter().rev();
                let members =
                    members.map(|(key, value)| format!("{} : {}", text(key), rewritten(value)));
                format!("{{ {} }}", members.collect::<Vec<_>>().join(" ,\n"))
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(rewritten).collect();
                format!("[ {} ]", items.join(" , "))
            }
            Value::String(string) => text(string),
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn a_rewritten_document_has_the_same_form(value in any_json()) {
            let form = form(&value.to_string());
            prop_assert_eq!(&super::canonical_form(&rewritten(&value)).expect("JSON"), &form);
            prop_assert_eq!(&super::canonical_form(&form).expect("JSON"), &form);
            let again: Value = serde_json::from_str(&form).expect("JSON");
            prop_assert_eq!(&super::canonical_form(&again.to_string()).expect("JSON"), &form);
        }

        /// Two spellings of one event have one meaning, and without an id the meaning is the form's.
        #[test]
        fn a_rewritten_event_has_the_same_meaning(value in any_json(), at_end: bool) {
            let event = |id: &str| {
                let own = [Value::from(id), value.clone()];
                serde_json::json!({"id": id, "more": if at_end { own.to_vec() } else { own[..1].to_vec() }})
            };
            let capitals = UUID.to_uppercase();
            let (one, other) = (event(UUID).to_string(), rewritten(&event(&capitals)));
            prop_assert_eq!(meaning(&one, UUID), meaning(&other, &capitals));
            let plain = Meaning::of(&other, None).expect("JSON");
            prop_assert_eq!(plain.0, super::canonical_form(&other).expect("JSON"));
            // The same document with another number in it means something else.
            let mut changed = event(&capitals);
            changed["more"] = Value::from(7);
            prop_assert_ne!(meaning(&one, UUID), meaning(&changed.to_string(), &capitals));
        }

        #[test]
        fn integers_are_the_same_only_if_they_are(one: u128, other: u128, near in 0u128..3) {
            prop_assert_eq!(form(&one.to_string()) == form(&other.to_string()), one == other);
            let next = one.saturating_add(near);
            prop_assert_eq!(form(&one.to_string()) == form(&next.to_string()), one == next);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}|[-+0-9.eE]{1,12}") {
            let _ = super::canonical_form(&text);
        }
    }
}
