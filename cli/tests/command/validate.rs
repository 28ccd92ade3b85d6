use super::service::{Ran, vernier};
use std::fs;

/// The option stands before or after the subcommand, as everywhere.
#[test]
fn documents_are_judged_in_the_format_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = vernier(&["generate", "--events", "40", "--invalid", "2"])
        .output()
        .expect("made");
    let path = dir.path().join("envelope.json");
    fs::write(&path, &made.stdout).expect("written");
    let path = path.to_str().expect("text");
    for args in [
        ["--format", "json", "validate", path],
        ["validate", path, "--format", "json"],
    ] {
        let ran = Ran::of(vernier(&args).output().expect("ran"));
        assert_eq!(ran.code, 1, "{ran:?}");
        let lines: Vec<serde_json::Value> = ran
            .stdout
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 40);
        assert_eq!(
            lines.iter().filter(|l| l["verdict"] == "rejected").count(),
            2
        );
    }
    let text = Ran::of(vernier(&["validate", path]).output().expect("ran"));
    assert!(
        text.stdout.ends_with("38 accepted, 2 rejected\n"),
        "{text:?}"
    );
}
