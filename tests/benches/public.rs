//! What requests without a token cost: the executables as they are deployed answer a mix of them, while
//! this process counts what they read of the table and how many bytes go out.
//!
//! `cargo bench -p vernier-tests --bench public -- --functions=.aws-sam/build --requests=100000`. "Before"
//! is of the same requests: the size of each answer without compression, and a read of the table for each
//! token that was never seen, which is what they took when answers were not compressed and look-ups not
//! bounded. Both are without the gateway's own throttles, which let few of them through.
#![allow(clippy::print_stdout)]

#[path = "support/figures.rs"]
mod figures;
#[path = "support/program.rs"]
mod program;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use program::{executable, memory, program};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use vernier_cost::{PriceList, Rates};
use vernier_ledger::access::NewToken;
use vernier_tests::stub::load::{self, Asking};
use vernier_tests::stub::process::Process;
use vernier_tests::stub::{Counts, Stub};

/// Addresses that the requests come from.
const ADDRESSES: usize = 50;

/// Bytes of an answer's status line and headers that the gateway adds, roughly; they are the same before
/// and after.
const HEAD_BYTES: u64 = 400;

const BYTES_PER_GB: f64 = 1_073_741_824.0;

/// What kinds of requests there are, in equal parts.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Document,
    Page,
    MadeUpPost,
    MadeUpGet,
    NotFound,
}

const KINDS: [Kind; 5] = [
    Kind::Document,
    Kind::Page,
    Kind::MadeUpPost,
    Kind::MadeUpGet,
    Kind::NotFound,
];

/// Bytes and look-ups, as they are and as they were.
#[derive(Debug, Default)]
struct Sums {
    bytes: u64,
    plain_bytes: u64,
    unknown: u64,
    refused: u64,
}

fn main() {
    let option = |name: &str| std::env::args().find_map(|a| Some(a.strip_prefix(name)?.to_owned()));
    // `cargo test --benches` only wants to know that it runs.
    let Some(functions) = option("--functions=").map(PathBuf::from) else {
        println!("left out: --functions names no folder");
        return;
    };
    let requests = option("--requests=").and_then(|n| n.parse().ok());
    let requests: usize = requests.unwrap_or(100_000);
    let paths = (
        executable(&functions, "input"),
        executable(&functions, "output"),
    );
    let (Some(input), Some(output)) = paths else {
        println!("left out: input or output is not built");
        return;
    };
    let files = page_files(&functions);
    let stub = Stub::start(load::items());
    let start =
        |path: &Path, name: &str| Process::start(&program(path, name, &stub.url()), memory(name));
    let (mut input, mut output) = (start(&input, "input"), start(&output, "output"));
    input.ready();
    output.ready();
    let _ = stub.take_counts();
    let before = cpu(&input) + cpu(&output);
    let mut sums = Sums::default();
    for number in 0..requests {
        let kind = KINDS[number % KINDS.len()];
        let function = match kind {
            Kind::MadeUpPost => &mut input,
            _ => &mut output,
        };
        ask(function, kind, (number, &files), &mut sums);
    }
    let cpu_seconds = cpu(&input) + cpu(&output) - before;
    report(requests, &sums, &stub.take_counts(), cpu_seconds);
}

fn cpu(process: &Process) -> f64 {
    process
        .cpu()
        .iter()
        .map(std::time::Duration::as_secs_f64)
        .sum()
}

