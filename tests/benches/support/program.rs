//! The functions' executables as the benches start them: where they lie, their settings, their memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vernier_tests::stub::load;
use vernier_tests::trigger::runtime::Program;

/// The name of the stub's stream.
pub(crate) const STREAM: &str = "bench";

/// Sizes that the functions have in the template, MiB.
pub(crate) const MEMORY_MIB: [(&str, u32); 4] = [
    ("input", 512),
    ("stream", 1_024),
    ("output", 1_024),
    ("reconcile", 1_024),
];

/// A function's executable in a folder of functions, as `make build` leaves it.
pub(crate) fn executable(functions: &Path, function: &str) -> Option<PathBuf> {
    let (first, rest) = function.split_at(1);
    let folder = format!("{}{rest}Function", first.to_uppercase());
    let path = functions.join(folder).join("bootstrap");
    path.is_file().then_some(path)
}

/// A function's settings, those of all four in one.
pub(crate) fn program(path: &Path, name: &str, url: &str) -> Program {
    let environment = [
        ("VERNIER_TABLE", "bench"),
        ("VERNIER_BUCKET", "bench"),
        ("VERNIER_STREAM", STREAM),
        (
            "VERNIER_TOPIC_ARN",
            "arn:aws:sns:us-east-1:000000000000:bench",
        ),
        (
            "VERNIER_SEAL_KEY",
            "arn:aws:kms:us-east-1:000000000000:key/bench",
        ),
        (
            "VERNIER_QUEUE_URL",
            "https://sqs.us-east-1.amazonaws.com/0/bench.fifo",
        ),
        ("VERNIER_WINDOW_SECONDS", "900"),
        ("VERNIER_GRACE_SECONDS", "300"),
        ("VERNIER_STREAM_TIMEOUT_SECONDS", "60"),
        ("VERNIER_CLOCK_SKEW_SECONDS", "60"),
        ("VERNIER_LATE_SECONDS", "60"),
        ("VERNIER_LOOKBACK_SECONDS", "86400"),
        ("VERNIER_HOLD_SECONDS", "86400"),
        ("VERNIER_SEGMENT_DAYS", "30"),
        ("VERNIER_RECORD_AGE_SECONDS", "3600"),
        ("VERNIER_COMPACT_AFTER_HOURS", "48"),
        ("VERNIER_REMOVE_COMPACTED_AFTER_HOURS", "168"),
        ("VERNIER_TOKEN_CACHE_SECONDS", "900"),
        ("VERNIER_UNKNOWN_TOKENS_PER_MINUTE", "30"),
        ("VERNIER_RECEIPT_DAYS", "30"),
        ("RUST_LOG", "info"),
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let mut environment: BTreeMap<String, String> = environment
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .into();
    if matches!(name, "input" | "stream") {
        environment.extend(load::ALLOCATOR.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
    // A role's is about as long, and is signed with every request.
    environment.insert("AWS_SESSION_TOKEN".to_owned(), "t".repeat(800));
    Program {
        path: path.to_owned(),
        name: format!("vernier-{name}"),
        environment,
        timeout: Duration::from_secs(60),
    }
}

pub(crate) fn memory(function: &str) -> u32 {
    let of = MEMORY_MIB.iter().find(|(name, _)| *name == function);
    of.map_or(512, |(_, mib)| *mib)
}
