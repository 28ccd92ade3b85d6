use super::service::{Ran, vernier};
use std::fs;

fn run(args: &[&str]) -> Ran {
    Ran::of(vernier(args).output().expect("the command starts"))
}

#[test]
fn lines_and_files_hold_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let options = [
        "generate",
        "--seed",
        "9",
        "--events",
        "230",
        "--envelope-size",
        "50",
        "--invalid",
        "4",
    ];
    let printed = run(&options);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert_eq!(printed.stdout.lines().count(), 5);

    let files = run(&[
        &options[..],
        &["--out", &path("folder"), "--format", "json"],
    ]
    .concat());
    assert_eq!(
        (files.code, &files.json()["invalid"]),
        (0, &serde_json::json!(4)),
        "{files:?}"
    );
    let mut names: Vec<_> = fs::read_dir(path("folder"))
        .expect("a folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    names.sort();
    let joined: String = names
        .iter()
        .map(|n| fs::read_to_string(n).expect("text") + "\n")
        .collect();
    assert_eq!(joined, printed.stdout);

    assert_eq!(
        run(&[&options[..], &["--out", &path("all.jsonl")]].concat()).code,
        0
    );
    assert_eq!(
        fs::read_to_string(path("all.jsonl")).expect("text"),
        printed.stdout
    );
}

#[test]
fn nothing_is_overwritten_and_nonsense_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("mine.jsonl"), "mine").expect("written");
    for args in [
        &["generate", "--out", &path("mine.jsonl")][..],
        &["generate", "--out", &path("")],
        &["generate", "--events", "0"],
        &["generate", "--events", "10", "--invalid", "11"],
    ] {
        assert_eq!(run(args).code, 2, "{args:?}");
    }
    assert_eq!(
        fs::read_to_string(path("mine.jsonl")).expect("text"),
        "mine"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = vernier(&["generate", "--events", "200000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("ended");
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
