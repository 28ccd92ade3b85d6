//! `vernier send`.

mod post;
mod report;
mod source;
mod summary;

use super::api::{Api, ApiArgs};
use super::{FINDINGS, Format, TROUBLE, output};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use post::{Compress, Posted, Poster};
use report::{Answered, Report, Row, body_name};
use source::{Input, Source};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use summary::Summary;

/// So many envelopes in a row without an answer, each after all its tries, end the send.
const UNSENT_IN_A_ROW_MAX: u32 = 3;

/// Post envelopes and keep a report of every verdict.
///
/// A PATH is a file with an envelope (.json), with an envelope a line (.jsonl, .ndjson), any of
/// them also as .gz or .zst, a folder of such files, or - for standard input. Bodies are posted as
/// they are; what the service makes of them is in its answer.
///
/// Busy or unreachable services are tried again, with growing pauses and as their Retry-After
/// asks. With --report each answer is on disk before the next line is counted; a send that was
/// broken off, however hard, goes on where it stopped when started again with the same report: no
/// envelope is lost, and one whose answer was not recorded yet is sent again, which the ledger
/// counts as duplicates.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vernier send envelope.json
  vernier send semester/ --report semester.report.jsonl --compress zstd --concurrency 8
  vernier generate --events 500 | vernier send - --verdicts
  vernier send semester/ --report semester.report.jsonl    again: sends only what has no answer yet

Exit codes: 0 every event accepted, 1 an envelope refused or an event rejected, 2 not everything sent.")]
pub(super) struct Args {
    /// Files, folders, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
    /// Requests under way at once
    #[arg(long, value_name = "REQUESTS", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// How to compress the bodies
    #[arg(long, value_enum, value_name = "METHOD", default_value = "gzip")]
    compress: Compress,
    /// Write a JSON line for every envelope here, and skip what it has an answer to
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Ask for every event's verdict also without a report
    #[arg(long)]
    verdicts: bool,
    /// Tries of one envelope after the first; waits for the tenant's rate are none
    #[arg(long, value_name = "TRIES", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
}

/// Sends.
///
/// # Errors
/// A path cannot be read, there is no token, or the report cannot be written.
pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.api, usize::from(args.concurrency))?;
    let sources = source::list(&args.paths)?;
    let mut summary = Summary::default();
    let (report, answered) = match &args.report {
        None => (None, Answered::default()),
        Some(path) => {
            let (report, answered) = Report::open(path, &mut |row| summary.add_earlier(row))?;
            (Some(report), answered)
        }
    };
    let stop = AtomicBool::new(false);
    let poster = Poster {
        api: &api,
        compress: args.compress,
        verdicts: args.verdicts || args.report.is_some(),
        retries: args.retries,
        stop: &stop,
    };
    let started = Instant::now();
    let shared = Shared {
        poster: &poster,
        stopped: Mutex::new(None),
        unsent_in_a_row: AtomicU32::new(0),
    };
    let books = Books {
        report,
        summary,
        progress: progress(&sources),
        started,
    };
    let mut summary = pump(
        &shared,
        usize::from(args.concurrency),
        &sources,
        answered,
        books,
    )?;
    summary.stopped = shared
        .stopped
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    summary.finish(started.elapsed());
    match format {
        Format::Json => output::json(&summary)?,
        Format::Text => output::line(summary.text())?,
    }
    Ok(verdict(&summary, args))
}

fn verdict(summary: &Summary, args: &Args) -> ExitCode {
    if let Some(why) = &summary.stopped {
        eprintln!("vernier: stopped: {why}");
    }
    if summary.is_unfinished() {
        let how = match &args.report {
            Some(report) => format!(
                "run it again with --report {} to send the rest",
                report.display()
            ),
            None => "with --report FILE a send can be gone on with".to_owned(),
        };
        eprintln!("vernier: not every envelope has an answer; {how}");
        return ExitCode::from(TROUBLE);
    }
    ExitCode::from(if summary.has_findings() { FINDINGS } else { 0 })
}

/// What the senders share.
struct Shared<'a> {
    poster: &'a Poster<'a>,
    stopped: Mutex<Option<String>>,
    unsent_in_a_row: AtomicU32,
}

impl Shared<'_> {
    fn is_stopped(&self) -> bool {
        self.poster.stop.load(Ordering::Relaxed)
    }

    /// Stops the send; the first reason counts.
    fn stop(&self, why: String) {
        self.stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(why);
        self.poster.stop.store(true, Ordering::Relaxed);
    }
}

