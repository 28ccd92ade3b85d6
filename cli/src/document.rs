//! JSON answers that are handed on as they came: an event's numbers may have more digits, and a wider range,
//! than any number type here. Tests read answers of the service in the same way.

use serde_json::Value;

/// An answer as it came, and what can be looked at in it.
#[derive(Debug)]
pub struct Document {
    text: String,
    /// The answer, in which numbers are rounded and those beyond a double's range are absent.
    pub value: Value,
}

impl Document {
    /// The body of an answer, in UTF-8, as a document.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn read(body: Vec<u8>) -> Result<Self, serde_json::Error> {
        let text = String::from_utf8(body).map_err(serde::de::Error::custom)?;
        let value = match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(_) => serde_json::from_str(&without_vast_numbers(&text))?,
        };
        Ok(Self { text, value })
    }

    /// The answer on one line, each value as it was sent.
    #[must_use]
    pub fn on_one_line(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        for (token, kind) in tokens(&self.text) {
            if kind != Kind::Space {
                out.push_str(token);
            }
        }
        out
    }

    /// The answer with each member on a line of its own, each value as it was sent.
    #[must_use]
    pub fn indented(&self) -> String {
        let mut out = String::with_capacity(self.text.len() * 2);
        let mut depth = 0_usize;
        let mut opened = false;
        for (token, _) in tokens(&self.text).filter(|(_, kind)| *kind != Kind::Space) {
            let closes = matches!(token, "}" | "]");
            if closes {
                depth = depth.saturating_sub(1);
            }
            // An empty object or list stays closed.
            if opened != closes {
                begin_line(&mut out, depth);
            }
            opened = matches!(token, "{" | "[");
            depth += usize::from(opened);
            out.push_str(token);
            match token {
                ":" => out.push(' '),
                "," => begin_line(&mut out, depth),
                _ => {}
            }
        }
        out
    }
}

fn begin_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Mark,
    String,
    /// A number, `true`, `false` or `null`.
    Word,
}

/// The pieces of a JSON text, which together are the text.
fn tokens(text: &str) -> impl Iterator<Item = (&str, Kind)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (length, kind) = token(rest)?;
        let (token, behind) = rest.split_at(length);
        rest = behind;
        Some((token, kind))
    })
}

fn token(text: &str) -> Option<(usize, Kind)> {
    let is_mark = |byte: u8| b"{}[]:,".contains(&byte);
    let first = *text.as_bytes().first()?;
    let until = |ends: &dyn Fn(u8) -> bool| text.bytes().position(ends).unwrap_or(text.len());
    Some(match first {
        b'"' => (string_length(text.as_bytes()), Kind::String),
        byte if is_mark(byte) => (1, Kind::Mark),
        byte if byte.is_ascii_whitespace() => {
            (until(&|byte| !byte.is_ascii_whitespace()), Kind::Space)
        }
        _ => {
            let ends = |byte: u8| is_mark(byte) || byte == b'"' || byte.is_ascii_whitespace();
            (until(&ends), Kind::Word)
        }
    })
}

/// Bytes of the string that the text begins with, its quotes among them.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' if text.get(at + 1).is_some_and(u8::is_ascii) => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The text with `null` in the place of each number that no finite double comes near.
fn without_vast_numbers(text: &str) -> String {
    let kept = |(token, kind): (_, Kind)| {
        let is_vast = kind == Kind::Word && str::parse(token).is_ok_and(f64::is_infinite);
        if is_vast { "null" } else { token }
    };
    tokens(text).map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_stay_as_they_came() {
        let text = r#"{"a":[1.0e400,12345678901234567890123,-1E999,0.10],"b":{"c":"1e999 , \"{"},"d":[],"e":{}}"#;
        let document = Document::read(text.as_bytes().to_vec()).expect("JSON");
        assert_eq!(document.on_one_line(), text);
        assert_eq!(document.value["a"][0], Value::Null);
        assert_eq!(document.value["b"]["c"], "1e999 , \"{");
        let indented = document.indented();
        assert!(
            indented.contains(
                "    1.0e400,\n    12345678901234567890123,\n    -1E999,\n    0.10\n  ],"
            )
        );
        assert!(
            indented.ends_with("  \"d\": [],\n  \"e\": {}\n}"),
            "{indented}"
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}|[\"\\\\{}:, ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\"\\\\]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_laid_out_as_usual(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("JSON");
            let document = Document::read(pretty.clone().into_bytes()).expect("JSON");
            prop_assert_eq!(document.indented(), pretty);
            prop_assert_eq!(document.on_one_line(), value.to_string());
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}|[\"\\\\{}:,1e9 é-]{0,20}") {
            let together: String = tokens(&text).map(|(token, _)| token).collect();
            prop_assert_eq!(&together, &text);
            let _ = Document::read(text.into_bytes());
        }
    }
}
