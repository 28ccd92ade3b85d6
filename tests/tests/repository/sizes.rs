//! How long functions and files may be.

use crate::rust::{Source, crate_sources};
use crate::tree::{self, Violation, report};

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function's `main.rs`: tracing, context, run.
const MAIN_LINES_MAX: usize = 40;

/// A longer function that may be, and why.
struct Allowed {
    file: &'static str,
    function: &'static str,
    reason: &'static str,
}

/// Longer functions that may be. An entry needs a reason that holds of the function itself.
const LONG_FUNCTIONS: &[Allowed] = &[];

fn long_functions(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    // No function is longer than its file.
    for source in sources.iter().filter(|s| s.lines > FUNCTION_LINES_MAX) {
        for function in source.functions() {
            let lines = function.last_line - function.first_line + 1;
            let allowed = |a: &Allowed| a.file == source.path && a.function == function.name;
            if lines > FUNCTION_LINES_MAX && !LONG_FUNCTIONS.iter().any(allowed) {
                let what = format!("fn {} has {lines} lines", function.name);
                found.push(Violation::new(&source.path, function.first_line, what));
            }
        }
    }
    found
}

fn long_files(sources: &[Source]) -> Vec<Violation> {
    let long = sources.iter().filter(|s| s.lines > FILE_LINES_MAX);
    long.map(|s| Violation::new(&s.path, 1, format!("{} lines without tests", s.lines)))
        .collect()
}

#[test]
fn functions_are_short() {
    report(
        "a function has at most 70 lines",
        long_functions(crate_sources()),
    );
}

#[test]
fn files_are_short() {
    report(
        "a file has at most 500 lines without its tests",
        long_files(crate_sources()),
    );
}

#[test]
fn exceptions_are_needed_and_have_reasons() {
    let sources = crate_sources();
    for allowed in LONG_FUNCTIONS {
        assert!(
            !allowed.reason.is_empty(),
            "{} {}: no reason",
            allowed.file,
            allowed.function
        );
        let mut functions = sources
            .iter()
            .filter(|s| s.path == allowed.file)
            .flat_map(|s| s.functions());
        let long = |f: crate::rust::Function| {
            f.name == allowed.function && f.last_line - f.first_line >= FUNCTION_LINES_MAX
        };
        assert!(
            functions.any(long),
            "{} {}: not needed any more",
            allowed.file,
            allowed.function
        );
    }
}

#[test]
fn main_only_starts_the_function() {
    let mut found = Vec::new();
    for function in tree::folders("functions") {
        let path = format!("functions/{function}/src/main.rs");
        let lines = tree::text(&path).lines().count();
        if lines > MAIN_LINES_MAX {
            found.push(Violation::new(path, 1, format!("{lines} lines")));
        }
    }
    report("a function's main.rs has at most 40 lines", found);
}

#[test]
fn what_is_too_long_is_found() {
    let body = "    let _ = 1;\n".repeat(69);
    let long = Source::parse("x/src/lib.rs", &format!("fn long() {{\n{body}}}\n"));
    assert_eq!(
        long_functions(&[long]),
        [Violation::new("x/src/lib.rs", 1, "fn long has 71 lines")]
    );
    let file = Source::parse("x/src/lib.rs", &"const X: u8 = 1;\n".repeat(501));
    assert_eq!(long_files(&[file]).len(), 1);
}
