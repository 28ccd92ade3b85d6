//! Rust sources as tokens with lines, and which lines are tests.

use crate::tree;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use syn::visit::Visit;

/// One token; delimiters and punctuation are tokens of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// As written.
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// One function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Line of its `fn`.
    pub(crate) first_line: usize,
    /// Line of its closing brace.
    pub(crate) last_line: usize,
}

/// A source file without its tests.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// From the root.
    pub(crate) path: String,
    /// All tokens outside of `#[cfg(test)]`.
    pub(crate) tokens: Vec<Token>,
    /// Lines outside of `#[cfg(test)]`.
    pub(crate) lines: usize,
    /// The text that `tokens` were read from.
    text: String,
    /// Lines of items under `#[cfg(test)]`.
    tests: Vec<RangeInclusive<usize>>,
    /// Modules that are declared for tests only and lie in files of their own.
    test_modules: Vec<String>,
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let stream: TokenStream = text
            .parse()
            .unwrap_or_else(|e| panic!("{path}: does not parse: {e}"));
        let mut split = Split::default();
        split.take(stream);
        let in_test = |line: usize| split.tests.iter().any(|range| range.contains(&line));
        let lines = (1..=text.lines().count())
            .filter(|line| !in_test(*line))
            .count();
        Self {
            path: path.to_owned(),
            tokens: split.tokens,
            lines,
            text: text.to_owned(),
            tests: split.tests,
            test_modules: split.test_modules,
        }
    }

    /// All functions outside of `#[cfg(test)]`. Each call parses the text again, into a syntax tree, which
    /// takes longer than reading its tokens.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let file = syn::parse_file(&self.text)
            .unwrap_or_else(|e| panic!("{}: does not parse: {e}", self.path));
        let mut finder = FunctionFinder::default();
        finder.visit_file(&file);
        let in_test = |line: usize| self.tests.iter().any(|range| range.contains(&line));
        finder.found.retain(|f| !in_test(f.first_line));
        finder.found
    }

    /// Lines at which these tokens follow each other.
    pub(crate) fn find(&self, pattern: &[&str]) -> Vec<usize> {
        let here = |w: &&[Token]| {
            w.iter()
                .zip(pattern)
                .all(|(token, text)| token.text == *text)
        };
        self.tokens
            .windows(pattern.len())
            .filter(here)
            .map(|w| w[0].line)
            .collect()
    }

    /// The contents of all string literals with their lines.
    pub(crate) fn strings(&self) -> Vec<(String, usize)> {
        let read = |t: &Token| Some((syn::parse_str::<syn::LitStr>(&t.text).ok()?.value(), t.line));
        self.tokens
            .iter()
            .filter(|t| t.text.contains('"'))
            .filter_map(read)
            .collect()
    }

    /// Files in which the test-only modules can lie.
    fn test_files(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = file.trim_end_matches(".rs");
        let folder = match stem {
            "lib" | "main" | "mod" => folder.to_owned(),
            _ => format!("{folder}/{stem}"),
        };
        let of = |name: &String| {
            [
                format!("{folder}/{name}.rs"),
                format!("{folder}/{name}/mod.rs"),
            ]
        };
        self.test_modules.iter().flat_map(of).collect()
    }
}

/// The sources of all crates without their tests: what lies in a `src` folder. They are read once for all
/// rules of a process.
pub(crate) fn crate_sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let in_src =
            |path: &str| path.ends_with(".rs") && path.split('/').any(|step| step == "src");
        let mut sources: Vec<Source> = tree::texts()
            .iter()
            .filter(|(path, _)| in_src(path))
            .map(|(path, text)| Source::parse(path, text))
            .collect();
        let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_files).collect();
        sources.retain(|s| !tests.contains(&s.path));
        sources
    })
}

/// Parts a file's tokens into tests and the rest.
#[derive(Default)]
struct Split {
    tokens: Vec<Token>,
    tests: Vec<RangeInclusive<usize>>,
    test_modules: Vec<String>,
}

impl Split {
    fn take(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            if is_test_attribute(&trees[at..]) {
                let length = item_length(&trees[at..]);
                let item = &trees[at..at + length];
                self.note_module(item);
                let last = item.last().map_or(0, |t| t.span().end().line);
                self.tests.push(item[0].span().start().line..=last);
                at += length;
                continue;
            }
            self.push(&trees[at]);
            at += 1;
        }
    }

    fn push(&mut self, tree: &TokenTree) {
        let line = tree.span().start().line;
        let TokenTree::Group(group) = tree else {
            self.tokens.push(Token {
                text: tree.to_string(),
                line,
            });
            return;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        self.tokens.push(Token {
            text: open.to_owned(),
            line,
        });
        self.take(group.stream());
        self.tokens.push(Token {
            text: close.to_owned(),
            line: group.span_close().start().line,
        });
    }

    /// Remembers `mod name;`.
    fn note_module(&mut self, item: &[TokenTree]) {
        let texts: Vec<String> = item.iter().rev().take(3).map(ToString::to_string).collect();
        if let [end, name, keyword] = texts.as_slice()
            && end == ";"
            && keyword == "mod"
        {
            self.test_modules.push(name.clone());
        }
    }
}

/// Whether `#[cfg(test)]` or `#[cfg(all(test, …))]` stands here.
fn is_test_attribute(trees: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = trees else {
        return false;
    };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    hash.as_char() == '#' && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// Up to the item's first semicolon or braces.
fn item_length(trees: &[TokenTree]) -> usize {
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    trees
        .iter()
        .position(ends)
        .map_or(trees.len(), |last| last + 1)
}

#[derive(Default)]
struct FunctionFinder {
    found: Vec<Function>,
}

impl FunctionFinder {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        self.found.push(Function {
            name: signature.ident.to_string(),
            first_line: signature.fn_token.span.start().line,
            last_line: body.brace_token.span.close().start().line,
        });
    }
}

impl<'ast> Visit<'ast> for FunctionFinder {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.sig, body);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn tests_are_told_from_the_rest() {
    let text = "fn kept() {\n}\n#[cfg(test)]\nuse hidden::{a};\n#[cfg(test)]\nmod far;\n#[cfg(test)]\nmod tests {\n    fn hidden() {}\n}\nimpl X {\n    fn last() {\n        std::env::var(\"A\");\n    }\n}\n";
    let source = Source::parse("crate/src/near.rs", text);
    let functions = source.functions();
    let names: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["kept", "last"]);
    assert_eq!((functions[1].first_line, functions[1].last_line), (12, 14));
    assert_eq!(source.find(&["std", ":", ":", "env"]), [13]);
    assert_eq!(source.find(&["hidden"]), Vec::<usize>::new());
    assert_eq!(source.strings(), [("A".to_owned(), 13)]);
    assert_eq!(source.lines, 7);
    assert_eq!(
        source.test_files(),
        ["crate/src/near/far.rs", "crate/src/near/far/mod.rs"]
    );
}
