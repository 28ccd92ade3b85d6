//! Nothing half done.

use crate::rust::Source;
use crate::tree::{self, Violation, line_at, report};

/// Macros that stand where code is missing.
const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

fn unfinished(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for macro_name in UNFINISHED {
        let of = |line| Violation::new(&source.path, line, format!("{macro_name}!"));
        found.extend(source.find(&[macro_name, "!"]).into_iter().map(of));
    }
    found
}

/// `ignore` as an attribute, or inside a conditional one, that says no reason.
fn ignored(path: &str, text: &str) -> Vec<Violation> {
    let attribute = regex::Regex::new(
        r"#\s*\[\s*(?:cfg_attr\s*\([^\]]*,\s*)?ignore\s*(?:\)\s*)?\]|ignore\s*=\s*\x22\s*\x22",
    )
    .expect("a pattern");
    let of = |m: regex::Match<'_>| {
        Violation::new(path, line_at(text, m.start()), "ignored without a reason")
    };
    attribute.find_iter(text).map(of).collect()
}

/// Words that mark work as open.
fn marks(path: &str, text: &str) -> Vec<Violation> {
    let marks = [
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("TO", "DO"),
    ];
    let pattern = regex::Regex::new(&format!(r"\b(?:{})", marks.join("|"))).expect("a pattern");
    let of = |m: regex::Match<'_>| Violation::new(path, line_at(text, m.start()), m.as_str());
    pattern.find_iter(text).map(of).collect()
}

#[test]
fn no_macro_stands_for_missing_code() {
    let rust = tree::texts().into_iter().filter(|(path, text)| {
        path.ends_with(".rs") && UNFINISHED.iter().any(|m| text.contains(m))
    });
    // Few files have the words, in other uses: only these are read as tokens.
    let found = rust
        .flat_map(|(path, text)| unfinished(&whole(&path, &text)))
        .collect();
    report("nothing is left for later", found);
}

/// A source with its tests: the attribute that hides them is taken away.
fn whole(path: &str, text: &str) -> Source {
    Source::parse(path, &text.replace("#[cfg(test)]", ""))
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    let rust = tree::texts()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"));
    report(
        "an ignored test says why",
        rust.flat_map(|(path, text)| ignored(&path, &text))
            .collect(),
    );
}

#[test]
fn no_mark_of_open_work() {
    let found = tree::texts()
        .iter()
        .filter(|(path, _)| path != "Cargo.lock")
        .flat_map(|(path, text)| marks(path, text))
        .collect();
    report("no mark of open work is left in the tree", found);
}

#[test]
fn unfinished_work_is_found() {
    let text =
        "fn f() {\n    todo!()\n}\n#[cfg(test)]\nmod tests {\n    fn g() { unimplemented!() }\n}\n";
    assert_eq!(unfinished(&whole("a.rs", text)).len(), 2);
    let bare = [
        "#[",
        "ignore]\n#[cfg_attr(miri, ",
        "ignore)]\n#[",
        "ignore = \"needs a network\"]\n#[",
        "ignore = \"\"]",
    ]
    .concat();
    assert_eq!(ignored("a.rs", &bare).len(), 3);
    assert_eq!(
        marks("a.md", concat!("x\n// TO", "DO: y")),
        [Violation::new("a.md", 2, concat!("TO", "DO"))]
    );
}
