//! Compaction drops white space between tokens and changes no token.
use proptest::prelude::*;
use vernier_validation::compact;

/// The tokens of JSON text, found without the crate: strings whole, the rest by delimiters.
fn tokens(text: &str) -> Vec<&str> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                at += 1;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => at += 1,
            _ => {
                while at < bytes.len() && !b" \n\r\t{}[],:\"".contains(&bytes[at]) {
                    at += 1;
                }
            }
        }
        out.push(&text[start..at]);
    }
    out
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \n\r\t]{1,3}", 1 => "[ \n]{60,80}"]
}

fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ a-zäöü{}\\[\\],:0-9]{0,20}",
        "[a-z ]{50,80}",
        Just("\\\"".to_owned()),
        Just("\\\\".to_owned()),
        Just("\\u00e9\\ud83d\\ude00".to_owned()),
        Just("\\n\\/".to_owned()),
        Just("😀".to_owned()),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn number() -> impl Strategy<Value = String> {
    (
        "-?(0|[1-9][0-9]{0,20})",
        "(\\.[0-9]{1,20})?",
        "([eE][+-]?[0-9]{1,3})?",
    )
        .prop_map(|(a, b, c)| a + &b + &c)
}

/// JSON text with white space wherever it may stand.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        string()
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone(), space()), 0..6).prop_map(|list| {
                let list: Vec<String> = list.into_iter().map(|(a, v, b)| a + &v + &b).collect();
                format!("[{}]", list.join(","))
            }),
            prop::collection::vec((space(), string(), space(), space(), inner, space()), 0..6)
                .prop_map(|map| {
                    let map: Vec<String> = map
                        .into_iter()
                        .map(|(a, k, b, c, v, d)| format!("{a}{k}{b}:{c}{v}{d}"))
                        .collect();
                    format!("{{{}}}", map.join(","))
                }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_token_changes(text in json(), before in space(), after in space()) {
        let text = before + &text + &after;
        let mut out = b"kept".to_vec();
        compact(&text, &mut out);
        prop_assert_eq!(&out[..4], b"kept");
        let compacted = std::str::from_utf8(&out[4..]).expect("still UTF-8");
        prop_assert_eq!(tokens(compacted), tokens(&text));
        prop_assert_eq!(compacted, tokens(&text).concat());
        let mut again = Vec::new();
        compact(compacted, &mut again);
        prop_assert_eq!(again, compacted.as_bytes());
    }
}
