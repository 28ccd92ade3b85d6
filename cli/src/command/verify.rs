//! `vernier verify`.

use super::output::{bytes, thousands};
use super::remote::Remote;
use super::{FINDINGS, Format, output};
use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use vernier_archive::files::{Directory, Source};
use vernier_archive::keys::PublicKey;
use vernier_archive::seal::Hex32;
use vernier_archive::verify::{Options, Progress, Report, verify};
use vernier_aws::Bucket;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::ids::TenantId;

/// Check sealed windows: files and a public key are all it needs.
///
/// A folder holds seals/, archive/, exceptions/, days/ and what lies beside them as the bucket does (aws s3 sync
/// copies them), and is checked offline. A bucket (s3://BUCKET, or s3://BUCKET/PREFIX where a copy lies in one) is read as it
/// is, with the ordinary AWS environment: credentials, profile, region, AWS_ENDPOINT_URL. It takes
/// s3:ListBucket and s3:GetObject; each file comes over once (of version 4 some twice), some pieces ahead, and lies in the temporary
/// folder while it is checked.
///
/// Everything that a seal promises is computed again: its signature, the chain of seals of each
/// tenant, that windows leave no time out, each file's SHA-256 and size, each row's fingerprint,
/// place and window, the Merkle roots, the counts by disposition and the digest. Files that no seal
/// names are reported too. Without --all it stops at the first thing that is wrong.
///
/// Files are written before their seal: those of what is just being sealed (the window after the chain's
/// end, a backfill, a day) are counted as pending, and nothing is said of them. More windows than one
/// after a chain's end show that seals are missing there. A bucket is listed in the order that this needs;
/// copy the seals of a bucket that grows first, then its files, and give --later-files.
///
/// The check is worth as much as the public key. Take it from somebody to trust (aws kms get-public-key, or
/// whoever sealed), not from where the seals lie: whoever can write seals there can write keys there, and
/// sign anew whatever was changed. --own-keys takes keys/*.pem beside the seals all the same: what it says
/// then is that nothing was damaged, not who sealed it.
///
/// Seals of version 4 say what was acknowledged: totals of each window are checked against its evidence, and what is missing
/// is said (--no-shortfall makes it wrong). --receipts adds up each receipt by itself.
///
/// A chain that was cut short at its end looks whole by itself: note the head that this command
/// prints (or a seal's hash from anywhere else) and give it back with --known next time.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  aws s3 sync s3://BUCKET copy/ --exclude '*' --include 'seals/*'
  aws s3 sync s3://BUCKET copy/ --exclude '*' \\
      --include 'archive/*' --include 'exceptions/*' --include 'days/*' \\
      --include 'evidence/*' --include 'missing/*' --include 'lists/*' --include 'erasures/*'
  vernier verify copy/ --key seals.pub.pem --later-files
  vernier verify s3://BUCKET --key seals.pub.pem
  vernier verify s3://BUCKET/copies/2026 --own-keys      damage alone, whoever sealed
  vernier verify copy/ --key seals.pub.pem --all --format json | jq -r '.findings[].file'
  vernier verify copy/ --key old.pem --key new.pem       after the key was changed
  vernier verify copy/ --key seals.pub.pem --known 9f86d081…  the head of last month's check
  vernier verify copy/ --key seals.pub.pem --receipts --no-shortfall
  vernier verify month/ --key seals.pub.pem --partial    a chain that begins later
  openssl pkey -in seals.pem -pubout                     the public half of a local key

