//! Memory of the stream function under the largest trigger payload (invariant 8).
//!
//! Alone in its process, so that the process's peak is this test's.
#![allow(clippy::print_stdout)]
use std::time::Duration;
use vernier_fakes::{Faults, MemoryTable};
use vernier_ledger::closing::WindowTimes;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::frame::{self, EnvelopeLines, NewLine};
use vernier_ledger::ids::{ReceiptId, Sequence, Shard, TenantId};
use vernier_ledger::line::{LineHead, Verdict, write_line};
use vernier_ledger::ports::{Objects, PortError, PutOutcome};
use vernier_ledger::stores::StoreSet;
use vernier_ledger::time::Millis;
use vernier_ledger::work::Nonce;
use vernier_stream::{Committing, ProcessMemory, Record, Settings, process};

/// What the issue of memory allows the function.
const MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A trigger payload: 6 MiB, of which base64 leaves three quarters.
const PAYLOAD_BYTES: usize = 6 * 1024 * 1024 / 4 * 3;
const NOW: Millis = Millis(1_795_000_000_000);

/// Takes objects and forgets them, as S3 does from here.
struct Sink;

impl Objects for Sink {
    async fn put_new(&self, _: &str, _: Vec<u8>, _: Option<&str>) -> Result<PutOutcome, PortError> {
        Ok(PutOutcome::Created)
    }

    async fn get(&self, _: &str, _: Option<(u64, u64)>) -> Result<Option<Vec<u8>>, PortError> {
        Ok(None)
    }
}

/// A figure of /proc/self/status in bytes; none where there is no such file.
fn status(name: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Frames of almost a megabyte of text each; `fill` decides how well they compress.
fn frames_of(tenant: &TenantId, fill: impl Fn(usize) -> String) -> impl Iterator<Item = Vec<u8>> {
    (0..).map(move |n| {
        let receipt = ReceiptId::generate(NOW, 0);
        let event = format!(r#"{{"id":"urn:uuid:{n}","x":"{}"}}"#, fill(n));
        let fingerprint = Fingerprint::of(event.as_bytes());
        let hex = fingerprint.hex();
        let head = serde_json::json!({
            "receipt": receipt, "index": 0, "received_at": NOW.rfc3339(), "sensor": "s",
            "verdict": "accepted", "strict": "accepted", "kind": "event", "fingerprint": hex
        })
        .to_string();
        let head: LineHead<'_> = serde_json::from_str(&head).expect("a head");
        let mut text = Vec::new();
        write_line(&head, &event, &mut text).expect("a line");
        let line = NewLine {
            end: text.len(),
            index: 0,
            fingerprint,
            verdict: Verdict::Accepted,
        };
        let lines = EnvelopeLines {
            text,
            lines: vec![line],
            salt_key: None,
        };
        let mut frames = frame::encode_envelope(receipt, tenant, "s", &lines).expect("a frame");
        frames.remove(0).1
    })
}

async fn take(records: Vec<Record>) -> u64 {
    let stores = StoreSet::new(MemoryTable::new(Faults::default()), Sink);
    let shard = Shard::new("frames", "shardId-000000000000").expect("a shard");
    let memory = ProcessMemory::new(WindowTimes::new(15, 300), Nonce::random);
    let committing = Committing {
        settings: Settings::keeping(30),
        memory: &memory,
    };
    let budget = Duration::from_secs(60);
    let outcome = process(&stores, committing, &shard, records, || NOW, budget).await;
    outcome.expect("committed").events
}

/// Both extremes: frames that hardly compress, and frames that compress a thousandfold, of which a
/// payload holds gigabytes of text.
#[tokio::test]
async fn a_full_trigger_payload_stays_within_the_functions_memory() {
    let tenant: TenantId = "school".parse().expect("a name");
    let hardly = |n: usize| {
        let mut out = String::with_capacity(900_000);
        let mut block = Fingerprint::of(&n.to_be_bytes()).hex();
        while out.len() < 900_000 {
            block = Fingerprint::of(block.as_bytes()).hex();
            out.push_str(&block);
        }
        out
    };
    let well = |_: usize| "x".repeat(900_000);
    let records_of = |frames: &mut dyn Iterator<Item = Vec<u8>>, count_max: usize| {
        let mut bytes = 0;
        frames
            .take(count_max)
            .take_while(|data| {
                bytes += data.len();
                bytes <= PAYLOAD_BYTES
            })
            .zip(1_u64..)
            .map(|(data, n)| Record {
                sequence: n.to_string().parse::<Sequence>().expect("a number"),
                data,
                arrived_at: None,
            })
            .collect::<Vec<_>>()
    };
    for (name, records) in [
        ("hardly", records_of(&mut frames_of(&tenant, hardly), 1_000)),
        ("well", records_of(&mut frames_of(&tenant, well), 1_000)),
    ] {
        let count = records.len() as u64;
        let text = count * 900_000;
        assert_eq!(take(records).await, count);
        println!("stream memory: {count} frames that compress {name}, {text} bytes of lines");
    }
    let Some(peak) = status("VmHWM:") else {
        println!("SKIPPED: no /proc/self/status here");
        return;
    };
    println!("stream memory: a peak of {peak} bytes in this process");
    assert!(peak < MEMORY_BYTES_MAX);
}
