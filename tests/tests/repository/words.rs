//! What has no place in the tree: secrets, this machine, other people's hosts.
//!
//! Patterns are put together from parts so that this file does not hold what it looks for.

use crate::tree::{self, Violation, line_at, report};
use regex::Regex;

/// A pattern and what it finds.
struct Forbidden {
    what: &'static str,
    pattern: Regex,
}

fn forbidden(what: &'static str, parts: &[&str]) -> Forbidden {
    Forbidden {
        what,
        pattern: Regex::new(&parts.concat()).expect("a pattern"),
    }
}

/// Paths of the machine on which something was written.
fn machine_paths() -> Vec<Forbidden> {
    // Not inside a longer path or an address: "/v1/work/" is nobody's machine.
    let start = r"(?m)(?:^|[^A-Za-z0-9_.~/}$-])";
    vec![
        forbidden(
            "a path of one machine",
            &[start, "/(?:wo", "rk|ro", r"ot)(?:/|\b)"],
        ),
        forbidden(
            "a path of one machine",
            &[start, "/(?:ho", "me|Use", r"rs)/[a-z]"],
        ),
        forbidden("a temporary path", &[start, "/t", r"mp/[A-Za-z0-9_]"]),
    ]
}

/// Hosts of package registries: clients know theirs.
fn registry_hosts() -> Vec<Forbidden> {
    let hosts: [[&str; 2]; 8] = [
        ["static.crates", ".io"],
        ["index.crates", ".io"],
        ["files.python", "hosted.org"],
        ["pypi", ".org/simple"],
        ["registry.npm", "js.org"],
        ["registry.yarn", "pkg.com"],
        ["deb.deb", "ian.org"],
        ["archive.ubun", "tu.com"],
    ];
    hosts
        .iter()
        .map(|host| forbidden("a registry's host", &[&regex::escape(&host.concat())]))
        .collect()
}

/// What opens something.
fn secrets() -> Vec<Forbidden> {
    vec![
        forbidden(
            "an AWS access key",
            &[r"\b(?:AK", "IA|AS", r"IA)[0-9A-Z]{16}\b"],
        ),
        forbidden("a token", &["vr", "n_[0-9a-fA-F]{64}"]),
        forbidden("a private key", &["BEGIN [A-Z ]*PRIV", "ATE KEY"]),
    ]
}

/// The project speaks of itself alone.
fn makers() -> Vec<Forbidden> {
    vec![
        forbidden(
            "a tool's name",
            &[r"(?i)\b(?:chat", "gpt|clau", "de|copi", r"lot)\b"],
        ),
        forbidden("a tool's kind", &[r"\bLL", r"Ms?\b"]),
        forbidden("a tool's kind", &[r"(?i)\bA", r"I[ -]assist(?:ant|ed)\b"]),
        forbidden("a tool's part", &[r"(?i)\bsub-?ag", r"ents?\b"]),
    ]
}

fn find(path: &str, text: &str, forbidden: &[Forbidden]) -> Vec<Violation> {
    let of = |f: &Forbidden| -> Vec<Violation> {
        // The match may begin with the character before the word, a line feed perhaps.
        let line = |m: regex::Match<'_>| line_at(text, m.end() - 1);
        f.pattern
            .find_iter(text)
            .map(|m| Violation::new(path, line(m), format!("{}: {}", f.what, m.as_str().trim())))
            .collect()
    };
    forbidden.iter().flat_map(of).collect()
}

fn check(rule: &str, forbidden: &[Forbidden]) {
    report(
        rule,
        tree::texts()
            .iter()
            .flat_map(|(path, text)| find(path, text, forbidden))
            .collect(),
    );
}

#[test]
fn no_path_of_a_machine() {
    check(
        "no committed file names a path of one machine",
        &machine_paths(),
    );
}

#[test]
fn no_host_of_a_registry() {
    check(
        "no committed file names a registry's host",
        &registry_hosts(),
    );
}

#[test]
fn no_secret() {
    // Not the secret itself: what a test prints is kept in logs.
    let found: Vec<Violation> = tree::texts()
        .iter()
        .flat_map(|(path, text)| {
            let secrets = secrets();
            let lines = secrets.iter().flat_map(|s| {
                s.pattern
                    .find_iter(text)
                    .map(|m| (s.what, line_at(text, m.start())))
            });
            lines
                .map(|(what, line)| Violation::new(path, line, what))
                .collect::<Vec<_>>()
        })
        .collect();
    report("no committed file holds a secret", found);
}

#[test]
fn no_word_of_the_makers() {
    check("the project speaks of itself alone", &makers());
}

#[test]
fn forbidden_words_are_found() {
    let planted: [(&[Forbidden], String, bool); 13] = [
        (&machine_paths(), ["see /wo", "rk/x"].concat(), true),
        (&machine_paths(), ["\n/ro", "ot/.cargo"].concat(), true),
        (&machine_paths(), ["cd /ho", "me/ann"].concat(), true),
        (&machine_paths(), ["'/t", "mp/bash_jobs.0'"].concat(), true),
        (
            &machine_paths(),
            ["http://a.example/wo", "rk/1 ~/wo", "rk"].concat(),
            false,
        ),
        (
            &registry_hosts(),
            ["https://static.crates", ".io/x"].concat(),
            true,
        ),
        (
            &registry_hosts(),
            "registry+https://github.com/rust-lang/crates.io-index".to_owned(),
            false,
        ),
        (&secrets(), ["AK", "IAABCDEFGHIJKLMNOP"].concat(), true),
        (&secrets(), format!("vr{}{}", "n_", "0a".repeat(32)), true),
        (&secrets(), format!("vr{}", "n_test_events_token"), false),
        (&makers(), ["an LL", "M"].concat(), true),
        (&makers(), ["Sub", "agents"].concat(), true),
        (&makers(), "User-Agent, ALLMAN".to_owned(), false),
    ];
    for (forbidden, text, is_found) in planted {
        assert_eq!(!find("a", &text, forbidden).is_empty(), is_found, "{text}");
    }
}