Exit codes: 0 sound, 1 something is wrong, 2 wrong usage, or a file or bucket that cannot be read.")]
pub(super) struct Args {
    /// A folder, or a bucket and what its keys begin with
    #[arg(value_name = "DIR|s3://BUCKET[/PREFIX]")]
    archive: String,
    /// Public key that seals are signed with (SubjectPublicKeyInfo, PEM or DER; ECDSA P-256 or
    /// Ed25519); may be given several times
    #[arg(
        long = "key",
        value_name = "FILE",
        required_unless_present = "own_keys"
    )]
    keys: Vec<PathBuf>,
    /// Trust the public keys that lie beside the seals (keys/*.pem): shows damage, not who sealed
    #[arg(long)]
    own_keys: bool,
    /// Report all that is wrong, not the first alone
    #[arg(long)]
    all: bool,
    /// Check one tenant alone
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantId>,
    /// Hash of a seal that was noted before and must be there; may be given several times
    #[arg(long, value_name = "SHA256", value_parser = known)]
    known: Vec<Hex32>,
    /// The chain may begin later than with its first seal
    #[arg(long)]
    partial: bool,
    /// Time between two windows may be in none: windows that are held back are sealed later
    #[arg(long)]
    gaps: bool,
    /// Any number of windows after the last seal may have files: a copy whose seals were copied first
    #[arg(long)]
    later_files: bool,
    /// A window in which something is missing that was acknowledged is wrong; else it is reported alone
    #[arg(long)]
    no_shortfall: bool,
    /// Sum rows by receipt too, and hold each receipt against the evidence of version 4 that it was acknowledged: on disk,
    /// in the temporary folder, whatever the archive's size; the files are read once more
    #[arg(long)]
    receipts: bool,
    /// Threads; as many as there are cores if not given
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
}

/// A public key, bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;

fn known(text: &str) -> Result<Hex32, String> {
    let hash = Fingerprint::from_hex(text).ok_or("expected 64 hexadecimal digits")?;
    Ok(Hex32(hash.0))
}

/// Checks.
///
/// # Errors
/// A key, the folder or the bucket cannot be read.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let mut keys = Vec::with_capacity(args.keys.len());
    for path in &args.keys {
        let read = || Ok::<_, anyhow::Error>(PublicKey::read(&fs::read(path)?)?);
        keys.push(read().with_context(|| path.display().to_string())?);
    }
    let source = source(&args.archive)?;
    if args.own_keys {
        keys.extend(own_keys(source.as_ref()).with_context(|| args.archive.clone())?);
    }
    // Removed at the end, with what lies in it.
    let folder = args.receipts.then(tempfile::tempdir).transpose()?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        all: args.all,
        threads: args.threads.map_or(cores, usize::from),
        tenant: args.tenant.clone(),
        known: args.known.clone(),
        partial: args.partial,
        gaps: args.gaps,
        later_files: args.later_files,
        no_shortfall: args.no_shortfall,
        receipts: folder.as_ref().map(|folder| folder.path().to_owned()),
    };
    quiet_reader();
    let started = Instant::now();
    let bar = Bar::new();
    let report = verify(source.as_ref(), &keys, &options, &|now| bar.show(now));
    bar.0.finish_and_clear();
    let report = report.with_context(|| args.archive.clone())?;
    match format {
        Format::Json => output::json(&json!({
            "sound": report.is_sound(),
            "chains": report.chains,
            "files": report.files,
            "bytes": report.bytes,
            "rows": report.rows,
            "counts": report.counts,
            "pending": report.pending,
            "waiting": report.waiting,
            "shortfalls": report.shortfalls,
            "holds": report.holds,
            "unreceipted": report.unreceipted,
            "erased": report.erased,
            "unsalted": report.unsalted,
            "receipts": report.receipts,
            "findings": report.findings,
        }))?,
        Format::Text => output::line(text(&report, args.all, started.elapsed()))?,
    }
    Ok(ExitCode::from(if report.is_sound() { 0 } else { FINDINGS }))
}

fn source(archive: &str) -> anyhow::Result<Box<dyn Source>> {
    let Some(place) = archive.strip_prefix("s3://") else {
        ensure!(Path::new(archive).is_dir(), "{archive}: not a folder");
        return Ok(Box::new(Directory::new(archive)));
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    ensure!(!bucket.is_empty(), "{archive}: names no bucket");
    let bucket = bucket.to_owned();
    // Before the thread that reads: what is wrong with the settings is the command's error.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let config = runtime.block_on(vernier_aws::users_config())?;
    let connect = async move || Bucket::new(&config, bucket);
    Ok(Box::new(Remote::begin(prefix, connect)?))
}

/// The keys that lie beside the seals.
fn own_keys(source: &dyn Source) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for entry in source.list("keys/")? {
        if entry.key.ends_with(".pem") {
            let read = || {
                Ok::<_, anyhow::Error>(PublicKey::read(&source.read(&entry.key, KEY_BYTES_MAX)?)?)
            };
            keys.push(read().with_context(|| entry.key.clone())?);
        }
    }
    ensure!(!keys.is_empty(), "no keys lie here (keys/….pem)");
    Ok(keys)
}

