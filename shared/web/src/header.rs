//! Values of headers that are lists (RFC 9110, 5.6): elements, their parameters, quoted strings.

use http::HeaderMap;
use http::header::{HeaderValue, VARY};
use std::borrow::Cow;

/// Pieces between delimiters that stand outside of quoted strings.
fn pieces(text: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |letter| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match letter {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            other => return other == delimiter && !is_quoted,
        }
        false
    })
}

/// A text without the white space that may stand around it: spaces and tabs alone (OWS of RFC 9110, 5.6.3).
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// A header's value as text. One that is not UTF-8 is there nonetheless, and no value that anybody knows.
pub(crate) fn text_of(value: &HeaderValue) -> &str {
    std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}")
}

/// The text that a token or a quoted string stands for.
fn unquoted(text: &str) -> Cow<'_, str> {
    let text = trim(text);
    let inside = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let Some(inside) = inside else {
        return Cow::Borrowed(text);
    };
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut plain = String::with_capacity(inside.len());
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.extend(letters.next()),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

/// The elements of a list, trimmed; empty ones are none (RFC 9110, 5.6.1).
pub(crate) fn elements(line: &str) -> impl Iterator<Item = &str> {
    pieces(line, ',').map(trim).filter(|e| !e.is_empty())
}

/// Says that an answer depends on a header of its request, beside what it says to depend on already.
pub(crate) fn vary_by(headers: &mut HeaderMap, name: &str) {
    let said = headers.get(VARY).and_then(|value| value.to_str().ok());
    let all = match said {
        Some(said) if elements(said).any(|own| own.eq_ignore_ascii_case(name)) => return,
        Some(said) => format!("{said}, {name}"),
        None => name.to_owned(),
    };
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(VARY, value);
    }
}

/// A name and its value, both without quotes around them; a name alone has an empty value.
fn pair(text: &str) -> (&str, Cow<'_, str>) {
    match text.split_once('=') {
        Some((name, value)) => (trim(name), unquoted(value)),
        None => (trim(text), Cow::Borrowed("")),
    }
}

/// An element of a list, or a header of one value, with its parameters.
#[derive(Debug, Clone, Copy)]
pub struct HeaderElement<'h>(&'h str);

impl<'h> HeaderElement<'h> {
    /// Reads a value such as `application/json; charset=utf-8`.
    #[must_use]
    pub const fn new(text: &'h str) -> Self {
        Self(text)
    }

    /// What stands before the first semicolon.
    #[must_use]
    pub fn essence(&self) -> &'h str {
        trim(pieces(self.0, ';').next().unwrap_or_default())
    }

    /// The value of the first parameter of this name, in any case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'h, str>> {
        let mut all = pieces(self.0, ';').skip(1).map(pair);
        all.find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// What stands before the first semicolon, as a name and its value.
    pub(crate) fn named_value(&self) -> (&'h str, Cow<'h, str>) {
        pair(pieces(self.0, ';').next().unwrap_or_default())
    }

    /// The weight `q` in thousandths: 1,000 where there is none, none where it is no weight.
    pub(crate) fn weight_thousandths(&self) -> Option<u32> {
        let Some(text) = self.parameter("q") else {
            return Some(1_000);
        };
        let weight: f32 = text.parse().ok()?;
        Some((weight.clamp(0.0, 1.0) * 1_000.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_inside_quotes_are_text() {
        let line = r#" a=1 ,, b="x,y;\"z\"" ; c = "d,e" , f"#;
        let found: Vec<&str> = elements(line).collect();
        assert_eq!(found, ["a=1", r#"b="x,y;\"z\"" ; c = "d,e""#, "f"]);
        let second = HeaderElement(found[1]);
        assert_eq!(second.named_value(), ("b", Cow::Borrowed("x,y;\"z\"")));
        assert_eq!(second.parameter("C").as_deref(), Some("d,e"));
        assert_eq!(second.parameter("d"), None);
    }

    #[test]
    fn only_spaces_and_tabs_are_white_space() {
        let line = "\u{85}, \t \u{a0}gzip\u{2003} ,";
        let found: Vec<&str> = elements(line).collect();
        assert_eq!(found, ["\u{85}", "\u{a0}gzip\u{2003}"]);
        assert_eq!(
            HeaderElement("text/csv\u{85} ;").essence(),
            "text/csv\u{85}"
        );
    }

    #[test]
    fn a_value_that_is_no_text_is_not_as_if_it_were_not_there() {
        for bytes in [&b"\xc2\x84"[..], b"\x84", b"gzip\xff"] {
            let value = HeaderValue::from_bytes(bytes).expect("a header's value");
            assert_eq!(elements(text_of(&value)).count(), 1, "{bytes:?}");
        }
    }

    #[test]
    fn weights_are_read_in_any_case_and_clamped() {
        for (text, weight) in [
            ("text/csv", Some(1_000)),
            ("text/csv;Q=0.5", Some(500)),
            ("text/csv; q=\"0.25\"", Some(250)),
            ("text/csv;q=9", Some(1_000)),
            ("text/csv;q=much", None),
        ] {
            assert_eq!(HeaderElement(text).weight_thousandths(), weight, "{text}");
        }
    }
}