/// What the one writer keeps.
struct Books {
    report: Option<Report>,
    summary: Summary,
    progress: ProgressBar,
    started: Instant,
}

/// Reads, sends and writes down, each in its own threads. The writer's channel ends when the last
/// sender is done, the senders' when the reader is.
fn pump(
    shared: &Shared<'_>,
    senders: usize,
    sources: &[Source],
    answered: Answered,
    mut books: Books,
) -> anyhow::Result<Summary> {
    let (inputs, inbox) = sync_channel::<Input>(senders);
    let inbox = Mutex::new(inbox);
    let (rows, outbox) = channel::<Row>();
    let progress = books.progress.clone();
    thread::scope(|scope| {
        for _ in 0..senders {
            let (rows, inbox) = (rows.clone(), &inbox);
            scope.spawn(move || send_all(shared, inbox, rows));
        }
        drop(rows);
        let writer = scope.spawn(move || {
            let written = write_all(&mut books, &outbox);
            if written.is_err() {
                shared.stop("the report cannot be written".to_owned());
            }
            written.map(|()| books.summary)
        });
        let skipped = read_all(shared, sources, answered, inputs, &progress);
        let written = writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        progress.finish_and_clear();
        let mut summary = written?;
        summary.skipped = skipped?;
        Ok(summary)
    })
}

/// Hands every envelope without an answer to the senders; says how many had one.
fn read_all(
    shared: &Shared<'_>,
    sources: &[Source],
    mut answered: Answered,
    inputs: SyncSender<Input>,
    progress: &ProgressBar,
) -> anyhow::Result<u64> {
    let mut skipped = 0;
    let mut take = |input: Input| {
        if answered.take(&body_name(&input.body)) {
            skipped += 1;
            progress.inc(input.body.len() as u64);
            return true;
        }
        !shared.is_stopped() && inputs.send(input).is_ok()
    };
    for source in sources {
        if !source.read(&mut take)? {
            break;
        }
    }
    Ok(skipped)
}

/// Sends until the inbox ends. A stopped send still empties it, so that the reader never waits.
fn send_all(shared: &Shared<'_>, inbox: &Mutex<Receiver<Input>>, rows: Sender<Row>) {
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(input) = next else { return };
        if shared.is_stopped() {
            continue;
        }
        match shared.poster.post(input) {
            Ok(Posted::Row(row)) => {
                let in_a_row = if row.is_final() {
                    shared.unsent_in_a_row.store(0, Ordering::Relaxed);
                    0
                } else {
                    shared.unsent_in_a_row.fetch_add(1, Ordering::Relaxed) + 1
                };
                // The writer is gone only when it failed, and then it has said so.
                let _gone = rows.send(*row);
                if in_a_row >= UNSENT_IN_A_ROW_MAX {
                    shared.stop(format!("{in_a_row} envelopes in a row without an answer"));
                }
            }
            Ok(Posted::Barred(why)) => shared.stop(why),
            Ok(Posted::Stopped) => {}
            Err(error) => shared.stop(error.to_string()),
        }
    }
}

/// Writes what has come, waits for the disk once for all of it, and then counts it.
fn write_all(books: &mut Books, outbox: &Receiver<Row>) -> anyhow::Result<()> {
    while let Ok(first) = outbox.recv() {
        let rows: Vec<Row> = std::iter::once(first).chain(outbox.try_iter()).collect();
        if let Some(report) = &mut books.report {
            report.append(&rows)?;
        }
        for row in &rows {
            books.summary.add(row);
            books.progress.inc(row.bytes);
        }
        let totals = &books.summary.totals;
        let rate = totals.events as f64 / books.started.elapsed().as_secs_f64().max(1e-3);
        books.progress.set_message(format!(
            "{} envelopes, {} events, {} rejected, {} events/s",
            output::thousands(totals.envelopes),
            output::thousands(totals.events),
            output::thousands(totals.rejected),
            output::thousands(rate as u64)
        ));
    }
    Ok(())
}

/// A bar where the length of the input is known, else a spinner; nothing where standard error is
/// no terminal.
fn progress(sources: &[Source]) -> ProgressBar {
    let length = |source: &Source| match source {
        Source::File(path) if path.extension().is_none_or(|e| e != "gz" && e != "zst") => {
            std::fs::metadata(path).ok().map(|m| m.len())
        }
        _ => None,
    };
    let bytes: Option<u64> = sources.iter().map(length).sum();
    let template = if bytes.is_some() {
        "[{bar:32}] {percent}% {msg}"
    } else {
        "{spinner} {msg}"
    };
    let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