/// The names of the page's files; none where the build has no page.
fn page_files(functions: &Path) -> Vec<String> {
    let folder = functions.join("OutputFunction/page/insights");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(Result::ok).map(|e| e.file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// Makes one request, and adds its answer.
fn ask(function: &mut Process, kind: Kind, (number, files): (usize, &[String]), sums: &mut Sums) {
    let address = format!("198.51.100.{}", number / KINDS.len() % ADDRESSES);
    let secret = NewToken::generate().secret;
    let asking = Asking {
        address: &address,
        token: Some(&secret),
        ..Asking::default()
    };
    let asking = match kind {
        Kind::Document => Asking {
            resource: "/openapi.json",
            ..asking
        },
        Kind::Page => match files.get(number / KINDS.len() % (files.len() + 1)) {
            Some(file) => Asking {
                resource: "/insights/{file}",
                file: Some(file),
                ..asking
            },
            None => Asking {
                resource: "/insights",
                ..asking
            },
        },
        Kind::MadeUpPost => Asking {
            method: "POST",
            resource: "/caliper",
            body: Some("{}"),
            ..asking
        },
        Kind::MadeUpGet => asking,
        Kind::NotFound => Asking {
            resource: "/insights/{file}",
            file: Some("no-such-file.js"),
            ..asking
        },
    };
    let answer: Value = serde_json::from_slice(&function.call(asking.event())).expect("JSON");
    let status = answer["statusCode"].as_u64().unwrap_or_default();
    let (bytes, plain_bytes) = sizes(&answer);
    sums.bytes += bytes + HEAD_BYTES;
    sums.plain_bytes += plain_bytes + HEAD_BYTES;
    if matches!(kind, Kind::MadeUpPost | Kind::MadeUpGet) {
        assert!([401, 429].contains(&status), "{answer}");
        sums.unknown += 1;
        sums.refused += u64::from(status == 429);
    }
}

/// The bytes of an answer's body as they are sent, and before they were compressed.
fn sizes(answer: &Value) -> (u64, u64) {
    let text = answer["body"].as_str().unwrap_or_default();
    if answer["isBase64Encoded"] != true {
        return (text.len() as u64, text.len() as u64);
    }
    let packed = STANDARD.decode(text).expect("base64");
    let mut plain = Vec::new();
    let read = GzDecoder::new(&packed[..]).read_to_end(&mut plain);
    read.expect("it is gzip");
    (packed.len() as u64, plain.len() as u64)
}

fn prices() -> PriceList {
    Rates::built_in().expect("the file reads").prices.prices
}

/// Dollars of bytes that go out and of units that are read.
fn dollars(bytes: u64, read_units: u64) -> f64 {
    let prices = prices();
    prices.transfer_out_gb.of(bytes as f64 / BYTES_PER_GB)
        + prices.dynamodb_read_unit.of(read_units as f64)
}

fn report(requests: usize, sums: &Sums, counts: &Counts, cpu_seconds: f64) {
    let units: u64 = counts.read_units.values().sum();
    let reads = counts.calls("GetItem", "") + counts.calls("Query", "");
    let (of_each, before) = (requests as f64, dollars(sums.plain_bytes, sums.unknown));
    let after = dollars(sums.bytes, units);
    let prices = prices();
    let requests_dollars = prices.api_request.of(of_each) + prices.lambda_request.of(of_each);
    println!("{requests} requests without a token, from {ADDRESSES} addresses");
    println!(
        "  bytes out {} (before {}), reads {reads} (before {}), refused with 429 {}",
        sums.bytes, sums.plain_bytes, sums.unknown, sums.refused
    );
    println!(
        "  bytes and reads ${after:.4} (before ${before:.4}); requests ${requests_dollars:.4} either way"
    );
    figures::write(
        "public",
        &json!({
            "requests": requests,
            "addresses": ADDRESSES,
            "unknown_tokens": sums.unknown,
            "refused": sums.refused,
            "cpu_us_per_request": cpu_seconds * 1e6 / of_each,
            "requests_dollars": requests_dollars,
            "before": {
                "bytes_out": sums.plain_bytes,
                "table_reads": sums.unknown,
                "read_units": sums.unknown,
                "dollars": before,
            },
            "after": {
                "bytes_out": sums.bytes,
                "table_reads": reads,
                "read_units": units,
                "dollars": after,
            },
        }),
    );
}