/// A damaged file may make the reader of Parquet files give up in ways that the check catches and
/// reports: its own words about that are no use to anybody. Other panics are shown as ever.
fn quiet_reader() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let own = |place: &panic::Location<'_>| place.file().contains("parquet");
        if !info.location().is_some_and(own) {
            usual(info);
        }
    }));
}

struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let form = "{bar:30} {bytes} of {total_bytes}, {msg}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn show(&self, now: Progress) {
        self.0.set_length(now.bytes_total);
        self.0.set_position(now.bytes);
        let files = format!("{} of {} files", now.files, now.files_total);
        self.0.set_message(files);
    }
}

/// What seals of version 4 say and what is no fault.
fn account(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for missing in &report.shortfalls {
        lines.push(format!(
            "shortfall: tenant {}, {} to {}: {} events of {} envelopes are missing",
            missing.tenant,
            missing.start,
            missing.end,
            thousands(missing.events),
            thousands(missing.envelopes),
        ));
    }
    for hold in &report.holds {
        let (tenant, start, end) = (&hold.tenant, hold.start, hold.end);
        lines.push(format!(
            "open: tenant {tenant}, {start} to {end}: no seal closes it yet"
        ));
    }
    for (count, what) in [
        (report.erased, "rows are erased"),
        (
            report.unreceipted,
            "rows have receipts that are in no evidence",
        ),
        (
            report.unsalted,
            "rows of version 4 have no salt: their hashes can be tested by whoever guesses them",
        ),
    ] {
        if count > 0 {
            lines.push(format!("{} {what}", thousands(count)));
        }
    }
    if let Some(receipts) = report.receipts {
        lines.push(format!(
            "{} receipts were held against their rows",
            thousands(receipts)
        ));
    }
    if !report.waiting.is_empty() {
        let size = report.waiting.iter().map(|entry| entry.bytes).sum();
        lines.push(format!(
            "waiting: {} files, {}, that no seal names yet or any more; no rows are taken from them",
            thousands(report.waiting.len() as u64),
            bytes(size),
        ));
    }
    lines
}

fn text(report: &Report, all: bool, took: Duration) -> String {
    let mut lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    for chain in &report.chains {
        let time = match (chain.from, chain.through) {
            (Some(from), Some(through)) => format!(", {from} to {through}"),
            _ => String::new(),
        };
        lines.push(format!(
            "tenant {}: {} seals, the last is {}{time}\n  head {}",
            chain.tenant,
            thousands(chain.seals),
            chain.last,
            chain.head
        ));
    }
    let counts = report.counts;
    lines.push(format!(
        "{} files, {}, {} rows in {:.1} s: {} stored, {} duplicate, {} conflict, {} rejected",
        thousands(report.files),
        bytes(report.bytes),
        thousands(report.rows),
        took.as_secs_f64(),
        thousands(counts.stored),
        thousands(counts.duplicate),
        thousands(counts.conflict),
        thousands(counts.rejected),
    ));
    if !report.pending.is_empty() {
        let size = report.pending.iter().map(|entry| entry.bytes).sum();
        lines.push(format!(
            "pending: {} files, {}, which the next seals may name; nothing is said of them",
            thousands(report.pending.len() as u64),
            bytes(size),
        ));
    }
    lines.extend(account(report));
    lines.push(match (report.findings.len(), all) {
        (0, _) => "sound".to_owned(),
        (_, false) => "NOT SOUND (the first finding; --all shows every one)".to_owned(),
        (count, true) => format!("NOT SOUND: {} findings", thousands(count as u64)),
    });
    lines.join("\n")
}
